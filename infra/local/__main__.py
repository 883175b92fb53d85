"""``python -m infra.local up | down | demo``: run docwell's real parts on one machine, without a cloud account."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from rich.table import Table

from docwell.cli.settings import stack_pointers
from infra.local import prometheus
from infra.local.console import StackConsole, terminal
from infra.local.keys import append_private, private_folder, write_private
from infra.local.names import ROOT
from infra.local.ports import free_port
from infra.local.stack import Stack, StackOptions, has_ocr, wrong_settings
from infra.local.supervisor import AlreadyRunning, StackFailed, locked, remove_temporary, supervised
from runtime.process import end_with_any_thread

DEFAULT_DATA = ROOT / ".docwell"


def _addresses(stack: Stack) -> None:
    console = terminal()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    addresses = {
        "questions": f"{stack.gateway}/v1/query",
        "S3, SQS, DynamoDB": stack.aws_endpoint,
        "Chroma": stack.chroma,
        stack.model: stack.ollama,
        "metrics": f"{stack.metrics}/metrics",
        "Prometheus": stack.prometheus,
        "data and logs": stack.data,
    }
    for name, address in addresses.items():
        if address:
            table.add_row(name, address)
    console.print(table)
    console.print("\nopen in a browser:", style="bold")
    # Print it outside the table, which a narrow terminal cuts. A browser sends no fragment to a server.
    console.print(f"  {stack.gateway}/#key={stack.api_key}")
    console.print("upload documents in another terminal:", style="bold")
    folder = Path(sys.executable).parent
    if shutil.which("docwell") != str(folder / "docwell"):
        console.print(f"  {shlex.join(['source', str(folder / 'activate')])}")
    console.print("  docwell put FILE.pdf")
    console.print(
        f"  AWS_ACCESS_KEY_ID={stack.access_key} AWS_SECRET_ACCESS_KEY={stack.secret_key} "
        f"AWS_DEFAULT_REGION={stack.region} \\\n"
        f"    aws s3 cp FILE.pdf s3://{stack.bucket}/ --endpoint-url {stack.aws_endpoint}"
    )
    console.print("and ask:", style="bold")
    console.print('  docwell ask "What does it say about …?"')
    console.print(f"  curl {stack.gateway}/v1/query -H 'x-api-key: {stack.api_key}' -d '{{\"question\": \"…\"}}'")


def _refused(options: argparse.Namespace) -> bool:
    """Print wrong settings, which would make the functions fail. Return whether there are any."""
    wrong = wrong_settings(StackOptions(options.data, options.model))
    if (port := getattr(options, "port", None)) and free_port(port) != port:
        wrong.append(f"port {port} is taken: stop what listens there, or give another --port")
    if getattr(options, "observe", False) and not prometheus.installed():
        wrong.append("--observe needs Prometheus on the PATH; on Debian: apt-get install prometheus")
    for problem in wrong:
        print(f"wrong setting: {problem}", file=sys.stderr)
    return bool(wrong)


def _up(options: argparse.Namespace) -> int:
    data: Path = options.data
    if _refused(options):
        return 2
    os.environ.setdefault("DOCWELL_OCR", "rapidocr")
    if options.no_follow:
        return _up_in_background(options)
    # Handle signals before anything starts, so that an early Ctrl-C stops everything too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    console = StackConsole(data / "logs", verbose=options.verbose)
    started = time.monotonic()
    try:
        chosen = {"sleep_minutes": options.sleep, "observe": options.observe, "model_host": options.model_host}
        stack_options = StackOptions(data, options.model, options.port or StackOptions.port, **chosen)
        with supervised(stack_options, console) as (stack, supervisor):
            console.say(f"docwell is up ({time.monotonic() - started:.0f} s). Ctrl-C stops it.\n", "bold green")
            _addresses(stack)
            pointer = stack_pointers() / stack.id
            with suppress(OSError):  # a home that cannot be written
                pointer.parent.mkdir(parents=True, exist_ok=True)
                write_private(pointer, f"{stack.data}\n{ROOT}")
            signal.signal(signal.SIGURG, lambda *_: supervisor.install_ocr(stack))  # `docwell ocr on`
            if os.environ["DOCWELL_OCR"] == "rapidocr" and not has_ocr():
                supervisor.install_ocr(stack)
            try:
                supervisor.watch()
            finally:
                # Ignore a second Ctrl-C: stopping takes 10 s at most.
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                pointer.unlink(missing_ok=True)
                console.say("stopping…")
    except KeyboardInterrupt:
        return 0
    except StackFailed as failure:
        console.say(str(failure), "red")
        return 1
    return 0


def _up_in_background(options: argparse.Namespace) -> int:
    """Start the stack in the background; return when it is up or has failed."""
    data: Path = options.data
    log_path = private_folder(private_folder(data) / "logs") / "supervisor.log"
    arguments = [argument for argument in sys.argv[1:] if argument != "--no-follow"]
    command = [sys.executable, "-m", "infra.local", *arguments, "--data", str(data)]
    log_path.unlink(missing_ok=True)
    with append_private(log_path) as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    while process.poll() is None:
        stack = Stack.read(data)
        if stack is not None and stack.pid == process.pid:
            _addresses(stack)
            where = [] if data == DEFAULT_DATA else ["--data", str(data)]
            print(f"\nstop it: {shlex.join(['python', '-m', 'infra.local', 'down', *where])}", flush=True)
            return 0
        time.sleep(0.2)
    print(log_path.read_text(encoding="utf-8"), flush=True)
    return 1


def _down(options: argparse.Namespace) -> int:
    stack = Stack.read(options.data)
    if stack is None:
        print(f"no stack is running on {options.data}")
        return 0
    with suppress(AlreadyRunning), locked(options.data):
        # Do not signal it: another process may have its number by now.
        remove_temporary(options.data / "logs")
        print("its supervisor has ended already")
        return 0
    try:
        supervisor = psutil.Process(stack.pid)
        supervisor.terminate()
        supervisor.wait(12)
    except psutil.NoSuchProcess:
        print("its supervisor has ended already")
    except psutil.TimeoutExpired:
        print(f"process {stack.pid} has not ended after 12 s")
        return 1
    return 0


def _demo(options: argparse.Namespace) -> int:
    from infra.local.demo import demo

    if _refused(options):
        return 2
    return demo(options.data, options.model)


def main() -> int:
    """Run one command. Return 0, 1 when it failed, or 2 for wrong usage or a wrong setting."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="docwell on one machine")
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the folder for all data and logs")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", default=StackOptions.model, help="the language model")
    text = "start everything and follow its logs"
    up = commands.add_parser("up", parents=[shared, model], help=text, allow_abbrev=False)
    up.add_argument("--port", type=int, help="the API's port; without it 8080, or a free one if that is taken")
    up.add_argument("--sleep", type=float, default=0.0, metavar="MINUTES", help="stop an unused model; 0: never")
    up.add_argument("--model-host", default="", metavar="URL", help="Ollama, or a host of OpenAI's protocol")
    up.add_argument("--observe", action="store_true", help="run Prometheus over the metrics")
    up.add_argument("--no-follow", action="store_true", help="run in the background")
    up.add_argument("--verbose", action="store_true", help="show every log line")
    up.set_defaults(run=_up)
    commands.add_parser("down", parents=[shared], help="stop a stack in the background").set_defaults(run=_down)
    demo = commands.add_parser("demo", parents=[shared, model], help="index the example PDFs and ask about them")
    demo.set_defaults(run=_demo)
    options = parser.parse_args()
    options.data = options.data.resolve()
    try:
        status: int = options.run(options)
    except OSError as error:  # a data folder that cannot be written, or a full disk
        print(f"docwell cannot run on {options.data}: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    threading.excepthook = end_with_any_thread
    sys.exit(main())
