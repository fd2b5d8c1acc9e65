"""Bodies, pages of browsers and requests at once: what pydantic refuses with the sentence of the API server."""

import pytest
from tests.component.refusals import engine, gateway
from tests.component.test_crd_acceptance import ACCEPTED
from tests.support import crd

from llmdeployment_operator.api.types import LLMDeployment, SpecError, parse

WORDS = ("maxBodySize", "cors", "maxOngoingRequests")
REFUSED = {
    case: pair
    for table in (gateway.REFUSED, engine.REFUSED)
    for case, pair in table.items()
    if any(word in pair[0] for word in WORDS)
}
IN_OTHER_WORDS = ("in body", "Required value", "Duplicate value")
"""What the API server says by the schema alone; pydantic has words of its own for it."""


def read(patch: str) -> LLMDeployment:
    return parse(
        crd.merged(crd.deployment(patch), {"metadata": {"namespace": "any", "uid": "any"}})
    )


@pytest.mark.parametrize(("patch", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_the_api_server_refuses_is_refused(patch: str, sentence: str) -> None:
    with pytest.raises(SpecError) as refused:
        read(patch)
    if not any(words in sentence for words in IN_OTHER_WORDS):
        assert sentence in str(refused.value)


ALLOWED = [patch for patch in ACCEPTED.values() if any(word in patch for word in WORDS)]


@pytest.mark.parametrize("patch", ALLOWED)
def test_what_it_accepts_is_accepted(patch: str) -> None:
    assert read(patch).spec.gateway.mode == "Builtin"


def test_nothing_is_on_that_nobody_asked_for() -> None:
    spec = read("spec: {}").spec
    assert (spec.gateway.cors, spec.gateway.max_body_size) == (None, "32Mi")
    assert spec.engine.max_ongoing_requests == 256
    cors = read("spec: {gateway: {cors: {allowOrigins: ['*']}}}").spec.gateway.cors
    assert cors is not None
    assert (cors.allow_headers, cors.expose_headers, cors.max_age) == (("*",), (), 600)
