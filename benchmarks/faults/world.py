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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler
from io import StringIO
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Self
from unittest.mock import patch
from urllib.parse import quote_plus

from benchmarks.doors import Server, chroma_server
from benchmarks.faults.compare import Comparator, PipelinePlace
from benchmarks.pdfs import pdf
from benchmarks.proxy import HttpDoor, answer
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
from infra.local.stack import StackOptions, function_variables, plan
from layers.embedder import build_model
from runtime.poller import lambda_event
from tests.unit.adapters.embedding import tiny_model

CREATED, REMOVED = "ObjectCreated:Put", "ObjectRemoved:Delete"
MARKED = "ObjectRemoved:DeleteMarkerCreated"
# The workers' DOCWELL_VISIBILITY_S: they extend a message by this time while they work, so it is never scaled.
EXTENSION_S = 7
_TIME_SCALE = 0.05
# The seconds for which a received message is hidden.
_VISIBILITY_S = 6.0


@dataclass(frozen=True, slots=True)
class DeliveryFaults:
    """The share of messages with each fault. A late message comes up to `longest_delay_s` later.

    `twice`: a second worker receives the message while the first is handling it.
    """

    duplicate: float = 0.1
    late: float = 0.3
    longest_delay_s: float = 2.0
    twice: float = 0.05
    forgotten_acknowledgement: float = 0.05
    reorder: bool = True


PERFECT = DeliveryFaults(duplicate=0, late=0, twice=0, forgotten_acknowledgement=0, reorder=False)


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

    def __init__(self, chooser: random.Random, faults: DeliveryFaults | None = None) -> None:
        self.faults = faults or DeliveryFaults()
        self.dead_letters = 0  # so far
        self._random = chooser
        self._lock = threading.RLock()
        self._messages: dict[str, _Message] = {}
        self._parked: list[str] = []
        super().__init__()

    def send(self, body: str) -> str:
        """Queue a message, perhaps twice, perhaps late. Return its id."""
        with self._lock:
            for _ in range(1 + (self._random.random() < self.faults.duplicate)):
                id_ = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
                late = self._random.random() < self.faults.late
                delay = self._random.uniform(0, self.faults.longest_delay_s) if late else 0.0
                self._messages[id_] = _Message(id_, body, time.monotonic() + delay)
            return id_

    def receive(self) -> Receipt | None:
        """Return one visible message, or None. A message received too often comes from the dead-letter queue."""
        with self._lock:
            now = time.monotonic()
            visible = [message for message in self._messages.values() if message.visible_at <= now]
            if not visible:
                return None
            message = self._random.choice(visible) if self.faults.reorder else visible[0]
            message.receives += 1
            self.dead_letters += message.receives == MAX_RECEIVES + 1
            dead = message.receives > MAX_RECEIVES
            message.twice = self._random.random() < self.faults.twice
            message.visible_at = now + (self._random.uniform(0, 0.3) if message.twice else _VISIBILITY_S)
            queue = DEAD_LETTER_QUEUE if dead else INGEST_QUEUE
            event = sqs_event(message.id, message.body, message.receives, queue)
            return Receipt(message.id, event, message.body, dead)

    def acknowledge(self, id_: str) -> None:
        with self._lock:
            message = self._messages.get(id_)
            if message is None:
                return
            if self._random.random() < self.faults.forgotten_acknowledgement:
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
        return {"MessageId": "parked" if parked else self.send(body), "MD5OfMessageBody": _digest(body)}


def sqs_event(id_: str, body: str, receives: int = 1, queue: str = INGEST_QUEUE) -> dict[str, Any]:
    """Return the event by which Lambda hands a message to the function."""
    now = str(int(time.time() * 1000))
    times = {"SentTimestamp": now, "ApproximateFirstReceiveTimestamp": now, "SenderId": ACCOUNT}
    sent: Any = {"MessageId": id_, "ReceiptHandle": id_, "Body": body, "MD5OfBody": _digest(body)}
    sent["Attributes"] = {**times, "ApproximateReceiveCount": str(receives)}
    return lambda_event([sent], f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")


def _digest(body: str) -> str:
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
