"""Questions while the model host is overloaded: the answer, and the metric."""

from __future__ import annotations

import json

import pytest

from docwell.errors import Overloaded, Unavailable
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call
from tests.unit.query.query_world import QUESTION


def test_an_overloaded_host_is_a_503_that_says_when_to_come_back(world: HttpWorld) -> None:
    world.model.fails = Overloaded("ollama", "it is given a rest", 7.5)
    status, problem, headers = call("POST", "/v1/query", {"question": QUESTION})
    assert (status, problem["type"], headers["Retry-After"]) == (503, "urn:docwell:problem:overloaded", ["8"])


@pytest.mark.parametrize(
    ("fallback", "error", "count"),
    [
        ("none", Overloaded("ollama", "it is given a rest"), 1),
        ("extractive", Overloaded("ollama", "it is given a rest"), 1),
        ("extractive", Unavailable("ollama", "ollama cannot be reached"), 0),
    ],
)
def test_an_overloaded_host_is_counted_once_whether_the_question_fails_or_falls_back(
    world: HttpWorld, capsys: pytest.CaptureFixture[str], fallback: str, error: Exception, count: int
) -> None:
    world.model.fails = error
    call("POST", "/v1/query", {"question": QUESTION, "fallback": fallback})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"Overloads"' in line]
    assert [one["Overloads"] for one in lines] == [[1.0]] * count
    assert [one["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for one in lines] == [[["service"]]] * count
