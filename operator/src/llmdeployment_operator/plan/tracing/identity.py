"""Which trace and which span something of an LLMDeployment is.

Ids are made from what they name, so an operator that was restarted, and one that says something a second time, uses the same ones.
"""

import hashlib
from datetime import datetime

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.span import Attribute

_TRACE_DIGITS, _SPAN_DIGITS = 32, 16


def make_trace_id(uid: str, revision: int) -> str:
    """Return the trace of a revision's rollout, in which everything of it is.

    >>> make_trace_id("3d1f", 7) == make_trace_id("3d1f", 7) != make_trace_id("3d1f", 8)
    True
    """
    return _hash(_TRACE_DIGITS, "trace", uid, revision)


def make_span_id(trace_id: str, *what: object) -> str:
    """Return the id of a span in a trace, from what tells it from the others."""
    return _hash(_SPAN_DIGITS, "span", trace_id, *what)


def make_rollout_id(trace_id: str, arm: str, attempt: int) -> str:
    """Return the id of the span of a whole rollout, which the other spans of its trace are parts of."""
    return make_span_id(trace_id, "rollout", arm, attempt)


def to_nanoseconds(at: datetime) -> int:
    """Return a time in nanoseconds since 1970.

    >>> from datetime import UTC
    >>> to_nanoseconds(datetime(1970, 1, 2, microsecond=3, tzinfo=UTC))
    86400000003000
    """
    return round(at.timestamp() * 1_000_000) * 1000


def name_deployment(deployment: LLMDeployment) -> dict[str, Attribute]:
    """Return the attributes that every span of an LLMDeployment has."""
    meta = deployment.metadata
    return {"k8s.namespace.name": meta.namespace, "llmdeployment.name": meta.name}


def _hash(digits: int, *parts: object) -> str:
    text = "\n".join(map(str, parts))
    found = hashlib.sha256(text.encode()).hexdigest()[:digits]
    # An id of zeros only is none.
    return found if found.strip("0") else "1" * digits
