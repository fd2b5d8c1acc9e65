"""How replicas show that they compute right: `spec.engine.selfTest`."""

from typing import Annotated, Literal

from pydantic import Field

from llmdeployment_operator.api.fields import Model


class SelfTestSpec(Model):
    """The self-test: each replica scores a built-in text, before it is ready and again later. A change restarts nothing."""

    enabled: bool = True
    """Whether replicas are tested. Without the test, a replica that computes wrongly answers users."""
    reference: Literal["Transformers", "FirstReplica"] = "Transformers"
    """Where the reference comes from. `Transformers`: from the same weights in float32 on the CPU, for models of up to 1.2 billion
    parameters that are not quantized; larger ones take the first replica's score. `FirstReplica`: from the first replica."""
    period_seconds: Annotated[
        int, Field(ge=60, le=2_592_000, json_schema_extra={"format": "int32"})
    ] = 21_600
    """Seconds between two tests of a running replica."""
