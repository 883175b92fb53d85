"""Turn a sentence-transformers model into what the embedder runs: ONNX, tokenizer and manifest.

    python layers/embedder/build_model.py [--model ID_OR_PATH] [--out FOLDER]

The default model, and any plain BERT in a local folder, is built from its weights with numpy and onnx.
Other models are exported by sentence-transformers and torch, in an environment of their own (.venv-export,
made when first needed), and the result is compared with sentence-transformers before it is kept.
Nothing happens when the folder already has the model asked for.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from docwell.adapters.embedding.model_manifest import MODEL_FILE, TOKENIZER_FILE, FileEntry, ModelManifest
from docwell.errors import Corrupt, DocwellError, Unavailable
from layers.embedder import sentence_config
from layers.embedder.download.catalogue import Model, catalogue
from layers.embedder.download.environment import python_of

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent
_DEFAULT_MODEL = "all-minilm-l6-v2"
_EXPORT_ENVIRONMENT = _ROOT / ".venv-export"
_EXPORT_REQUIREMENTS = _ROOT / "requirements" / "export.txt"
_PARITY = 0.9999
# What a model's files can be; a folder may hold others (a README, other formats), which change nothing.
_SOURCE_SUFFIXES = {".json", ".safetensors", ".bin", ".txt", ".model"}
_BUILDERS = {
    "native": (_HERE / "bert_onnx.py", _HERE / "sentence_config.py"),
    "torch": (_HERE / "export_torch.py", _EXPORT_REQUIREMENTS),
}


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked for: a model of the catalogue, a local folder, or else an id on the hub."""

    name: str
    revision: str | None
    route: str
    listed: Model | None = None
    folder: Path | None = None

    @property
    def made_from(self) -> dict[str, str]:
        """What a manifest must say for its model to be this one."""
        facts = {"model": self.name, "revision": self.revision or "", "route": self.route}
        facts["builder"] = _digest({path.name: path.read_bytes() for path in _BUILDERS[self.route]})
        if self.folder:
            paths = [path for path in sorted(self.folder.rglob("*")) if path.suffix in _SOURCE_SUFFIXES]
            entries = {str(path.relative_to(self.folder)): FileEntry.of(path).sha256.encode() for path in paths}
            facts["source_sha256"] = _digest(entries)
        return facts


def main() -> int:
    """Exit status: 0 the model is there, 1 it could not be made, 2 wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=_DEFAULT_MODEL, help="id, or local folder (default: all-MiniLM-L6-v2)")
    parser.add_argument("--revision", help="commit of a model on the hub")
    parser.add_argument("--out", type=Path, default=_HERE / "model", help="folder to write")
    parser.add_argument("--export", choices=("auto", "native", "torch"), default="auto", help="how it is made")
    parser.add_argument("--force", action="store_true", help="make it anew even if it is there")
    arguments = parser.parse_args()
    try:
        request = _request(arguments.model, arguments.revision, arguments.export)
        made_from = request.made_from
        if not arguments.force and _is_current(arguments.out, made_from):
            _say(f"{request.name} is there: {arguments.out}")
            return 0
        manifest = _make(request, made_from, arguments.out)
    except DocwellError as error:
        _say(f"error: {error.detail}")
        return 1
    _say(f"{request.name}: {arguments.out}, fingerprint {manifest.fingerprint}")
    return 0


def _request(model: str, revision: str | None, export: str) -> _Request:
    folder = Path(model)
    if folder.is_dir():
        route = export if export != "auto" else _route(folder)
        return _Request(folder.resolve().name, revision, route, folder=folder)
    short = model.lower().removeprefix("sentence-transformers/")
    listed = catalogue().get(short)
    if listed and revision in {None, listed.revision}:
        route = "native" if export == "auto" else export
        return _Request(listed.repository, listed.revision, route, listed=listed)
    return _Request(model, revision, "torch")


def _route(folder: Path) -> str:
    from layers.embedder import bert_onnx

    try:
        plain = bert_onnx.is_supported(sentence_config.read(folder))
    except DocwellError:
        return "torch"
    return "native" if plain and (folder / "model.safetensors").is_file() else "torch"


def _is_current(out: Path, made_from: Mapping[str, str]) -> bool:
    try:
        manifest = ModelManifest.read(out)
        manifest.verify(out)
    except Corrupt:
        return False
    return all(manifest.made_from.get(key) == value for key, value in made_from.items())


def _make(request: _Request, made_from: dict[str, str], out: Path) -> ModelManifest:
    """Make the files aside, check them, and put the manifest in its place last."""
    work = out / ".work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    folder = request.folder
    if request.listed:
        from layers.embedder.download.fetch import fetch

        folder = fetch(request.listed.name)["modules.json"].parent
    make = _make_native if request.route == "native" else _make_with_torch
    try:
        manifest = make(request, made_from, folder, work)
        for name in (MODEL_FILE, TOKENIZER_FILE):
            (work / name).replace(out / name)
    finally:
        shutil.rmtree(work)
    manifest.write(out)
    return manifest


def _make_native(request: _Request, made_from: dict[str, str], folder: Path | None, work: Path) -> ModelManifest:
    from layers.embedder import bert_onnx

    if folder is None:
        raise Unavailable("model", f"{request.name} can only be exported with torch", retry_after=None)
    config = sentence_config.read(folder)
    bert_onnx.build(folder / "model.safetensors", config, work / MODEL_FILE)
    expected = request.listed.built.get(MODEL_FILE) if request.listed else None
    built = FileEntry.of(work / MODEL_FILE)
    if expected and built.sha256 != expected:
        # Other bytes would be another fingerprint, and so another index beside the one that is there.
        raise Corrupt(f"the built {MODEL_FILE} has SHA-256 {built.sha256}, expected {expected}")
    _copy_tokenizer(folder / TOKENIZER_FILE, work / TOKENIZER_FILE, lower=config.do_lower_case)
    return ModelManifest(
        name=request.name,
        revision=request.revision,
        dimension=int(config.transformer["hidden_size"]),
        pooling=config.pooling,
        normalize=config.normalize,
        max_sequence_length=config.max_sequence_length,
        pad_token_id=config.pad_token_id,
        prompts=config.prompts,
        files={name: FileEntry.of(work / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
        made_from=made_from | {"versions": f"onnx {version('onnx')}, numpy {version('numpy')}"},
    )


def _copy_tokenizer(source: Path, target: Path, *, lower: bool) -> None:
    if not lower:
        shutil.copyfile(source, target)
        return
    # sentence-transformers lowers the text before it tokenizes; inside the tokenizer, offsets stay right.
    content = json.loads(source.read_text(encoding="utf-8"))
    present = [content["normalizer"]] if content.get("normalizer") else []
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *present]}
    target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _make_with_torch(
    request: _Request, made_from: dict[str, str], folder: Path | None, work: Path
) -> ModelManifest:
    python = python_of(_EXPORT_ENVIRONMENT, _EXPORT_REQUIREMENTS, _say)
    command = [str(python), str(_HERE / "export_torch.py"), str(folder or request.name), str(work)]
    command += ["--revision", request.revision] if request.revision and not folder else []
    _run(command, f"the export of {request.name} failed")
    settings: dict[str, Any] = json.loads((work / "settings.json").read_text())
    manifest = ModelManifest(
        name=request.name,
        revision=request.revision,
        dimension=settings["dimension"],
        pooling=sentence_config.pooling_of(settings["pooling"]),
        normalize=settings["normalize"],
        max_sequence_length=settings["max_sequence_length"],
        pad_token_id=settings["pad_token_id"],
        prompts=sentence_config.prompts_of(settings["prompts"]),
        files={name: FileEntry.of(work / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
        made_from=made_from | {"versions": settings["versions"]},
    )
    manifest.write(work)
    _check_parity(work)
    return manifest


def _check_parity(work: Path) -> None:
    """Compare the embedder over `work` with the vectors in check.json. Raises `Corrupt`."""
    import numpy as np

    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
    from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession

    check = json.loads((work / "check.json").read_text())
    embedder = OnnxEmbedder(work, 0, OnnxruntimeSession)  # of single precision on every processor
    # As queries: a passage that is too long is refused, and one of the texts is.
    vectors = embedder.embed_queries(check["texts"])
    lowest = float(np.min(np.sum(vectors * np.asarray(check["vectors"], dtype=np.float32), axis=1)))
    if lowest < _PARITY:
        raise Corrupt(f"the exported model differs from sentence-transformers: cosine {lowest:.6f} < {_PARITY}")
    _say(f"compared with sentence-transformers on {len(vectors)} texts: lowest cosine {lowest:.7f}")


def _run(command: list[str], failure: str) -> None:
    """Run with the output kept back. Raises `Unavailable` with its end."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable("model export", f"{failure}:\n{done.stdout[-2000:]}", retry_after=None)


def _digest(contents: Mapping[str, bytes]) -> str:
    total = sha256()
    for name, content in sorted(contents.items()):
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:16]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
