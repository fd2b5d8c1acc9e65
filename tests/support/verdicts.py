"""Counts to judge."""

from typing import Any

from hypothesis import strategies as st

from llmdeployment_operator.analysis.counts import Counts
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.sequential_test import ComparedMetric


def stratum(stable: tuple[int, int], canary: tuple[int, int], before: Any = (0, 0)) -> Stratum:
    """Return counts given as they are spoken: 2 of 40."""
    arms = [Counts(total, bad) for bad, total in (stable, canary, before)]
    return Stratum(*arms)


def ttft(*strata: Stratum, tolerance: float = 0.02) -> ComparedMetric:
    return ComparedMetric("ttft", tolerance, strata, "slow")


def errors(*strata: Stratum, tolerance: float = 0.01) -> ComparedMetric:
    return ComparedMetric("errors", tolerance, strata, "in error")


@st.composite
def counts(draw: st.DrawFn, most: int = 3000) -> Counts:
    total = draw(st.integers(0, most))
    return Counts(total, draw(st.integers(0, total)))


arms = st.builds(Stratum, counts(), counts(), counts())
strata = st.lists(arms, min_size=1, max_size=3)
differences = st.floats(-0.9, 0.9)

EXAMPLE = stratum((2, 40), (9, 10))
"""The worked example of docs/concepts/verdict.md."""
