"""What a client sees when the model host, Chroma or the ledger go wrong: `make chaos-query`."""
