"""What a status says, as rows of metrics: labels and a value.

A state is a set of rows, one for each value that it can have: 1 for the one that it has and 0 for the others. So a query counts, sums
and alerts on a state by its name.
"""

from llmdeployment_operator.analysis.sequential_test import Result
from llmdeployment_operator.api.status import Status

CONDITION_STATUSES = ("True", "False", "Unknown")


def read_traffic(status: Status) -> dict[tuple[str, str], float]:
    """Return the share of the LLMDeployment's requests, 0 to 1, by arm and revision."""
    traffic: dict[tuple[str, str], float] = {}
    for arm in status.arms:
        part = arm.canary_weight or 0
        if arm.weight and arm.stable is not None:
            traffic[arm.name, str(arm.stable)] = arm.weight * (100 - part) / 10_000
        if arm.canary is not None:
            traffic[arm.name, str(arm.canary)] = arm.weight * part / 10_000
    return traffic


def read_verdicts(status: Status) -> dict[tuple[str, str, str], float]:
    """Return what the analysis says of each arm's canary, by arm, revision and verdict; an unknown word is NeedMoreData."""
    found: dict[tuple[str, str, str], float] = {}
    for arm in status.arms:
        if arm.canary is None or arm.analysis is None:
            continue
        said = arm.analysis.result
        result = said if said in tuple(Result) else Result.NEED_MORE_DATA
        for each in Result:
            found[arm.name, str(arm.canary), each.value] = float(each == result)
    return found


def read_conditions(status: Status) -> dict[tuple[str, str], float]:
    """Return each condition's state, by its type and status."""
    return {
        (condition.type, each): float(each == condition.status)
        for condition in status.conditions
        for each in CONDITION_STATUSES
    }


def read_reasons(status: Status) -> dict[tuple[str, str, str], float]:
    """Return 1 for each condition, by its type, status and reason."""
    return {(each.type, each.status, each.reason): 1.0 for each in status.conditions}


def read_desired(status: Status) -> dict[tuple[str], float]:
    """Return the replicas that autoscaling wants, by runtime."""
    scaled = status.scaling.runtimes if status.scaling is not None else ()
    return {(each.runtime,): float(each.desired) for each in scaled}


def read_scores(status: Status) -> dict[tuple[str], float]:
    """Return the last scores of the revisions that have replicas."""
    found: dict[tuple[str], float] = {}
    for row in status.revisions:
        asked = row.recheck.result if row.recheck is not None else row.evaluation
        if row.replicas and asked is not None and asked.passed is not None and asked.total:
            found[str(row.number),] = asked.passed / asked.total
    return found
