import random
from math import sqrt

import pytest

from llmdeployment_operator.autoscaler.demand import (
    Arrivals,
    add_arrivals,
    fit_slope,
    forecast,
    measure_dispersion,
    select_window,
)


def counted(rates: list[float], *, seed: int | None = None) -> Arrivals:
    """Arrivals second by second: as many as the rate says, or Poisson of it."""
    source = random.Random(seed)  # noqa: S311  # because a test keeps no secret
    arrivals, carry = Arrivals(), 0.0
    for rate in rates:
        if seed is None:
            carry += rate
            count = float(int(carry))
            carry -= count
        else:
            count, left = 0.0, source.expovariate(1.0)
            while left < rate:
                count += 1
                left += source.expovariate(1.0)
        arrivals = add_arrivals(arrivals, 1.0, count)
    return arrivals


@pytest.mark.parametrize("rate", [0.5, 2.0, 20.0])
def test_a_steady_rate_is_found(rate: float) -> None:
    found = forecast(counted([rate] * 600), 60.0)

    assert found.least <= rate <= found.most * 1.02
    assert found.estimate == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize("seed", range(10))
def test_chance_is_not_taken_for_a_rise(seed: int) -> None:
    arrivals, highest = counted([5.0] * 600, seed=seed), 0.0
    source = random.Random(seed)  # noqa: S311  # because a test keeps no secret
    for _ in range(300):
        count, left = 0.0, source.expovariate(1.0)
        while left < 5.0:
            count += 1
            left += source.expovariate(1.0)
        arrivals = add_arrivals(arrivals, 1.0, count)
        highest = max(highest, forecast(arrivals, 60.0).least)

    assert highest < 5.0 * 1.35


@pytest.mark.parametrize("rate", [3.0, 8.0, 30.0])
def test_five_times_the_rate_is_seen_in_two_seconds(rate: float) -> None:
    found = forecast(counted([rate] * 600 + [5 * rate] * 2), 0.0)

    assert found.least > 1.3 * rate
    assert found.estimate > 2 * rate


def test_a_ramp_is_carried_on() -> None:
    arrivals = counted([2.0 + 0.02 * second for second in range(300)])

    assert fit_slope(arrivals)[0] == pytest.approx(0.02, rel=0.1)
    assert forecast(arrivals, 100.0).estimate > forecast(arrivals, 0.0).estimate + 1.0


def test_bursts_are_told_from_chance() -> None:
    even = counted([5.0] * 600, seed=1)
    bursty = counted([25.0 if (second // 10) % 5 == 0 else 0.0 for second in range(600)], seed=1)

    assert measure_dispersion(even) < 2.0
    assert measure_dispersion(bursty) > 10.0


def test_windows_are_as_long_as_asked() -> None:
    arrivals = counted([1.0] * 300)

    assert select_window(arrivals, 8.0) == (8.0, 8.0)
    assert select_window(arrivals, 120.0) == (120.0, 120.0)


def test_memory_is_bounded() -> None:
    arrivals = counted([3.0] * 5000)

    assert len(arrivals.recent) <= 60
    assert len(arrivals.slots) <= 60


def test_a_slopes_error_is_that_of_least_squares() -> None:
    # Counts 1, 2, 1, 2, 1, 2 in slots of 10 s: the line rises by 3 / 35 a slot, 1.371 is left of the squares, of 6 - 2 degrees.
    rise, error = fit_slope(Arrivals(slots=(1.0, 2.0, 1.0, 2.0, 1.0, 2.0)))
    left = 1.5 - (3 / 35) ** 2 * 17.5

    assert rise == pytest.approx(3 / 35 / 100, abs=1e-6)
    assert error == pytest.approx(sqrt(left / 4 / 17.5) / 100, abs=1e-6)


def test_a_look_is_dropped_when_the_later_ones_fill_a_minute() -> None:
    looks = [(40.0, 1.0), (20.0, 2.0), (20.0, 3.0), (20.0, 4.0)]
    arrivals, lengths = Arrivals(), []
    for seconds, requests in looks:
        arrivals = add_arrivals(arrivals, seconds, requests)
        lengths.append(len(arrivals.recent))

    assert lengths == [1, 2, 3, 3]
    assert add_arrivals(Arrivals(), 100.0, 5.0).recent == ((100.0, 5.0),)


def test_a_slope_is_that_of_the_last_five_minutes() -> None:
    level = (5.0,) * 29

    assert fit_slope(Arrivals(slots=(1000.0, *level, 5.0))) == (0.0, 0.0)
    assert fit_slope(Arrivals(slots=(1000.0, *level)))[0] < 0


def test_a_slope_has_six_digits() -> None:
    # Sum of (i - 2.5) * count = 6, of (i - 2.5)^2 = 17.5: 6 / 17.5 = 0.34286 requests a slot, so 0.0034286 requests/s each second.
    # What is left is 10 / 3 - 6 * 6 / 17.5 = 1.27619, so the error is sqrt(1.27619 / 4 / 17.5) / 100 = 0.00135023.
    slope, error = fit_slope(Arrivals(slots=(0.0, 0.0, 1.0, 0.0, 1.0, 2.0)))

    assert (slope, error) == (0.003429, 0.00135)
