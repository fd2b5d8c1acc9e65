"""Made-up traffic in one line: `poisson:rate=5,seconds=3600`."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from llmdeployment_operator.simulation import generators
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.generators import Tokens, lognormal_tokens
from llmdeployment_operator.simulation.trace import Request

_Made = Callable[[Mapping[str, float], Tokens, int], Iterator[Request]]


@dataclass(frozen=True)
class _Recipe:
    """What a kind of traffic must be told, what it may be told, and how it is made."""

    needed: tuple[str, ...]
    make: _Made
    optional: Mapping[str, float]


_ALL = {"prompt": 500.0, "output": 200.0, "seed": 1.0}
"""Mean tokens, spread log-normally, and the seed."""

RECIPES: dict[str, _Recipe] = {
    "poisson": _Recipe(
        ("rate", "seconds"),
        lambda v, t, s: generators.poisson(v["rate"], v["seconds"], t, seed=s),
        _ALL,
    ),
    "bursts": _Recipe(
        ("rate", "seconds"),
        lambda v, t, s: generators.bursts(v["rate"], v["seconds"], t, seed=s, shape=v["shape"]),
        {**_ALL, "shape": 0.2},
    ),
    "ramp": _Recipe(
        ("low", "high", "seconds"),
        lambda v, t, s: generators.ramp(v["low"], v["high"], v["seconds"], t, seed=s),
        _ALL,
    ),
    "steps": _Recipe(
        ("low", "high", "seconds"),
        lambda v, t, s: generators.steps(
            [(v["seconds"] / 3, v[rate]) for rate in ("low", "high", "low")], t, seed=s
        ),
        _ALL,
    ),
    "diurnal": _Recipe(
        ("low", "high", "seconds"),
        lambda v, t, s: generators.diurnal(
            v["low"], v["high"], v["seconds"], t, seed=s, day=v["day"]
        ),
        {**_ALL, "day": 86_400.0},
    ),
}


def is_recipe(text: str) -> bool:
    """Return whether a text names traffic to make, and no file.

    >>> is_recipe("poisson:rate=5,seconds=60"), is_recipe("traffic.csv")
    (True, False)
    """
    return text.partition(":")[0] in RECIPES and ":" in text


def make_trace(text: str) -> Iterator[Request]:
    """Return the requests a recipe asks for; the same each time.

    >>> len(list(make_trace("poisson:rate=5,seconds=60,seed=3")))
    291

    Raises:
        InputError: A field that is missing, unknown or no possible number; the sentence says which.
    """
    kind, _, rest = text.partition(":")
    recipe = RECIPES[kind]
    forwarded = dict(_field(part, text) for part in rest.split(",") if part.strip())
    known = (*recipe.needed, *recipe.optional)
    for name in forwarded:
        if name not in known:
            raise InputError(f"{text}: {kind} has no {name}; it has {', '.join(known)}")
    for name in recipe.needed:
        if name not in forwarded:
            raise InputError(
                f"{text}: {name} is missing; {kind} needs {' and '.join(recipe.needed)}"
            )
    values = {**recipe.optional, **forwarded}
    for name, value in values.items():
        if not (0 <= value < math.inf if name in {"low", "seed"} else 0 < value < math.inf):
            raise InputError(f"{text}: {name} is {value:g}, which is not above 0")
    tokens = lognormal_tokens(values["prompt"], values["output"])
    return recipe.make(values, tokens, int(values["seed"]))


def _field(part: str, text: str) -> tuple[str, float]:
    name, _, value = part.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise InputError(f"{text}: {part.strip()!r} is not of the form name=number") from None
