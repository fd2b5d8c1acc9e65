"""The sample of live requests that a new revision answers before it gets any: `spec.rollout.shadow`."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.fields import Model

WITH_RECREATE = (
    "spec.rollout.shadow is for strategy Canary and BlueGreen only, because with Recreate the old replicas stop before the new ones "
    "answer. Remove it, or change the strategy."
)
WITH_EXTERNAL = (
    "spec.rollout.shadow cannot be set with spec.engine.name external, because replicas of an external API cannot be told to ask again. "
    "Remove it, and compare with spec.rollout.evaluation."
)
ROLLOUT_RULE = (
    "!has(self.shadow) || !has(self.strategy) || self.strategy != 'Recreate'",
    WITH_RECREATE,
)
SPEC_RULES = (
    (
        "!has(self.rollout) || !has(self.rollout.shadow) || self.engine.name != 'external'",
        WITH_EXTERNAL,
    ),
)
"""Rules of `spec`: they look at two of its fields."""


class ShadowSpec(Model):
    """A sample of live requests that a new revision answers before its first one; clients do not wait for it (docs/how-to/shadow.md)."""

    percent: Annotated[int, Field(ge=1, le=100, json_schema_extra={"format": "int32"})] = 10
    """Percent of the live requests that are asked again. A replica that is busy asks fewer."""
    requests: Annotated[int, Field(ge=10, le=10_000, json_schema_extra={"format": "int32"})] = 200
    """How many requests are compared before the rollout goes on."""
    max_tokens: Annotated[int, Field(ge=1, le=4096, json_schema_extra={"format": "int32"})] = 256
    """Limit of an answer's tokens. Each compared request costs both revisions so many tokens, at most."""
    min_agreement_percent: Annotated[
        int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})
    ]
    """How well the answers must agree with those of the revision that serves, as a mean: percent of the words that both have in the same
    order, or of the texts whose embeddings are alike (a cosine of 0.99). A change that is meant to change answers needs a low number, an
    engine upgrade a high one."""
    max_failed_percent: Annotated[
        int, Field(ge=0, le=50, json_schema_extra={"format": "int32"})
    ] = 1
    """Percent of the requests that the new revision may fail and the one that serves does not."""
    tolerance_percent: Annotated[int, Field(ge=1, le=50, json_schema_extra={"format": "int32"})] = 5
    """By how many percentage points a share of the answers, such as `refusal` or one of spec.monitoring.outputPatterns, may be higher."""
    timeout_seconds: Annotated[int, Field(ge=60, le=86_400)] = 3600
    """After how many seconds the rollout goes on by what was compared so far. Of fewer than 10 requests nothing is concluded."""


def check_shadow(shadow: ShadowSpec | None, engine: str) -> None:
    """Refuse a shadow that no replica would cast.

    Raises:
        ValueError: what to do instead.
    """
    if shadow is not None and engine == "external":
        raise ValueError(WITH_EXTERNAL)
