"""The recogniser of printed text on the picture of a page: RapidOCR (PaddleOCR's models on onnxruntime).

`pdf_child.py` runs it, in a process of its own. All that it needs is loaded when it is made, since soon after that
the process can open no file and start no thread.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from docwell.adapters.documents.ocr_layout import Box, confidence, stand_upright

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# In pixels. RapidOCR makes a larger picture smaller; 171 dots an inch for a page of A4.
LONGEST_SIDE = 2000
# More threads gain little: 2 take 0.6 of the time of one.
THREADS = 2
# Text that stands on its head was recognised with 0.60 to 0.74, a good scan with 0.95 and more: below this the
# page is tried the other way round.
DOUBT = 0.8
# A picture whose lightest and darkest points differ by less (of 255) is blank.
CONTRAST = 32


class Engine:
    """Reads pictures: (height, width, 3) uint8 arrays."""

    def __init__(self) -> None:
        import cv2  # noqa: PLC0415 - after the limits are set, as all here
        import numpy as np  # noqa: PLC0415
        from rapidocr import RapidOCR  # noqa: PLC0415

        cv2.setNumThreads(1)
        options = {
            "Global.log_level": "critical",
            "Global.max_side_len": LONGEST_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": min(THREADS, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # One by one: lines of a batch are padded to the longest, which takes twice the time.
            "Rec.rec_batch_num": 1,
        }
        self._engine = RapidOCR(params=options)
        self._turned, self._contrast = np.rot90, np.ptp
        self._in_one_piece = np.ascontiguousarray
        # Models are loaded at their first use.
        blank = np.full((64, 256, 3), 255, np.uint8)
        self._engine(blank, use_det=True, use_cls=False, use_rec=False)
        self._engine(blank, use_det=False, use_cls=False, use_rec=True)

    def read(self, picture: NDArray[np.uint8]) -> tuple[list[Box], int]:
        """The lines on it, and the height in pixels of the picture that they are on: it may have been turned.

        A page that lies on its side or stands on its head is turned, and the way round that is recognised best is
        taken; the recogniser's own guess at that, line by line, was wrong for a tenth of good lines.
        """
        if self._contrast(picture) < CONTRAST:
            return [], picture.shape[0]
        found = [(self._boxes(picture), picture.shape[0])]
        sideways = stand_upright(found[0][0])
        if sideways:
            found.clear()
        for quarters in (1, 3) if sideways else (2,):
            if found and (confidence(found[-1][0]) or 1.0) >= DOUBT:
                break
            turned = self._in_one_piece(self._turned(picture, quarters))
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
