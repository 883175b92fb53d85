"""What makes two indexes different: the pipeline fingerprint.

Raise a version below when its part gives other text or other chunks for the same file; every document is
then indexed anew beside the old index.
"""

from __future__ import annotations

from hashlib import sha256

TEXT_VERSION = 1
CHUNKER_VERSION = 1


def fingerprint(embedder: str, chunk_tokens: int) -> str:
    """32 hex digits over the embedding model, the chunker's settings and the text extraction."""
    parts = (embedder, str(chunk_tokens), str(CHUNKER_VERSION), str(TEXT_VERSION))
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
