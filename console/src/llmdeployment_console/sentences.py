"""One LLMDeployment, and one arm's rollout, in a sentence."""

from llmdeployment_operator.api.status import ArmStatus, Status

_MOST = 240


def describe_deployment(status: Status) -> str:
    """Return what an LLMDeployment does and what it waits for.

    >>> describe_deployment(Status())
    'No operator has acted on it yet.'
    """
    found = {each.type: each for each in status.conditions}
    if not found:
        return "No operator has acted on it yet."
    words = []
    if "Available" in found and found["Available"].status == "True":
        words.append("Serves.")
    rollouts = [describe_rollout(arm, several=len(status.arms) > 1) for arm in status.arms]
    words += [each for each in rollouts if each]
    ready = found.get("Ready")
    # A rollout's own sentence says what Ready would.
    if not any(rollouts) and ready is not None and ready.status != "True":
        words.append(ready.message)
    return cut_text(" ".join(words)) or "Does not serve."


def describe_rollout(arm: ArmStatus, *, several: bool) -> str:
    """Return how far an arm's canary is; nothing without one.

    >>> describe_rollout(ArmStatus(name="main", stable=4, canary=5, canary_weight=20, step=1), several=False)
    'Canary r5 has 20 %.'
    """
    of = f" of arm {arm.name}" if several else ""
    if arm.canary is None:
        if arm.rejected is None:
            return ""
        return f"r{arm.rejected.revision}{of} was rolled back."
    weight = arm.canary_weight or 0
    if arm.step is None:
        return f"r{arm.canary}{of} is being rolled back and still has {weight} %."
    left = arm.analysis.requests_left if arm.analysis is not None else None
    soon = f", about {left:,} requests until a verdict" if left else ""
    return f"Canary r{arm.canary}{of} has {weight} %{soon}."


def cut_text(text: str) -> str:
    """Return a text that fits a line of the fleet.

    >>> cut_text("a" * 300)[-3:], len(cut_text("a" * 300))
    ('aa…', 240)
    """
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
