"""Which requests an engine's end is laid to."""

import pytest

from llmdeployment_serving.crashes import REMEMBERED_SECONDS, Crashes, hash_request


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_request_is_its_path_and_body() -> None:
    hashes = {hash_request(p, b) for p in ("/v1/completions", "/v1/chat") for b in (b"{}", b"[]")}
    assert len(hashes) == 4


def test_one_engine_counts_once_and_an_answer_clears_a_request() -> None:
    crashes = Crashes()
    assert [crashes.add("a", 1), crashes.add("a", 1), crashes.add("b", 1)] == [1, 1, 1]
    assert crashes.add("a", 2) == 2
    crashes.forget("a")
    crashes.forget("never seen")
    assert (crashes.count("a"), crashes.count("b")) == (0, 1)


def test_what_was_long_ago_does_not_count() -> None:
    assert REMEMBERED_SECONDS == 600
    clock = Clock()
    crashes = Crashes(clock)
    crashes.add("a", 1)
    clock.now += REMEMBERED_SECONDS
    assert crashes.count("a") == 1
    clock.now += 0.1
    assert crashes.count("a") == 0
    assert crashes.add("a", 2) == 1


def test_only_so_many_requests_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmdeployment_serving.crashes._remembered_requests", 3)
    crashes = Crashes()
    for name in "abcd":
        crashes.add(name, 1)
    assert [crashes.count(name) for name in "abcd"] == [0, 1, 1, 1]
