"""Export any cross-encoder with torch. `build_reranker.py` runs this script in `.venv-export`.

That environment has sentence-transformers and torch (requirements/export.txt), but not docwell. The script writes
model.onnx, tokenizer.json, settings.json, and check.json: pairs with the scores of sentence-transformers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import sentence_transformers  # type: ignore[import-not-found]  # only in .venv-export
import torch  # type: ignore[import-not-found]
from sentence_transformers import CrossEncoder

_OPSET = 18
_QUESTION = "How often does the pump restart?"
# Short and long texts; the last one has more tokens than most models read.
_CHECK_TEXTS = [
    "A",
    "The pump restarts twice before the controller gives up.",
    "Die Gültigkeitsdauer beträgt 30 Tage; danach ist der Vertrag neu zu schließen.",
    "The pump restarts twice before the controller gives up and asks for a technician. " * 40,
]


class _Graph(torch.nn.Module):  # type: ignore[misc]  # untyped library
    """The model with tensors as input and its raw score as output, which ONNX can express."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self._model = model
        self._names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self._model(**dict(zip(self._names, tensors, strict=True))).logits
        return scores


def main() -> None:
    """Write the exported files to the target folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="model id on the hub, or a local folder")
    parser.add_argument("target", type=Path)
    parser.add_argument("--revision")
    arguments = parser.parse_args()
    # Some versions of torch cannot export fused attention to ONNX.
    eager = {"attn_implementation": "eager"}
    encoder = CrossEncoder(arguments.model, revision=arguments.revision, device="cpu", model_kwargs=eager)
    if encoder.num_labels != 1:
        sys.exit(f"the model gives {encoder.num_labels} scores for a pair, not one")
    target: Path = arguments.target
    encoded = encoder.tokenizer(
        [("a short text", "b"), ("a longer text", "b c")], padding=True, return_tensors="pt"
    )
    names = [name for name in encoder.tokenizer.model_input_names if name in encoded]
    most = min(encoder.max_length or encoder.tokenizer.model_max_length, encoder.tokenizer.model_max_length)
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=most)}
    torch.onnx.export(
        _Graph(encoder.model.eval(), names).eval(),
        tuple(encoded[name] for name in names),
        str(target / "model.onnx"),
        input_names=names,
        output_names=["sentence_embedding"],  # the name that the runtimes read
        dynamic_shapes=((shape,) * len(names),),
        opset_version=_OPSET,
        dynamo=True,
        external_data=False,
    )
    encoder.tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))
    settings = {
        "max_sequence_length": most,
        "pad_token_id": encoder.tokenizer.pad_token_id or 0,
        "versions": f"torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}",
    }
    (target / "settings.json").write_text(json.dumps(settings))
    pairs = [(_QUESTION, text) for text in _CHECK_TEXTS]
    scores = encoder.predict(pairs, activation_fn=torch.nn.Identity()).tolist()
    (target / "check.json").write_text(
        json.dumps({"question": _QUESTION, "texts": _CHECK_TEXTS, "scores": scores})
    )


if __name__ == "__main__":
    main()
