"""The whole of docwell on one machine: real parts, no cloud account (`python -m infra.local up`)."""
