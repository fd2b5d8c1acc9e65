"""The comparison of a canary with the stable revision: evidence gathered, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llmdeployment_operator.analysis.counts import (
    CACHED,
    ERRORS,
    FEEDBACK,
    LENGTH,
    UNKNOWN,
    USER_BOUND,
    CountKey,
    Counts,
    RevisionCounts,
    format_metric_key,
    name_bounded,
)
from llmdeployment_operator.analysis.design_effect import (
    MINUTE,
    Minutes,
    Users,
    estimate_design_effect,
)
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.sequential_test import (
    ComparedMetric,
    MetricFinding,
    Result,
    SequentialPolicy,
    Verdict,
    judge,
)
from llmdeployment_operator.api.rollout import (
    PATTERN,
    AnalysisSpec,
    MetricSpec,
    parse_seconds,
)

ALPHA_FAIL, ALPHA_PASS = 0.01, 0.05
"""The highest probabilities of giving up a good canary in a whole rollout, and of passing a bad one in a step."""

PAST_REQUESTS = 2000
"""How many requests of the past a stratum counts at most.

It says how far the past is trusted: the standard deviation of a share of 10 % that 2,000 requests leave is 0.7 points, which is about
what a share may move from hour to hour. A past of a million would be of no use as soon as the share has moved by 0.1 points.
"""


@dataclass(frozen=True)
class Analysis:
    """What was counted of both since the canary's step began, and the last verdict's words.

    `counts` are by metric and stratum, and by metric and group of users; `minutes` are by metric. `seconds` is how long the comparison
    lasts. `message` and `requests_left` are for status; they are made anew from the counts.
    """

    counts: Mapping[CountKey, Stratum] = field(default_factory=dict)
    minutes: Mapping[str, Minutes] = field(default_factory=dict)
    users: Users = field(default_factory=Users)
    seconds: int = 0
    result: Result = Result.NEED_MORE_DATA
    message: str = ""
    requests_left: int | None = None


def collect_counts(
    before: Analysis,
    fresh: RevisionCounts,
    revisions: tuple[int, int],
    users: Mapping[int, int],
    seconds: int,
    past: RevisionCounts,
) -> Analysis:
    """Return the evidence with what was counted since the last look added.

    The stable revision's past sharpens the prior of its share (`Stratum.before`). It is taken when a metric is first counted, and is
    a window that has ended: no request is in both.

    Args:
        before: the evidence so far.
        fresh: what was counted since.
        revisions: the stable one and the canary.
        users: how many users had requests so far, by revision.
        seconds: how long the comparison lasts.
        past: what was counted before `fresh`, by revision; empty where it is not known.
    """
    stable, canary = (fresh.get(revision, {}) for revision in revisions)
    new = {
        key: Stratum(stable.get(key, Counts()), canary.get(key, Counts()))
        for key in sorted(stable.keys() | canary.keys(), key=_order)
    }
    history = past.get(revisions[0], {})
    counts = {
        key: _add(before.counts.get(key) or _begin(key, history), more) for key, more in new.items()
    }
    named = {key.metric for key in new if key.metric != CACHED}
    minutes = {
        name: _add_to_minute(
            before.minutes.get(name, Minutes()), _sum_strata(new, name), seconds // MINUTE
        )
        for name in sorted(named | before.minutes.keys())
    }
    # A gateway that began anew has forgotten users.
    stable_users, canary_users = (users.get(revision, 0) for revision in revisions)
    seen = Users(max(before.users.stable, stable_users), max(before.users.canary, canary_users))
    return Analysis({**before.counts, **counts}, minutes, seen, seconds)


def _begin(key: CountKey, history: Mapping[CountKey, Counts]) -> Stratum:
    """Return a stratum without requests, and with at most PAST_REQUESTS of the stable revision's past."""
    if key.group is not None or key.metric == CACHED:
        return _NOTHING
    seen = history.get(key, Counts())
    part = min(1.0, PAST_REQUESTS / seen.total) if seen.total else 0.0
    # Whole numbers, as status keeps them.
    total = int(seen.total * part)
    return Stratum(Counts(), Counts(), Counts(total, min(total, int(seen.bad * part))))


def _order(key: CountKey) -> tuple[str, str, int]:
    return key.metric, key.stratum, -1 if key.group is None else key.group


def _add_to_minute(minutes: Minutes, more: Stratum, minute: int) -> Minutes:
    if minute != minutes.minute:
        minutes = replace(minutes.close(), minute=minute)
    return replace(minutes, current=_add(minutes.current, more))


def compare(spec: AnalysisSpec, evidence: Analysis, steps: int = 1) -> tuple[Verdict, Analysis]:
    """Return the verdict on the evidence, and the evidence with its words.

    Each step of a rollout is a test of its own, so the probability of a false alarm is divided by their number.
    """
    metrics = select_metrics(spec, evidence)
    verdict = judge(metrics, build_policy(spec, steps))
    words = verdict.message + _describe_worth(verdict, evidence.users)
    verdict = replace(verdict, message=words + _describe_cache(evidence))
    if verdict.result is not Result.NEED_MORE_DATA and (
        why := _explain_wait(spec, evidence, verdict)
    ):
        verdict = replace(
            verdict,
            result=Result.NEED_MORE_DATA,
            requests_left=None,
            message=f"{why} {verdict.message}",
        )
    told = replace(
        evidence,
        result=verdict.result,
        message=verdict.message,
        requests_left=verdict.requests_left,
    )
    return verdict, told


def build_policy(spec: AnalysisSpec, steps: int) -> SequentialPolicy:
    """Return how sure the verdict of one of so many steps must be."""
    limit = None if spec.max_requests is None else max(spec.max_requests, spec.min_requests)
    return SequentialPolicy(ALPHA_FAIL / steps, ALPHA_PASS, spec.min_requests, limit)


def select_metrics(spec: AnalysisSpec, evidence: Analysis) -> list[ComparedMetric]:
    """Return the metrics of a spec with their counts, and with those of the bounded sample where it has not all requests."""
    clumps = parse_seconds(spec.min_duration) > 0
    found = []
    for metric in spec.metrics:
        whole = select_metric(evidence, metric, expects_clumps=clumps)
        if len(select_weighings(evidence, metric)) > 1:
            name = name_bounded(whole.name)
            bounded = _select(evidence, metric, name, expects_clumps=clumps)
            whole = replace(whole, bounded=replace(bounded, note=_BOUNDED))
        found.append(whole)
    return found


def select_weighings(evidence: Analysis, metric: MetricSpec) -> list[tuple[Stratum, ...]]:
    """Return the strata of each sample of requests by which a metric is tested.

    They are all requests, and the bounded sample if both revisions have some in it and it lacks some of either's.
    """
    name = format_metric_key(metric)
    whole = _sum_strata(evidence.counts, name)
    bounded = _sum_strata(evidence.counts, name_bounded(name))
    weighings = [select_strata(evidence, name)]
    lacks = bounded.stable.total < whole.stable.total or bounded.canary.total < whole.canary.total
    if lacks and bounded.stable.total and bounded.canary.total:
        weighings.append(select_strata(evidence, name_bounded(name)))
    return weighings


def select_metric(
    evidence: Analysis, metric: MetricSpec, *, expects_clumps: bool
) -> ComparedMetric:
    """Return a metric with the counts of all requests, and their design effect.

    Args:
        evidence: what was counted.
        metric: as the spec has it.
        expects_clumps: whether requests of one minute are taken to be alike until the data say.
    """
    return _select(evidence, metric, format_metric_key(metric), expects_clumps=expects_clumps)


def _select(
    evidence: Analysis, metric: MetricSpec, name: str, *, expects_clumps: bool
) -> ComparedMetric:
    strata = select_strata(evidence, name)
    groups = {
        key.group: seen
        for key, seen in evidence.counts.items()
        if key.metric == name and key.group is not None
    }
    design = estimate_design_effect(
        groups or {0: _sum_strata(evidence.counts, name)},
        evidence.minutes.get(name, Minutes()),
        evidence.users,
        expects_clumps=expects_clumps,
    )
    return ComparedMetric(
        name=format_metric_key(metric),
        tolerance=metric.tolerance,
        strata=strata,
        adjective=_choose_adjective(metric),
        noun="votes" if metric.name == FEEDBACK else "requests",
        design=design,
    )


def _explain_wait(spec: AnalysisSpec, evidence: Analysis, verdict: Verdict) -> str:
    """Return why a verdict is too early, or nothing. A bad canary need not last for minDuration."""
    have, need = evidence.users.canary, spec.min_users
    if need is not None and 0 < have < need:
        return (
            f"The canary has had {have} of at least {need} users (spec.rollout.analysis.minUsers)."
        )
    least = parse_seconds(spec.min_duration)
    if verdict.result is Result.PASS and evidence.seconds < least:
        return (
            f"The comparison has lasted {evidence.seconds} s, and lasts at least {spec.min_duration} "
            "(spec.rollout.analysis.minDuration)."
        )
    return ""


def is_exhausted(spec: AnalysisSpec, verdict: Verdict) -> bool:
    """Say whether there is no verdict although the canary answered as many requests as it may."""
    asked = max((finding.answered for finding in verdict.findings), default=0)
    undecided = verdict.result is Result.NEED_MORE_DATA
    return undecided and spec.max_requests is not None and asked >= spec.max_requests


def fails_by_errors(verdict: Verdict) -> bool:
    """Say whether the canary failed for its errors, alone or among others."""
    return any(f.name == ERRORS and f.result is Result.FAIL for f in verdict.findings)


def select_strata(evidence: Analysis, metric: str) -> tuple[Stratum, ...]:
    """Return the strata of a metric by its key.

    They are one as soon as somebody counted without them: a replica of an older image on one side would be like nobody on the other.
    """
    found = {
        key.stratum: seen
        for key, seen in evidence.counts.items()
        if key.metric == metric and key.group is None
    }
    if UNKNOWN not in found:
        return tuple(found.values()) or (_NOTHING,)
    return (_sum_strata(evidence.counts, metric),)


def _sum_strata(counts: Mapping[CountKey, Stratum], metric: str) -> Stratum:
    """Return a metric's requests of all prompt lengths."""
    whole = _NOTHING
    for key, seen in counts.items():
        if key.metric == metric and key.group is None:
            whole = _add(whole, seen)
    return whole


_ADJECTIVES = {
    ERRORS: "errors",
    LENGTH: "long",
    FEEDBACK: "bad",
    "refusal": "refusals",
    "empty": "empty",
    "truncated": "truncated",
    "invalidJson": "answered with invalid JSON",
    "invalidToolCall": "answered with an invalid tool call",
    "repetition": "loops",
    "languageSwitch": "answered in another script",
}


def _choose_adjective(metric: MetricSpec) -> str:
    """Return what a bad request is called.

    >>> _choose_adjective(MetricSpec(name="ttft", milliseconds=500)), _choose_adjective(MetricSpec(name="pattern/brand"))
    ('slow', 'answered with the pattern brand')
    """
    if metric.name.startswith(PATTERN):
        return f"answered with the pattern {metric.name.removeprefix(PATTERN)}"
    return _ADJECTIVES.get(metric.name, "slow")


def _describe_worth(verdict: Verdict, users: Users) -> str:
    """Return from how many users the canary's requests came, and how many independent ones they are worth if that is far fewer."""
    finding = next((f for f in verdict.findings if f.name == verdict.metric), None)
    finding = finding or max(verdict.findings, key=_find_effect)
    if not finding.requests:
        return ""
    start = f" The canary had {users.canary:,} users, and the stable revision {users.stable:,}."
    words = start if any(users) else ""
    if _find_effect(finding) >= _WORTH_SAYING:
        words += (
            " Requests of one user or one minute are alike: the canary's say as much as "
            f"{finding.worth:,.0f} independent ones."
        )
    return words


def _find_effect(finding: MetricFinding) -> float:
    """Return the design effect of the canary's requests."""
    return finding.requests / finding.worth if finding.worth else 1.0


def _describe_cache(evidence: Analysis) -> str:
    """Return how much of the prompts was in the prefix cache, if an engine tells: a cold cache is why a canary is slow at first."""
    seen = evidence.counts.get(CountKey(CACHED), _NOTHING)
    if not seen.canary.total and not seen.stable.total:
        return ""
    canary, stable = (
        f"{100 * arm.bad / arm.total:.0f} %" if arm.total else "unknown"
        for arm in (seen.canary, seen.stable)
    )
    return f" Cached prompt tokens: {canary} (canary), {stable} (stable)."


_NOTHING = Stratum(Counts(), Counts())


_BOUNDED = f" Of each user about {USER_BOUND} in ten minutes count."

_WORTH_SAYING = 1.5
"""A design effect below this is within what chance makes of independent requests."""


def _add(one: Stratum, other: Stratum) -> Stratum:
    return Stratum(
        _add_counts(one.stable, other.stable),
        _add_counts(one.canary, other.canary),
        _add_counts(one.before, other.before),
    )


def _add_counts(one: Counts, other: Counts) -> Counts:
    return Counts(one.total + other.total, one.bad + other.bad)
