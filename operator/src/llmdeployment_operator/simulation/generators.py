"""Made-up traffic, the same for the same seed: a rate over time, made into arrivals by a renewal process."""

import math
import random
from collections.abc import Callable, Iterator

from llmdeployment_operator.simulation.trace import Request

Rate = Callable[[float], float]
"""Requests per second at a time."""

Tokens = Callable[[random.Random], tuple[int, int]]
"""Draws the tokens of a prompt and of its answer."""


def fixed_tokens(prompt: int, output: int) -> Tokens:
    """Return requests that are all alike."""
    return lambda _: (prompt, output)


def lognormal_tokens(
    prompt: float, output: float, *, sigma: float = 0.8, limit: int = 8_192
) -> Tokens:
    """Return requests whose tokens have these means, spread as recorded ones are; none above `limit`."""

    def draw(source: random.Random) -> tuple[int, int]:
        shift = sigma * sigma / 2
        sizes = (source.lognormvariate(math.log(mean) - shift, sigma) for mean in (prompt, output))
        first, second = (min(limit, max(1, round(size))) for size in sizes)
        return first, second

    return draw


def arrivals(
    rate: Rate, seconds: float, tokens: Tokens, *, seed: int, shape: float = 1.0
) -> Iterator[Request]:
    """Yield requests at `rate` for `seconds`; gaps are Gamma distributed.

    Args:
        rate: requests per second; it may be 0 for a while.
        seconds: how long.
        tokens: their sizes.
        seed: the same seed gives the same requests.
        shape: 1 is Poisson; below 1 come bursts: the variance of a gap is 1/shape of a Poisson process'.
    """
    source = random.Random(seed)  # noqa: S311  # because a simulation keeps no secret
    due = source.gammavariate(shape, 1.0 / shape)
    at, grain = 0.0, 0.05
    while at < seconds:
        per_second = rate(at)
        step = min(grain, seconds - at)
        if due >= per_second * step:
            due -= per_second * step
            at += step
            continue
        at += due / per_second
        prompt, output = tokens(source)
        yield Request(at, prompt, output)
        due = source.gammavariate(shape, 1.0 / shape)


def poisson(per_second: float, seconds: float, tokens: Tokens, *, seed: int) -> Iterator[Request]:
    """Yield a Poisson process."""
    return arrivals(lambda _: per_second, seconds, tokens, seed=seed)


def bursts(
    per_second: float, seconds: float, tokens: Tokens, *, seed: int, shape: float = 0.2
) -> Iterator[Request]:
    """Yield arrivals with Gamma distributed gaps, which come in bursts."""
    return arrivals(lambda _: per_second, seconds, tokens, seed=seed, shape=shape)


def ramp(
    low: float, high: float, seconds: float, tokens: Tokens, *, seed: int
) -> Iterator[Request]:
    """Yield a Poisson process whose rate goes from `low` to `high` in a straight line."""
    return arrivals(lambda at: low + (high - low) * at / seconds, seconds, tokens, seed=seed)


def steps(rates: list[tuple[float, float]], tokens: Tokens, *, seed: int) -> Iterator[Request]:
    """Yield a Poisson process by stages, each (seconds, requests per second)."""

    def rate(at: float) -> float:
        for seconds, per_second in rates:
            if at < seconds:
                return per_second
            at -= seconds
        return rates[-1][1]

    return arrivals(rate, sum(seconds for seconds, _ in rates), tokens, seed=seed)


def diurnal(
    low: float, high: float, seconds: float, tokens: Tokens, *, seed: int, day: float = 86_400.0
) -> Iterator[Request]:
    """Yield a Poisson process whose rate swings between `low` and `high` once a `day`, lowest at its start."""
    middle, swing = (low + high) / 2, (high - low) / 2
    return arrivals(
        lambda at: middle - swing * math.cos(2 * math.pi * at / day), seconds, tokens, seed=seed
    )
