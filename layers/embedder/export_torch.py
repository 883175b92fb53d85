"""Export any sentence-transformers model with torch. `build_model.py` runs this script in `.venv-export`.

That environment has sentence-transformers and torch (requirements/export.txt), but not docwell. The script writes
model.onnx, tokenizer.json, settings.json, and check.json: texts with the vectors of sentence-transformers.
"""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

import sentence_transformers  # type: ignore[import-not-found]  # only in .venv-export
import torch  # type: ignore[import-not-found]
from sentence_transformers import SentenceTransformer
from tokenizers.normalizers import Lowercase, Sequence

_OPSET = 18
# Short and long texts in two languages; the last one has more tokens than most models read.
_CHECK_TEXTS = [
    "A",
    "What does the lease forbid?",
    "Die Gültigkeitsdauer beträgt 30 Tage; danach ist der Vertrag neu zu schließen.",
    "The pump restarts twice before the controller gives up and asks for a technician. " * 40,
]


class _Graph(torch.nn.Module):  # type: ignore[misc]  # untyped library
    """The model's whole pipeline with tensors as input and output, which ONNX can express."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self._model = model
        self._names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        features = dict(zip(self._names, tensors, strict=True))
        vectors: torch.Tensor = self._model(features)["sentence_embedding"]
        return vectors


def main() -> None:
    """Write the exported files to the target folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="model id on the hub, or a local folder")
    parser.add_argument("target", type=Path)
    parser.add_argument("--revision")
    arguments = parser.parse_args()
    # Some versions of torch cannot export fused attention to ONNX.
    eager = {"attn_implementation": "eager"}
    model = SentenceTransformer(
        arguments.model, revision=arguments.revision, device="cpu", model_kwargs=eager
    ).eval()
    target: Path = arguments.target
    names = [name for name in model.tokenizer.model_input_names if name in _accepted(model)]
    _export(model, names, target / "model.onnx")
    _save_tokenizer(model, target / "tokenizer.json")
    (target / "settings.json").write_text(json.dumps(_settings(model)))
    vectors = model.encode_query(_CHECK_TEXTS, normalize_embeddings=True).tolist()
    (target / "check.json").write_text(json.dumps({"texts": _CHECK_TEXTS, "vectors": vectors}))


def _accepted(model: Any) -> set[str]:
    return set(inspect.signature(model[0].auto_model.forward).parameters)


def _export(model: Any, names: list[str], path: Path) -> None:
    encoded = model.tokenizer(
        ["a short text", "a somewhat longer text than that"], padding=True, return_tensors="pt"
    )
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=model.max_seq_length)}
    torch.onnx.export(
        _Graph(model, names).eval(),
        tuple(encoded[name] for name in names),
        str(path),
        input_names=names,
        output_names=["sentence_embedding"],
        dynamic_shapes=((shape,) * len(names),),
        opset_version=_OPSET,
        dynamo=True,
        external_data=False,
    )


def _save_tokenizer(model: Any, path: Path) -> None:
    tokenizer = model.tokenizer.backend_tokenizer
    if getattr(model[0], "do_lower_case", False):
        # sentence-transformers lowercases before it tokenizes; inside the tokenizer, offsets stay right.
        present = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = Sequence([Lowercase(), *present])
    tokenizer.save(str(path))


def _settings(model: Any) -> dict[str, Any]:
    modules = {type(module).__name__: module for module in model}
    return {
        "pooling": modules["Pooling"].get_config_dict() if "Pooling" in modules else {},
        "normalize": "Normalize" in modules,
        "max_sequence_length": model.max_seq_length,
        "pad_token_id": model.tokenizer.pad_token_id or 0,
        "prompts": {"prompts": model.prompts, "default_prompt_name": model.default_prompt_name},
        "dimension": len(model.encode(["a"])[0]),
        "versions": f"torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}",
    }


if __name__ == "__main__":
    main()
