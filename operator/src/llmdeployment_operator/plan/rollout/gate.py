"""Whether a new revision may have requests: what the evaluation of it on the golden set says.

`evaluation_result.py` reads the results, and `golden_comparison.py` compares them with those of the revision that serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.evaluation_status import EvaluationStatus
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.pods import check_pods
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.sentences import begin_sentence, join_sentences
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods
from llmdeployment_operator.plan.rollout.evaluation_result import (
    REVISION,
    EvaluationResult,
    build_row,
    find_recorded,
    hash_golden_set,
    read_last_message,
    read_recorded,
    read_results,
)
from llmdeployment_operator.plan.rollout.golden_comparison import compare_results, is_regression

_TOLD = 400
"""Characters of a result that a rollout's message quotes."""


@dataclass(frozen=True)
class GateVerdict:
    """What is to be done with a new revision: wait, give it up, or, with neither, let it have requests.

    Attributes:
        pending: what is waited for.
        refused: why it is rolled back.
        attempt: the one that was refused; a status that was lost may count less.
    """

    pending: Finding | None = None
    refused: str = ""
    attempt: int = 0


@dataclass(frozen=True)
class Gate:
    """What is known about a new revision's evaluation.

    Attributes:
        revision: its number.
        policy: `spec.rollout.evaluation`.
        outcomes: how its evaluations on the current golden set ended, by attempt.
        baseline: that of the stable revision on the same golden set, or None.
        stable: the stable revision's number.
        missing: what keeps an evaluation from running, or None.
        running: what the evaluation's pod waits for, for people.
    """

    revision: int
    policy: EvaluationSpec
    outcomes: Mapping[int, EvaluationResult] = field(default_factory=dict)
    baseline: EvaluationResult | None = None
    stable: int = 1
    missing: Finding | None = None
    running: str = ""

    def verdict(self, attempt: int) -> GateVerdict:
        """Return what the evaluation says in this attempt of the rollout.

        A result that is good enough counts in every attempt, one that is not only until somebody asks to try again.
        """
        reasons = {number: self._refusal(outcome) for number, outcome in self.outcomes.items()}
        if any(not why for why in reasons.values()):
            return GateVerdict()
        later = [number for number in reasons if number >= attempt]
        if later:
            return GateVerdict(refused=reasons[max(later)], attempt=max(later))
        if self.missing is not None:
            return GateVerdict(pending=self.missing)
        text = f"Revision {self.revision} is being evaluated on the golden set before its first request."
        return GateVerdict(pending=Finding(Reason.EVALUATING, join_sentences(text, self.running)))

    def attempt(self, retry: int | None) -> int:
        """Return the attempt of a revision that has no rollout to count them: another one if somebody asked for it after the last."""
        last = max(self.outcomes, default=1)
        asked = last in self.outcomes and retry == last
        return last + 1 if asked else last

    def _refusal(self, outcome: EvaluationResult) -> str:
        """Return why a revision with this outcome gets no requests, in whole sentences, or nothing."""
        quoted = outcome.message[:_TOLD]
        if outcome.score is None:
            return join_sentences("Its evaluation has no result", begin_sentence(quoted))
        failures = f"The first failures: {quoted}" if quoted else ""
        bar = self.policy.min_score_percent
        got = f"It answered {outcome.passed} of {outcome.total} questions of the golden set as expected ({outcome.score} %)"
        if outcome.score < bar:
            needs = f"It needs {bar} % (spec.rollout.evaluation.minScorePercent)"
            return join_sentences(got, needs, failures)
        before = self.baseline
        if before is not None and is_regression(self.policy, before, outcome):
            needs = (
                f"The revision that serves has {before.score} %, and at most {self.policy.max_regression_percent} points less are allowed "
                "(spec.rollout.evaluation.maxRegressionPercent)"
            )
            found = compare_results(self.policy, before, outcome, self.stable)
            return join_sentences(got, needs, found.message if found is not None else "", failures)
        return ""


def build_gate(
    deployment: LLMDeployment, cluster: ClusterState, stable: int, target: int
) -> Gate | None:
    """Return the gate before a new revision's first request, or None when the spec asks for none."""
    policy = deployment.spec.rollout.evaluation
    if policy is None:
        return None
    golden = hash_golden_set(policy)
    return Gate(
        revision=target,
        policy=policy,
        outcomes=read_results(cluster, target, golden),
        baseline=read_recorded(cluster, stable, golden),
        stable=stable,
        missing=_find_missing(policy, cluster),
        running=_describe_running(cluster, target),
    )


def _find_missing(policy: EvaluationSpec, cluster: ClusterState) -> Finding | None:
    ref = policy.golden.config_map_ref
    if ref is None or ref.name not in cluster.missing_config_maps:
        return None
    what = f"ConfigMap {ref.name} of spec.rollout.evaluation.golden.configMapRef"
    return Finding(
        Reason.CONFIG_MAP_MISSING, f"{what} does not exist in this namespace. Create it."
    )


def _describe_running(cluster: ClusterState, number: int) -> str:
    """Return what an evaluation's pod waits for."""
    pods = [
        pod
        for pod in select_pods(cluster, names.EVALUATION)
        if pod["metadata"]["labels"].get(REVISION) == str(number) and read_last_message(pod) is None
    ]
    found = check_pods(pods, cluster.capacity)
    return found.message[:_TOLD] if found is not None else ""


def build_evaluation_status(
    deployment: LLMDeployment, cluster: ClusterState, number: int, rival: int | None = None
) -> EvaluationStatus | None:
    """Return `status.revisions[].evaluation` of a revision: its last outcome, or what was there, or None.

    Args:
        deployment: what the user asked for.
        cluster: the cluster.
        number: the revision's.
        rival: the revision that it is to take over from, or None; what is on record of an earlier comparison then stays.
    """
    policy = deployment.spec.rollout.evaluation
    recorded = find_recorded(cluster, number)
    if policy is None:
        return recorded
    golden = hash_golden_set(policy)
    outcomes = read_results(cluster, number, golden)
    if not outcomes:
        return recorded
    last = outcomes[max(outcomes)]
    before = read_recorded(cluster, rival, golden) if rival is not None else None
    found = compare_results(policy, before, last, rival) if before and rival else None
    if found is None and recorded is not None and recorded.golden == golden:
        found = recorded.comparison
    return build_row(last).model_copy(update={"comparison": found})
