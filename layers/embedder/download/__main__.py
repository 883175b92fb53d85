"""Fetch model files for the embedder and the local stack, verified by SHA-256, and print their paths."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from docwell.errors import DocwellError
from layers.embedder.download.catalogue import catalogue
from layers.embedder.download.fetch import cache_folder, fetch


def main() -> int:
    """Return the exit status: 0 all files are verified, 1 some are missing, 2 wrong usage, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m layers.embedder.download", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to fetch")
    parser.add_argument("--list", action="store_true", help="list the models of the catalogue")
    arguments = parser.parse_args()
    if arguments.list:
        Console().print(_table())
        return 0
    if not arguments.names:
        parser.error("give the NAME of a model, or --list")
    try:
        for name in arguments.names:
            for path in fetch(name).values():
                print(path)
    except DocwellError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; complete files are kept", file=sys.stderr)
        return 130
    return 0


def _table() -> Table:
    table = Table("name", "model", "size", "licence", "cached")
    for model in catalogue().values():
        size = decimal(sum(file.bytes for file in model.files))
        kept = all((cache_folder() / model.folder / file.name).is_file() for file in model.files)
        table.add_row(model.name, model.title, size, model.licence, "yes" if kept else "no")
    return table


if __name__ == "__main__":
    sys.exit(main())
