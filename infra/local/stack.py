"""The local stack's addresses, its parts, and how each part shows that it is ready."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Any, Literal
from urllib.parse import urlsplit

import boto3
import httpx
from botocore.config import Config

from docwell.adapters.documents.document_reader import check_installed
from docwell.config import (
    AuthorizerSettings,
    EventsSettings,
    IngestSettings,
    QuerySettings,
    ReconcileSettings,
    SettingsError,
)
from docwell.deadline import FIRST_TOKEN_S
from infra.local import names
from infra.local.keys import write_private
from infra.local.ports import free_port
from infra.local.prometheus import prometheus_command
from runtime.guard import READY_PATH
from runtime.settings import problems_of

MODEL_DIR = names.ROOT / "layers" / "embedder" / "model"
# Two cores read a prompt of 1,300 tokens in about 15 s, or in 80 s while ingest runs.
DEADLINE_S = 170
# A model on this machine's processor has no price.
OWN_MODEL = {"DOCWELL_PRICES": str(Path(__file__).with_name("prices.json"))}
# The longest load of a model, and the longest reading of a short prompt, when the gateway measures its speed.
MEASURE_S = 120.0
# The longest start of a sleeping model server: reading a large model from a slow disk.
WAKE_S = 180
STACK_FILE = "stack.json"
_BACKENDS = frozenset({"aws", "chroma"})


@dataclass(frozen=True)
class Stack:
    """The addresses of a running stack, as written to DATA/stack.json. `docwell` reads them there."""

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
    queue: str = names.INGEST_QUEUE
    reconcile_function: str = names.RECONCILE_FUNCTION
    principals_table: str = names.PRINCIPALS_TABLE
    usage_table: str = names.USAGE_TABLE
    receipts_table: str = names.RECEIPTS_TABLE
    audit_table: str = names.AUDIT_TABLE
    id: str = ""
    api_key: str = ""
    # The Bearer token of Chroma, of the model server and of the metrics.
    token: str = ""
    # Empty for the user's Ollama.
    ollama_token: str = ""
    metrics: str = ""
    # Empty where Prometheus does not run.
    prometheus: str = ""

    def client(self, service: Literal["s3", "sqs", "dynamodb", "lambda", "apigateway"], **config: Any) -> Any:
        """Return a boto3 client of the local AWS server, or of the gateway for `lambda`."""
        return boto3.client(
            service,
            endpoint_url=self.gateway if service == "lambda" else self.aws_endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(proxies={}, **config),  # a proxy cannot reach a stack on this machine
        )

    def http(self, timeout_s: float) -> httpx.Client:
        """Return a client of the API with the local key."""
        return httpx.Client(
            base_url=self.gateway, headers={"x-api-key": self.api_key}, timeout=timeout_s, trust_env=False
        )

    def write(self) -> None:
        """Write the file into the data folder, atomically. It holds the keys."""
        write_private(Path(self.data) / STACK_FILE, json.dumps(asdict(self), indent=1) + "\n")

    def waiting(self) -> int:
        """Return the number of messages that ingest has or will get."""
        url, counts = f"{self.aws_endpoint}/{names.ACCOUNT}/{self.queue}", "ApproximateNumberOfMessages"
        answer = self.client("sqs").get_queue_attributes(
            QueueUrl=url, AttributeNames=[counts, f"{counts}NotVisible"]
        )
        return sum(map(int, answer["Attributes"].values()))

    @classmethod
    def read(cls, data: Path) -> Stack | None:
        """Return the stack whose file is in the data folder, or None."""
        try:
            return cls(**json.loads((data / STACK_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Part:
    """One process of the stack. It starts when the parts in `after` are ready."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    # The part is ready when this URL answers 200 with `body`; without a URL, when it prints `ready_line`.
    url: str | None = None
    body: str | None = None
    ready_line: str | None = None
    after: frozenset[str] = frozenset()
    ready_timeout_s: float = 60.0
    # A hint to print when the part fails.
    advice: str = ""


@dataclass(frozen=True)
class StackOptions:
    """Options of a stack. Handlers are dotted names. Port 0 means any free port, as does a taken one."""

    data: Path
    model: str = "qwen2.5-coder:1.5b"
    port: int = 8080
    query_handler: str = "functions.query.handler.handler"
    ingest_handler: str = "functions.ingest.handler.handler"
    reconcile_handler: str = "functions.reconcile.handler.handler"
    # template.yaml has the schedule in the cloud. 0 means never.
    reconcile_every_s: float = 300.0
    environment: Mapping[str, str] = field(default_factory=dict)
    # Workers share the ranges of long documents. More than two gain little: Chroma needs the processor too.
    ingest_workers: int = min(2, os.cpu_count() or 1)
    ingest_timeout_s: float = 900.0
    # The model server sleeps after this many minutes without a question, as with OllamaHosts=0,1. 0: never.
    sleep_minutes: float = 0.0
    # The questions that may wait for an environment; the next one gets 429.
    query_waiting: int = 16
    # Run Prometheus too.
    observe: bool = False
    # The address of the user's own model host. Empty: the one at OLLAMA_HOST if it has the model, else llama.cpp.
    model_host: str = ""


def model_host(address: str, model: str) -> str:
    """Return the URL of the host at an address, or at a beginning of it: Ollama, or OpenAI's protocol with `/v1`.

    Raises `LookupError` if none answers, or if it lacks the model.
    """
    base = address.strip().rstrip("/")
    base = base if "://" in base else f"http://{base}"
    token = os.environ.get("DOCWELL_OLLAMA_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Without the user's proxy, as for the functions.
    get = partial(httpx.get, headers=headers, timeout=3, trust_env=False)
    try:
        parts = urlsplit(base)
        if parts.port is None and parts.scheme == "http":
            base = parts._replace(netloc=f"{parts.netloc}:11434").geturl()
        base = url = base.replace("//0.0.0.0", f"//{names.HOST}").removesuffix("/v1")
        # llama.cpp answers Ollama's routes too, in OpenAI's form. Ollama's own sets the context.
        if "Ollama is running" in get(base).text:
            listed = {entry["name"] for entry in get(f"{base}/api/tags").json()["models"] or ()}
        else:
            url = f"{base}/v1"
            listed = {entry["id"] for entry in get(f"{url}/models").raise_for_status().json()["data"] or ()}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        response = getattr(error, "response", None)
        cause = f"status {response.status_code}" if response else type(error).__name__
        if cause in {"status 401", "status 403"}:
            raise LookupError(f"the model host at {url} refuses the token: set DOCWELL_OLLAMA_TOKEN") from None
        if not isinstance(error, httpx.TransportError) and base.count("/") > len("//"):
            return model_host(base.rpartition("/")[0], model)
        raise LookupError(f"no model host at {base} ({cause}): write http://HOST:PORT, or it with /v1") from None
    if not listed & {model, f"{model}:latest"}:
        have = ", ".join(sorted(listed)) or "no model"
        raise LookupError(f"the model host at {url} has no {model}, it has {have}: choose with LLM=NAME")
    return url


def base_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every part: the user's, without any AWS account."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(names.ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": f"{names.HOST},localhost",
        "no_proxy": f"{names.HOST},localhost",
        **extra,
    }


def function_variables(stack: Stack, service: str) -> dict[str, str]:
    """Return the environment of a function, as the templates of infra/ set it in the cloud."""
    return {
        "DOCWELL_BUCKET": stack.bucket,
        "DOCWELL_LEDGER_TABLE": names.LEDGER_TABLE,
        "DOCWELL_PRINCIPALS_TABLE": stack.principals_table,
        "DOCWELL_USAGE_TABLE": stack.usage_table,
        "DOCWELL_RECEIPTS_TABLE": stack.receipts_table,
        "DOCWELL_AUDIT_TABLE": stack.audit_table,
        "DOCWELL_QUEUE_URL": f"{stack.aws_endpoint}/{names.ACCOUNT}/{names.INGEST_QUEUE}",
        "DOCWELL_OCR_QUEUE_URL": f"{stack.aws_endpoint}/{names.ACCOUNT}/{names.OCR_QUEUE}",
        "DOCWELL_DEAD_LETTER_QUEUE_URL": f"{stack.aws_endpoint}/{names.ACCOUNT}/{names.DEAD_LETTER_QUEUE}",
        "DOCWELL_PARKED_QUEUE_URL": f"{stack.aws_endpoint}/{names.ACCOUNT}/{names.PARKED_QUEUE}",
        "DOCWELL_STORAGE_URL": f"{stack.gateway}{names.STORAGE_PATH}",
        "DOCWELL_CHROMA_URL": stack.chroma,
        "DOCWELL_CHROMA_TOKEN": stack.token,
        "DOCWELL_MODEL_DIR": str(MODEL_DIR),
        "DOCWELL_OLLAMA_URL": stack.ollama,
        **({"DOCWELL_OLLAMA_TOKEN": stack.ollama_token} if stack.ollama_token else {}),
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


def plan(
    options: StackOptions, ollama: str | None, gguf: Callable[[], Path], metrics: str = "", token: str = ""
) -> tuple[Stack, list[Part]]:
    """Return addresses and parts. `gguf` gives the model file when there is no Ollama.

    `metrics` is an address, `token` its token.
    """
    stack = _place(options, ollama, metrics, token)
    parts = [_aws(stack), _chroma(stack)]
    if options.observe:
        folder = Path(stack.data) / "prometheus"
        command = prometheus_command(stack.metrics, stack.prometheus, folder, stack.token)
        parts.append(Part("prometheus", command, base_environment({}), f"{stack.prometheus}/-/ready"))
    # The user's own host unloads an unused model.
    defaults: dict[str, str] = {"DOCWELL_KEEP_ALIVE": "30m"}
    if ollama is None:
        parts.append(_model(stack, gguf(), options.sleep_minutes))
        defaults = OWN_MODEL | ({"DOCWELL_WAKE_S": str(WAKE_S)} if options.sleep_minutes else {})
    parts += [_gateway(stack, options, defaults), _ingest(stack, options)]
    if {**os.environ, **options.environment}.get("DOCWELL_WEBHOOK_URL"):
        parts.append(_events(stack, options))
    return stack, parts


def own_settings(options: StackOptions) -> dict[str, str]:
    """Return the settings that the stack sets itself, by the names of `docwell.config`."""
    return {
        name.removeprefix("DOCWELL_").lower(): value
        for name, value in function_variables(_place(options, None), "").items()
        if name.startswith("DOCWELL_")
    }


def wrong_settings(options: StackOptions) -> list[str]:
    """Return the problems of the user's environment variables. The stack's own variables are not checked."""
    functions = (IngestSettings, QuerySettings, ReconcileSettings, AuthorizerSettings, EventsSettings)
    wrong, value = problems_of(functions, **own_settings(options)), os.environ.get("DOCWELL_FIRST_TOKEN_S") or "0"
    if value.replace(".", "", 1).isdecimal():
        return wrong
    return [*wrong, f"DOCWELL_FIRST_TOKEN_S is {value!r}: set a number of seconds, 0 or more"]


def has_ocr() -> bool:
    """Return whether the recogniser of scanned pages is installed."""
    with suppress(SettingsError):
        check_installed()
        return True
    return False


def _place(options: StackOptions, ollama: str | None, metrics: str = "", token: str = "") -> Stack:
    # New keys at each start: a program that takes the port of a stopped stack gets only dead ones.
    token = token or token_urlsafe(24)
    ports: set[int] = set()
    port = free_port(options.port, ports)
    return Stack(
        pid=os.getpid(),
        gateway=f"http://{names.HOST}:{port}",
        aws_endpoint=f"http://{names.HOST}:{free_port(4566, ports)}",
        bucket=names.BUCKET,
        region=names.REGION,
        access_key=f"DOCWELL{token_hex(8).upper()}",
        secret_key=token_urlsafe(30),
        chroma=f"http://{names.HOST}:{free_port(8000, ports)}",
        ollama=ollama or f"http://{names.HOST}:{free_port(11435, ports)}",
        model=options.model,
        metrics=metrics,
        prometheus=f"http://docwell:{token}@{names.HOST}:{free_port(9090, ports)}" if options.observe else "",
        data=str(options.data.resolve()),
        id=token_hex(8),
        api_key=token_urlsafe(24),
        token=token,
        ollama_token="" if ollama else token,
    )


def _module(name: str, **arguments: object) -> list[str]:
    """Return the command of a module of this package; `reconcile_every=5` becomes `--reconcile-every 5`."""
    flags = [[f"--{key.replace('_', '-')}", str(value)] for key, value in arguments.items()]
    return [sys.executable, "-m", f"infra.local.{name}", *chain.from_iterable(flags)]


def _served(name: str, module: str, url: str, stack: Stack, environment: Mapping[str, str], **more: Any) -> Part:
    """Return a part that answers `READY_PATH` with the stack's id. `more` holds the module's `arguments`."""
    arguments = {"port": url.rsplit(":", 1)[1], "stack": stack.id, **more.pop("arguments")}
    return Part(
        name, _module(module, **arguments), base_environment(environment), f"{url}{READY_PATH}", stack.id, **more
    )


def _aws(stack: Stack) -> Part:
    # Pass keys in the environment: other users of the machine can read arguments, but not the environment.
    keys = {
        "AWS_ACCESS_KEY_ID": stack.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.secret_key,
        "DOCWELL_API_KEY": stack.api_key,
    }
    arguments = {"data": Path(stack.data) / "aws"}
    return _served("aws", "aws", stack.aws_endpoint, stack, keys, arguments=arguments, advice="is the disk full?")


def _chroma(stack: Stack) -> Part:
    folder = Path(stack.data) / "chroma"
    return _served(
        "chroma",
        "chroma_server",
        stack.chroma,
        stack,
        {"NO_COLOR": "1", "ANONYMIZED_TELEMETRY": "False", "DOCWELL_CHROMA_TOKEN": stack.token},
        arguments={"data": folder},
        advice=f"if its data is damaged, remove {folder}: docwell rebuilds it from the documents",
    )


def _model(stack: Stack, gguf: Path, sleep_minutes: float) -> Part:
    sleep = {"idle_s": sleep_minutes * 60} if sleep_minutes else {}
    return _served(
        "model",
        "sleeping_host" if sleep else "ollama_server",
        stack.ollama,
        stack,
        # llama.cpp's idle threads sleep. Spinning ones answer a third faster on an idle machine (26 tokens/s
        # against 19) but read a prompt of 450 tokens in over 40 s instead of 25 s on 2 cores at a load of 7.
        {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"), "DOCWELL_OLLAMA_TOKEN": stack.token},
        arguments={"model": f"{stack.model}={gguf}", **sleep},
        ready_timeout_s=180,
        advice=f"is there memory for {stack.model}? A smaller one: --model smollm2:135m",
    )


def _gateway(stack: Stack, options: StackOptions, defaults: Mapping[str, str]) -> Part:
    arguments = {
        "handler": options.query_handler,
        "timeout": DEADLINE_S + 10 + (WAKE_S if options.sleep_minutes else 0),
        "waiting": options.query_waiting,
        "first_token": os.environ.get("DOCWELL_FIRST_TOKEN_S") or FIRST_TOKEN_S,
        "reconcile_handler": options.reconcile_handler,
        "reconcile_every": options.reconcile_every_s,
    }
    chosen = {name: os.environ.get(name, default) for name, default in defaults.items()}
    environment = {**chosen, **function_variables(stack, "query"), **options.environment}
    after = _BACKENDS | ({"model"} if stack.ollama_token else frozenset())
    more = {"arguments": arguments, "after": after, "ready_timeout_s": 2 * MEASURE_S + WAKE_S}
    return _served("gateway", "gateway", stack.gateway, stack, environment, **more)


def _ingest(stack: Stack, options: StackOptions) -> Part:
    settings = {
        "DOCWELL_HEALTH_PORT": "0",
        "DOCWELL_PROCESSES": str(options.ingest_workers),
        "DOCWELL_TIMEOUT_S": str(options.ingest_timeout_s),
        "DOCWELL_GRACE_S": "1",  # Ctrl-C does not wait for documents
    }
    without = {} if has_ocr() else {"DOCWELL_OCR": "off"}
    variables = {**function_variables(stack, "ingest"), **settings, **options.environment, **without}
    environment = base_environment(variables)
    command = [sys.executable, "-m", "runtime", "ingest", "--handler", options.ingest_handler]
    return Part("ingest", command, environment, ready_line="waiting for documents", after=_BACKENDS)


def _events(stack: Stack, options: StackOptions) -> Part:
    environment = base_environment({**function_variables(stack, "docwell-events"), **options.environment})
    command = _module("ledger_events", data=stack.data)
    return Part("events", command, environment, ready_line="waiting for outcomes", after=_BACKENDS)
