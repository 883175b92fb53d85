"""Convert a cross-encoder to the files that `DOCWELL_RERANKER=cross-encoder` reads: ONNX, tokenizer and manifest.

    python layers/embedder/build_reranker.py --model ID_OR_FOLDER [--out FOLDER]

A plain BERT in a local folder is built from its weights. Other models are exported by sentence-transformers and
torch in `.venv-export`, and the result is compared with sentence-transformers before it is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from docwell.adapters.embedding.model_manifest import MODEL_FILE, TOKENIZER_FILE, FileEntry, ModelManifest
from docwell.adapters.reranking.cross_encoder import PAIRS, CrossEncoder
from docwell.errors import BadInput, Corrupt, DocwellError
from layers.embedder import bert_onnx
from layers.embedder.download.environment import python_of, run

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent
# The largest allowed difference to the scores of sentence-transformers, which are about -12 to 12.
_PARITY = 1e-3


def main() -> int:
    """Return the exit status: 0 the model exists, 1 it could not be built, 2 wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model id or local folder")
    parser.add_argument("--revision", help="commit of the model on the hub")
    parser.add_argument(
        "--out",
        type=Path,
        default=_HERE / "model" / "reranker",
        help="output folder (default: layers/embedder/model/reranker)",
    )
    parser.add_argument("--export", choices=("auto", "native", "torch"), default="auto", help="how to build it")
    arguments = parser.parse_args()
    try:
        manifest = _build(arguments.model, arguments.revision, arguments.export, arguments.out)
    except DocwellError as error:
        _say(f"error: {error.detail}")
        return 1
    _say(f"{manifest.name}: {arguments.out}, fingerprint {manifest.fingerprint}")
    return 0


def _build(model: str, revision: str | None, export: str, out: Path) -> ModelManifest:
    """Build and check the files in a work folder, move them into place, and write the manifest last."""
    folder = Path(model)
    native = export == "native" or (export == "auto" and _is_native(folder))
    work = out / ".work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        settings = _build_native(folder, work) if native else _export_with_torch(model, revision, work)
        manifest = ModelManifest(
            name=folder.resolve().name if folder.is_dir() else model,
            revision=revision,
            dimension=1,
            pooling=PAIRS,
            normalize=False,
            max_sequence_length=settings["max_sequence_length"],
            pad_token_id=settings["pad_token_id"],
            prompts={},
            files={name: FileEntry.of(work / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
            made_from={"model": model, "versions": settings["versions"]},
        )
        manifest.write(work)
        if not native:
            _check_parity(work)
        for name in manifest.files:
            (work / name).replace(out / name)
    finally:
        shutil.rmtree(work)
    manifest.write(out)
    return manifest


def _is_native(folder: Path) -> bool:
    complete = all((folder / name).is_file() for name in ("config.json", "model.safetensors", TOKENIZER_FILE))
    return complete and bert_onnx.is_plain_bert(_json(folder / "config.json"))


def _build_native(folder: Path, work: Path) -> dict[str, Any]:
    """Write the files and return the settings. Raises `BadInput` unless the model is a BERT with one score."""
    if not _is_native(folder):
        raise BadInput(f"{folder} has no config.json of a plain BERT with model.safetensors and {TOKENIZER_FILE}")
    config = _json(folder / "config.json")
    bert_onnx.build_cross_encoder(folder / "model.safetensors", config, work / MODEL_FILE)
    shutil.copyfile(folder / TOKENIZER_FILE, work / TOKENIZER_FILE)
    most = config["max_position_embeddings"]
    tokenizer = folder / "tokenizer_config.json"
    return {
        "max_sequence_length": min(
            _json(tokenizer).get("model_max_length", most) if tokenizer.is_file() else most, most
        ),
        "pad_token_id": config.get("pad_token_id") or 0,
        "versions": f"onnx {version('onnx')}, numpy {version('numpy')}",
    }


def _export_with_torch(model: str, revision: str | None, work: Path) -> dict[str, Any]:
    python = python_of(_ROOT / ".venv-export", _ROOT / "requirements" / "export.txt", _say)
    command = [str(python), str(_HERE / "export_reranker.py"), model, str(work)]
    run(
        [*command, *(["--revision", revision] if revision else [])],
        "model export",
        f"the export of {model} failed",
    )
    settings: dict[str, Any] = _json(work / "settings.json")
    return settings


def _check_parity(work: Path) -> None:
    """Compare the scores with those in check.json. Raises `Corrupt`."""
    from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession

    check = _json(work / "check.json")
    scores = CrossEncoder(work, 0, OnnxruntimeSession).scores(check["question"], check["texts"])
    largest = max((abs(one - other) for one, other in zip(scores, check["scores"], strict=True)), default=0.0)
    if not largest <= _PARITY:
        raise Corrupt(f"the exported model differs from sentence-transformers by {largest:.6f} > {_PARITY}")
    _say(f"compared with sentence-transformers on {len(scores)} pairs: largest difference {largest:.2g}")


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
