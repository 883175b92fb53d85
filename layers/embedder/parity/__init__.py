"""Holds the runtime embedder to sentence-transformers: fixed texts, golden vectors, and the check."""
