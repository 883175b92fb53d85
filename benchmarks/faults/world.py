"""The world of one row: a new bucket, ledger, Chroma and queue, and a record of every upload."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import boto3
import httpx
from botocore.config import Config

from benchmarks.events import CREATED, MARKED, REMOVED, notification
from benchmarks.faults.aws import WORKER_KEY, Rule
from benchmarks.faults.chroma import ChromaServer
from benchmarks.faults.compare import Comparator, PipelinePlace, Places
from benchmarks.faults.delivery import DeliveryFaults, UnkindQueue
from benchmarks.faults.documents import CHUNK_TOKENS, build_model_folder, text_of
from benchmarks.faults.sqs_door import SqsDoor
from benchmarks.pdfs import pdf
from infra.local.names import HOST, LEDGER_SCHEMA, LEDGER_TABLE, REGION, ROOT, SECRET_ACCESS_KEY
from infra.local.process import Child
from infra.local.stack import answers, base_environment, free_port

MODEL_DIR = ROOT / "build" / "faults" / "tiny-model"
TABLE = LEDGER_TABLE
# Longer than the slowest step of a document of some pages on a loaded machine.
LEASE_S = 8.0
# Memory where there is some, so that the row does not measure a slow disk.
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the row makes its own folder there


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
        queue: UnkindQueue | None = None,
    ) -> None:
        """Start moto and Chroma. `chunk_tokens` has one entry for each pipeline."""
        self.random = random.Random(seed)
        memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        self.root = Path(tempfile.mkdtemp(prefix="docwell-faults-", dir=memory))
        self.versioned = versioned
        self.bucket = "docwell-faults"
        self.range_pages = range_pages
        self.pipelines = tuple(PipelinePlace(build_model_folder(MODEL_DIR), tokens) for tokens in chunk_tokens)
        self.queue = queue or UnkindQueue(random.Random(f"{seed} queue"), faults)
        self.door = SqsDoor(self.queue)
        self.chroma = ChromaServer(self.root / "chroma")
        self.uploads: dict[tuple[str, str], Upload] = {}  # by key and version
        self.current: dict[str, Upload] = {}
        self.changes: dict[str, int] = {}  # changes of each key
        self.lock = threading.RLock()
        self.last_lines: list[str] = []
        self._revision = 0
        self._start()

    def _start(self) -> None:
        port = free_port()
        self.endpoint = f"http://{HOST}:{port}"
        seed = str(self.random.getrandbits(32))
        self._aws = Child(
            [sys.executable, "-m", "benchmarks.faults.aws", "--port", str(port), "--seed", seed],
            base_environment({}),
            self.last_lines.append,
            lambda _: None,
        )
        try:
            self.chroma.start()
            self._wait_for_aws()
            self.s3, self.dynamodb = self.client("s3"), self.client("dynamodb")
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _wait_for_aws(self) -> None:
        deadline = time.monotonic() + 60
        while not answers(f"{self.endpoint}/moto-api/data.json"):
            if time.monotonic() > deadline or not self._aws.running:
                raise RuntimeError(f"moto did not start: {self._aws.last_line}")
            time.sleep(0.05)

    def _set_up(self) -> None:
        self.s3.create_bucket(Bucket=self.bucket)
        if self.versioned:
            enabled = {"Status": "Enabled"}
            self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration=enabled)
        self.dynamodb.create_table(TableName=TABLE, **LEDGER_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove every file."""
        self.door.close()
        self.chroma.kill()
        self._aws.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def client(self, service: str) -> Any:
        """Return a client that meets no faults: its access key is not the workers'."""
        config = Config(connect_timeout=5, read_timeout=30, max_pool_connections=32)
        session = boto3.Session("test", SECRET_ACCESS_KEY, region_name=REGION)
        return session.client(service, endpoint_url=self.endpoint, config=config)  # type: ignore[call-overload]

    def places(self) -> Places:
        """Return the addresses."""
        return Places(
            aws_endpoint=self.endpoint,
            bucket=self.bucket,
            chroma=self.chroma.url,
            pipelines=self.pipelines,
            table=TABLE,
            range_pages=self.range_pages,
        )

    def comparator(self) -> Comparator:
        """Return a comparator for this world."""
        return Comparator(self.places())

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables that template.yaml sets for ingest, with short times."""
        first, following = self.pipelines[0], self.pipelines[1:]
        re_index = {"DOCWELL_NEXT_CHUNK_TOKENS": str(following[0].chunk_tokens)} if following else {}
        return {
            "DOCWELL_BUCKET": self.bucket,
            "DOCWELL_LEDGER_TABLE": TABLE,
            "DOCWELL_CHROMA_URL": self.chroma.url,
            "DOCWELL_CHROMA_TIMEOUT_S": "5",
            "DOCWELL_QUEUE_URL": self.door.queue_url,
            "DOCWELL_MODEL_DIR": str(first.model_dir),
            "DOCWELL_CHUNK_TOKENS": str(first.chunk_tokens),
            "DOCWELL_EMBED_THREADS": "1",
            "DOCWELL_RANGE_PAGES": str(self.range_pages),
            "DOCWELL_LEASE_S": str(LEASE_S),
            # Small batches write a document in several requests, so that a kill falls between them.
            "DOCWELL_UPSERT_BATCH": "4",
            "DOCWELL_OLLAMA_URL": f"http://{HOST}:9",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_SQS": self.door.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": WORKER_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": HOST,
            "POWERTOOLS_SERVICE_NAME": "docwell-ingest",
            "POWERTOOLS_METRICS_NAMESPACE": "Docwell",
            "POWERTOOLS_TRACE_DISABLED": "true",
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "OMP_NUM_THREADS": "1",
            **re_index,
            **more,
        }

    def put(self, key: str, pages: int | None = None) -> Upload:
        """Upload a new revision of a key and queue the notification."""
        with self.lock:
            self._revision += 1
            upload = Upload(key, self._revision, pages or self.random.randint(1, 3))
            return self.put_again(upload)

    def put_again(self, upload: Upload) -> Upload:
        """Upload the same bytes again."""
        key = upload.key
        self.put_bytes(key, pdf(text_of(key, upload.revision, upload.pages)), upload)
        return upload

    def put_bytes(self, key: str, content: bytes, upload: Upload | None = None) -> None:
        """Upload any content."""
        with self.lock:
            self.changes[key] = self.changes.get(key, 0) + 1
            answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
            if upload is not None:
                version = answer.get("VersionId")
                self.uploads[key, version if version not in (None, "null") else answer["ETag"]] = upload
                self.current[key] = upload
        self.queue.send(notification(CREATED, self.bucket, key))

    def delete(self, key: str) -> None:
        """Delete a key; with versioning this makes a delete marker."""
        with self.lock:
            self.changes[key] = self.changes.get(key, 0) + 1
            self.s3.delete_object(Bucket=self.bucket, Key=key)
            self.current.pop(key, None)
        self.queue.send(notification(MARKED if self.versioned else REMOVED, self.bucket, key))

    def undelete(self, key: str) -> None:
        """Remove the delete marker of a key, if it has one, so that an older version is current again."""
        with self.lock:
            listed = self.s3.list_object_versions(Bucket=self.bucket, Prefix=key)
            newest = [one for one in listed.get("DeleteMarkers", ()) if one["Key"] == key and one["IsLatest"]]
            if not newest:
                return
            self.changes[key] = self.changes.get(key, 0) + 1
            self.s3.delete_object(Bucket=self.bucket, Key=key, VersionId=newest[0]["VersionId"])
            head = next((one for one in self.versions_of(key) if one["IsLatest"]), None)
            if head is not None:
                self.current[key] = self.uploads[key, head["VersionId"]]
        self.queue.send(notification(REMOVED, self.bucket, key))

    def versions_of(self, key: str) -> Sequence[dict[str, Any]]:
        """Return the stored versions of a key."""
        listed = self.s3.list_object_versions(Bucket=self.bucket, Prefix=key)
        return [one for one in listed.get("Versions", ()) if one["Key"] == key]

    def hint(self, key: str, *, rebuild: bool = False, sweep: bool = False) -> None:
        """Queue one of docwell's own messages."""
        self.queue.send(json.dumps({"docwell": {"key": key, "rebuild": rebuild, "sweep": sweep}}))

    def fail(self, *rules: Rule) -> int:
        """Set the faults of S3 and DynamoDB; none without rules. Return how many requests met one so far."""
        body = json.dumps([asdict(rule) for rule in rules])
        answer = httpx.post(f"{self.endpoint}/faults", content=body, timeout=10, trust_env=False)
        return int(answer.raise_for_status().json()["faults"])
