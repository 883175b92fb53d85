"""``python -m infra.container.on_stack invoke FUNCTION EVENT | start-api``: run built functions on `make up`.

`sam local` runs them in containers. S3, SQS, DynamoDB, Chroma and the language model are those of `make up`.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin
from docwell.identity import SAM_LOCAL
from infra.container import forwarder, machine_template, sam
from infra.local.names import HOST
from infra.local.ports import answers
from infra.local.stack import DEADLINE_S, Stack, function_variables
from runtime.guard import READY_PATH

FUNCTIONS = {
    "ingest": machine_template.INGEST,
    "query": machine_template.QUERY,
    "reconcile": machine_template.RECONCILE,
}
EVENTS = sam.ROOT / "tests" / "events"
DEFAULT_DATA = sam.ROOT / ".docwell"
DEFAULT_PORT = 3000
# Containers have their own path for the model, and clients reach S3 without the gateway.
_INSIDE = {"DOCWELL_MODEL_DIR", "DOCWELL_STORAGE_URL"}
_OUTSIDE = ("DOCWELL_", "POWERTOOLS_", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_STOP_S = 30.0
_INGEST_IMAGE = "docwell-ingest-sam-local:latest"

console = Console(stderr=True, highlight=False, soft_wrap=True)


def running_stack(data: Path) -> Stack:
    """Return the stack of `make up`. Raises `StepError` when none answers."""
    stack = Stack.read(data)
    if stack is None or not answers(f"{stack.gateway}{READY_PATH}", 5):
        raise sam.StepError(
            f"no local stack answers ({data}): run `make up` in another terminal and wait until it is up"
        )
    return stack


def event_file(name: str) -> Path:
    """Return an event of tests/events by its name, or any file. Raises `StepError`."""
    for path in (EVENTS / f"{name}.json", Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in EVENTS.glob("*.json")))
    raise sam.StepError(f"there is no event {name!r}: give a file, or one of {known}")


@contextmanager
def reachable(stack: Stack, address: str | None) -> Iterator[list[str]]:
    """Make the stack reachable from containers while the block runs.

    Yields the options of `sam local`. Raises `StepError`.
    """
    address = address or forwarder.bridge_address()

    def outside(text: str) -> str:
        return text.replace(f"//{HOST}:", f"//{address}:")

    variables = {
        logical: {
            key: outside(value)
            for key, value in function_variables(stack, name).items()
            if key.startswith(_OUTSIDE) and key not in _INSIDE
        }
        for name, logical in FUNCTIONS.items()
    }
    template = machine_template.write(variables, timeout_s=DEADLINE_S + 10, ingest_image=_INGEST_IMAGE)
    options = ["--template", str(template), "--skip-pull-image", "--region", stack.region]
    options += machine_template.overrides(outside(stack.chroma), outside(stack.ollama))
    urls = (stack.aws_endpoint, stack.chroma, stack.ollama)
    ports = [urlsplit(url).port or 80 for url in urls if urlsplit(url).hostname == HOST]
    with forwarder.forwarded(address, ports):
        yield options


def let_in(stack: Stack) -> None:
    """Grant every collection of this stack to the principal of `sam local`, which has no authorizer."""
    admin = PrincipalAdmin(stack.client("dynamodb"), stack.principals_table)
    if admin.add(Grant(SAM_LOCAL.id, None, label="sam local")):
        console.print(f"{SAM_LOCAL.id} can now read every collection of this stack")


def image_for_sam() -> None:
    """Build the ingest image with root as its user: `sam` adds its emulator as that user."""
    command = ["docker", "build", "--quiet", "--tag", _INGEST_IMAGE, "-"]
    content = f"FROM {sam.INGEST_IMAGE}\nUSER root\n"
    done = subprocess.run(command, input=content, text=True, capture_output=True, check=False)
    if done.returncode:
        raise sam.StepError(f"docker build: {done.stderr.strip()}")


def invoke(stack: Stack, function: str, event: Path, address: str | None) -> int:
    """Call a function with one event. Print the answer to stdout, the log to stderr. Return 1 if it failed."""
    with reachable(stack, address) as options:
        command = [str(sam.SAM), "local", "invoke", FUNCTIONS[function], "--event", str(event), *options]
        done = subprocess.run(
            command, cwd=sam.ROOT, env=sam.variables(), stdout=subprocess.PIPE, text=True, check=False
        )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        console.print(f"[red]no answer[/] {done.stdout}")
        return 1
    print(json.dumps(_readable(answer), indent=2, ensure_ascii=False))
    # sam exits with 0 even when the handler raised or timed out.
    return int(done.returncode or (isinstance(answer, dict) and "errorMessage" in answer))


def _readable(answer: object) -> object:
    """Return an HTTP answer with its JSON body decoded and each header once."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return answer
    body = answer["body"]
    try:
        body = json.loads(body)
    except ValueError:
        body = str(body).splitlines()  # server-sent events
    return {"statusCode": answer["statusCode"], "body": body}


def start_api(stack: Stack, port: int, address: str | None) -> int:
    """Serve the API until Ctrl-C."""
    with reachable(stack, address) as options:
        command = [str(sam.SAM), "local", "start-api", "--port", str(port), "--warm-containers", "LAZY", *options]
        # In a separate session, so that Ctrl-C does not reach sam twice. It removes its containers on SIGTERM.
        server = subprocess.Popen(command, cwd=sam.ROOT, env=sam.variables(), start_new_session=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _announce(port, server)
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()
            server.wait(_STOP_S)


def _announce(port: int, server: subprocess.Popen[bytes]) -> None:
    url = f"http://{HOST}:{port}"
    while server.poll() is None:
        try:
            httpx.get(url, timeout=2, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.2)
            continue
        console.print("\nask, in another terminal (the first question starts the container):", style="bold")
        console.print(f'  curl {url}/v1/query -d \'{{"question": "…"}}\'\n')
        return


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.container.on_stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the data folder of the stack")
    shared.add_argument("--address", help="where containers reach this machine (default: Docker's bridge)")
    one = commands.add_parser("invoke", parents=[shared], help="give a function one event")
    one.add_argument("function", choices=FUNCTIONS)
    one.add_argument("event", help="a name of tests/events, or a file")
    api = commands.add_parser("start-api", parents=[shared], help="serve the API")
    api.add_argument("--port", type=int, default=DEFAULT_PORT)
    options = parser.parse_args(arguments)
    try:
        event = event_file(options.event) if options.command == "invoke" else None
        stack = running_stack(options.data)
        with console.status("base image, SAM CLI and functions"):
            sam.prepare()
            sam.build_if_changed()
            image_for_sam()
        let_in(stack)
        if event:
            return invoke(stack, options.function, event, options.address)
        return start_api(stack, options.port, options.address)
    except sam.StepError as error:
        console.print(f"[red]failed[/] {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
