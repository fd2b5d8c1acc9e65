"""By how much the requests of an arm cost more than the control's: an interval that is valid at any time, by user.

The cost of a request is the price of a token, as the revision's was so far, times the tokens of its answer. So with r the price of the
arm's tokens divided by the control's, and m the mean tokens of an answer, the arm costs more by

    e = r m_arm / m_control - 1

An answer counts as tokens / most, at most 1: a bounded part, so that no answer and no user can decide alone. The mean of such parts is
compared like a share of bad requests (`e_values`; verdict.md says why that holds for parts too), and a user's requests count for fewer
by the design effect. That the arm costs more by more than e is that the mean of its parts, times r / (1 + e), is higher than the
control's; above 1, the control's are divided by that factor instead, so that every part stays within 0 to 1. The interval holds each e
that neither "more than e" nor "less than e" has evidence of 1 / alpha against. To scale parts down makes their design effect smaller,
so that of the unscaled ones is not too small.

With 1,000 of 4,000 requests' worth of tokens against 800 of 4,000 at equal prices, e = 800 / 1000 - 1 = -20 %.
"""

import math
from collections.abc import Callable, Sequence

from llmdeployment_operator.analysis.counts import Counts
from llmdeployment_operator.analysis.e_values import (
    Stratum,
    count_compared,
    find_difference,
    log_e_within,
    log_e_worse,
)

LEAST, MOST = -0.95, 19.0
"""The ends of what can be told: a twentieth and twenty times the control's cost."""
_HALVINGS = 26
"""So that an end is right to 0.0001 %."""


def find_excess(strata: Sequence[Stratum], price_ratio: float) -> float | None:
    """Return e as counted, compared within prompt lengths; None without requests of both, or without tokens.

    >>> round(find_excess([Stratum(Counts(4000, 1000), Counts(4000, 800))], 1.0), 3)
    -0.2
    >>> round(find_excess([Stratum(Counts(4000, 1000), Counts(4000, 800))], 1.5), 3)
    0.2
    """
    if not count_compared(strata) or not all(any(side) for side in _list_parts(strata)):
        return None

    def is_cheaper(e: float) -> bool:
        return (find_difference(_scale(strata, price_ratio / (1 + e))) or 0.0) <= 0

    return _halve(LEAST, MOST, is_cheaper)


def find_excess_interval(
    strata: Sequence[Stratum], price_ratio: float, alpha: float
) -> tuple[float, float]:
    """Return the ends of the interval of e; LEAST or MOST where the counts set none.

    Args:
        strata: the independent requests that the counts are worth; a bad one is an answer of the most tokens.
        price_ratio: the price of the arm's tokens, divided by that of the control's; above 0.
        alpha: highest probability that the true e is ever below the interval, and that it is ever above.

    >>> low, high = find_excess_interval([Stratum(Counts(4000, 1000), Counts(4000, 800))], 1.0, 0.0125)
    >>> round(low, 3), round(high, 3)
    (-0.379, -0.003)
    """
    middle = find_excess(strata, price_ratio)
    if middle is None:
        return LEAST, MOST
    goal = -math.log(alpha)

    def is_more(e: float) -> bool:
        return log_e_worse(_scale(strata, price_ratio / (1 + e)), 0.0) >= goal

    def is_less(e: float) -> bool:
        return log_e_within(_scale(strata, price_ratio / (1 + e)), 0.0) >= goal

    return _halve(middle, LEAST, is_more), _halve(middle, MOST, is_less)


def _halve(near: float, far: float, beyond: Callable[[float], bool]) -> float:
    """Return the e from which on `beyond` holds on the way from near to far; far where it does not even there."""
    if not beyond(far):
        return far
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (near, middle) if beyond(middle) else (middle, far)
    return far


def _scale(strata: Sequence[Stratum], factor: float) -> list[Stratum]:
    """Return the strata with the arm's parts multiplied by a factor, or the control's divided by it."""
    control, arm = min(1.0, 1 / factor), min(1.0, factor)
    return [
        Stratum(
            Counts(each.stable.total, each.stable.bad * control),
            Counts(each.canary.total, each.canary.bad * arm),
        )
        for each in strata
    ]


def _list_parts(strata: Sequence[Stratum]) -> tuple[list[float], list[float]]:
    return [s.stable.bad for s in strata], [s.canary.bad for s in strata]
