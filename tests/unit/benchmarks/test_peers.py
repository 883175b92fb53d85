"""The runs of the peers and the count of the text that they read, without a peer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.peers import frameworks, postgres
from benchmarks.peers import run as peers
from infra.report import ROOT
from layers.embedder.download import environment


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A model that reads the first four words."""
    tokenizer = Tokenizer(models.WordLevel({"word": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 4}))
    return str(tmp_path)


def _chunk(start: int | None, text: str, before: str = "", source: int = 0) -> frameworks.Chunk:
    return frameworks.Chunk(source, start, text, before + text)


def test_what_a_chunk_has_beyond_what_the_model_reads_is_not_counted(model: str) -> None:
    assert frameworks.read_characters([_chunk(0, "aa bb cc dd ee ff")], model) == len("aa bb cc dd")


def test_what_two_chunks_share_is_counted_once(model: str) -> None:
    assert frameworks.read_characters([_chunk(0, "aa bb cc"), _chunk(3, "bb cc dd")], model) == len("aa bb cc dd")


def test_the_same_places_of_two_pages_are_counted_twice(model: str) -> None:
    chunks = [_chunk(0, "aa bb"), _chunk(0, "cc dd", source=1)]
    assert frameworks.read_characters(chunks, model) == len("aa bb") + len("cc dd")


def test_what_is_put_before_a_text_takes_its_room_and_is_not_counted(model: str) -> None:
    assert frameworks.read_characters([_chunk(0, "aa bb cc dd", before="page 1 ")], model) == len("aa bb")
    assert frameworks.read_characters([_chunk(0, "aa", before="the page is the first ")], model) == 0


def test_a_chunk_of_unknown_place_is_counted_by_itself(model: str) -> None:
    assert frameworks.read_characters([_chunk(0, "aa bb"), _chunk(None, "aa bb")], model) == 2 * len("aa bb")


@pytest.mark.parametrize(("best", "calls"), [(False, [1, 1]), (True, [2])])
def test_only_the_best_settings_store_the_chunks_of_many_documents_at_once(
    model: str, best: bool, calls: list[int]
) -> None:
    def load(path: str) -> list[str]:
        if path == "broken.pdf":
            raise ValueError(path)
        return [f"aa of {path}"]

    stored: list[int] = []
    framework = frameworks._Framework(
        load=load,
        split=list,
        store=lambda chunks: stored.append(len(chunks)),
        chunks=lambda _, chunks: [_chunk(None, one) for one in chunks],
        embed=len,
        retrieve=len,
    )
    asked = {"best": best, "model": model, "pdfs": ["a", "broken.pdf", "b"]}
    done = frameworks._index(framework, asked)
    assert stored == calls
    assert (done["pages"], done["chunks"], done["failed"]) == (2, 2, ["broken.pdf: ValueError"])


def test_the_versions_of_the_peers_have_a_date() -> None:
    assert re.match(r"Peers of \d{4}-\d\d-\d\d: langchain-core \d+\.\d+", peers.versions())


def test_pymupdf_which_has_the_agpl_is_in_no_lock_but_the_peers() -> None:
    locks = subprocess.check_output(["git", "ls-files", "*requirements*.txt"], cwd=ROOT, text=True).split()
    assert [one for one in locks if "pymupdf==" in (ROOT / one).read_text()] == ["requirements/peers.txt"]


def test_postgresql_is_the_newest_version_that_has_pgvector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PROGRAMS", tmp_path)
    monkeypatch.setattr(postgres, "_EXTENSION", f"{tmp_path}/{{}}/vector.control")
    assert postgres.programs() is None
    for version, has_pgvector in (("9", True), ("16", True), ("17", False)):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
        if has_pgvector:
            (tmp_path / version / "vector.control").touch()
    assert postgres.programs() == tmp_path / "16" / "bin"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script named `peer`, run by this Python."""
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    monkeypatch.setattr(peers, "python", lambda: Path(sys.executable))
    return tmp_path / "peer.py"


def test_a_peer_gets_its_arguments_and_its_threads(script: Path) -> None:
    script.write_text(
        "import json, os, sys\nprint('loading')\n"
        "print(json.dumps(json.loads(sys.argv[1]) | {'openmp': os.environ['OMP_NUM_THREADS']}))\n"
    )
    assert peers.run("peer", threads=3, k=5) == {"threads": 3, "k": 5, "openmp": "3"}


def test_a_peer_that_fails_says_why(script: Path) -> None:
    script.write_text("raise SystemExit('the collection is not there')\n")
    with pytest.raises(peers.PeerError, match="peer: the collection is not there"):
        peers.run("peer")


def test_a_peer_that_does_not_end_is_ended(script: Path) -> None:
    script.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(peers.PeerError, match="not done within"):
        peers.run("peer", timeout_s=0.2)


def test_an_environment_is_made_anew_only_when_its_requirements_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def run(command: list[str], *_: str) -> None:
        folder.mkdir(exist_ok=True)
        made.append(command)

    monkeypatch.setattr(environment, "run", run)
    requirements, folder = tmp_path / "requirements.txt", tmp_path / "environment"

    def made_for(pins: str) -> int:
        requirements.write_text(pins)
        before = len(made)
        assert environment.python_of(folder, requirements, lambda _: None) == folder / "bin" / "python"
        return len(made) - before

    assert [made_for(pins) for pins in ("torch==1", "torch==1", "torch==2")] == [2, 0, 2]
