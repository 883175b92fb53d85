"""The functions in their containers, and their servers: moto, a real Chroma, a scripted Ollama."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import httpx

from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin
from infra.container import sam
from infra.local import names
from infra.local.ports import free_port

REGION = names.REGION
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{names.ACCOUNT}:{names.INGEST_QUEUE}"
# Lambda sets both names of the region; boto3 reads the second.
REGIONS = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
ACCESS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **REGIONS}

MODEL = "scripted:1b"
ANSWER = "Every 14 weeks [1]."


def aws_client(endpoint: str, service: str) -> Any:
    session: Any = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    return session.client(service, endpoint_url=endpoint)


@dataclass(frozen=True)
class Cloud:
    """The servers that the functions use."""

    aws: str
    chroma: str
    ollama: str
    queue: str

    def client(self, service: str) -> Any:
        return aws_client(self.aws, service)

    def settings(self) -> dict[str, str]:
        """The template's environment with this machine's addresses."""
        return {
            "AWS_ENDPOINT_URL": self.aws,
            "DOCWELL_BUCKET": names.BUCKET,
            "DOCWELL_LEDGER_TABLE": names.LEDGER_TABLE,
            "DOCWELL_PRINCIPALS_TABLE": names.PRINCIPALS_TABLE,
            "DOCWELL_USAGE_TABLE": names.USAGE_TABLE,
            "DOCWELL_RECEIPTS_TABLE": names.RECEIPTS_TABLE,
            "DOCWELL_CHROMA_URL": self.chroma,
            "DOCWELL_QUEUE_URL": self.queue,
            "DOCWELL_DEAD_LETTER_QUEUE_URL": f"{self.queue}-dlq",
            "DOCWELL_PARKED_QUEUE_URL": f"{self.queue}-parked",
        }

    def notification(self) -> dict[str, Any]:
        """The next message of S3 in the queue, as Lambda's event."""
        answer = self.client("sqs").receive_message(QueueUrl=self.queue, WaitTimeSeconds=5)
        (message,) = answer["Messages"]
        self.client("sqs").delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": QUEUE_ARN,
            "awsRegion": REGION,
        }
        return {"Records": [record]}


def status_of(cloud: Cloud, key: str) -> str:
    """The status of a document in the ledger."""
    rows = cloud.client("dynamodb").scan(TableName=names.LEDGER_TABLE)["Items"]
    return next(str(row["status"]["S"]) for row in rows if row["document"]["S"] == key)


def uploaded(cloud: Cloud, key: str, body: bytes) -> dict[str, Any]:
    """Upload a document, and return its event."""
    cloud.client("s3").put_object(Bucket=names.BUCKET, Key=key, Body=body)
    return cloud.notification()


def make_resources(cloud: Cloud) -> None:
    """Create the bucket, with notifications, the tables, and the grant of the caller."""
    for name, schema in names.TABLES.items():
        cloud.client("dynamodb").create_table(TableName=name, **schema)
    PrincipalAdmin(cloud.client("dynamodb"), names.PRINCIPALS_TABLE).add(Grant(names.LOCAL_PRINCIPAL, None))
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=names.BUCKET)
    s3.put_bucket_versioning(Bucket=names.BUCKET, VersioningConfiguration={"Status": "Enabled"})
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    configuration = {"QueueConfigurations": [{"QueueArn": QUEUE_ARN, "Events": events}]}
    s3.put_bucket_notification_configuration(Bucket=names.BUCKET, NotificationConfiguration=configuration)
    cloud.client("sqs").purge_queue(QueueUrl=cloud.queue)  # remove the s3:TestEvent


class Emulated:
    """A function in a container behind the runtime emulator."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = f"{url}/2015-03-31/functions/function/invocations"

    def post(self, event: dict[str, Any]) -> bytes:
        """The function's raw answer."""
        return httpx.post(self._url, json=event, timeout=120).content

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.post(event))
        return answer

    def logs(self) -> str:
        command = ["docker", "logs", self.name]
        return subprocess.run(command, check=True, text=True, stdout=-1, stderr=subprocess.STDOUT).stdout


@contextmanager
def container(
    image: str, variables: dict[str, str], memory_mb: int, options: Sequence[str] = (), command: Sequence[str] = ()
) -> Iterator[Emulated]:
    """Run as Lambda does: only /tmp to write on, 512 MB, no /dev/shm, the memory's share of a processor."""
    port = free_port()
    limits = ["--read-only", "--tmpfs", "/tmp:mode=1777,size=512m", "--ipc", "none"]
    limits += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", f"{memory_mb}m"]
    # A whole processor comes with 1,769 MB: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
    limits += ["--memory-swap", f"{memory_mb}m", "--cpus", f"{memory_mb / 1769:.2f}"]
    subscribers = {"HOME": "/tmp", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb)}
    setting = [
        part for name, value in (ACCESS | variables | subscribers).items() for part in ("--env", f"{name}={value}")
    ]
    run = ["docker", "run", "--detach", "--publish", f"127.0.0.1:{port}:8080"]
    name = subprocess.check_output([*run, *limits, *setting, *options, image, *command], text=True).strip()
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/")
        yield Emulated(name, f"http://127.0.0.1:{port}")
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)


def ingest_container(
    cloud: Cloud, image: str = sam.INGEST_IMAGE, **variables: str
) -> AbstractContextManager[Emulated]:
    """The image, with the template's memory and the user that the image itself names."""
    return container(image, cloud.settings() | {"POWERTOOLS_SERVICE_NAME": "ingest"} | variables, 3008)


def query_container(cloud: Cloud) -> AbstractContextManager[Emulated]:
    """The zip and its layers in Lambda's folders, with the streaming runtime."""
    variables = cloud.settings() | {
        "POWERTOOLS_SERVICE_NAME": "query",
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/docwell-stream",
        "DOCWELL_MODEL_DIR": "/opt/embedder/model",
        "DOCWELL_OLLAMA_URL": cloud.ollama,
        "DOCWELL_MODEL": MODEL,
    }
    folders = (f"{sam.artefact('QueryFunction')}:/var/task:ro", f"{unpacked_layers()}:/opt:ro")
    options = ["--user", "993:990", *(part for folder in folders for part in ("--volume", folder))]
    return container(sam.BASE_IMAGE, variables, 1769, options, ["handler.handler"])


def unpacked_layers() -> Path:
    """Both layers in one folder, as Lambda unpacks them into /opt."""
    opt = sam.ROOT / "build" / "container" / "opt"
    shutil.rmtree(opt, ignore_errors=True)
    for layer in ("DocwellLayer", "EmbedderLayer"):
        shutil.copytree(sam.artefact(layer), opt, copy_function=os.link, dirs_exist_ok=True)
    return opt


def question_event(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """An event of tests/events with another question."""
    event: dict[str, Any] = json.loads((sam.ROOT / "tests" / "events" / f"{name}.json").read_text())
    return event | {"body": json.dumps(body)}


def bridge_address() -> str:
    """Return the address of this machine on Docker's bridge, which only its containers reach."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    return subprocess.check_output(command, text=True).strip()


def wait_until_answers(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=5)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} gave no answer in {seconds} s")


@contextmanager
def chroma_server(address: str, folder: Path) -> Iterator[str]:
    port = free_port(host=address)
    program = Path(sys.executable).with_name("chroma")
    arguments = ["run", "--host", address, "--port", str(port), "--path", str(folder / "chroma")]
    with (folder / "chroma.log").open("w") as log:
        server = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        try:
            url = f"http://{address}:{port}"
            wait_until_answers(f"{url}/api/v2/heartbeat")
            yield url
        finally:
            server.terminate()
            server.wait(20)


class ScriptedOllama(BaseHTTPRequestHandler):
    """The part of Ollama's protocol for one answer, with fixed text that a test can compare."""

    def do_GET(self) -> None:
        self._send({"version": "0.12.0", "models": [{"name": MODEL, "model": MODEL}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/api/chat":
            self._send({"capabilities": ["completion"], "model_info": {}, "details": {}})
            return
        prompt = sum(len(message["content"]) for message in request["messages"]) // 3
        counts = {"done_reason": "stop", "prompt_eval_count": prompt, "eval_count": 6}
        self._send(
            {"model": MODEL, "message": {"role": "assistant", "content": ANSWER}, "done": False},
            {"model": MODEL, "message": {"role": "assistant", "content": ""}, "done": True, **counts},
        )

    def _send(self, *lines: dict[str, object]) -> None:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def ollama_server(address: str) -> Iterator[str]:
    server = ThreadingHTTPServer((address, 0), ScriptedOllama)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
