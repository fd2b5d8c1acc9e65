"""Tasks of lm-evaluation-harness: their requests, and what its samples say of each question. The real one is in tests/component."""

from pathlib import Path
from typing import Any

import pytest

from llmdeployment_serving.evaluate import Evaluation
from llmdeployment_serving.golden import GoldenError
from llmdeployment_serving.lm_eval_tasks import NO_PACKAGE, evaluate_tasks
from llmdeployment_serving.main import main
from llmdeployment_serving.tasks import TaskSet, build_body, cut, read_samples

ASKED = Evaluation(url="http://127.0.0.1:1", revision="1", model="chat")


def row(place: int, **more: Any) -> dict[str, Any]:
    return {
        "doc_id": place,
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": 1.0,
        "target": "4",
        "filtered_resps": ["4"],
        "doc_hash": f"d{place}",
        "prompt_hash": f"p{place}",
        "target_hash": f"t{place}",
        **more,
    }


def names(*tasks: tuple[str, list[dict[str, Any]]]) -> list[str]:
    """Return the names of the questions that were answered wrongly."""
    return [failure.id for failure in read_samples(dict(tasks), {}).failures]


def test_questions_are_numbered_over_tasks_and_in_their_order() -> None:
    wrong = [row(1, exact_match=0.0), row(0, exact_match=0.0)]
    found = read_samples({"b": wrong, "a": [row(0), row(1, exact_match=0)]}, {})
    assert found.total == 4
    assert [(f.number, f.id) for f in found.failures] == [(2, "a/1"), (3, "b/0"), (4, "b/1")]


def test_the_first_filter_counts() -> None:
    strict, flexible = {"filter": "strict", "exact_match": 0.0}, {"filter": "flexible"}
    rows = [row(0, **strict), row(0, **flexible), row(1, **flexible), row(1, **strict)]
    assert names(("gsm8k", rows)) == ["gsm8k/0", "gsm8k/1"]


@pytest.mark.parametrize(
    ("metrics", "wrong"),
    [
        ({"acc": 0, "exact_match": 1}, []),
        ({"exact_match": 0, "acc": 1}, ["a/0"]),
        ({"f1": 0.3, "acc": 0.0}, ["a/0"]),
        ({"f1": 0.3, "pass@1": True}, []),
        ({"exact_match": 0.5, "acc": 0}, ["a/0"]),
        ({"bleu": ("a", "b"), "found": 0}, ["a/0"]),
    ],
)
def test_the_metric_that_says_right_or_wrong(metrics: dict[str, Any], wrong: list[str]) -> None:
    assert names(("a", [row(0, **{"metrics": list(metrics), **metrics})])) == wrong


def test_a_task_without_such_a_metric_is_refused_with_those_it_has() -> None:
    rows = [
        row(0, metrics=["f1", "bleu"], f1=1.0, bleu=0.2),
        row(1, metrics=["f1"], f1=0.4, bleu=0),
    ]
    with pytest.raises(GoldenError, match=r"task a has no metric .* \(it has f1, bleu\)"):
        read_samples({"a": rows}, {})


def test_tasks_without_a_question_are_refused() -> None:
    with pytest.raises(GoldenError, match="the tasks a, b hold no question"):
        read_samples({"b": [], "a": []}, {})


def test_why_an_answer_is_wrong() -> None:
    rows = [row(0, exact_match=0, filtered_resps=["5\nor 6"]), row(1, exact_match=0)]
    found = read_samples({"a": rows}, {("a", 1): "answered 503: 'no'"})
    assert [f.why for f in found.failures] == ["is '5 or 6', not '4'", "answered 503: 'no'"]


def test_the_hash_is_of_the_questions_and_not_of_the_answers() -> None:
    def contents(*rows: dict[str, Any], task: str = "a") -> str:
        return read_samples({task: list(rows)}, {}).contents

    same = {
        contents(row(0), row(1)),
        contents(row(1), row(0, exact_match=0, filtered_resps=["5"], resps=[["5"]])),
    }
    others = {
        contents(row(0)),
        contents(row(0), row(1), task="b"),
        contents(row(0), row(2)),
        contents(row(0), row(1, doc_hash="other")),
        contents(row(0), row(1, prompt_hash="other")),
        contents(row(0), row(1, target_hash="other")),
        contents(*(row(n, metrics=["acc"], acc=1) for n in (0, 1))),
    }
    assert (len(same), len(others), len(same | others)) == (1, 7, 8)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, {"max_tokens": 9}),
        ({"max_gen_toks": 5}, {"max_tokens": 5}),
        ({"until": "\n"}, {"max_tokens": 9, "stop": ["\n"]}),
        ({"until": ["", *"abcde"]}, {"max_tokens": 9, "stop": ["a", "b", "c", "d"]}),
        ({"temperature": 0.7, "do_sample": True}, {"max_tokens": 9, "temperature": 0.7}),
    ],
)
def test_the_request_of_a_question(wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "2 + 2?"}]
    always = {"model": "chat", "temperature": 0, "messages": messages}
    assert build_body("chat", 9, messages, wanted) == {**always, **expected}


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (None, "a b c d e"),
        ("c", "a b "),
        ([], "a b c d e"),
        (["x", "e", "b"], "a "),
        ([""], "a b c d e"),
    ],
)
def test_every_text_ends_an_answer(until: Any, expected: str) -> None:
    assert cut("a b c d e", until) == expected


def test_a_folder_that_is_not_there_is_named_as_the_spec_names_it(tmp_path: Path) -> None:
    wanted = TaskSet(("sums",), tmp_path / "no", "pvc://sets/no")
    with pytest.raises(GoldenError, match="pvc://sets/no is not a folder: is the path right"):
        evaluate_tasks(ASKED, wanted)


def test_an_image_without_the_package_says_which_one_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The development environment has no lm-eval either."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "HF_HUB_OFFLINE", "TQDM_DISABLE"):
        monkeypatch.setenv(name, "0")
    log = tmp_path / "log"
    monkeypatch.setenv("LLMD_TERMINATION_LOG", str(log))
    options = ["--url=http://a", "--revision=1", "--model=chat", f"--golden={tmp_path}"]
    assert main(["evaluate", *options, "--lm-eval=sums"]) == 1
    assert log.read_text().strip() == NO_PACKAGE
