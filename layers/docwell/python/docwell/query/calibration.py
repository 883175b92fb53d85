"""The learnt token ratio of the model's present weights, and where it is kept between processes."""

from __future__ import annotations

from docwell.deadline import Deadline, in_thread
from docwell.errors import DocwellError
from docwell.ports import ModelFacts, StateStore
from docwell.text.tokens import TokenBound, TokenEstimate, TokenRatio

# Save every tenth update; losing a few is harmless.
SAVE_EVERY = 10
# Of a question's time, the share for reading what earlier processes learnt.
_SHARE = 0.1


class Calibration:
    """Loads the ratio at the first question and saves it now and then. Each digest of a model has its own."""

    def __init__(self, facts: ModelFacts, store: StateStore, model: str) -> None:
        self._facts = facts
        self._store = store
        self._model = model
        self._state_name: str | None = None
        self._ratio = TokenRatio()

    async def ratio(self, deadline: Deadline) -> TokenRatio:
        """Return the ratio. When the host or the store fails, start from nothing and load at the next question."""
        if self._state_name is None:
            try:
                async with deadline.stage("calibration", _SHARE):
                    name = f"tokens#{self._model}@{await self._facts.digest()}"
                    self._ratio = TokenRatio.from_state(await in_thread(self._store.read, name))
                    self._state_name = name
            except DocwellError:
                pass
        return self._ratio

    def observe(self, bound: TokenBound, reported: int) -> TokenEstimate:
        """Learn the host's count of a prompt; return the estimate from before."""
        return self._ratio.observe(bound, reported)

    def save(self) -> None:
        """Write the ratio when it has learnt enough since the last time. Raises `Unavailable`."""
        if self._state_name is not None and self._ratio.observations % SAVE_EVERY == 0:
            self._store.write(self._state_name, self._ratio.to_state())
