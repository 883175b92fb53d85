"""A world: a new bucket, ledger, Chroma and queue, PDFs of known words, and a record of every upload.

The model that embeds them is a BERT of one layer and 16 dimensions, so the real embedder runs it in microseconds.
Every page names its document and revision, so a passage shows where it comes from.
"""

import json
import math
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from io import StringIO
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Self
from unittest.mock import patch

from benchmarks.faults.compare import Comparator, PipelinePlace
from benchmarks.faults.delivery import (
    CREATED,
    EXTENSION_S,
    MARKED,
    REMOVED,
    DeliveryFaults,
    UnkindQueue,
    notification,
)
from benchmarks.faults.servers import Server, chroma_server
from benchmarks.pdfs import pdf
from infra.local.names import ACCOUNT, DEAD_LETTER_QUEUE, HOST, INGEST_QUEUE, LEDGER_TABLE, PARKED_QUEUE, ROOT
from infra.local.stack import StackOptions, function_variables, plan
from layers.embedder import build_model
from tests.unit.adapters.embedding import tiny_model

MODEL_DIR = ROOT / "build" / "faults" / "tiny-model"
CHUNK_TOKENS = 24
# The pipeline of a re-index: the same model with longer chunks.
NEXT_CHUNK_TOKENS = 40
_SYLLABLES = ["ba", "den", "fir", "gol", "hap", "kes", "lom", "nuv", "pir", "rax", "sot", "tim", "vul", "zed"]
WORDS = [first + second for first in _SYLLABLES for second in _SYLLABLES]
TABLE = LEDGER_TABLE
# A memory file system if there is one: a slow disk would limit the rows.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - each world has a new folder there
# Longer than the slowest step of a short document on a loaded machine.
_LEASE_S = 8.0


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: its pages follow from these fields."""

    key: str
    revision: int
    pages: int


class World:
    """The servers of a row; a context manager that leaves no process and no file behind."""

    def __init__(
        self,
        seed: str,
        *,
        faults: DeliveryFaults | None = None,
        versioned: bool = True,
        range_pages: int = 50,
        chunk_tokens: tuple[int, ...] = (CHUNK_TOKENS,),
    ) -> None:
        """`chunk_tokens` has one entry for each pipeline."""
        self.random = random.Random(seed)
        self.root = Path(tempfile.mkdtemp(prefix="docwell-faults-", dir=_MEMORY))
        self.versioned = versioned
        self.bucket = "docwell-faults"
        self.range_pages = range_pages
        self.pipelines = tuple(PipelinePlace(build_model_folder(MODEL_DIR), tokens) for tokens in chunk_tokens)
        self.queue = UnkindQueue(random.Random(f"{seed} queue"), faults)
        self.chroma, self.chroma_port = chroma_server(self.root / "chroma")
        self.uploads: dict[tuple[str, str], Upload] = {}  # by key and version
        self.current: dict[str, Upload] = {}
        self.changes: dict[str, int] = {}  # changes of each key
        self.changed_at, self.served = dict[str, float](), dict[str, list[tuple[float, float]]]()
        self.lock = threading.RLock()
        self._revision = 0
        nowhere = f"http://{HOST}:9"  # there are no questions
        planned, parts = plan(StackOptions(self.root / "data", "none", port=0), nowhere, Path)
        # Use another bucket than the stack's: it may have no versions, and the world sends its notifications.
        chroma_url = f"http://{HOST}:{self.chroma_port}"
        self.stack = replace(planned, bucket=self.bucket, chroma=chroma_url, chroma_token="")
        aws = next(part for part in parts if part.name == "aws")
        self._aws = Server(aws.command, aws.environment, str(aws.url), aws.body)
        self.s3, self.dynamodb = self.stack.client("s3"), self.stack.client("dynamodb")

    def __enter__(self) -> Self:
        """Start the local AWS server and Chroma."""
        try:
            self.chroma.start()
            self._aws.start()
            self.s3.create_bucket(Bucket=self.bucket)
            if self.versioned:
                self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.queue.close()
        self.chroma.kill()
        self._aws.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def lose_volume(self) -> None:
        """Kill Chroma and delete its data."""
        self.chroma.kill()
        shutil.rmtree(self.root / "chroma", ignore_errors=True)

    def comparator(self, pipelines: Sequence[PipelinePlace] = ()) -> Comparator:
        return Comparator(self.stack, pipelines or self.pipelines, self.range_pages)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables that template.yaml sets for ingest, with short times."""
        first, following = self.pipelines[0], self.pipelines[1:]
        re_index = {"DOCWELL_NEXT_CHUNK_TOKENS": str(following[0].chunk_tokens)} if following else {}
        return {
            **function_variables(self.stack, "docwell-ingest"),
            "DOCWELL_CHROMA_TIMEOUT_S": "5",
            "DOCWELL_QUEUE_URL": f"{self.queue.url}/{ACCOUNT}/{INGEST_QUEUE}",
            "DOCWELL_DEAD_LETTER_QUEUE_URL": f"{self.queue.url}/{ACCOUNT}/{DEAD_LETTER_QUEUE}",
            "DOCWELL_PARKED_QUEUE_URL": f"{self.queue.url}/{ACCOUNT}/{PARKED_QUEUE}",
            "DOCWELL_OCR_QUEUE_URL": "",
            "DOCWELL_MODEL_DIR": str(first.model_dir),
            "DOCWELL_CHUNK_TOKENS": str(first.chunk_tokens),
            "DOCWELL_EMBED_THREADS": "1",
            "DOCWELL_RANGE_PAGES": str(self.range_pages),
            "DOCWELL_LEASE_S": str(_LEASE_S),
            "DOCWELL_VISIBILITY_S": str(EXTENSION_S),
            # Small batches write a document in several requests, so that a kill falls between them.
            "DOCWELL_UPSERT_BATCH": "4",
            "AWS_ENDPOINT_URL_SQS": self.queue.url,
            "NO_PROXY": HOST,
            "OMP_NUM_THREADS": "1",
            **re_index,
            **variables,
        }

    def put(self, key: str, pages: int | None = None) -> Upload:
        with self.lock:
            self._revision += 1
            return self.put_again(Upload(key, self._revision, pages or self.random.randint(1, 3)))

    def put_again(self, upload: Upload) -> Upload:
        self.put_bytes(upload.key, pdf(text_of(upload.key, upload.revision, upload.pages)), upload)
        return upload

    def put_bytes(self, key: str, content: bytes, upload: Upload | None = None) -> None:
        with self._change(key, CREATED):
            answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
            if upload is not None:
                version = answer.get("VersionId")
                self.uploads[key, version if version not in (None, "null") else answer["ETag"]] = upload
                self.current[key] = upload

    def delete(self, key: str) -> None:
        with self._change(key, MARKED if self.versioned else REMOVED):
            self.s3.delete_object(Bucket=self.bucket, Key=key)
            self.current.pop(key, None)

    def undelete(self, key: str) -> None:
        """Remove the delete marker of a key, if it has one, so that an older version is current again."""
        with self.lock:
            if (marker := self._latest("DeleteMarkers", key)) is None:
                return
            with self._change(key, REMOVED):
                self.s3.delete_object(Bucket=self.bucket, Key=key, VersionId=marker)
                if (version := self._latest("Versions", key)) is not None:
                    self.current[key] = self.uploads[key, version]

    @contextmanager
    def _change(self, key: str, event: str) -> Iterator[None]:
        """Count a change, and send its event; `changed_at` is infinity until then.

        Workers add the start and the end of each receipt of the key to `served`.
        """
        with self.lock:
            self.changes[key] = self.changes.get(key, 0) + 1
            self.changed_at[key] = math.inf
            yield
        self.queue.send(notification(event, self.bucket, key))
        with self.lock:
            self.changed_at[key] = time.monotonic()

    def _latest(self, kind: str, key: str) -> str | None:
        listed: Any = self.s3.list_object_versions(Bucket=self.bucket, Prefix=key)
        rows = listed.get(kind, ())
        return next((row["VersionId"] for row in rows if row["Key"] == key and row["IsLatest"]), None)

    def hint(self, key: str, *, rebuild: bool = False, sweep: bool = False) -> None:
        self.queue.send(json.dumps({"docwell": {"key": key, "rebuild": rebuild, "sweep": sweep}}))


def build_model_folder(folder: Path) -> Path:
    if (folder / "manifest.json").exists():
        return folder
    source = folder.with_name(f"{folder.name}-source")
    tiny_model.write(source, layers=1, words=[*ascii_lowercase, *WORDS], most_tokens=64)
    arguments = ["build_model.py", "--model", str(source), "--out", str(folder)]
    with patch("sys.argv", arguments), patch("sys.stdout", StringIO()):
        if build_model.main() != 0:
            raise RuntimeError("the tiny model cannot be built")
    shutil.rmtree(source)
    return folder


def text_of(key: str, revision: int, pages: int) -> list[str]:
    """Return the text of each page: words that follow from the key and the revision alone."""
    chooser = random.Random(f"{key} {revision}")
    mark = f"doc{sha256(key.encode()).hexdigest()[:8]}"
    texts = []
    for page in range(1, pages + 1):
        count = chooser.randint(4, 5 * CHUNK_TOKENS)
        texts.append(" ".join([f"{mark} rev{revision} page{page}.", *chooser.choices(WORDS, k=count)]))
    return texts


def question(chooser: random.Random) -> str:
    return " ".join(chooser.choices(WORDS, k=5))
