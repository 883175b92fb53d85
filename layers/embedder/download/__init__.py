"""Model files for the local stack and for the embedder, verified by SHA-256.

`fetch.fetch(name)` returns their paths; `python -m layers.embedder.download NAME` does so from the command line.
"""
