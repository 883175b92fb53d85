"""Run the embedding model in this process with tokenizers and an ONNX runtime, without torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from docwell.adapters.embedding.model_manifest import (
    EXAMPLES,
    EXAMPLES_FILE,
    MODEL_FILE,
    QUESTIONS_FILE,
    TOKENIZER_FILE,
    FileEntry,
    ModelManifest,
    digest_of,
)
from docwell.errors import BadInput, ModelDamaged

if TYPE_CHECKING:
    from docwell.config import EmbedRuntime

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html: "At 1,769 MB, a function has the
# equivalent of one vCPU", in proportion to its memory; the function always sees two cores or more.
_MEMORY_MB_OF_A_PROCESSOR = 1769
# A batch's longest text may have at most this ratio of the shortest one's tokens, plus these tokens.
_PADDING_RATIO = 1.25
_PADDING_TOKENS = 8


class Session(Protocol):
    """A loaded model file, and the input shapes that are fastest in its runtime.

    `inputs` are the names of the model's inputs, and `most_rows` is the most texts of a batch. Texts are padded to
    a multiple of `length_step`. Over 1, new shapes are slow: a batch has 1, 2, 4, 8... texts.
    """

    inputs: frozenset[str]
    most_rows: int
    length_step: int

    def run(self, feed: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return (rows, dimension) float32 for arrays of (rows, length), one for each input. Thread-safe."""


# Opens a model file with a number of threads. Raises any error of the runtime.
SessionOpener = Callable[[Path, int], Session]


def runs_openvino(runtime: EmbedRuntime) -> bool:
    """Return whether the runtime of that name is OpenVINO; `auto` is, where it is installed."""
    return runtime == "openvino" or (runtime == "auto" and find_spec("openvino") is not None)


def session_opener(runtime: EmbedRuntime) -> SessionOpener:
    """Return the opener of a runtime by its name. Raises `ImportError`."""
    if runs_openvino(runtime):
        from docwell.adapters.embedding.openvino_session import OpenvinoSession

        return OpenvinoSession
    from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession

    return OnnxruntimeSession


def threads_for(memory_mb: int | None) -> int:
    """Return the number of this process's processors, rounded; `memory_mb` is that of a Lambda function.

    Lambda would pause an extra thread for part of each 0.1 s, and the other threads would wait for it.
    """
    # os.cpu_count() ignores a container's smaller number of cores; macOS has no other count.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if memory_mb is None else max(1, min(cores, round(memory_mb / _MEMORY_MB_OF_A_PROCESSOR)))


class OnnxEmbedder:
    """`ports.Embedder` and `ports.Tokenizer` over a folder that `make model` wrote."""

    def __init__(
        self,
        folder: Path,
        threads: int = 0,
        open_session: SessionOpener | None = None,
        *,
        for_questions: bool = False,
    ) -> None:
        """Verify and load the model; 0 threads means one for each core of this process.

        With `for_questions`, load the query function's form if the folder has one; only onnxruntime reads it.

        Raises `ModelDamaged` when a file is missing, differs from the manifest, or cannot be loaded.
        """
        open_session = open_session or session_opener("auto")
        self.manifest = ModelManifest.read(folder)
        files = (MODEL_FILE, QUESTIONS_FILE)
        model, unused = reversed(files) if for_questions and QUESTIONS_FILE in self.manifest.stored else files
        self.manifest.verify(folder, without=unused)
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            self.session = open_session(folder / model, threads or threads_for(None))
        except Exception as error:  # these libraries raise bare Exception
            raise ModelDamaged(folder, f"the model cannot be loaded ({error})") from error
        # Override the settings in tokenizer.json: 128 tokens, padded to 128, for all-MiniLM-L6-v2.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self._room = self.manifest.max_sequence_length - special
        self.cuts_at_blanks = cuts_at_blanks(self._tokenizer)

    @property
    def max_tokens(self) -> int:
        """The most tokens of one passage that the model reads, without special tokens and the prompt."""
        prompt = self.manifest.prompts["passage"]
        return self._room - len(self._tokenizer.encode(prompt, add_special_tokens=False).ids)

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return (start, end) in characters of each token of each text, untruncated, without special tokens."""
        return [
            encoding.offsets for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ]

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, (n, dimension) float32, in the order given; (0, dimension) for no text.

        Raises `BadInput` for a text that is longer than the model reads.
        """
        encodings = self._encode(texts, self.manifest.prompts["passage"])
        longest = max((len(encoding) for encoding in encodings), default=0)
        if longest > self._room:
            raise BadInput(f"a passage of {longest} tokens; the embedding model reads {self._room}")
        return self._embed(encodings)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors as for passages; a question that is too long is cut."""
        encodings = self._encode(texts, self.manifest.prompts["query"])
        for encoding in encodings:
            encoding.truncate(self._room)
        return self._embed(encodings)

    def feeds(self, texts: Sequence[str]) -> list[tuple[list[int], dict[str, NDArray[np.int64]]]]:
        """Return the batches of these passages: positions in `texts`, and the session's inputs."""
        return list(self._feeds(self._encode(texts, self.manifest.prompts["passage"])))

    def _encode(self, texts: Sequence[str], prompt: str) -> list[Encoding]:
        return self._tokenizer.encode_batch_fast([prompt + text for text in texts], add_special_tokens=False)

    def _embed(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        vectors = np.empty((len(encodings), self.manifest.dimension), dtype=np.float32)
        for batch, feed in self._feeds(encodings):
            vectors[batch] = self.session.run(feed)
        if not self.manifest.normalize:
            # 1e-12 as in torch.nn.functional.normalize: a zero vector must not become NaN.
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def _feeds(self, encodings: Sequence[Encoding]) -> Iterator[tuple[list[int], dict[str, NDArray[np.int64]]]]:
        return feeds_of(
            [self._tokenizer.post_process(encoding) for encoding in encodings], self.session, self.manifest
        )


def kept_vectors(folder: Path, embedder: OnnxEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the query vectors of texts: the folder's, if they are of these texts and of this embedder's model.

    The folder's model may have changed since this one was loaded.
    """
    path, manifest = folder / EXAMPLES_FILE, embedder.manifest
    is_of_texts = manifest.made_from.get(EXAMPLES) == digest_of(texts)
    if is_of_texts and path.is_file() and FileEntry.of(path) == manifest.stored.get(EXAMPLES_FILE):
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    return embedder.embed_queries(texts)


def cuts_at_blanks(tokenizer: Tokenizer) -> bool:
    """Return whether no token has blanks or line ends, and words between them have the same tokens anywhere."""
    text = "a a\na\ra\ta"
    if tokenizer.pre_tokenizer is None:
        return False
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str(normal)
    same = len({piece for piece, _ in pieces}) == 1
    return same and [span for _, span in pieces] == [(place, place + 1) for place in range(0, len(text), 2)]


def feeds_of(
    encodings: Sequence[Encoding], session: Session, manifest: ModelManifest
) -> Iterator[tuple[list[int], dict[str, NDArray[np.int64]]]]:
    """Yield batches of texts, special tokens included: positions in `encodings`, and the session's inputs."""
    lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
    for batch in _batches(lengths.tolist(), session.most_rows):
        for part in _powers_of_two(batch) if session.length_step > 1 else [batch]:
            yield part, _feed([encodings[index] for index in part], lengths[part], session, manifest)


def _feed(
    encodings: Sequence[Encoding], lengths: NDArray[np.int64], session: Session, manifest: ModelManifest
) -> dict[str, NDArray[np.int64]]:
    step = session.length_step
    width = min(-(-max(lengths.tolist()) // step) * step, manifest.max_sequence_length)
    # A mask of the real tokens; read row by row, they are the concatenated texts.
    real = np.arange(width) < lengths[:, np.newaxis]
    feed = {"attention_mask": real.astype(np.int64)}
    feed["input_ids"] = np.full(real.shape, manifest.pad_token_id, dtype=np.int64)
    feed["input_ids"][real] = np.concatenate([encoding.ids for encoding in encodings])
    if "token_type_ids" in session.inputs:
        feed["token_type_ids"] = np.zeros(real.shape, dtype=np.int64)
        feed["token_type_ids"][real] = np.concatenate([encoding.type_ids for encoding in encodings])
    return feed


def _batches(lengths: Sequence[int], most_rows: int) -> Iterator[list[int]]:
    """Yield batches of up to `most_rows` positions of texts of about equal length, the shortest first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch:
            limit = lengths[batch[0]] * _PADDING_RATIO + _PADDING_TOKENS
            if len(batch) == most_rows or lengths[index] > limit:
                yield batch
                batch = []
        batch.append(index)
    if batch:
        yield batch


def _powers_of_two(batch: list[int]) -> Iterator[list[int]]:
    """Split a batch into parts of 1, 2, 4, 8... texts, the smallest part first."""
    while batch:
        size = len(batch) & -len(batch)
        yield batch[:size]
        batch = batch[size:]
