import json
from typing import Any

import pytest

from llmdeployment_operator.plan.base.fetching import (
    FetchProgress,
    describe_progress,
    is_fetching,
    read_commit,
    read_progress,
)
from llmdeployment_operator.plan.base.pods import check_pods
from llmdeployment_operator.plan.base.reasons import Reason

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}


def pod(state: dict[str, Any], name: str = "p") -> dict[str, Any]:
    status = {"name": "fetch-model", "state": state}
    return {"metadata": {"name": name}, "status": {"initContainerStatuses": [status]}}


def ended(message: object, code: int = 0) -> dict[str, Any]:
    return pod({"terminated": {"exitCode": code, "message": message}})


@pytest.mark.parametrize("commit", [COMMIT, "a" * 64])
def test_a_container_that_ended_well_says_what_the_source_held(commit: str) -> None:
    assert read_commit(ended(json.dumps({"source": "hf://a/b@main", "commit": commit}))) == commit


@pytest.mark.parametrize(
    "seen",
    [
        pod(RUNNING),
        {"metadata": {"name": "p"}},
        ended(json.dumps({"commit": COMMIT}), code=1),
        ended("hf://a/b@main is gated"),
        ended(""),
        ended(None),
        ended("[]"),
        ended(json.dumps({"commit": 7})),
        ended(json.dumps({"commit": COMMIT + "\n"})),
        ended(json.dumps({"commit": "main; rm -rf /"})),
    ],
)
def test_what_cannot_be_a_commit_is_none(seen: dict[str, Any]) -> None:
    assert read_commit(seen) == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"bytes": 1, "totalBytes": 2},
        {"bytes": -1, "totalBytes": 2, "bytesPerSecond": 0},
        {"bytes": "1", "totalBytes": 2, "bytesPerSecond": 0},
        {"bytes": 0, "totalBytes": 0, "bytesPerSecond": 0},
        {"bytes": 1, "totalBytes": 10**19, "bytesPerSecond": 0},
    ],
)
def test_what_cannot_be_a_progress_is_none(body: dict[str, Any]) -> None:
    assert read_progress(body) is None


def test_a_condition_says_bytes_and_rate_and_changes_seldom() -> None:
    told = {
        describe_progress(FetchProgress(size, 16_000_000_000, 120_000_000 + size // 1000))
        for size in range(0, 16_000_000_001, 100_000_000)
    }
    assert len(told) == 21
    assert ": 8.0 of 16.0 GB (50 %), about 100 MB/s." in told
    assert describe_progress(FetchProgress(0, 1, 0)).endswith("none now.")


def test_a_pod_that_downloads_says_how_far_it_is() -> None:
    pods = [pod(RUNNING), pod(RUNNING, "q")]
    assert [is_fetching(each) for each in (*pods, ended(""))] == [True, True, False]
    found = check_pods(pods, {}, {"p": FetchProgress(1_000_000_000, 4_000_000_000, 50_000_000)})
    assert found is not None
    assert found.reason == Reason.FETCHING_MODEL
    assert found.message == "Pod p is downloading the model: 1.0 of 4.0 GB (25 %), about 50 MB/s."
