"""Run a cross-encoder in this process, as the embedding model runs, without torch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from docwell.adapters.embedding.model_manifest import MODEL_FILE, TOKENIZER_FILE, ModelManifest
from docwell.adapters.embedding.onnx_embedder import SessionOpener, feeds_of
from docwell.deadline import Deadline
from docwell.errors import DeadlineExceeded, ModelDamaged

# The value of `pooling` in the manifest of a cross-encoder, which scores pairs and pools nothing.
PAIRS = "pairs"
_NAME = "reranker"

logger = logging.getLogger(__name__)


class CrossEncoder:
    """`docwell.ports.Reranker` over a folder that `make model RERANKER=...` wrote."""

    def __init__(self, folder: Path, threads: int, open_session: SessionOpener) -> None:
        """Verify and load the model, and score one pair. Raises `ModelDamaged` when it cannot."""
        self._manifest = ModelManifest.read(folder)
        if self._manifest.pooling != PAIRS:
            raise ModelDamaged(folder, "not a cross-encoder")
        self._manifest.verify(folder)
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            self._session = open_session(folder / MODEL_FILE, threads)
            self._tokenizer.no_padding()
            # Truncate the longer text of a pair: the passage.
            self._tokenizer.enable_truncation(self._manifest.max_sequence_length)
            # Fail now: a model that can score no pair would be skipped silently for each question.
            usable = bool(self.scores("question", ["passage"]))
        except Exception as error:  # these libraries raise bare Exception
            raise ModelDamaged(folder, f"the model cannot be used ({error})") from error
        if not usable:
            raise ModelDamaged(folder, "the model scores a pair with no finite number")

    async def rerank(self, question: str, texts: Sequence[str], timeout_s: float) -> Sequence[float]:
        """Return a score for each text; none when the time runs out first or the model fails."""
        deadline = Deadline(timeout_s)
        try:
            async with deadline.stage(_NAME):
                return await asyncio.to_thread(self.scores, question, texts, deadline)
        except DeadlineExceeded:
            return ()
        except Exception as error:  # noqa: BLE001 - onnxruntime raises bare Exception
            # Do not log the message, which may hold text.
            logger.warning("the reranker failed", extra={"exception": type(error).__name__})
            return ()

    def scores(self, question: str, texts: Sequence[str], deadline: Deadline | None = None) -> tuple[float, ...]:
        """Return a score for each text; none if a score is not finite.

        Raises the runtime's errors, `ValueError` for other shapes, and `DeadlineExceeded` between batches.
        """
        encodings = self._tokenizer.encode_batch([(question, text) for text in texts])
        scores = np.empty(len(texts), dtype=np.float32)
        for batch, feed in feeds_of(encodings, self._session, self._manifest):
            # Check the deadline here: cancelling the task does not end this thread.
            if deadline is not None and not deadline.left():
                raise DeadlineExceeded(_NAME, "reading the passages took more than its share of the time allowed")
            pair_scores = self._session.run(feed)
            if pair_scores.shape != (len(batch), 1):
                raise ValueError(f"scores of the shape {pair_scores.shape} for {len(batch)} pairs")
            scores[batch] = pair_scores[:, 0]
        if not np.isfinite(scores).all():
            return ()
        return tuple(scores.tolist())
