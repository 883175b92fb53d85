"""The learnt token ratio of the model's present weights, and its store between processes."""

from __future__ import annotations

import asyncio

from docwell.deadline import Deadline
from docwell.errors import DocwellError
from docwell.ports import LanguageModel, StateStore
from docwell.text.tokens import TokenRatio

# Save every tenth update; losing a few is harmless.
SAVE_EVERY = 10
# Of a question's time, the share for reading what earlier processes learnt.
_SHARE = 0.1


class Calibration:
    """Loads the ratio at the first question and saves it now and then. Each digest of a model has its own."""

    def __init__(self, model: LanguageModel, store: StateStore) -> None:
        self._model = model
        self._store = store
        self._state_name: str | None = None
        self.ratio = TokenRatio()

    async def load(self, deadline: Deadline) -> None:
        """Load the ratio. When the host or the store fails, start from nothing and load at the next question."""
        if self._state_name is None:
            try:
                async with deadline.stage("calibration", _SHARE):
                    name = f"tokens#{self._model.name}@{await self._model.digest()}"
                    self.ratio = TokenRatio.from_state(await asyncio.to_thread(self._store.read, name))
                    self._state_name = name
            except DocwellError:
                pass

    def save(self) -> None:
        """Write the ratio when it has learnt enough since the last time. Raises `Unavailable`."""
        if self._state_name is not None and self.ratio.observations % SAVE_EVERY == 0:
            self._store.write(self._state_name, self.ratio.to_state())
