"""A world: a new bucket, ledger, Chroma and queue, PDFs of known words, and a record of every upload.

The model that embeds them is a BERT of one layer and 16 dimensions, so the real embedder runs it in microseconds.
Every page names its document and revision, so a passage shows where it comes from.

The queue has the endpoint of SQS and all its allowed misbehaviour. It duplicates, delays, reorders and loses
acknowledgements. It counts receives, and after too many it hands a message out from the dead-letter queue, until
ingest parks it. It shortens the times that a worker asks for: a back-off of minutes takes seconds. Thread-safe.
"""

import json
import math
import os
import random
import shutil
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Self
from urllib.parse import quote_plus

import chromadb

from benchmarks.doors import Server, chroma_server, ledger_rows, until
from benchmarks.pdfs import pdf
from benchmarks.proxy import HttpDoor, answer
from benchmarks.reading import default_reader
from docwell import pipeline as pipelines
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.errors import Refused
from docwell.ingest.chunking import cut_pages
from infra.local.names import (
    ACCOUNT,
    DEAD_LETTER_QUEUE,
    HOST,
    INGEST_QUEUE,
    LEDGER_TABLE,
    MAX_RECEIVES,
    PARKED_QUEUE,
    REGION,
    ROOT,
)
from infra.local.stack import Stack, StackOptions, function_variables, plan
from runtime.poller import lambda_event
from tests.unit.adapters.embedding import tiny_model

KINDS = ("lost", "duplicate", "stale", "orphan", "stuck")
_PAGE = 1000
SHARDS = 4  # the default of the setting
_MARK = 8  # characters of a stored id before the chunk's own
_STATE = "#state"
_FINAL = frozenset({"INDEXED", "EMPTY", "REJECTED", "DELETED"})


@dataclass(frozen=True, slots=True)
class PipelinePlace:
    """A pipeline by its settings."""

    model_dir: Path
    chunk_tokens: int

    @property
    def fingerprint(self) -> str:
        return pipelines.fingerprint(
            ModelManifest.read(self.model_dir).fingerprint, self.chunk_tokens, shards=SHARDS
        )


@dataclass
class Differences:
    """The differences as lines of text by kind: chunks, and documents in the ledger."""

    documents: int = 0
    chunks: int = 0
    lines_of: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def add(self, kind: str, line: str) -> None:
        self.lines_of[kind].append(line)

    @property
    def count(self) -> dict[str, int]:
        return {kind: len(lines) for kind, lines in self.lines_of.items()}

    @property
    def none(self) -> bool:
        return not any(self.lines_of.values())

    def lines(self, limit: int = 6) -> list[str]:
        return [f"{kind}: {line}" for kind, lines in self.lines_of.items() for line in lines[:limit]]


@dataclass(frozen=True, slots=True)
class _Document:
    """The expected content of the index for one key: the text of each chunk by its id."""

    version: str
    generation: str
    texts: Mapping[str, str]


class Comparator:
    """Compares index and bucket. It chunks each content once, and caches the chunks."""

    def __init__(self, stack: Stack, pipelines: Sequence[PipelinePlace], range_pages: int) -> None:
        """`pipelines` are the only ones whose indexes may be there. Raises `docwell.errors.Corrupt`."""
        self._stack = stack
        self._pipelines = {place.fingerprint: place for place in pipelines}
        self._range_pages = range_pages
        self._reader = default_reader()
        self._embedders = {place: OnnxEmbedder(place.model_dir, threads=1) for place in pipelines}
        self._cut: dict[tuple[str, int], list[list[str]]] = {}
        self._s3, self._dynamodb = stack.client("s3"), stack.client("dynamodb")

    def compare(self) -> Differences:
        """Read everything and compare."""
        ledger, current, rows = self._ledger(), dict(self._current()), list(self._rows())
        result = Differences(len(current), len(rows))
        # Chroma's metadata has the first half of the fingerprint.
        by_index: dict[str, list[dict[str, Any]]] = {fingerprint[:16]: [] for fingerprint in self._pipelines}
        for row in rows:
            if row["fingerprint"] in by_index:
                by_index[row["fingerprint"]].append(row)
            else:
                result.add(
                    "orphan", f"chunk {row['id']} of {row['document']!r} in an index of an unknown pipeline"
                )
        for fingerprint, pipeline in self._pipelines.items():
            items = {document: item for (document, name), item in ledger.items() if name == fingerprint}
            expected = self._expected(pipeline, current)
            _compare_rows(result, expected, by_index[fingerprint[:16]])
            _compare_ledger(result, expected, items)
        for document, name in ledger:
            if name not in self._pipelines:
                result.add("orphan", f"ledger: {document!r} under the unknown pipeline {name}")
        return result

    def compare_patiently(self, timeout_s: float) -> Differences:
        """Compare until there is no difference or the time is up: leases and late writes take a moment."""
        results = list[Differences]()

        def is_equal() -> bool:
            results.append(self.compare())
            return results[-1].none

        until(is_equal, timeout_s, 0.5)
        return results[-1]

    def _current(self) -> Iterator[tuple[str, tuple[str, bytes]]]:
        """Yield the version and the content of each key in the bucket."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._stack.bucket):
            for row in page.get("Contents", ()):
                answer = self._s3.get_object(Bucket=self._stack.bucket, Key=row["Key"])
                version = answer.get("VersionId")
                # Without versioning it is absent or "null"; then the ETag, with its quotes, is the version.
                version = answer["ETag"] if version in (None, "null") else version
                yield row["Key"], (version, answer["Body"].read())

    def _expected(self, pipeline: PipelinePlace, current: Mapping[str, tuple[str, bytes]]) -> dict[str, _Document]:
        def expect(key: str) -> _Document:
            version, content = current[key]
            generation = _digest(self._stack.bucket, key, version, pipeline.fingerprint)
            texts = {
                _digest(self._stack.bucket, key, generation, f"{number}", f"{ordinal}"): text
                for number, texts in enumerate(self._chunks(pipeline, content))
                for ordinal, text in enumerate(texts)
            }
            return _Document(version, generation, texts)

        with ThreadPoolExecutor(4) as pool:
            return dict(zip(current, pool.map(expect, current), strict=True))

    def _chunks(self, pipeline: PipelinePlace, content: bytes) -> list[list[str]]:
        """Return the texts of each range's chunks, or nothing where no reader can read the content."""
        name = (sha256(content).hexdigest(), pipeline.chunk_tokens)
        if name not in self._cut:
            with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
                file.write(content)
                file.flush()
                try:
                    self._cut[name] = list(self._ranges(pipeline, Path(file.name)))
                except Refused:
                    self._cut[name] = []
        return self._cut[name]

    def _ranges(self, pipeline: PipelinePlace, path: Path) -> Iterator[list[str]]:
        embedder = self._embedders[pipeline]
        size, limit = self._range_pages, min(pipeline.chunk_tokens, embedder.max_tokens)
        pages = self._reader.inspect(path).page_count
        for first in range(1, pages + 1, size):
            read = self._reader.pages(path, first, min(first + size - 1, pages))
            yield [chunk.text for _, chunks in cut_pages(read, embedder, limit) for chunk, _ in chunks]

    def _ledger(self) -> dict[tuple[str, str], dict[str, Any]]:
        rows = ledger_rows(self._dynamodb)
        return {(row["document"], row["pipeline"]): row for row in rows if row["pipeline"] != _STATE}

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Yield the fields of every row of Chroma, by the stock client, with its id, text and vector."""
        host, port = self._stack.chroma.removeprefix("http://").split(":")
        headers = {"Authorization": f"Bearer {self._stack.token or 'none'}"}
        client = chromadb.HttpClient(host=host, port=int(port), headers=headers)
        include: Any = ["metadatas", "documents", "embeddings"]
        for collection in client.list_collections():
            fingerprint = str((collection.metadata or {}).get("fingerprint", ""))
            for offset in range(0, collection.count(), _PAGE):
                page: Any = collection.get(limit=_PAGE, offset=offset, include=include)
                columns = (page["ids"], page["metadatas"], page["documents"], page["embeddings"])
                for id_, fields, text, vector in zip(*columns, strict=True):
                    row = {"collection": "", "document": "", "generation": "", **(fields or {})}
                    has_vector = vector is not None and len(vector) > 0
                    row |= {"fingerprint": fingerprint, "id": id_[_MARK:], "text": text, "has_vector": has_vector}
                    yield row


def _compare_rows(
    result: Differences, expected: Mapping[str, _Document], rows: Sequence[Mapping[str, Any]]
) -> None:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["id"]] += 1
        if fault := _fault(row, expected.get(row["document"]), counts[row["id"]]):
            kind, why = fault
            place = f"chunk {row['id']} of {row['document']!r}, generation {row['generation']}"
            result.add(kind, f"{place}: {why}")
    for key, document in expected.items():
        for id_ in document.texts:
            if not counts[id_]:
                result.add("lost", f"chunk {id_} of {key!r}, generation {document.generation}")


def _fault(row: Mapping[str, Any], document: _Document | None, count: int) -> tuple[str, str] | None:
    """Return the kind of a row's difference, and why; None where it is right."""
    if document is None or row["collection"] != _home(row["document"]):
        return "orphan", f"it is in the collection {row['collection']!r}"
    if row["generation"] != document.generation:
        return "stale", f"the current generation is {document.generation}"
    if row["id"] not in document.texts:
        return ("duplicate" if document.texts else "orphan"), "no such chunk is expected"
    if count > 1:
        return "duplicate", "it is there twice"
    if row["text"] != document.texts[row["id"]]:
        return "stale", "it has another text"
    return None if row["has_vector"] else ("lost", "it has no vector")


def _compare_ledger(
    result: Differences, expected: Mapping[str, _Document], ledger: Mapping[str, Mapping[str, Any]]
) -> None:
    for key, item in ledger.items():
        status = item.get("status", "PENDING")
        line = f"ledger: {key!r} is {status}({item.get('reason', '')}) version {item.get('version')}"
        document = expected.get(key)
        if status not in _FINAL:
            result.add("stuck", f"{line}, lease of {item.get('lease_owner')}, {item.get('detail', '')}")
        elif document is None:
            if status != "DELETED" or "live_generation" in item:
                result.add("orphan", f"{line}; the bucket has no such key")
        elif item.get("version") != document.version:
            result.add("stale", f"{line}; the current version is {document.version}")
        elif document.texts and item.get("live_generation") != document.generation:
            result.add("lost", f"{line}; live is {item.get('live_generation')}")
    for key in expected.keys() - ledger.keys():
        result.add("lost", f"ledger: it has no {key!r}")


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _home(key: str) -> str:
    first, slash, _ = key.partition("/")
    return first if slash and first else "default"


CREATED, REMOVED = "ObjectCreated:Put", "ObjectRemoved:Delete"
MARKED = "ObjectRemoved:DeleteMarkerCreated"
# The workers' DOCWELL_VISIBILITY_S: they extend a message by this time while they work, so it is never scaled.
EXTENSION_S = 7
_TIME_SCALE = 0.05
# The seconds for which a received message is hidden.
_VISIBILITY_S = 6.0
# The share of messages with each fault. A second worker receives some while the first is handling them.
_DUPLICATE, _LATE, _TWICE, _FORGOTTEN_ACKNOWLEDGEMENT = 0.1, 0.3, 0.05, 0.05
_LONGEST_DELAY_S = 2.0  # of a late message


@dataclass(slots=True)
class _Message:
    """One message in the queue, and when it can be received next."""

    id: str
    body: str
    visible_at: float
    receives: int = 0
    twice: bool = False  # a second worker receives it, although the first extends its visibility timeout


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message that a worker received."""

    id: str
    event: dict[str, Any]
    body: str
    dead: bool  # it comes from the dead-letter queue


def notification(name: str, bucket: str, key: str) -> str:
    """Return the body that S3 sends to SQS. It carries no version: an event is a hint."""
    entity = {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": quote_plus(key, "/")}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventName": name, "s3": entity}
    return json.dumps({"Records": [record]})


class UnkindQueue(HttpDoor):
    """The queue, its dead-letter queue and the parked queue, behind one endpoint."""

    def __init__(self, chooser: random.Random) -> None:
        self.dead_letters = 0  # so far
        self._random = chooser
        self._lock = threading.RLock()
        self._messages: dict[str, _Message] = {}
        self._parked: list[str] = []
        super().__init__()

    def send(self, body: str) -> str:
        """Queue a message, perhaps twice, perhaps late. Return its id."""
        with self._lock:
            for _ in range(1 + (self._random.random() < _DUPLICATE)):
                id_ = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
                late = self._random.random() < _LATE
                delay = self._random.uniform(0, _LONGEST_DELAY_S) if late else 0.0
                self._messages[id_] = _Message(id_, body, time.monotonic() + delay)
            return id_

    def receive(self) -> Receipt | None:
        """Return one visible message, or None. A message received too often comes from the dead-letter queue."""
        with self._lock:
            now = time.monotonic()
            visible = [message for message in self._messages.values() if message.visible_at <= now]
            if not visible:
                return None
            message = self._random.choice(visible)
            message.receives += 1
            self.dead_letters += message.receives == MAX_RECEIVES + 1
            dead = message.receives > MAX_RECEIVES
            message.twice = self._random.random() < _TWICE
            message.visible_at = now + (self._random.uniform(0, 0.3) if message.twice else _VISIBILITY_S)
            queue = DEAD_LETTER_QUEUE if dead else INGEST_QUEUE
            event = sqs_event(message.id, message.body, message.receives, queue)
            return Receipt(message.id, event, message.body, dead)

    def acknowledge(self, id_: str) -> None:
        with self._lock:
            message = self._messages.get(id_)
            if message is None:
                return
            if self._random.random() < _FORGOTTEN_ACKNOWLEDGEMENT:
                message.visible_at = min(message.visible_at, time.monotonic() + self._random.uniform(0, 2))
            else:
                del self._messages[id_]

    def change_visibility(self, id_: str, seconds: float) -> bool:
        """Set when the message may come again. Return False when it is gone."""
        with self._lock:
            message = self._messages.get(id_)
            if message is not None and not message.twice:
                scale = 1.0 if seconds == EXTENSION_S else _TIME_SCALE
                message.visible_at = time.monotonic() + seconds * scale
            return message is not None

    def size(self) -> int:
        """Return the number of messages that are not done, without the parked ones."""
        return len(self._messages)

    def parked(self) -> int:
        return len(self._parked)

    def redrive(self) -> None:
        with self._lock:
            bodies, self._parked = self._parked, []
            for body in bodies:
                self.send(body)

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        sent = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        reply = self._act(request.headers["X-Amz-Target"].removeprefix("AmazonSQS."), sent)
        gone = {"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "gone"}
        body = json.dumps(gone if reply is None else reply).encode()
        answer(request, 400 if reply is None else 200, body, {"Content-Type": "application/x-amz-json-1.0"})

    def _act(self, action: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        match action:
            case "SendMessageBatch":
                entries = [{"Id": entry["Id"], **self._take(entry["MessageBody"])} for entry in sent["Entries"]]
                return {"Successful": entries, "Failed": []}
            case "SendMessage":
                return self._take(sent["MessageBody"], parked=sent["QueueUrl"].endswith(PARKED_QUEUE))
            case "ChangeMessageVisibility":
                changed = self.change_visibility(sent["ReceiptHandle"], sent["VisibilityTimeout"])
                return {} if changed else None
            case "GetQueueAttributes":
                return {"Attributes": {"ApproximateNumberOfMessages": str(self.size())}}
        return None

    def _take(self, body: str, *, parked: bool = False) -> dict[str, Any]:
        if parked:
            with self._lock:
                self._parked.append(body)
        return {"MessageId": "parked" if parked else self.send(body), "MD5OfMessageBody": _md5(body)}


def sqs_event(id_: str, body: str, receives: int = 1, queue: str = INGEST_QUEUE) -> dict[str, Any]:
    """Return the event by which Lambda hands a message to the function."""
    now = str(int(time.time() * 1000))
    times = {"SentTimestamp": now, "ApproximateFirstReceiveTimestamp": now, "SenderId": ACCOUNT}
    sent: Any = {"MessageId": id_, "ReceiptHandle": id_, "Body": body, "MD5OfBody": _md5(body)}
    sent["Attributes"] = {**times, "ApproximateReceiveCount": str(receives)}
    return lambda_event([sent], f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")


def _md5(body: str) -> str:
    return md5(body.encode(), usedforsecurity=False).hexdigest()


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
        self.queue = UnkindQueue(random.Random(f"{seed} queue"))
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
        self.stack = replace(planned, bucket=self.bucket, chroma=chroma_url, token="")
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
    with tempfile.TemporaryDirectory() as source:
        tiny_model.write(Path(source), layers=1, words=[*ascii_lowercase, *WORDS], most_tokens=64)
        return tiny_model.build(source, folder)


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
