"""What the operator reads of `/stats`, and no other module does: replicas' and gateways' answers, which nobody has checked.

The forms are docs/reference/contracts/replica-stats.schema.json and gateway-stats.schema.json. Tests hold the replica, the gateway and
this module to them. An answer that is not of its form says nothing.
"""

import base64
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from llmdeployment_operator.analysis.counts import (
    BUCKETS,
    CACHED,
    COST,
    ERRORS,
    FEEDBACK,
    FROM_GATEWAYS,
    LENGTH,
    STRATA,
    UNKNOWN,
    CountKey,
    Counts,
    RevisionCounts,
    format_metric_key,
)
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.autoscaler.types import BOUNDS, METRICS, ReplicaSample
from llmdeployment_operator.costs.types import ReplicaUsage, TokenCounts
from llmdeployment_operator.plan.observed.answer_lengths import read_lengths
from llmdeployment_operator.plan.observed.cluster_state import GatewayState, SelfTestReport
from llmdeployment_operator.plan.observed.live_counters import RevisionCounters
from llmdeployment_operator.plan.observed.stats_rows import (
    THOUSANDTHS,
    fill_groups,
    name_groups,
    name_stratum,
    require_count,
    require_group,
    require_natural,
    require_rows,
)

_HISTOGRAMS = (*METRICS, LENGTH)
_LOWEST_SCORE = 1e4
"""vLLM's lowest log-likelihood is -9,999."""


def read_sample(stats: Mapping[str, Any], at: float) -> ReplicaSample | None:
    """Return what a replica's `/stats` say, read at `at` (seconds, the operator's clock); None when it is nothing a replica writes.

    Whether the numbers can be true is for the law to see (`observation.is_usable`), which sees those of a recording too.
    """
    try:
        return ReplicaSample(
            at=at,
            running=require_count(stats["running"]),
            waiting=require_count(stats["waiting"]),
            kv_usage=float(stats["kvCacheUsage"]),
            prompt_tokens=require_count(stats["promptTokens"]),
            generation_tokens=_count_work(stats),
            histograms={name: _sum_buckets(stats["revisions"].values(), name) for name in METRICS},
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _count_work(stats: Mapping[str, Any]) -> int:
    """Return the tokens that an engine generated; of a model that generates none, the answers: each is one unit of work.

    >>> _count_work({"generationTokens": 90}), _count_work({"task": "Embed", "revisions": {"1": {"e2e": {"count": 7}}}})
    (90, 7)
    """
    if "task" not in stats:
        return require_count(stats["generationTokens"])
    return sum(require_count(row["e2e"]["count"]) for row in stats["revisions"].values())


def read_gateway(pod: str, stats: Mapping[str, Any]) -> GatewayState:
    """Return what a gateway's `/stats` say; no routes and no servers of one that is not what it should be.

    One of an older image does not count requests by Service.
    """
    try:
        services = stats.get("services", {}).items()
        held, refused = (max(0, int(stats.get(key, 0))) for key in ("held", "refused"))
        return GatewayState(
            pod=pod,
            routes_hash=str(stats.get("routesHash", "")),
            up={name: int(each.get("up", 0)) for name, each in services},
            held=held,
            refused=refused,
            requests={name: int(each["requests"]) for name, each in services if "requests" in each},
        )
    except (AttributeError, OverflowError, TypeError, ValueError):
        return GatewayState(pod, routes_hash="", up={})


def read_adapters(stats: Mapping[str, Any]) -> dict[int, dict[str, str]]:
    """Return what a replica's `/stats` says of adapters, by revision and name; nothing of one that is not what it should be.

    >>> read_adapters({"revisions": {"1": {"requests": {}}, "2": {"adapters": {"legal": "loaded"}}}})
    {2: {'legal': 'loaded'}}
    """
    try:
        return {
            int(number): {str(name): str(state) for name, state in row["adapters"].items()}
            for number, row in stats["revisions"].items()
            if "adapters" in row
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def read_self_test(stats: Mapping[str, Any]) -> SelfTestReport | None:
    """Return what a replica's `/stats` say of its self-test; None if there was none, or if they are not what they should be.

    >>> read_self_test({"selfTest": {"score": -2.9, "reference": -2.91, "referenceFrom": "Transformers"}})
    SelfTestReport(score=-2.9, computed=-2.91)
    >>> read_self_test({"selfTest": {"score": -2.9}}), read_self_test({})
    (SelfTestReport(score=-2.9, computed=None), None)
    """
    try:
        row = stats["selfTest"]
        computed = row.get("referenceFrom") == "Transformers"
        found = SelfTestReport(
            _require_score(row["score"]), _require_score(row["reference"]) if computed else None
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    return found


def read_usage(stats: Mapping[str, Any]) -> ReplicaUsage | None:
    """Return what a replica's `/stats` say of its work, for what it costs; None when they are nothing a replica writes.

    A replica of an older image does not count the tokens of prompts by revision: they are 0.
    """
    try:
        return ReplicaUsage(
            in_flight=require_natural(stats["inFlight"]),
            engine_tokens=require_natural(stats["promptTokens"])
            + require_natural(stats["generationTokens"]),
            revisions={
                int(number): _read_tokens(row) for number, row in stats["revisions"].items()
            },
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def read_replica_counters(stats: Mapping[str, Any]) -> dict[int, RevisionCounters]:
    """Return what a replica's `/stats` say of latencies and tokens, by revision; nothing of one that is not what it should be."""
    try:
        return {
            int(number): RevisionCounters(
                ttft=_sum_buckets([row], "ttft"),
                output_tokens=require_natural(int(row["outputTokens"]["sum"])),
            )
            for number, row in stats["revisions"].items()
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return {}


def read_gateway_counters(stats: Mapping[str, Any]) -> dict[int, RevisionCounters]:
    """Return what a gateway's `/stats` say of requests, by revision; nothing of one that is not what it should be."""
    found = {
        number: counts[CountKey(ERRORS)]
        for number, counts in read_gateway_counts(stats, [MetricSpec(name=ERRORS)]).items()
    }
    return {n: RevisionCounters(int(each.total), int(each.bad)) for n, each in found.items()}


def read_waiting(stats: Mapping[str, Any], key: str) -> int | None:
    """Return how many requests wait in a replica (`waiting`) or in a gateway (`held`); None of one that does not say.

    >>> read_waiting({"held": 3}, "held"), read_waiting({"held": "x"}, "held")
    (3, None)
    """
    try:
        return require_natural(stats[key])
    except (KeyError, TypeError, ValueError):
        return None


def _read_tokens(row: Mapping[str, Any]) -> TokenCounts:
    answered = sum(
        require_natural(count) for code, count in row["requests"].items() if code.startswith("2")
    )
    prompts = require_natural(row["usage"]["promptTokens"]) if "usage" in row else 0
    return TokenCounts(answered, prompts, require_natural(int(row["outputTokens"]["sum"])))


def read_replica_counts(stats: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> RevisionCounts:
    """Return what a replica's `/stats` say; nothing of one that is not what it should be.

    A metric that the replica does not count, being of an older image, is left out. Where it counts by group of users, there is a key
    for each of the GROUPS, also for those without a request: what is not there at one look and there at the next is not counted.
    """
    measured = [metric for metric in metrics if metric.name not in FROM_GATEWAYS]
    try:
        return {
            int(number): _read_revision(row, measured) for number, row in stats["revisions"].items()
        }
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        return {}


def read_prompt_lengths(stats: Mapping[str, Any], name: str) -> RevisionCounts:
    """Return how many finished answers were to prompts of some length or more, a metric `NAME>=BYTES` for each bound of the replica.

    Nothing of a replica that is not what it should be, or that does not count by the length of prompts.
    """
    try:
        return {
            int(number): _count_lengths(row["e2e"]["byPromptBytes"], name)
            for number, row in stats["revisions"].items()
            if "byPromptBytes" in row["e2e"]
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _count_lengths(strata: list[Any], name: str) -> dict[CountKey, Counts]:
    if len(strata) >= STRATA:
        raise ValueError("there are more strata than the status has room for")
    totals = [sum(map(require_natural, counts)) for _, counts in strata]
    bounds = [name_stratum(below) for below, _ in strata[:-1]]
    return {
        CountKey(f"{name}>={below}"): Counts(sum(totals), sum(totals[i:]))
        for i, below in enumerate(bounds, 1)
    }


def read_gateway_counts(stats: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> RevisionCounts:
    """Return the error rate and the feedback of a gateway's `/stats`, with a key for each group of users if it counts by these.

    Nothing of one that is not what it should be. Feedback is left out of one of an older image, which takes no votes.
    """
    asked = FROM_GATEWAYS & {metric.name for metric in metrics}
    if not asked:
        return {}
    found: RevisionCounts = {}
    try:
        for row in stats["routes"]:
            # Two arms may have one revision.
            counts = found.setdefault(int(row["revision"]), {})
            for key, more in _read_route(row, asked).items():
                before = counts.get(key, Counts())
                counts[key] = Counts(before.total + more.total, before.bad + more.bad)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return {}
    return found


def read_gateway_users(stats: Mapping[str, Any]) -> dict[int, int]:
    """Return who sent requests with a key since a gateway's agent began: by revision, bit `b` for bucket `b`.

    Nothing of a gateway that is not what it should be. The union of all gateways is the bitwise or.
    """
    found: dict[int, int] = {}
    try:
        for row in stats["routes"]:
            if "users" in row:
                number = int(row["revision"])
                found[number] = found.get(number, 0) | _read_users(row["users"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return {}
    return found


def _read_users(text: str) -> int:
    bits = base64.b64decode(text, validate=True) if len(text) <= BUCKETS else b""
    if len(bits) != BUCKETS // 8:
        raise ValueError(f"users: {len(bits)} bytes are not a bit for each of {BUCKETS} buckets")
    return int.from_bytes(bits, "little")


def _read_route(row: Mapping[str, Any], asked: Collection[str]) -> dict[CountKey, Counts]:
    found: dict[CountKey, Counts] = {}
    if ERRORS in asked:
        requests = row["requests"]
        whole = Counts(sum(requests.values()), requests["5xx"])
        groups = _read_groups(row, whole) if "byUser" in row else {}
        found |= {CountKey(ERRORS): whole} | name_groups(ERRORS, groups)
    if FEEDBACK in asked and FEEDBACK in row:
        found |= _read_feedback(row[FEEDBACK])
    return found


def _read_feedback(row: Mapping[str, Any]) -> dict[CountKey, Counts]:
    """Return votes, and what they lack to good ones in whole votes.

    Status has whole numbers. A sum that only grows, rounded down, is wrong by less than one vote at any time.
    """
    votes, bad = require_natural(row["votes"]), require_natural(row["badThousandths"])
    whole = Counts(THOUSANDTHS * votes, bad)
    groups = _read_groups(row, whole, THOUSANDTHS) if "byUser" in row else {}
    found = {CountKey(FEEDBACK): whole} | name_groups(FEEDBACK, groups)
    return {
        key: Counts(counts.total // THOUSANDTHS, counts.bad // THOUSANDTHS)
        for key, counts in found.items()
    }


def _read_groups(row: Mapping[str, Any], whole: Counts, parts: int = 1) -> dict[int, Counts]:
    """Return a row's `[[group, total, bad], ...]`, of all groups; `parts` is by how much one request may be bad."""
    return fill_groups(
        {
            require_group(group): Counts(parts * require_count(total), require_count(bad))
            for group, total, bad in require_rows(row["byUser"])
        },
        whole,
    )


def _read_revision(row: Mapping[str, Any], metrics: Iterable[MetricSpec]) -> dict[CountKey, Counts]:
    found: dict[CountKey, Counts] = {}
    for metric in metrics:
        if metric.name in _HISTOGRAMS and metric.name in row:
            name, histogram = format_metric_key(metric), row[metric.name]
            beyond = _find_threshold(histogram, metric)
            strata = _count_strata(histogram, beyond)
            found |= {CountKey(name, stratum): counts for stratum, counts in strata.items()}
            found |= name_groups(name, _count_groups(histogram, beyond))
        if metric.name == COST and LENGTH in row:
            found |= read_lengths(row[LENGTH], metric)
        if metric.name in row.get("shares", ()):
            found |= _read_share(row["shares"][metric.name], metric.name)
    if CACHED in row:
        found[CountKey(CACHED)] = Counts(row["promptTokens"], row[CACHED])
    return found


def _find_threshold(histogram: Mapping[str, Any], metric: MetricSpec) -> int:
    """Return the place of the first bucket that is beyond the metric's threshold."""
    threshold = metric.tokens or (metric.milliseconds or 0) / 1000
    bounds = (bound for bound, _ in histogram["buckets"])
    return next(i for i, bound in enumerate(bounds) if bound == "+Inf" or bound >= threshold) + 1


def _count_strata(histogram: Mapping[str, Any], beyond: int) -> dict[str, Counts]:
    """Return what a histogram counts beyond the threshold, by stratum."""
    buckets, strata = histogram["buckets"], histogram.get("byPromptBytes")
    if strata is None:
        return {UNKNOWN: _count_all(histogram, beyond)}
    if len(strata) >= STRATA or any(len(counts) != len(buckets) for _, counts in strata):
        raise ValueError("the strata do not fit the histogram")
    return {
        name_stratum(below): Counts(sum(counts), sum(counts[beyond:])) for below, counts in strata
    }


def _count_groups(histogram: Mapping[str, Any], beyond: int) -> dict[int, Counts]:
    """Return what a histogram counts beyond the threshold, by group of users; nothing if it does not count by these."""
    if "byUser" not in histogram:
        return {}
    found = {}
    for group, counts in require_rows(histogram["byUser"]):
        if len(counts) != len(histogram["buckets"]):
            raise ValueError("the groups do not fit the histogram")
        # Many thousand numbers at each look, so not one by one; True is no int here.
        if set(map(type, counts)) != {int} or min(counts) < 0:
            raise ValueError(f"group {group} has what is no count")
        found[require_group(group)] = Counts(sum(counts), sum(counts[beyond:]))
    return fill_groups(found, _count_all(histogram, beyond))


def _count_all(histogram: Mapping[str, Any], beyond: int) -> Counts:
    return Counts(histogram["count"], histogram["count"] - histogram["buckets"][beyond - 1][1])


def _read_share(share: Mapping[str, Any], name: str) -> dict[CountKey, Counts]:
    strata = share["byPromptBytes"]
    if len(strata) >= STRATA:
        raise ValueError("there are more strata than the status has room for")
    found = {
        CountKey(name, name_stratum(below)): Counts(require_count(total), require_count(bad))
        for below, total, bad in strata
    }
    whole = Counts(require_count(share["total"]), require_count(share["bad"]))
    return found | (name_groups(name, _read_groups(share, whole)) if "byUser" in share else {})


def _sum_buckets(rows: Iterable[Mapping[str, Any]], name: str) -> tuple[int, ...]:
    found = [0] * (len(BOUNDS) + 1)
    for row in rows:
        buckets = row[name]["buckets"]
        if [bound for bound, _ in buckets] != [*BOUNDS, "+Inf"]:
            raise ValueError(f"{name} has other buckets")
        counts = [require_count(count) for _, count in buckets]
        found = [before + count for before, count in zip(found, counts, strict=True)]
    return tuple(found)


def _require_score(value: object) -> float:
    if not isinstance(value, int | float) or not -_LOWEST_SCORE < value <= 0:
        raise ValueError(f"{value!r} is not a mean log-likelihood")
    return float(value)
