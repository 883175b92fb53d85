"""`Table` repeats the part of a batch that DynamoDB did not process."""

from __future__ import annotations

from typing import Any

import pytest

from docwell.adapters.dynamodb import table
from docwell.adapters.dynamodb.table import Table
from docwell.errors import Unavailable

KEYS = [{"id": str(number)} for number in range(130)]


class Busy:
    """A client that processes at most `share` keys of a batch, and notes the sizes of the batches."""

    def __init__(self, share: int) -> None:
        self.share = share
        self.sizes: list[int] = []

    def batch_get_item(self, **request: Any) -> Any:
        wanted = request["RequestItems"]["t"]
        keys = wanted["Keys"]
        self.sizes.append(len(keys))
        left = {"t": wanted | {"Keys": keys[self.share :]}} if keys[self.share :] else {}
        return {"Responses": {"t": keys[: self.share]}, "UnprocessedKeys": left}

    def batch_write_item(self, **request: Any) -> Any:
        deletes = request["RequestItems"]["t"]
        self.sizes.append(len(deletes))
        left = deletes[self.share :]
        return {"UnprocessedItems": {"t": left} if left else {}}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_PAUSE_S", 0.0)


def test_the_unprocessed_part_of_a_batch_is_sent_again() -> None:
    busy: Any = Busy(share=60)
    assert list(Table(busy, "t", "ledger").get_many(KEYS)) == KEYS
    assert busy.sizes == [100, 40, 30]
    busy = Busy(share=20)
    Table(busy, "t", "ledger").delete_many(KEYS[:30])
    assert busy.sizes == [25, 5, 5]


def test_a_batch_that_stays_unprocessed_is_unavailable() -> None:
    busy: Any = Busy(share=0)
    with pytest.raises(Unavailable, match="ledger: a batch is throttled"):
        list(Table(busy, "t", "ledger").get_many(KEYS[:1]))
    assert busy.sizes == [1, 1, 1]
