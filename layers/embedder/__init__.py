"""The embedding model as a layer: how it is made from a sentence-transformers model, and held to it."""
