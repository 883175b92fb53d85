"""A PDF library alone on one file, in a bounded process: what `hard_pdfs` sets beside docwell.

`python benchmarks/reader_alone.py pdfium FILE` prints how many letters the first pages have, or `locked`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

PAGES = 50
TIMEOUT_S = 60
MEMORY_BYTES = 4 * 1024**3


def read_alone(library: str, path: Path) -> str:
    """`text`, `no text`, `locked`, or `fails` (an error, a crash, or a limit)."""
    command = [sys.executable, __file__, library, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return "fails"
    said = done.stdout.strip()
    if done.returncode or not said:
        return "fails"
    return said if said == "locked" else "text" if int(said) else "no text"


def _pdfium(path: str) -> str:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            return "locked"
        raise
    pages = min(PAGES, len(document))
    return str(sum(_letters(document[index].get_textpage().get_text_range()) for index in range(pages)))


def _pypdf(path: str) -> str:
    import pypdf

    reader = pypdf.PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        return "locked"
    return str(sum(_letters(page.extract_text()) for page in reader.pages[:PAGES]))


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)


def main() -> None:
    """What one library makes of one file; any error ends the process with a status other than 0."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.stderr.close()
    print({"pdfium": _pdfium, "pypdf": _pypdf}[sys.argv[1]](sys.argv[2]))


if __name__ == "__main__":
    main()
