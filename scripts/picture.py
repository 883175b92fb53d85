"""Record a terminal: run `docwell` on the examples, on the stack of `make up`, and draw what it prints as SVG.

python scripts/picture.py FILE.svg
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 80
COMMANDS = (
    ("put", "examples"),
    ("ask", "How long does the diesel fuel on site last?"),
    ("ask", "What happens when the PSI of an important input is above 0.25?"),
)


def printed(command: tuple[str, ...]) -> str:
    """Return what one command prints in a terminal, without the line of model, tokens and time."""
    program = [str(Path(sys.executable).with_name("docwell")), *command]
    main, terminal = pty.openpty()
    pieces = []
    with subprocess.Popen(program, stdout=terminal, env=os.environ | {"COLUMNS": str(WIDTH)}) as process:
        os.close(terminal)
        try:
            while piece := os.read(main, 4096):
                pieces.append(piece)
        except OSError:  # Linux reports the end of a pseudo-terminal as an error
            pass
    if process.returncode:
        sys.exit(f"docwell {command[0]} failed: start the stack with `make up` and try again")
    # The growing answer ends where the cursor is shown again; the checked answer follows.
    lines = b"".join(pieces).rpartition(b"\x1b[?25h")[2].decode().splitlines()
    return "\n".join(line for line in lines if " tokens · " not in line).strip("\n")


def main(target: Path) -> None:
    """Run the commands and write the picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for name, argument in COMMANDS:
        shown = f'"{argument}"' if " " in argument else argument
        console.print(Text(f"$ docwell {name} {shown}", style="bold green"))
        console.print(Text.from_ansi(printed((name, argument))), end="\n\n")
    svg = console.export_svg(title="docwell", unique_id="docwell")
    # A picture in a README must load nothing: the viewer's own monospace font will do.
    target.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
