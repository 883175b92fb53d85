"""Recognise printed text on the picture of a page with RapidOCR (PaddleOCR's models on onnxruntime).

Part of the child's program. The constructor loads everything, since the process can soon open no file and start no
thread.
"""

from __future__ import annotations

import contextlib
import os
import resource
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docwell.adapters.documents.ocr_layout import Box, confidence, stand_upright

# In pixels: 171 dots an inch for a page of A4. RapidOCR shrinks larger pictures.
LONGEST_SIDE = 2000
# Two threads take 0.6 of the time of one; more gain little.
THREADS = 2
# A page with less confidence is also tried upside down. Upside-down text got 0.60 to 0.74, a good scan over 0.95.
DOUBT = 0.8
# A picture is blank when its lightest and darkest points differ by less (of 255).
CONTRAST = 32


def forbid_threads() -> None:
    """Forbid new threads and processes, after the engine has started its threads."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


class Engine:
    """Reads pictures: (height, width, 3) uint8 arrays."""

    def __init__(self) -> None:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)
        options = {
            "Global.log_level": "critical",
            "Global.max_side_len": LONGEST_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": min(THREADS, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # Batches take twice the time: all lines of a batch are padded to the longest.
            "Rec.rec_batch_num": 1,
        }
        self._engine = RapidOCR(params=options)
        # RapidOCR loads its models at their first use.
        blank = np.full((64, 256, 3), 255, np.uint8)
        self._engine(blank, use_det=True, use_cls=False, use_rec=False)
        self._engine(blank, use_det=False, use_cls=False, use_rec=True)

    def read(self, picture: NDArray[np.uint8]) -> tuple[list[Box], int]:
        """Return the lines on the picture, turned upright if need be, and the height of that picture in pixels.

        A page on its side or upside down is read both ways, and the more confident reading wins. RapidOCR's own
        guess, made line by line, was wrong for a tenth of good lines.
        """
        if np.ptp(picture) < CONTRAST:
            return [], picture.shape[0]
        found = [(self._boxes(picture), picture.shape[0])]
        sideways = stand_upright(found[0][0])
        if sideways:
            found.clear()
        for quarters in (1, 3) if sideways else (2,):
            if found and (confidence(found[-1][0]) or 1.0) >= DOUBT:
                break
            turned = np.ascontiguousarray(np.rot90(picture, quarters))
            found.append((self._boxes(turned), turned.shape[0]))
        return max(found, key=lambda one: confidence(one[0]) or 0.0)

    def _boxes(self, picture: NDArray[np.uint8]) -> list[Box]:
        answer: Any = self._engine(picture, use_det=True, use_cls=False, use_rec=True)
        if answer.boxes is None or answer.txts is None:
            return []
        return [
            Box(
                " ".join(text.split()),
                float(corners[:, 0].min()),
                float(corners[:, 1].min()),
                float(corners[:, 0].max()),
                float(corners[:, 1].max()),
                min(1.0, max(0.0, float(score))),
            )
            for corners, text, score in zip(answer.boxes, answer.txts, answer.scores, strict=True)
        ]
