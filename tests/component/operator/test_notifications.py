"""The whole operator tells a receiver what changed: once, and also after it was replaced."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.component.operator.conftest import RunningOperator
from tests.component.operator.test_passes import simulated
from tests.support.cluster_client import ClusterClient
from tests.support.until import until

from llmdeployment_operator.plan.notify.notices import NoticeKind
from llmdeployment_operator.plan.notify.receivers import Receiver
from llmdeployment_operator.settings import Notifications

pytestmark = pytest.mark.component


@dataclass
class Hook:
    """A receiver: a real server in a thread."""

    port: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def told(self) -> list[tuple[str, int]]:
        return [(event["type"], event["data"]["revision"]) for event in self.events]


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # because http.server calls it so
            found.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_receiver_is_told_of_revisions_and_not_again_after_a_restart(
    cluster: ClusterClient,
    start_operator: Callable[..., RunningOperator],
    hook: Hook,
    tmp_path: Path,
) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/url").write_text(f"http://127.0.0.1:{hook.port}/x", encoding="utf-8")
    kinds = (NoticeKind.REVISION_CREATED, NoticeKind.PROMOTED)
    receiver = Receiver(name="hook", allow_http=True, events=kinds)
    notifications = Notifications((receiver,), tmp_path)
    created, promoted = "dev.llmdeployment.revision.created", "dev.llmdeployment.revision.promoted"

    def change(text: str) -> None:
        cluster.patch("LLMDeployment", "chat", {"spec": {"prompt": {"system": text}}})

    first = start_operator(notifications=notifications)
    cluster.create(simulated())
    until(lambda: cluster.items("ControllerRevision"), 60, "the first revision")
    change("Be brief.")
    until(lambda: len(hook.events) >= 2, 60, "the second revision is told")
    first.stop()

    start_operator(notifications=notifications)
    change("Be kind.")
    until(lambda: len(hook.events) >= 4, 60, "the third revision is told")
    assert hook.told() == [(created, 2), (promoted, 2), (created, 3), (promoted, 3)]
    assert {event["data"]["namespace"] for event in hook.events} == {cluster.namespace}
