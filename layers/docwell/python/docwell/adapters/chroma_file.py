"""The SQLite file of a Chroma server on this machine.

A deleted chunk leaves its text in free pages, and its trigrams in the full-text index. `chroma vacuum` rewrites
the pages and not the index, so this module does both.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from docwell.adapters.chroma_records import SYNC_THRESHOLD
from docwell.errors import Unavailable

# A running server holds the file's lock for milliseconds.
_LOCK_S = 60.0
# Deleted entries leave the full-text index only when its segments are merged.
_MERGE = "INSERT INTO embedding_fulltext_search(embedding_fulltext_search) VALUES ('optimize')"


_LONGEST_LOG = "SELECT max(count) FROM (SELECT count(*) AS count FROM embeddings_queue GROUP BY topic)"
_PURGED_WITHIN_S = 60.0
_PAUSE_S = 0.1


def vacuum(folder: Path) -> None:
    """Rewrite the file in Chroma's folder without the bytes of deleted rows. The server may be running.

    Needs as much free disk space as the file takes. Raises `Unavailable`.
    """
    try:
        address = f"{(folder / 'chroma.sqlite3').resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, timeout=_LOCK_S, uri=True, isolation_level=None)) as file:
            # Wait until the server has purged the records that `ChromaIndex.flush` applied.
            deadline = time.monotonic() + _PURGED_WITHIN_S
            while (file.execute(_LONGEST_LOG).fetchone()[0] or 0) > SYNC_THRESHOLD:
                if time.monotonic() > deadline:
                    raise Unavailable("chroma", "Chroma did not purge its log in time: erase again")
                time.sleep(_PAUSE_S)
            file.execute(_MERGE)
            file.execute("VACUUM")
    except sqlite3.Error as error:
        raise Unavailable("chroma", f"the Chroma file in {folder} cannot be rewritten: {error}") from error
