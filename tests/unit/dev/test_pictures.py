"""Dashboards are drawn as they are committed, and a query without data is an error."""

import doctest
import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from dev.cluster.stages import StageError
from dev.demo import dashboards
from dev.demo.kube import Kube
from dev.pictures import ask, board, draw, draw_files, layout, paint, scrape, units
from dev.pictures.ask import QueryError, Series, Window, collect_board, find_silent
from dev.pictures.board import Panel, Row, UnknownBoardError, read_board
from dev.pictures.draw import draw_board
from dev.pictures.draw_files import BOARDS, Request
from PIL import Image

from llmdeployment_operator.api.types import Spec

CHOICES = {"namespace": "team", "name": "chat"}
FILES = sorted(BOARDS.glob("*.json"))
SAMPLE = Path(__file__).resolve().parents[3] / "manifests" / "samples" / "smollm2-cpu.yaml"


@pytest.mark.parametrize(
    "module",
    [ask, board, draw, draw_files, layout, paint, scrape, units],
    ids=lambda module: module.__name__,
)
def test_examples(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert tried
    assert failed == 0


def make_board(change: Mapping[str, Any] | None = None, query: str = "up") -> str:
    panel = {
        "title": "Answers",
        "type": "timeseries",
        "fieldConfig": {"defaults": {"unit": "reqps"}},
        "gridPos": {"h": 8, "w": 12, "x": 0, "y": 0},
        "targets": [{"expr": query, "legendFormat": "{{code}}", "range": True}],
    }
    variable = {"name": "name", "type": "query"}
    templating = {"list": [variable]}
    found = {"uid": "x", "title": "X", "templating": templating, "panels": [{**panel, **(change or {})}]}  # fmt: skip
    return json.dumps(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_committed_dashboard_can_be_drawn(path: Path) -> None:
    found = read_board(path.read_text(encoding="utf-8"), CHOICES, 20)
    committed = json.loads(path.read_text(encoding="utf-8"))["panels"]

    assert [p.title for p in found.list_panels()] == [p["title"] for p in committed if p["type"] != "row"]  # fmt: skip
    for panel in found.list_panels():
        assert units.format_value(1234.5, panel.unit)
        assert panel.kind in paint.PAINTERS
        for _, color in panel.words.values():
            assert color == paint.TRANSPARENT or color in paint.NAMED
    assert not any("$" in t.expression for p in found.list_panels() for t in p.targets)


@pytest.mark.parametrize(
    ("text", "choices", "words"),
    [
        (make_board({"type": "heatmap"}), CHOICES, "'Answers' is a heatmap"),
        (make_board(), {}, "needs a value of name: give --name"),
        (make_board(query="up{job='$job'}"), CHOICES, "variable that the dashboard does not list"),
    ],
    ids=["kind", "choice", "variable"],
)
def test_what_cannot_be_drawn_is_refused(text: str, choices: Mapping[str, str], words: str) -> None:
    with pytest.raises(UnknownBoardError, match=words):
        read_board(text, choices, 20)


def answer(path: str, arguments: Mapping[str, str]) -> Any:
    """A Prometheus that has data of every query but those of a golden set."""
    if path == "status/tsdb":
        return {"headStats": {"maxTime": 600_000}}
    query = arguments["query"]
    if "evaluation_score" in query:
        return {"result": [{"metric": {}, "values": [[0, "NaN"]], "value": [0, "NaN"]}]}
    labels = {"reason": "Latency", "arm": "main", "revision": "2", "name": "chat"}
    values = [[at, str(at % 2)] for at in range(0, 600, 5)]
    return {"result": [{"metric": labels, "values": values, "value": [600, "3"]}]}


def test_a_query_without_data_is_an_error_that_names_it(tmp_path: Path) -> None:
    request = Request(CHOICES, minutes=10, scrape_seconds=5)
    with pytest.raises(QueryError) as caught:
        list(draw_files.draw_files(answer, request, tmp_path))
    assert "llmdeployment-rollout: Score in the golden set: max by (revision)" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_panel_that_may_be_empty_is_left_out(tmp_path: Path) -> None:
    request = Request(CHOICES, 10, 5, ("Score in the golden set",), ("llmdeployment-rollout",))
    (path,) = draw_files.draw_files(answer, request, tmp_path)

    assert path.name == "dashboard-rollout.png"
    with Image.open(path) as picture:
        assert picture.width == layout.WIDTH
    assert path.stat().st_size < 200_000
    whole = read_board((BOARDS / "llmdeployment-rollout.json").read_text("utf-8"), CHOICES, 20)
    shown = layout.place_panels(whole.rows, ["Score in the golden set"], 0)
    assert len(shown.panels) == len(whole.list_panels()) - 1


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(CHOICES, 10, 5, boards=("llmdeployment-no",)), "no dashboard llmdeployment-no"),
        (Request(CHOICES, 10, 5, may_be_empty=("No such",)), "no panel has the title No such"),
    ],
)
def test_an_unknown_name_is_refused(request_: Request, words: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownBoardError, match=words):
        list(draw_files.draw_files(answer, request_, tmp_path))


@pytest.mark.parametrize("kind", board.KINDS)
def test_every_kind_of_panel_shows_its_data(kind: str) -> None:
    words = [{"type": "value", "options": {"1": {"text": "yes", "color": "blue"}}}]
    fields = {"defaults": {"unit": "short", "mappings": words}}
    drawn = read_board(make_board({"type": kind, "fieldConfig": fields}), CHOICES, 20)
    window = Window(0, 100, 5)

    def paint_series(*series: Series) -> bytes:
        return draw_board(drawn, {"Answers": (series,)}, window, "a test")

    one = Series({"code": "200"}, "200", ((0, 1), (5, 1), (10, 1)))
    other = Series({"code": "500"}, "500", ((0, 1), (5, 1), (10, 1)))
    assert paint_series(one) != paint_series(other), "the series is not named"
    assert Image.open(io.BytesIO(paint_series(one, other))).width == layout.WIDTH


def test_silence_is_told_by_query() -> None:
    text = make_board({"targets": [{"expr": "up"}, {"expr": "evaluation_score"}]})
    drawn = read_board(text, CHOICES, 20)
    data = collect_board(answer, drawn, Window(0, 600, 5))
    assert find_silent(drawn, data) == {"Answers": ["evaluation_score"]}


def test_marks_are_drawn_into_panels_and_told_in_order() -> None:
    found = json.loads(make_board())
    rows = [
        {"name": "Late", "expr": "late", "titleFormat": "Scaled: {{reason}}", "iconColor": "blue"},
        {"name": "Early", "expr": "early", "titleFormat": "Changed", "iconColor": "orange"},
    ]
    found["annotations"] = {"list": [*rows, {"builtIn": 1, "name": "Grafana's own"}]}
    drawn, window = read_board(json.dumps(found), CHOICES, 20), Window(0, 100, 5)
    line = (Series({}, "200", tuple((at, 1.0) for at in range(0, 100, 5))),)
    late = (Series({}, "Scaled: Latency", ((50, 2), (55, 2), (90, 1))),)
    early = (Series({}, "Changed", ((10, 1),)),)
    data = {"Answers": (line,), "Late": (late,), "Early": (early,)}

    events = draw.list_events(drawn, data, window)
    assert [(event.at, event.text) for event in events] == [
        (10, "Changed"),
        (50, "Scaled: Latency"),
        (90, "Scaled: Latency"),
    ]
    assert [event.color for event in events] == [paint.NAMED[c] for c in ("orange", "blue", "blue")]
    picture = Image.open(io.BytesIO(draw_board(drawn, data, window, "a test"))).convert("RGB")
    # The first event is a dashed line at a tenth of the panel's plot, which begins 68 pixels from the left.
    plot = layout.WIDTH / 2 - layout.GAP - 16 - 56
    column = [picture.getpixel((round(68 + plot / 10), y)) for y in range(picture.height)]
    assert sum(r > 230 and g < 200 and b < 150 for r, g, b in column) > 40


def test_panels_stand_beside_and_below_each_other() -> None:
    def panel(title: str, width: int, height: int) -> Panel:
        return Panel(title, "stat", "short", width, height, (), False, {}, frozenset())

    rows = (
        Row("one", (panel("a", 4, 4), panel("b", 20, 8), panel("c", 24, 8))),
        Row("two", (panel("d", 24, 8),)),
    )
    whole = layout.place_panels(rows, (), 10)
    boxes = {found.title: box for found, box in whole.panels}
    assert boxes["a"].y == boxes["b"].y == 10 + layout.HEADING
    assert boxes["a"].x + boxes["a"].width < boxes["b"].x
    assert boxes["c"].y == boxes["b"].y + 8 * layout.ROW
    assert [title for title, _ in whole.headings] == ["one", "two"]

    fewer = layout.place_panels(rows, ("d",), 10)
    assert [title for title, _ in fewer.headings] == ["one"]
    assert fewer.height == whole.height - layout.HEADING - 8 * layout.ROW


def make_monitor(**spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "llm"}}
    base = {"selector": selector, "podMetricsEndpoints": [{"port": "metrics"}]}
    return {"metadata": {"name": "m", "namespace": "own"}, "spec": {**base, **spec}}


def make_pod(**change: Any) -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 1}, {"name": "metrics", "containerPort": 30002}]
    pod = {
        "metadata": {"name": "p", "namespace": "own", "labels": {"app": "llm", "a.b/c-d": "x"}},
        "spec": {"containers": [{"name": "ray"}, {"name": "main", "ports": ports}]},
        "status": {"phase": "Running", "podIP": "10.0.0.7"},
    }
    return {key: {**value, **change.get(key, {})} for key, value in pod.items()}


def test_a_target_is_the_port_of_the_monitor_with_the_labels_of_its_pod() -> None:
    (found,) = scrape.list_targets(make_monitor(), [make_pod()])
    assert found == {
        "targets": ["10.0.0.7:30002"],
        "labels": {
            "__meta_kubernetes_namespace": "own",
            "__meta_kubernetes_pod_name": "p",
            "__meta_kubernetes_pod_container_name": "main",
            "__meta_kubernetes_pod_label_app": "llm",
            "__meta_kubernetes_pod_label_a_b_c_d": "x",
        },
    }


@pytest.mark.parametrize(
    "pod",
    [
        make_pod(status={"podIP": ""}),
        make_pod(status={"phase": "Succeeded"}),
        make_pod(metadata={"namespace": "other"}),
        make_pod(metadata={"labels": {"app": "web"}}),
        make_pod(spec={"containers": [{"name": "main", "ports": [{"name": "http", "containerPort": 1}]}]}),
    ],
    ids=["address", "ended", "namespace", "labels", "port"],
)  # fmt: skip
def test_a_pod_is_no_target(pod: dict[str, Any]) -> None:
    assert scrape.list_targets(make_monitor(), [pod]) == []


@pytest.mark.parametrize(
    ("selector", "found"),
    [({"any": True}, 1), ({"matchNames": ["other"]}, 1), ({"matchNames": ["a"]}, 0), ({}, 0)],
)
def test_a_monitor_looks_into_its_namespaces(selector: Any, found: int) -> None:
    monitor = make_monitor(namespaceSelector=selector)
    pod = make_pod(metadata={"namespace": "other"})
    assert len(scrape.list_targets(monitor, [pod])) == found


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"podMetricsEndpoints": [{"port": "a"}, {"port": "b"}]}, "2 endpoints"),
        ({"podMetricsEndpoints": [{"port": "a", "path": "/x"}]}, "has path"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}, "Exists"),
    ],
)
def test_a_monitor_that_is_not_understood_is_refused(spec: Any, words: str) -> None:
    with pytest.raises(scrape.UnknownMonitorError, match=words):
        scrape.list_targets(make_monitor(**spec), [make_pod()])


def test_the_demo_draws_every_dashboard_and_names_panels_that_exist() -> None:
    request = Request(CHOICES, 10, 5, dashboards.MAY_BE_EMPTY, dashboards.ROLLED + dashboards.SCALED)  # fmt: skip
    found = draw_files.read_boards(request)
    assert {each.uid for each in found} == {path.stem for path in FILES}
    command = dashboards.describe_command(request)
    assert "--may-be-empty=Outcome '" in command
    assert "'--may-be-empty=What is wrong, and why'" in command
    assert "--board=llmdeployment-autoscaling" in command


def test_the_demos_priced_sample_is_a_spec() -> None:
    sample = SAMPLE.read_text(encoding="utf-8")
    before = yaml.safe_load(sample)["spec"]
    spec = Spec.model_validate(yaml.safe_load(dashboards.price_sample(sample))["spec"])
    assert spec.cost is not None
    assert spec.prompt is not None
    assert {k: v for k, v in before.items() if k != "prompt"} == {
        k: v for k, v in yaml.safe_load(dashboards.price_sample(sample))["spec"].items() if k not in {"prompt", "cost"}
    }  # fmt: skip


def use_prometheus(monkeypatch: pytest.MonkeyPatch, folder: Path, answers: ask.Ask) -> None:
    monkeypatch.setattr(dashboards, "connect", lambda _: answers)
    monkeypatch.setattr(dashboards, "PICTURES", folder)


def request_rollout() -> Request:
    kube = Kube(Path("/cache/kubeconfig"), "team")
    return dashboards.request_boards(kube, "chat", ("llmdeployment-rollout",))


def test_the_demo_draws_also_when_its_story_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_prometheus(monkeypatch, tmp_path, answer)
    problems, said = list[str](), list[str]()
    with (
        pytest.raises(StageError, match="the story"),
        dashboards.drawing("url", request_rollout(), problems, said.append),
    ):
        raise StageError("the story failed")
    assert [path.name for path in tmp_path.iterdir()] == ["dashboard-rollout.png"]
    assert said[-1] == "  dashboard-rollout.png"
    assert problems == []


def test_the_demo_says_how_to_draw_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def answer_less(path: str, arguments: Mapping[str, str]) -> Any:
        silent = "traffic_ratio" in arguments.get("query", "")
        return {"result": []} if silent else answer(path, arguments)

    use_prometheus(monkeypatch, tmp_path, answer_less)
    problems, said = list[str](), list[str]()
    with dashboards.drawing("url", request_rollout(), problems, said.append):
        pass
    (problem,) = problems
    assert "Share of the requests by arm and revision" in problem
    assert "--namespace=team --name=chat" in said[-1]


def test_the_demo_waits_for_what_dashboards_need(monkeypatch: pytest.MonkeyPatch) -> None:
    def monitor(name: str, port: str) -> dict[str, Any]:
        found = make_monitor(podMetricsEndpoints=[{"port": port}])
        return {**found, "metadata": {"name": name, "namespace": "own"}}

    monitors = [monitor("op", "http"), monitor("gw", "agent"), monitor("rep", "metrics"), monitor("ray", "ray-metrics")]  # fmt: skip
    up = {"result": [{"metric": {"job": "op"}, "value": [0, "1"]}]}
    monkeypatch.setattr(dashboards, "connect", lambda _: lambda *_: up)
    assert dashboards.find_unreached("url", monitors) == {"gw", "rep"}
