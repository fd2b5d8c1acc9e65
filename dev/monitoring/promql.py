"""Which metrics and labels a query in PromQL names: enough of its grammar to hold queries to the metrics that exist.

promtool says whether a query is valid; it does not know which metrics there are.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_METRIC = re.compile(
    r"(?<![\w:$\"])([a-z]+(?:_[a-z0-9]+)*:[a-z0-9_:]+|(?:llmdeployment|process|vllm)_\w+)(\{[^}]*\})?"
)
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_STRING = re.compile(r"\"[^\"]*\"")
OF_TARGETS = frozenset({"namespace", "name", "job", "instance", "le"})
"""Labels that Prometheus adds to what it scrapes by the chart's PodMonitors, and that of a bucket."""


@dataclass(frozen=True)
class Use:
    """A metric in a query, and labels that the query needs it to have."""

    metric: str
    labels: frozenset[str]


def list_uses(query: str) -> list[Use]:
    """Return the metrics of a query with the labels that they must have.

    >>> (use,) = list_uses('sum by (arm) (rate(llmdeployment_x_total{code=~"5.."}[5m])) > 1')
    >>> use.metric, sorted(use.labels)
    ('llmdeployment_x_total', ['arm', 'code'])
    """
    groups = list(_list_groups(query))
    return [
        Use(
            found[1],
            frozenset(_MATCHER.findall(found[2] or "")).union(
                *(labels for labels, start, end in groups if start <= found.start() < end)
            ),
        )
        for found in _METRIC.finditer(query)
    ]


def _list_groups(query: str) -> Iterator[tuple[set[str], int, int]]:
    """Yield the labels of each `by (...)` and the part of the query that they are of."""
    blank = _STRING.sub(lambda match: "s" * len(match[0]), query)
    for found in re.finditer(r"\bby\s*\(([^)]*)\)\s*\(", blank):
        labels = {label.strip() for label in found[1].split(",")}
        yield labels, found.end(), _find_end(blank, found.end())


def _find_end(query: str, start: int) -> int:
    """Return where the parenthesis that is open at `start` closes."""
    depth = 1
    for place in range(start, len(query)):
        depth += {"(": 1, ")": -1}.get(query[place], 0)
        if depth == 0:
            return place
    return len(query)


def find_unknown(query: str, known: Mapping[str, frozenset[str]]) -> list[str]:
    """Return what a query names and nobody exports, as sentences.

    Args:
        query: PromQL.
        known: the labels of every series' name.

    >>> find_unknown('llmdeployment_y{arm="a"}', {"llmdeployment_y": frozenset({"revision"})})
    ['llmdeployment_y has no label arm']
    """
    problems = []
    for use in list_uses(query):
        if use.metric not in known:
            problems.append(f"nobody exports {use.metric}")
            continue
        problems += [
            f"{use.metric} has no label {label}"
            for label in sorted(use.labels - known[use.metric] - OF_TARGETS)
        ]
    return problems
