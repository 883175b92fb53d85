"""Model files for the local stack and for the embedder, verified by SHA-256.

`infra.models.fetch.fetch(name)` gives their paths; `python -m infra.models NAME` does it from the command line.
"""
