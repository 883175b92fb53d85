"""Convert a sentence-transformers model to the embedder's files: ONNX, tokenizer and manifest.

    python layers/embedder/build_model.py [--model ID_OR_PATH] [--out FOLDER]

The default model, multilingual-e5-small, and any plain BERT in a local folder are built from their weights with
numpy and onnx. Other models are exported by sentence-transformers and torch in a separate environment
(.venv-export, created at first use), and the result is compared with sentence-transformers before it is kept.
The command does nothing when the folder already has the requested model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from docwell.adapters.embedding.model_manifest import (
    CALIBRATION_FILE,
    EXAMPLES,
    EXAMPLES_FILE,
    MODEL_FILE,
    QUESTIONS_FILE,
    TOKENIZER_FILE,
    FileEntry,
    ModelManifest,
    digest_of,
)
from docwell.errors import Corrupt, DocwellError, Unavailable
from docwell.query.modes import example_texts
from layers.embedder import sentence_config
from layers.embedder.download.catalogue import Model, catalogue
from layers.embedder.download.environment import python_of, run

if TYPE_CHECKING:
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent
_CALIBRATIONS = _HERE / "calibration"
_DEFAULT_MODEL = "all-minilm-l6-v2"
_EXPORT_ENVIRONMENT = _ROOT / ".venv-export"
_EXPORT_REQUIREMENTS = _ROOT / "requirements" / "export.txt"
_PARITY = 0.9999
# The least cosine between the vectors of the query function's form of the model and of the model itself.
_QUESTION_PARITY = 0.999
# The number of example questions that together are about as long as a passage.
_EXAMPLES_OF_A_PASSAGE = 12
# The suffixes of a model's files; others in its folder (a README, other formats) do not matter.
_SOURCE_SUFFIXES = {".json", ".safetensors", ".bin", ".txt", ".model"}
_HALVES = _HERE / "half_precision.py"
_BUILDERS = {
    "native": (_HERE / "bert_onnx.py", _HERE / "sentence_config.py", _HALVES),
    "packed": (_HERE / "bert_onnx.py", _HERE / "multilingual_e5.py", _HALVES),
    "torch": (_HERE / "export_torch.py", _EXPORT_REQUIREMENTS, _HALVES),
}
# The query function's form of a model. It moves no fingerprint, and no model is built again for it.
_QUESTIONS, _QUANTIZER = "questions", _HERE / "question_model.py"


@dataclass(frozen=True, slots=True)
class _Request:
    """The requested model: a name in the catalogue, a local folder, or else an id on the hub."""

    name: str
    revision: str | None
    route: str
    listed: Model | None = None
    folder: Path | None = None

    @property
    def made_from(self) -> dict[str, str]:
        """The facts that show that a manifest's model is this one."""
        facts = {"model": self.name, "revision": self.revision or "", "route": self.route}
        facts["builder"] = _digest({path.name: path.read_bytes() for path in _BUILDERS[self.route]})
        if self.folder:
            paths = [path for path in sorted(self.folder.rglob("*")) if path.suffix in _SOURCE_SUFFIXES]
            entries = {str(path.relative_to(self.folder)): FileEntry.of(path).sha256.encode() for path in paths}
            facts["source_sha256"] = _digest(entries)
        return facts


def main() -> int:
    """Return the exit status: 0 the model exists, 1 it could not be built, 2 wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", help="model id or local folder (default: the model that is there, or all-MiniLM-L6-v2)"
    )
    parser.add_argument("--revision", help="commit of the model on the hub")
    parser.add_argument(
        "--out", type=Path, default=_HERE / "model", help="output folder (default: layers/embedder/model)"
    )
    parser.add_argument("--export", choices=("auto", "native", "torch"), default="auto", help="how to build it")
    parser.add_argument("--force", action="store_true", help="build it again even if it exists")
    arguments = parser.parse_args()
    try:
        model = arguments.model or _present(arguments.out)
        if model is None:
            _say(f"the model is your own: {arguments.out}")
            return 0
        request = _request(model, arguments.revision, arguments.export)
        made_from = request.made_from
        if not arguments.force and _is_current(arguments.out, made_from):
            _copy_calibration(request, arguments.out)
            _keep_questions(arguments.out)
            _keep_examples(arguments.out)
            _say(f"{request.name} exists: {arguments.out}")
            return 0
        manifest = _build(request, made_from, arguments.out)
    except DocwellError as error:
        _say(f"error: {error.detail}")
        return 1
    _say(f"{request.name}: {arguments.out}, fingerprint {manifest.fingerprint}")
    return 0


def _present(out: Path) -> str | None:
    """Return the catalogue's model that the folder has, so that `make release` keeps the chosen one.

    Return all-MiniLM-L6-v2 if the folder has no model yet, and None for a model from elsewhere.
    """
    try:
        present = ModelManifest.read(out)
    except Corrupt:
        return _DEFAULT_MODEL
    if present.made_from.get("route") == "torch":
        return None
    return next((model.name for model in catalogue().values() if model.repository == present.name), None)


def _request(model: str, revision: str | None, export: str) -> _Request:
    folder = Path(model)
    if folder.is_dir():
        route = export if export != "auto" else _route(folder)
        return _Request(folder.resolve().name, revision, route, folder=folder)
    short = model.lower().removeprefix("sentence-transformers/")
    listed = catalogue().get(short)
    if listed and listed.revision is None:  # torch cannot export its format
        return _Request(listed.repository, None, "packed", listed=listed)
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


def _build(request: _Request, made_from: dict[str, str], out: Path) -> ModelManifest:
    """Build, halve and check the files in a work folder, move them into place, and write the manifest last."""
    from layers.embedder.half_precision import halve

    work = out / ".work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    folder = request.folder
    if request.listed:
        from layers.embedder.download.fetch import cache_folder, fetch

        fetch(request.listed.name)
        folder = cache_folder() / request.listed.folder
    build = _export_with_torch if request.route == "torch" else _build_natively
    try:
        manifest = build(request, made_from, folder, work)
        if halve(work / MODEL_FILE):
            manifest = replace(manifest, stored={MODEL_FILE: FileEntry.of(work / MODEL_FILE)})
        if request.route == "torch":
            manifest.write(work)
            _check_parity(work)
        for name in (CALIBRATION_FILE, QUESTIONS_FILE):
            (out / name).unlink(missing_ok=True)  # a leftover of another model
        for name in (MODEL_FILE, TOKENIZER_FILE):
            (work / name).replace(out / name)
    finally:
        shutil.rmtree(work)
    _copy_calibration(request, out)
    manifest.write(out)
    _keep_questions(out)
    _keep_examples(out)
    return manifest


def _copy_calibration(request: _Request, out: Path) -> None:
    """Copy the model's thresholds, if docwell has some: they belong to the model's name, however it was built."""
    source = _CALIBRATIONS / f"{request.name.rpartition('/')[2].lower()}.json"
    if source.is_file():
        shutil.copyfile(source, out / CALIBRATION_FILE)


def _build_natively(
    request: _Request, made_from: dict[str, str], folder: Path | None, work: Path
) -> ModelManifest:
    from layers.embedder import bert_onnx

    if folder is None:
        raise Unavailable("model", f"{request.name} can only be exported with torch", retry_after=None)
    if request.route == "packed" and request.listed:
        from layers.embedder import multilingual_e5

        packed = multilingual_e5.Packed.read(folder / request.listed.files[0].name)
        config, weights = packed.config, packed.weights
        packed.write_tokenizer(work / TOKENIZER_FILE)
    else:
        config, weights = sentence_config.read(folder), bert_onnx.read_safetensors(folder / "model.safetensors")
        _copy_tokenizer(folder / TOKENIZER_FILE, work / TOKENIZER_FILE, lower=config.do_lower_case)
    bert_onnx.build(weights, config, work / MODEL_FILE)
    files = {name: FileEntry.of(work / name) for name in (MODEL_FILE, TOKENIZER_FILE)}
    for name, expected in (request.listed.built if request.listed else {}).items():
        if files[name].sha256 != expected:
            # Other bytes would change the fingerprint and so start a new index.
            raise Corrupt(f"the built {name} has SHA-256 {files[name].sha256}, expected {expected}")
    return ModelManifest(
        name=request.name,
        revision=request.revision,
        dimension=int(config.transformer["hidden_size"]),
        pooling=config.pooling,
        normalize=config.normalize,
        max_sequence_length=config.max_sequence_length,
        pad_token_id=config.pad_token_id,
        prompts=config.prompts,
        files=files,
        made_from=made_from | {"versions": f"onnx {version('onnx')}, numpy {version('numpy')}"},
    )


def _copy_tokenizer(source: Path, target: Path, *, lower: bool) -> None:
    if not lower:
        shutil.copyfile(source, target)
        return
    # sentence-transformers lowercases before it tokenizes; inside the tokenizer, offsets stay right.
    content = json.loads(source.read_text(encoding="utf-8"))
    present = [content["normalizer"]] if content.get("normalizer") else []
    content["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *present]}
    target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _export_with_torch(
    request: _Request, made_from: dict[str, str], folder: Path | None, work: Path
) -> ModelManifest:
    python = python_of(_EXPORT_ENVIRONMENT, _EXPORT_REQUIREMENTS, _say)
    command = [str(python), str(_HERE / "export_torch.py"), str(folder or request.name), str(work)]
    command += ["--revision", request.revision] if request.revision and not folder else []
    run(command, "model export", f"the export of {request.name} failed")
    settings: dict[str, Any] = json.loads((work / "settings.json").read_text())
    return ModelManifest(
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


def _check_parity(work: Path) -> None:
    """Compare the embedder's vectors with those in check.json. Raises `Corrupt`."""
    import numpy as np

    check = json.loads((work / "check.json").read_text())
    embedder = _embedder(work)
    # Embed as queries, which are cut: one of the texts is too long.
    vectors = embedder.embed_queries(check["texts"])
    lowest = float(np.min(np.sum(vectors * np.asarray(check["vectors"], dtype=np.float32), axis=1)))
    if lowest < _PARITY:
        raise Corrupt(f"the exported model differs from sentence-transformers: cosine {lowest:.6f} < {_PARITY}")
    _say(f"compared with sentence-transformers on {len(vectors)} texts: lowest cosine {lowest:.7f}")


def _keep_questions(out: Path) -> None:
    """Write the query function's form of a model that lacks it, unless a vector's cosine falls under 0.999."""
    from layers.embedder.question_model import quantize

    manifest, digest = ModelManifest.read(out), _digest({_QUANTIZER.name: _QUANTIZER.read_bytes()})
    if manifest.made_from.get(_QUESTIONS) == digest:
        return
    stored = {name: entry for name, entry in manifest.stored.items() if name != QUESTIONS_FILE}
    with TemporaryDirectory(dir=out) as folder:
        work = Path(folder)
        kept = quantize(out / MODEL_FILE, work / QUESTIONS_FILE) and _is_near_enough(manifest, out, work)
        if kept:
            stored |= {QUESTIONS_FILE: FileEntry.of(work / QUESTIONS_FILE)}
            (work / QUESTIONS_FILE).replace(out / QUESTIONS_FILE)
    replace(manifest, stored=stored, made_from={**manifest.made_from, _QUESTIONS: digest}).write(out)
    if not kept:
        (out / QUESTIONS_FILE).unlink(missing_ok=True)


def _is_near_enough(manifest: ModelManifest, out: Path, work: Path) -> bool:
    """Return whether the form in a work folder keeps the model's vectors, for questions and longer texts."""
    import numpy as np

    shutil.copyfile(out / TOKENIZER_FILE, work / TOKENIZER_FILE)
    replace(manifest, stored={QUESTIONS_FILE: FileEntry.of(work / QUESTIONS_FILE)}).write(work)
    texts, many = example_texts(), _EXAMPLES_OF_A_PASSAGE
    texts += [" ".join(texts[first : first + many]) for first in range(0, len(texts), many)]
    vectors = _embedder(out).embed_queries(texts), _embedder(work, for_questions=True).embed_queries(texts)
    lowest = float(np.min(np.sum(vectors[0] * vectors[1], axis=1)))
    _say(f"the query function's form, in 8 bits: lowest cosine {lowest:.5f}, must be {_QUESTION_PARITY}")
    return lowest >= _QUESTION_PARITY


def _keep_examples(out: Path) -> None:
    """Write the vectors of the router's examples beside a model that lacks them."""
    import numpy as np

    manifest, texts = ModelManifest.read(out), example_texts()
    if manifest.made_from.get(EXAMPLES) != digest_of(texts):
        np.save(out / EXAMPLES_FILE, _embedder(out).embed_queries(texts).astype(np.float16))
        stored = {**manifest.stored, EXAMPLES_FILE: FileEntry.of(out / EXAMPLES_FILE)}
        replace(manifest, stored=stored, made_from={**manifest.made_from, EXAMPLES: digest_of(texts)}).write(out)


def _embedder(folder: Path, *, for_questions: bool = False) -> OnnxEmbedder:
    from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
    from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession

    # onnxruntime computes in single precision on every processor.
    return OnnxEmbedder(folder, 0, OnnxruntimeSession, for_questions=for_questions)


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
