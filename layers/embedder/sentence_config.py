"""Read the settings of a sentence-transformers model folder without sentence-transformers.

`SentenceTransformer.save` writes modules.json and one folder for each module. Version 6 renamed some fields; this
module reads both names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docwell.errors import BadInput

_POOLINGS = ("mean", "cls")
# The flags before version 6, with the later values of `pooling_mode`.
_OLD_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class SentenceConfig:
    """A model's settings. `modules` are the module types in order; `prompts` has query and passage."""

    modules: tuple[str, ...]
    pooling: str
    normalize: bool
    max_sequence_length: int
    do_lower_case: bool
    pad_token_id: int
    prompts: Mapping[str, str]
    transformer: Mapping[str, Any]


def read(folder: Path) -> SentenceConfig:
    """Return the settings of a model folder. Raises `BadInput` for a model that docwell cannot run."""
    entries = _json(folder / "modules.json")
    if not isinstance(entries, list):
        raise BadInput(f"{folder} has no modules.json: it is not a sentence-transformers model")
    paths = {entry["type"].rpartition(".")[2]: folder / entry["path"] for entry in entries}
    if not {"Transformer", "Pooling"} <= set(paths):
        raise BadInput(f"modules {', '.join(paths)}: a Transformer and a Pooling are required")
    config = _json(paths["Transformer"] / "config.json")
    sentence = _json(paths["Transformer"] / "sentence_bert_config.json")
    return SentenceConfig(
        modules=tuple(paths),
        pooling=pooling_of(_json(paths["Pooling"] / "config.json")),
        normalize="Normalize" in paths,
        max_sequence_length=sentence.get("max_seq_length") or config["max_position_embeddings"],
        do_lower_case=bool(sentence.get("do_lower_case")),
        pad_token_id=config.get("pad_token_id") or 0,
        prompts=prompts_of(_json(folder / "config_sentence_transformers.json")),
        transformer=config,
    )


def pooling_of(config: Mapping[str, Any]) -> str:
    """Return mean or cls. Raises `BadInput` for any other pooling, and for a pooling that excludes prompts."""
    modes = config.get("pooling_mode") or [name for flag, name in _OLD_POOLING_FLAGS.items() if config.get(flag)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise BadInput(f"pooling {'+'.join(modes) or 'unknown'}: only {' and '.join(_POOLINGS)} are supported")
    if not config.get("include_prompt", True):
        raise BadInput("the model leaves its prompt out of the pooling, which is not supported")
    return str(modes[0])


def prompts_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the prompts of a query and a passage, as `encode_query` and `encode_document` choose them."""
    prompts: Mapping[str, str] = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name") or "", "")

    def first(*names: str) -> str:
        return next((prompts[name] for name in names if name in prompts), default)

    return {"query": first("query"), "passage": first("document", "passage", "corpus")}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
