"""What the stack on one machine consists of: its addresses, its parts and how each is known to be ready."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import boto3
import httpx

from docwell.config import IngestSettings, QuerySettings, ReconcileSettings, SettingsError
from infra.local.gateway import READY_PATH
from infra.local.names import (
    ACCESS_KEY_ID,
    ACCOUNT,
    BUCKET,
    HOST,
    INGEST_QUEUE,
    LEDGER_TABLE,
    LOCAL_API_KEY,
    OCR_QUEUE,
    PRINCIPALS_TABLE,
    RECEIPTS_TABLE,
    RECONCILE_FUNCTION,
    REGION,
    ROOT,
    SECRET_ACCESS_KEY,
)

MODEL_DIR = ROOT / "layers" / "embedder" / "model"
# Two cores read a prompt of 1,300 tokens in about 15 s, and in 80 s while documents are being indexed beside it.
DEADLINE_S = 170
STACK_FILE = "stack.json"


@dataclass(frozen=True)
class Stack:
    """Where everything is. Written to DATA/stack.json, which `docwell` reads by itself."""

    pid: int
    gateway: str
    aws_endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str
    chroma: str
    ollama: str
    model: str
    data: str
    queue: str = INGEST_QUEUE
    reconcile_function: str = RECONCILE_FUNCTION
    api_key: str = LOCAL_API_KEY
    principals_table: str = PRINCIPALS_TABLE

    def client(self, service: Literal["s3", "sqs", "dynamodb"]) -> Any:
        """A boto3 client of the AWS stand-in."""
        return boto3.client(
            service,
            endpoint_url=self.aws_endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def http(self, timeout_s: float) -> httpx.Client:
        """A client of the API, with this machine's key."""
        return httpx.Client(
            base_url=self.gateway, headers={"x-api-key": self.api_key}, timeout=timeout_s, trust_env=False
        )

    def write(self) -> None:
        """Into the data folder, atomically."""
        path = Path(self.data) / STACK_FILE
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, data: Path) -> Stack | None:
        """The stack whose supervisor wrote its file there, or None."""
        try:
            return cls(**json.loads((data / STACK_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Part:
    """One process of the stack. `url` answers 200 when it is ready; without one, `ready_line` is printed.

    `after` names the parts that must be ready before this one starts.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    url: str | None = None
    ready_line: str | None = None
    after: frozenset[str] = frozenset()
    ready_timeout_s: float = 60.0
    # What to do when it fails, besides reading its log.
    advice: str = ""


@dataclass(frozen=True)
class StackOptions:
    """What can be chosen. Handlers are dotted names; port 0 or a taken one means a free one."""

    data: Path
    model: str = "qwen2.5-coder:1.5b"
    port: int = 8080
    query_handler: str = "functions.query.handler.handler"
    ingest_handler: str = "functions.ingest.handler.handler"
    reconcile_handler: str = "functions.reconcile.handler.handler"
    # In the cloud a schedule of template.yaml's; 0 is never.
    reconcile_every_s: float = 300.0
    environment: Mapping[str, str] = field(default_factory=dict)
    # Ranges of long documents are indexed side by side. More than two gain little: Chroma works beside them.
    ingest_workers: int = min(2, os.cpu_count() or 1)
    ingest_timeout_s: float = 900.0
    # Questions that may stand in line for an environment; the next one is told 429.
    query_waiting: int = 16


def free_port(wanted: int = 0, taken: set[int] | None = None) -> int:
    """The wanted port if nobody has it, else a free one; 0 wants any. Adds it to `taken`."""
    taken = set() if taken is None else taken
    for port in (wanted, 0):
        if port and port in taken:
            continue
        with socket.socket() as probe:
            # As servers do: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
            taken.add(found)
            return found
    raise OSError(f"no free port on {HOST}")


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """Whether a GET gives 200."""
    try:
        # trust_env: a proxy of the user's has no business between parts of one machine.
        return httpx.get(url, timeout=timeout_s, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def outside_ollama(model: str) -> str | None:
    """The URL of the Ollama on OLLAMA_HOST when it answers and has the model, else None."""
    host = os.environ.get("OLLAMA_HOST", "").strip().rstrip("/")
    if not host:
        return None
    url = host if "://" in host else f"http://{host}"
    if url.count(":") == 1:  # http://name
        url += ":11434"
    url = url.replace("//0.0.0.0", f"//{HOST}")
    try:
        tags = httpx.get(f"{url}/api/tags", timeout=3).raise_for_status().json()
        names = {entry["name"] for entry in tags["models"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    return url if model in names or f"{model}:latest" in names else None


def base_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What every part gets: the user's environment without any AWS account of theirs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
        **extra,
    }


def function_variables(stack: Stack, service: str) -> dict[str, str]:
    """The environment of a function, as template.yaml sets it in the cloud."""
    return {
        "DOCWELL_BUCKET": stack.bucket,
        "DOCWELL_LEDGER_TABLE": LEDGER_TABLE,
        "DOCWELL_PRINCIPALS_TABLE": stack.principals_table,
        "DOCWELL_RECEIPTS_TABLE": RECEIPTS_TABLE,
        "DOCWELL_QUEUE_URL": f"{stack.aws_endpoint}/{ACCOUNT}/{INGEST_QUEUE}",
        "DOCWELL_OCR_QUEUE_URL": f"{stack.aws_endpoint}/{ACCOUNT}/{OCR_QUEUE}",
        "DOCWELL_CHROMA_URL": stack.chroma,
        "DOCWELL_MODEL_DIR": str(MODEL_DIR),
        "DOCWELL_OLLAMA_URL": stack.ollama,
        "DOCWELL_MODEL": stack.model,
        "DOCWELL_DEADLINE_S": str(DEADLINE_S),
        "AWS_ENDPOINT_URL": stack.aws_endpoint,
        "AWS_REGION": stack.region,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_ACCESS_KEY_ID": stack.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.secret_key,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": service,
        "POWERTOOLS_METRICS_NAMESPACE": "Docwell",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def plan(options: StackOptions, ollama: str | None, gguf: Callable[[], Path]) -> tuple[Stack, list[Part]]:
    """Addresses and parts, in the order in which they start. `gguf` is asked when no Ollama is given."""
    stack = _place(options, ollama)
    parts = [_aws(stack), _chroma(stack)]
    if ollama is None:
        parts.append(_model(stack, gguf()))
    backends = frozenset({"aws", "chroma"})
    return stack, [*parts, _gateway(stack, options, backends), _poller(stack, options, backends)]


def wrong_settings(options: StackOptions) -> list[str]:
    """What the functions would refuse of this process's variables: one problem each, with the variable's name.

    Variables that the stack sets itself are not looked at.
    """
    own = {
        name.removeprefix("DOCWELL_").lower(): value
        for name, value in function_variables(_place(options, None), "").items()
        if name.startswith("DOCWELL_")
    }
    wrong: dict[str, None] = {}
    for settings in (IngestSettings, QuerySettings, ReconcileSettings):
        try:
            settings.read(**own)
        except SettingsError as error:
            wrong |= dict.fromkeys(error.args)
    return list(wrong)


def _place(options: StackOptions, ollama: str | None) -> Stack:
    taken: set[int] = set()
    port = free_port(options.port, taken)
    return Stack(
        pid=os.getpid(),
        gateway=f"http://{HOST}:{port}",
        aws_endpoint=f"http://{HOST}:{free_port(4566, taken)}",
        bucket=BUCKET,
        region=REGION,
        access_key=ACCESS_KEY_ID,
        secret_key=SECRET_ACCESS_KEY,
        chroma=f"http://{HOST}:{free_port(8000, taken)}",
        ollama=ollama or f"http://{HOST}:{free_port(11435, taken)}",
        model=options.model,
        data=str(options.data.resolve()),
    )


def _port(url: str) -> str:
    return url.rsplit(":", 1)[1]


def _aws(stack: Stack) -> Part:
    command = [sys.executable, "-m", "infra.local.aws", "--port", _port(stack.aws_endpoint)]
    return Part(
        "aws",
        [*command, "--data", str(Path(stack.data) / "aws")],
        base_environment({}),
        url=f"{stack.aws_endpoint}/moto-api/data.json",
        advice="is the disk full?",
    )


def _chroma(stack: Stack) -> Part:
    beside = Path(sys.executable).with_name("chroma")
    program = str(beside) if beside.exists() else shutil.which("chroma") or "chroma"
    folder = Path(stack.data) / "chroma"
    return Part(
        "chroma",
        [program, "run", "--path", str(folder), "--host", HOST, "--port", _port(stack.chroma)],
        base_environment({"ANONYMIZED_TELEMETRY": "False"}),
        url=f"{stack.chroma}/api/v2/heartbeat",
        advice=f"if its data is damaged, remove {folder}: it is rebuilt from the documents",
    )


def _model(stack: Stack, gguf: Path) -> Part:
    # Idle threads of llama.cpp sleep. Spinning ones answer a third faster on an idle machine (26 tokens/s against
    # 19) but read a prompt of 450 tokens in over 40 s instead of 25 s on 2 cores at a load of 7.
    command = [sys.executable, "-m", "infra.local.ollama_server", "--model", f"{stack.model}={gguf}"]
    return Part(
        "model",
        [*command, "--host", HOST, "--port", _port(stack.ollama)],
        base_environment({"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}),
        url=f"{stack.ollama}/",
        ready_timeout_s=180,
        advice=f"is there memory for {stack.model}? A smaller one: --model smollm2:135m",
    )


def _gateway(stack: Stack, options: StackOptions, after: frozenset[str]) -> Part:
    command = [sys.executable, "-m", "infra.local.gateway", "--port", _port(stack.gateway)]
    return Part(
        "gateway",
        [
            *command,
            *("--handler", options.query_handler, "--timeout", str(DEADLINE_S + 10)),
            *("--reconcile-handler", options.reconcile_handler),
            *("--reconcile-every", str(options.reconcile_every_s)),
            *("--waiting", str(options.query_waiting)),
        ],
        base_environment({**function_variables(stack, "docwell-query"), **options.environment}),
        url=f"{stack.gateway}{READY_PATH}",
        after=after,
    )


def _poller(stack: Stack, options: StackOptions, after: frozenset[str]) -> Part:
    command = [sys.executable, "-m", "infra.local.poller", "--handler", options.ingest_handler]
    command += ["--workers", str(options.ingest_workers), "--timeout", str(options.ingest_timeout_s)]
    return Part(
        "ingest",
        command,
        base_environment({**function_variables(stack, "docwell-ingest"), **options.environment}),
        ready_line="waiting for documents",
        after=after,
    )
