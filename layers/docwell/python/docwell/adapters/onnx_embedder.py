"""The embedding model in this process: onnxruntime and tokenizers, without torch or sentence-transformers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from docwell.adapters.model_manifest import MODEL_FILE, TOKENIZER_FILE, ModelManifest
from docwell.errors import BadInput, Corrupt

_OUTPUT = "sentence_embedding"
# Measured on 2 cores: sorted by length, batches of 8 take 1.2 s for 200 mixed texts, of 32 1.7 s,
# unsorted ones of 32 5.7 s. Padding costs more than a batch gains.
_BATCH = 8
# A text joins a batch only when the shortest one in it then wastes little on padding.
_PADDING_RATIO = 1.25
_PADDING_TOKENS = 8


class OnnxEmbedder:
    """`ports.Embedder` and `ports.Tokenizer` over a folder that `make model` wrote."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """Verify and load the model; 0 threads means as many as there are cores for this process.

        Raises `Corrupt` when a file is absent, is not the one in the manifest, or cannot be loaded.
        """
        manifest = ModelManifest.read(folder)
        manifest.verify(folder)
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            session = _session(folder / MODEL_FILE, threads)
        except Exception as error:  # both libraries raise bare Exceptions of their own making
            raise Corrupt(f"{folder}: the model cannot be loaded ({error})") from error
        # tokenizer.json carries settings of its own (128 tokens, padded to 128, in all-MiniLM-L6-v2's case).
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.manifest = manifest
        self._tokenizer = tokenizer
        self._session = session
        self._inputs = {each.name for each in session.get_inputs()}
        self._room = manifest.max_sequence_length - tokenizer.num_special_tokens_to_add(is_pair=False)

    @property
    def max_tokens(self) -> int:
        """The most tokens of one passage that the model reads: without special tokens and its prompt."""
        prompt = self.manifest.prompts["passage"]
        return self._room - len(self._tokenizer.encode(prompt, add_special_tokens=False).ids)

    @property
    def fingerprint(self) -> str:
        """A hash of the model's files and of all settings that change a vector (32 hex digits)."""
        return self.manifest.fingerprint

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self.manifest.dimension

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """(start, end) in characters of each token of each text, nothing truncated, no special tokens."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.offsets for encoding in encodings]

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimension) float32 of unit length, in the order given; (0, dimension) for no text.

        Raises `BadInput` for a text that the model would not read to its end.
        """
        encodings = self._encode(texts, self.manifest.prompts["passage"])
        longest = max((len(encoding.ids) for encoding in encodings), default=0)
        if longest > self._room:
            raise BadInput(f"a passage of {longest} tokens; the embedding model reads {self._room}")
        return self._embed(encodings)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimension) float32 as for passages; a text that is too long is cut, as it only asks."""
        encodings = self._encode(texts, self.manifest.prompts["query"])
        for encoding in encodings:
            encoding.truncate(self._room)
        return self._embed(encodings)

    def _encode(self, texts: Sequence[str], prompt: str) -> list[Encoding]:
        prompted = [prompt + text for text in texts]
        return self._tokenizer.encode_batch_fast(prompted, add_special_tokens=False)

    def _embed(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        complete = [self._tokenizer.post_process(encoding) for encoding in encodings]
        vectors = np.empty((len(complete), self.manifest.dimension), dtype=np.float32)
        for batch in _batches([len(encoding.ids) for encoding in complete]):
            vectors[batch] = self._run([complete[index] for index in batch])
        if not self.manifest.normalize:
            # 1e-12 as in torch.nn.functional.normalize: no vector of zeros becomes NaN.
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def _run(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        longest = max(len(encoding.ids) for encoding in encodings)
        shape = (len(encodings), longest)
        feed = {
            "input_ids": np.full(shape, self.manifest.pad_token_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            feed["input_ids"][row, :length] = encoding.ids
            feed["attention_mask"][row, :length] = 1
            feed["token_type_ids"][row, :length] = encoding.type_ids
        wanted = {name: values for name, values in feed.items() if name in self._inputs}
        (vectors,) = self._session.run([_OUTPUT], wanted)
        return np.asarray(vectors, dtype=np.float32)


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    onnxruntime.disable_telemetry_events()  # on by default in some builds; nothing leaves the account
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _cores()
    options.inter_op_num_threads = 1
    # Threads that spin while they wait make shared cores slower: 147 ms against 60 ms a batch, measured.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _cores() -> int:
    # Not os.cpu_count(): a container may use fewer cores than the machine has. macOS cannot tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions of texts of about equal length, the shortest first, at most `_BATCH` together."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch:
            limit = lengths[batch[0]] * _PADDING_RATIO + _PADDING_TOKENS
            if len(batch) == _BATCH or lengths[index] > limit:
                yield batch
                batch = []
        batch.append(index)
    if batch:
        yield batch
