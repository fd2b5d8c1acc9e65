"""`make demo-console` shows the demo's namespace of the local cluster."""

from pathlib import Path

from dev.demo.console import build_command, build_environment
from dev.demo.kube import Kube


def test_the_console_is_that_of_this_clone_on_the_demo() -> None:
    program, *arguments = build_command(Kube(Path("/cache/kubeconfig"), "llm-demo"))
    assert Path(program).is_file()
    assert arguments == [
        "console",
        "--kubeconfig=/cache/kubeconfig",
        "--namespace=llm-demo",
        "--no-browser",
    ]


def test_the_clones_kubectl_comes_first_on_path() -> None:
    found = build_environment({"PATH": "/usr/bin", "HOME": "/root"}, Path("/cache/bin"))
    assert found == {"PATH": "/cache/bin:/usr/bin", "HOME": "/root"}
    assert build_environment({}, Path("/cache/bin"))["PATH"].startswith("/cache/bin:")
