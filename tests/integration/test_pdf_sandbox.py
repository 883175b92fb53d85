"""A compromised PDF reader reaches only its own memory and the document."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks.poison.kinds import healthy
from benchmarks.reading import default_reader
from docwell.adapters.documents import process
from docwell.adapters.documents.sandbox import _program

# Runs the calls of an attacker; `attempts()` returns the names of those that worked.
ATTACKER = """
import ctypes, json, os, socket, subprocess, sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

def system_call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def reached(folder):
    folder = Path(folder)
    return {
        "read a file": lambda: open("/etc/passwd").read(),
        "read the parent's environment": lambda: open(f"/proc/{os.getppid()}/environ").read(),
        "read its own environment": lambda: open("/proc/self/environ").read(),
        "list a folder": lambda: os.listdir("/"),
        "write a file": lambda: open(folder / "written", "w"),
        "make a folder": lambda: os.mkdir(folder / "made"),
        "remove a file": lambda: os.unlink(folder / "kept"),
        "rename a file": lambda: os.rename(folder / "other", folder / "renamed"),
        "link a file": lambda: os.symlink("/etc", folder / "link"),
        "open a socket": lambda: socket.socket().close(),
        "make a local socket": lambda: socket.socketpair(),
        "start a process": lambda: os.fork() or os._exit(0),
        "run a program": lambda: subprocess.run(["true"], check=True),
        "signal its parent": lambda: os.kill(os.getppid(), 0),
        "signal a thread of its parent": lambda: system_call("tgkill", os.getppid(), os.getppid(), 0),
        "map memory that it shares by name": lambda: os.memfd_create("x"),
        "replace its own program": lambda: os.execv("/bin/sh", ["sh", "-c", f"echo > {folder}/replaced"]),
    }

def attempts(folder):
    worked = []
    for name, attempt in reached(folder).items():
        if name == "replace its own program" and worked:
            continue  # a success would end the process before it can report
        try:
            attempt()
        except OSError:
            continue
        worked.append(name)
    return worked
"""


def run(tmp_path: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    for name in ("kept", "other"):
        (tmp_path / name).touch()
    start = "from docwell.adapters.documents.sandbox import close_doors\n"
    program = "\n".join([ATTACKER, start, f"folder = {str(tmp_path)!r}", *lines])
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def doors_close() -> bool:
    program = "from docwell.adapters.documents.sandbox import close_doors\nprint(close_doors(), flush=True)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip() == "True"


@pytest.fixture(scope="module", autouse=True)
def _kernel_allows() -> None:
    if not doors_close():
        pytest.skip("this system refuses seccomp filters: limits and an empty environment have to do")


def test_closed_doors_leave_an_attacker_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "close_doors()", "print(json.dumps(attempts(folder)), flush=True)")
    assert json.loads(done.stdout) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "other"]


def test_the_same_attacker_reaches_all_of_it_while_doors_are_open(tmp_path: Path) -> None:
    found = json.loads(run(tmp_path, "print(json.dumps(attempts(folder)), flush=True)").stdout)
    assert {"read a file", "write a file", "open a socket", "run a program", "start a process"} <= set(found)


def test_closed_doors_leave_computing_and_open_files(tmp_path: Path) -> None:
    lines = [
        "file = open('/etc/passwd', 'rb')",
        "close_doors()",
        "import time; time.sleep(0.01)",
        "print(len(bytearray(50_000_000)), len(file.read()) > 0, len(os.urandom(3)), flush=True)",
        "os.abort()",
    ]
    done = run(tmp_path, *lines)
    assert done.stdout.split() == ["50000000", "True", "3"]
    # PDFium ends this way when it is out of memory; the parent recognises the reason by the signal.
    assert done.returncode == -signal.SIGABRT


def test_the_reader_closes_its_doors_before_it_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").touch()
    (tmp_path / "other").touch()
    spy = f"""
        sys.path[:] = json.loads(sys.argv[1])["sys_path"]
        from docwell.adapters.documents import child, pdf_pages
        class Spy(pdf_pages.Pdfium):
            def metadata(self):
                return {{"title": ", ".join(attempts({str(tmp_path)!r})) or "nothing"}}
        pdf_pages.Pdfium = Spy
        child.main()
    """
    program = tmp_path / "spy.py"
    program.write_text(ATTACKER + textwrap.dedent(spy))
    path = tmp_path / "a.pdf"
    path.write_bytes(healthy())
    monkeypatch.setattr(process, "CHILD", program)
    assert default_reader().inspect(path).title == "nothing"


def verdict(program: bytes, arch: int, number: int, first: int = 0) -> int:
    """Return the filter's verdict on one call, by interpreting its instructions."""
    data = {0: number, 4: arch, 16: first}
    steps, at, loaded = list(struct.iter_unpack("<HBBI", program)), 0, 0
    while True:
        code, if_equal, if_not, value = steps[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            loaded = data[value]
        else:
            at += if_equal if loaded == value else if_not


@pytest.mark.parametrize(
    ("machine", "arch", "read", "openat", "tgkill"),
    [("x86_64", 0xC000003E, 0, 257, 234), ("aarch64", 0xC00000B7, 63, 56, 131)],
)
def test_the_filter_is_the_same_on_both_machines(
    machine: str, arch: int, read: int, openat: int, tgkill: int
) -> None:
    program = _program(machine, 77)
    assert program is not None
    allow, refuse, kill = 0x7FFF0000, 0x00050001, 0x80000000
    assert verdict(program, arch, read) == allow
    assert verdict(program, arch, openat) == refuse
    assert verdict(program, arch, tgkill, first=77) == allow
    assert verdict(program, arch, tgkill, first=1) == refuse
    # x86-64's other numbering (x32), and a program for another machine.
    assert verdict(program, arch, read | 0x40000000) == refuse
    assert verdict(program, arch ^ 1, read) == kill
    allowed = {number for number in range(1000) if verdict(program, arch, number) == allow}
    assert len(allowed) == 34
