"""The shadow of a model that embeds: vectors are compared by their cosine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.serving.test_shadow import Canary, Reply, Stable, canary

from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.model_tasks import find_pooling

if TYPE_CHECKING:
    from llmdeployment_serving.engine import Receive, Scope, Send

__all__ = ["canary"]
"""A fixture."""


def vectors(*rows: list[float]) -> dict[str, Any]:
    return {"data": [{"index": i, "embedding": row} for i, row in enumerate(rows)]}


class Embedder(Stable):
    """A replica of revision 1 whose model embeds."""

    path = "/v1/embeddings"

    def __init__(self, canary: Canary) -> None:
        super().__init__(canary)
        model = find_pooling("embed", 0, "BertModel")
        config = parse(ServingConfig, {"servedName": "words", "engine": {"name": "simulated"}})
        self.app = ReplicaApp(config, self, self._answer, model)  # type: ignore[arg-type]  # because the tests need three methods of an engine
        revisions = {"1": {}, "3": {}}
        self.app.take(parse(UserConfig, {"revisions": revisions, "shadows": [self.shadow]}))

    async def _answer(self, _: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(json.loads((await receive())["body"]))
        status, document = self.says
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})


@pytest.mark.parametrize(
    ("own", "reply", "expected"),
    [
        (vectors([1, 0]), (200, vectors([1, 0])), {"compared": 1, "identical": 1, "agree": 1000}),
        (vectors([1, 0]), (200, vectors([1, 0.1])), {"compared": 1, "agree": 1000}),
        # Their cosine is 1 / sqrt(1.04) = 0.981.
        (vectors([1, 0]), (200, vectors([1, 0.2])), {"compared": 1}),
        (vectors([1, 0], [0, 1]), (200, vectors([1, 0], [1, 0])), {"compared": 1, "agree": 500}),
        (vectors([1, 0]), (200, vectors([1, 0, 0])), {"compared": 1}),
        (vectors([1, 0]), (200, vectors([1, 0], [1, 0])), {"compared": 1}),
        (vectors([1, 0]), (500, {}), {"failed": 1}),
        (vectors([1, 0]), (200, vectors([float("nan"), 0])), {"failed": 1}),
        (vectors([1, 0]), (503, {}), {"skipped": 1}),
        ({}, (200, vectors([1, 0])), {"skipped": 1}),
    ],
)
async def test_vectors_are_compared_by_their_cosine(
    canary: Canary, own: Any, reply: Reply, expected: dict[str, int]
) -> None:
    embedder = Embedder(canary)
    embedder.says, canary.reply = (200, own), reply
    await embedder.live(input=["a", "b"], encoding_format="base64", user="ann")
    counts = dict.fromkeys(("compared", "failed", "skipped", "excluded", "identical"), 0)
    found = {name: embedder.row[name] for name in counts}
    agreed = expected.pop("agree", 0)
    assert found == counts | expected
    assert embedder.row["agreementThousandths"] == agreed
    ((_, asked),) = canary.asked
    assert asked["encoding_format"] == "float"
    assert "user" not in asked
