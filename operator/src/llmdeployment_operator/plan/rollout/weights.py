"""The weights that the arms are to have: the spec's, or all for one arm once an experiment has ended with `onEnd: ShiftToWinner`.

Decided anew at each pass from the spec and the outcome in the status, so there is nothing to undo: another onEnd, another design and a
removed experiment all give the arms the weights of the spec again.

All users move at once, when the replicas for them are ready. Buckets stand in the order of the arms, so steps would move users from one
loser to the next; this way each user of a loser moves once, and nobody leaves the winner.
"""

from collections.abc import Mapping

from llmdeployment_operator.analysis.counts import format_metric_key
from llmdeployment_operator.analysis.experiment import Outcome
from llmdeployment_operator.api.experiment import SHIFT, ExperimentSpec
from llmdeployment_operator.api.experiment_status import ExperimentStatus
from llmdeployment_operator.api.rollout import PATTERN, MetricSpec
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.routes import ARM


def find_weights(deployment: LLMDeployment, status: Status) -> Mapping[str, int]:
    """Return the percent that each arm is to have, without those that get nothing."""
    winner = find_shift(deployment, status.experiment)
    if winner is not None:
        return {winner: 100}
    return {arm.name: arm.weight for arm in deployment.spec.arms} or {ARM: 100}


def find_shift(deployment: LLMDeployment, row: ExperimentStatus | None) -> str | None:
    """Return the arm that the operator gives all users, or None: the weights are the spec's."""
    spec = deployment.spec.experiment
    if spec is None or row is None or spec.on_end != SHIFT:
        return None
    if row.design != describe_design(deployment, spec):
        return None
    winner = find_winner(row)
    # The design names the arms, but a status may hold anything.
    return winner if winner in {arm.name for arm in deployment.spec.arms} else None


def find_winner(row: ExperimentStatus) -> str | None:
    """Return the arm that an experiment has ended for, the control among them; None while it runs, and if there is no such arm."""
    if row.ended_at is None:
        return None
    return {Outcome.WINNER.value: row.winner, Outcome.CONTROL_WINS.value: row.control}.get(
        row.outcome
    )


def describe_design(deployment: LLMDeployment, spec: ExperimentSpec) -> str:
    """Return what begins the experiment anew when it changes."""
    metrics = ",".join(_describe_metric(deployment, metric) for metric in spec.metrics)
    weights = ",".join(f"{arm.name}:{arm.weight}" for arm in deployment.spec.arms)
    salt = deployment.spec.gateway.assignment.salt or ""
    return f"control={spec.control} metrics={metrics} arms={weights} salt={salt}"


def _describe_metric(deployment: LLMDeployment, metric: MetricSpec) -> str:
    """Return a metric's name with its threshold, or with a digest of its pattern: another pattern counts other answers."""
    patterns = {
        PATTERN + each.name: each.pattern for each in deployment.spec.monitoring.output_patterns
    }
    name = format_metric_key(metric)
    return f"{name}:{digest([patterns[name]], 8)}" if name in patterns else name
