"""kubectl's own flags, before and behind the command, and what kubectl itself is given."""

from pathlib import Path

import pytest
from tests.unit.cli.objects import deployment
from tests.unit.cli.scripted_cluster import Request, serve
from typer.testing import CliRunner

from llmdeployment_cli.flags import Flags, list_kubectl_flags
from llmdeployment_cli.main import app


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["get"], "namespaces/shop/"),
        (["-n", "lab", "get"], "namespaces/lab/"),
        (["get", "-n", "lab"], "namespaces/lab/"),
        (["--namespace=lab", "get"], "namespaces/lab/"),
        (["-n", "lab", "get", "-n", "web"], "namespaces/web/"),
        (["-n", "lab", "-n", "web", "get"], "namespaces/web/"),
        (["-n", "lab", "get", "-A"], "v1alpha1/llmdeployments"),
    ],
)
def test_the_last_namespace_wins(words: list[str], path: str, tmp_path: Path) -> None:
    requests: list[Request] = []
    with serve(deployment(), tmp_path, requests=requests) as environment:
        done = CliRunner().invoke(app, words, env=environment)

    assert done.exit_code == 0, done.output
    assert path in requests[0][0]


@pytest.mark.parametrize(
    "words",
    [
        ["--as", "ada", "--as-group", "dev", "--as-group", "ops", "get"],
        ["--as", "bob", "--as-group", "dev", "get", "--as=ada", "--as-group=ops"],
        ["get", "--as", "ada", "--as-group", "dev", "--as-group", "ops"],
    ],
)
def test_somebody_else_is_impersonated(words: list[str], tmp_path: Path) -> None:
    requests: list[Request] = []
    with serve(deployment(), tmp_path, requests=requests) as environment:
        done = CliRunner().invoke(app, words, env=environment)

    assert done.exit_code == 0, done.output
    ((_, headers),) = requests
    found = [(name.lower(), value) for name, value in headers if "Impersonate" in name]
    assert found == [
        ("impersonate-user", "ada"),
        ("impersonate-group", "dev"),
        ("impersonate-group", "ops"),
    ]


def test_a_kubeconfig_is_read_instead_of_the_environments(tmp_path: Path) -> None:
    with serve(deployment(), tmp_path) as environment:
        words = ["--kubeconfig", environment["KUBECONFIG"], "get", "--context", "c"]
        done = CliRunner().invoke(app, words, env={"KUBECONFIG": "/none"})

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["get", "--as-group", "dev"], 1, "--as-group needs --as"),
        (["get", "--context", "mars"], 1, "mars"),
        (["get", "--request-timeout", "soon"], 2, "is not a duration"),
        (["get", "chat", "-A"], 2, "belongs to one namespace"),
        (["get", "-o", "xml"], 2, "xml"),
        (["status"], 2, "NAME"),
        (["status", "chat", "--watch", "--wait"], 2, "cannot be combined"),
        (["status", "chat", "--watch", "-o", "json"], 2, "cannot be combined"),
        (["status", "chat", "--for", "ready"], 2, "need --wait"),
        (["promote", "chat", "--full", "--step", "2"], 2, "cannot be combined"),
        (["unheard-of"], 2, "unheard-of"),
    ],
)
def test_what_cannot_be_done_ends_with_a_code(
    words: list[str], code: int, why: str, tmp_path: Path
) -> None:
    with serve(deployment(), tmp_path) as environment:
        done = CliRunner().invoke(app, words, env=environment)

    assert done.exit_code == code
    assert why in done.output


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, 30.0), (5.0, 5.0), (0.0, None)], ids=["none", "5s", "0"]
)
def test_request_timeout_bounds_a_call(given: float | None, seconds: float | None) -> None:
    assert Flags(request_timeout=given).call_seconds == seconds


def test_the_forwarding_kubectl_asks_the_same_cluster(tmp_path: Path) -> None:
    with serve(deployment(), tmp_path) as environment:
        config = environment["KUBECONFIG"]
        words = [
            *("-n", "lab", "--context", "c", "--as", "ada", "--as-group", "dev"),
            *("chat", "chat", "--once", "Hi", "--kubeconfig", config),
        ]
        done = CliRunner().invoke(app, words, env=environment)

    assert done.exit_code == 0, done.output
    flags = f"--kubeconfig={config} --context=c --as=ada --as-group=dev -n lab"
    given = (tmp_path / "kubectl-arguments").read_text().strip()
    assert given == f"{flags} port-forward svc/chat :80"


def test_without_flags_kubectl_gets_none() -> None:
    assert list_kubectl_flags(Flags()) == []
