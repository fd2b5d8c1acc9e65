"""The golden set at the page: what is on record, what the questions ask, and answers of now."""

import json
from typing import Any

import pytest
from tests.unit.console.fakes import ONE, WRITE, FakeCluster, FakeWays, browse, moving, open_console
from tests.unit.console.pods import run_pod
from tests.unit.console.test_chat import ask, chunk

from llmdeployment_cli.errors import Refusal
from llmdeployment_console import golden
from llmdeployment_console.golden_checks import check_answer
from llmdeployment_serving import checks as real_checks
from llmdeployment_serving import golden as real_golden
from llmdeployment_serving.evaluation_result import pack_answers

LINES = (
    {"id": "capital", "prompt": "Capital of Peru?", "expect": {"contains": ["Lima"]}},
    {"messages": [{"role": "user", "content": "Two primes?"}], "expect": {"json": True}},
    {
        "id": "sum",
        "prompt": "1 + 1?",
        "expect": {"exact": "2", "notContains": ["3"]},
        "parameters": {"seed": 7, "max_completion_tokens": 5},
    },
)
TEXT = "\n\n".join(json.dumps(line) for line in LINES)
EVALUATION = {"golden": {"configMapRef": {"name": "set"}}, "maxTokens": 99}
KEY = ("shop", "set", "golden.jsonl")


def row(*passed: bool, contents: str = "5ee", wrong: Any = ()) -> dict[str, Any]:
    return {
        "contents": contents,
        "answers": pack_answers(passed),
        "passed": sum(passed),
        "total": len(passed),
        "wrong": [{"number": number, "id": name} for number, name in wrong],
    }


def evaluated(**spec: Any) -> dict[str, Any]:
    """Return an LLMDeployment whose canary lost question 1 and won question 3."""
    found = moving()
    contents = golden.hash_questions(golden.read_questions(TEXT))
    rows = {
        3: row(True, True, False, contents=contents, wrong=[(3, "sum")]),
        4: row(False, True, True, contents=contents, wrong=[(1, "capital")]),
    }
    for each in found["status"]["revisions"]:
        if each["number"] in rows:
            own = {"golden": "5ee", "at": "2026-11-24T11:46:00Z"}
            each["evaluation"] = {**own, **rows[each["number"]]}
    rollout = {**found["spec"]["rollout"], "evaluation": {**EVALUATION, **spec}}
    found["spec"] = {**found["spec"], "rollout": rollout}
    return found


@pytest.mark.parametrize(
    ("stable", "canary", "found"),
    [
        (None, None, []),
        (
            row(True, False, False),
            row(False, True, False, wrong=[(1, "capital")]),
            [(1, "capital", "lost"), (2, "question 2", "won"), (3, "question 3", "wrong")],
        ),
        # Of other questions the answers cannot be compared.
        (row(True, True, contents="aaa"), row(False, True), [(1, "question 1", "wrong")]),
        (None, row(False, True), [(1, "question 1", "wrong")]),
        # An older image reports no bits.
        (
            None,
            {"wrong": [{"number": 7, "id": "old"}], "passed": 1, "total": 9},
            [(7, "old", "wrong")],
        ),
        (
            None,
            {"wrong": [{"number": 7, "id": "old"}], "comparison": {"questions": ["old"]}},
            [(7, "old", "lost")],
        ),
        # Bits that are not those of the counts are not believed.
        (row(True, False), {**row(False, True), "passed": 2}, []),
    ],
)
def test_what_is_on_record_says_what_changed(stable: Any, canary: Any, found: Any) -> None:
    rows = golden.list_changed(stable, canary)
    assert [(each["number"], each["id"], each["kind"]) for each in rows] == found


def test_of_many_changes_the_lost_ones_are_shown() -> None:
    stable, canary = row(*[False] * 50, *[True] * 50), row(*[True] * 50, *[False] * 50)
    rows = golden.list_changed(stable, canary)
    assert len(rows) == golden.MOST_ROWS
    assert {each["kind"] for each in rows} == {"lost"}


def test_questions_and_their_hash_are_those_of_the_evaluation() -> None:
    ours, theirs = golden.read_questions(TEXT), real_golden.parse_golden(TEXT)
    assert [(q.id, q.messages, q.expect, q.parameters) for q in ours] == [
        (q.id, q.messages, q.expect, q.parameters) for q in theirs
    ]
    assert golden.hash_questions(ours) == real_golden.hash_questions(theirs)


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", "{}", '{"prompt": "?"}', '{"messages": [1], "expect": {}}']
)
def test_a_line_that_is_no_question_is_named(line: str) -> None:
    with pytest.raises(Refusal, match="line 2 of the golden set"):
        golden.read_questions(f"\n{line}")


@pytest.mark.parametrize(
    ("expect", "answer"),
    [
        ({"exact": "Lima"}, " Lima\n"),
        ({"exact": "Lima"}, "lima"),
        ({"json": True}, '{"a": 1}'),
        ({"json": True}, "no"),
        ({"json": True}, "[" * 100_000),
        ({"contains": ["Lima", "Peru"]}, "Lima, Peru"),
        ({"contains": ["Lima", "Peru"]}, "Lima"),
        ({"notContains": ["Cusco", "Quito"]}, "Lima"),
        ({"notContains": ["Cusco", "Quito"]}, "Quito"),
    ],
)
def test_a_check_is_that_of_the_evaluation(expect: dict[str, Any], answer: str) -> None:
    ((found,),) = ([each["passed"] for each in check_answer(expect, answer)],)
    assert found is (real_checks.check_answer(expect, answer) is None)


def test_every_kind_of_check_is_made_or_said_not_to_be() -> None:
    expect = {
        "exact": "1",
        "regex": "1",
        "json": True,
        "contains": ["1"],
        "notContains": ["2"],
        "judge": "x",
    }
    assert tuple(expect) == real_checks.KINDS
    found = {each["kind"]: each["passed"] for each in check_answer(expect, "1")}
    assert found == {**dict.fromkeys(expect, True), "regex": None, "judge": None}


async def test_the_page_gets_what_the_changed_questions_ask() -> None:
    cluster = FakeCluster(evaluated())
    cluster.config_maps[KEY] = TEXT
    async with open_console(cluster) as (console, _):
        browser = browse(console)
        document = browser.get(ONE).json()["evaluation"]
        assert [(each["number"], each["kind"]) for each in document["questions"]] == [
            (1, "lost"),
            (3, "won"),
        ]
        assert document["readable"] is True
        found = browser.get(f"{ONE}/golden").json()
    assert found["message"] is None
    assert [each["id"] for each in found["questions"]] == ["capital", "sum"]
    assert found["questions"][0]["messages"] == [{"role": "user", "text": "Capital of Peru?"}]
    assert found["questions"][1]["checks"][0] == {"kind": "exact", "wanted": "2"}


async def test_a_set_that_has_changed_since_is_not_shown_as_the_one_that_was_asked() -> None:
    cluster = FakeCluster(evaluated())
    cluster.config_maps[KEY] = TEXT.replace("Peru", "Chile")
    async with open_console(cluster) as (console, _):
        found = browse(console).get(f"{ONE}/golden").json()
    assert found["questions"] == []
    assert "other questions now" in found["message"]


@pytest.mark.parametrize(
    ("spec", "status", "message"),
    [
        ({}, 502, "ConfigMap set does not exist"),
        ({"golden": {"pvc": "pvc://sets/a.jsonl"}}, 409, "not in a ConfigMap"),
    ],
)
async def test_a_set_that_cannot_be_read_says_why(spec: Any, status: int, message: str) -> None:
    async with open_console(FakeCluster(evaluated(**spec))) as (console, _):
        answer = browse(console).get(f"{ONE}/golden")
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


async def test_a_question_is_asked_as_the_evaluation_asks_it_and_counted_by_nobody() -> None:
    cluster = FakeCluster(evaluated())
    cluster.config_maps[KEY] = TEXT
    pieces = [chunk(choices=[{"delta": {"content": text}}]) for text in ("2", " ")]
    with run_pod(b"".join([*pieces, b"data: [DONE]\n\n"])) as (base, pod):
        async with open_console(cluster, FakeWays(base)) as (console, _):
            *_, (name, end) = await ask(console, {"revision": 4, "number": 3}, "golden")
            ((refused, _error),) = await ask(console, {"revision": 4, "number": 4}, "golden")
    assert refused == "404"
    assert (name, end["checks"]) == (
        "end",
        [{"kind": "exact", "passed": True}, {"kind": "notContains", "passed": True}],
    )
    ((_path, headers, body),) = pod.requests
    assert (headers["x-llm-revision"], headers["x-llm-uncounted"]) == ("4", "true")
    assert body["messages"] == [{"role": "user", "content": "1 + 1?"}]
    assert (body["temperature"], body["seed"], body["max_completion_tokens"]) == (0, 7, 5)
    assert "max_tokens" not in body


def test_a_question_without_a_limit_has_that_of_the_evaluation() -> None:
    policy = golden.read_policy(evaluated())
    assert policy is not None
    first, *_ = golden.read_questions(TEXT)
    assert golden.build_request(policy, first)["max_tokens"] == 99


async def test_nobody_else_may_ask() -> None:
    async with open_console(FakeCluster(evaluated())) as (console, _):
        body, headers = {"revision": 4, "number": 1}, {**WRITE, "origin": "http://evil.example"}
        assert browse(console).post(f"{ONE}/golden", json=body, headers=headers).status_code == 403
