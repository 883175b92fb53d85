"""From SQS messages to keys, and what happens at the last try."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest

from docwell.errors import BadInput, Unavailable
from docwell.events import Delivery, handle_delivery, keys_of
from docwell.models import Reason, Status
from tests.unit.test_ingest import KEY, World


def body(*keys: str) -> str:
    return json.dumps({"Records": [{"s3": {"object": {"key": quote_plus(key)}}} for key in keys]})


@pytest.mark.parametrize(
    "key", ["a+b.pdf", "100%.pdf", "a&b=c.pdf", "a b.pdf", "é/日本.pdf", "a%2Fb.pdf", "//a/../b.pdf"]
)
def test_a_key_comes_out_as_it_went_in(key: str) -> None:
    assert keys_of(body(key)) == (key,)


def test_a_message_that_names_a_key_twice_gives_it_once() -> None:
    assert keys_of(body("a", "b", "a")) == ("a", "b")


def test_the_test_event_names_no_key() -> None:
    assert keys_of('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}') == ()


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "null", "{}", '{"Records": [{"s3": {}}]}', '{"Records": 3}']
)
def test_a_body_that_is_no_notification_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        keys_of(text)


def fail_once(world: World, *, last: bool) -> None:
    world.store.put(KEY, "some text")

    def down() -> None:
        raise Unavailable("chroma", "chroma cannot be reached")

    world.index.before_upsert = down
    with pytest.raises(Unavailable):
        handle_delivery(world.ingest, Delivery("message-1", (KEY,), last=last), lambda: 900.0)


def test_a_failure_before_the_last_try_leaves_the_document_pending() -> None:
    world = World()
    fail_once(world, last=False)
    assert world.ledger.records[KEY].status is Status.PENDING


def test_a_failure_at_the_last_try_names_the_document_failed_with_the_reason() -> None:
    world = World()
    fail_once(world, last=True)
    record = world.ledger.records[KEY]
    assert (record.status, record.reason) == (Status.FAILED, Reason.UNAVAILABLE)
    assert record.detail == "chroma cannot be reached"
