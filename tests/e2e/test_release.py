"""The release: what an upgrade and an uninstall of the operator do to what runs, which is nothing."""

from collections.abc import Callable

import pytest
from tests.support.live import Live
from tests.support.load import ask

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def test_an_operator_comes_and_goes_and_the_model_stays(live: Callable[[str], Live]) -> None:
    chat = live("stays").create().until_ready()
    worker, head = chat.uid("worker"), chat.uid("head")
    chat.kube.install_operator("--set=resyncSeconds=300", "--set=logLevel=DEBUG")
    assert ask(chat.url, "stays")[0] == 200

    chat.kube.uninstall_operator()
    assert ask(chat.url, "stays")[0] == 200
    chat.kube.run("delete", "llm", "stays", "--wait")
    chat.until_gone()
    assert chat.kube.get("crd", "llmdeployments.llmdeployment.dev") is not None

    chat.kube.install_operator()
    again = chat.create().until_ready()
    assert {again.uid("worker"), again.uid("head")}.isdisjoint({worker, head})
