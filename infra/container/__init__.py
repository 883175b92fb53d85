"""The container tier: what would be deployed is built, weighed and run on this machine (docs/containers.md)."""
