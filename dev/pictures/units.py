"""Numbers as Grafana writes them, for the units of our dashboards."""

_FACTORS = ((1e9, "G"), (1e6, "M"), (1e3, "K"))
_SMALLER = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_LONGER = ((3600.0, "h"), (60.0, "min"))
_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
UNITS = ("short", "percentunit", "s", "bytes", "reqps", "ops")


class UnknownUnitError(Exception):
    """A panel has a unit that no function here writes."""


def format_value(value: float, unit: str) -> str:
    """Return a value with its unit.

    Args:
        value: the value, in the unit that Prometheus has: seconds, bytes, a share from 0 to 1.
        unit: unit as Grafana names it, one of `UNITS`.

    Raises:
        UnknownUnitError: it is another unit.

    >>> format_value(0.0421, "percentunit"), format_value(0.0231, "s"), format_value(90, "s"), format_value(48234496, "bytes")
    ('4.21%', '23.1 ms', '1.5 min', '46 MiB')
    >>> format_value(12.5, "reqps"), format_value(1_234_000, "short"), format_value(0, "s")
    ('12.5 req/s', '1.23 M', '0 s')
    """
    match unit:
        case "short":
            return _shorten(value)
        case "percentunit":
            return f"{_round(value * 100)}%"
        case "reqps":
            return f"{_shorten(value)} req/s"
        case "ops":
            return f"{_shorten(value)} ops/s"
        case "bytes":
            return _divide(value, _BYTES, "B")
        case "s":
            return _format_seconds(value)
    raise UnknownUnitError(f"unit {unit!r} is not one of {', '.join(UNITS)}: add it to units.py")


def _shorten(value: float) -> str:
    return _divide(value, _FACTORS, "")


def _divide(value: float, factors: tuple[tuple[float, str], ...], none: str) -> str:
    for size, name in factors:
        if abs(value) >= size:
            return f"{_round(value / size)} {name}"
    return f"{_round(value)} {none}".rstrip()


def _format_seconds(value: float) -> str:
    for size, name in _LONGER:
        if abs(value) >= size:
            return f"{_round(value / size)} {name}"
    for size, name in _SMALLER:
        if abs(value) >= size:
            return f"{_round(value / size)} {name}"
    return f"{_round(value)} s" if value == 0 else f"{_round(value * 1e6)} µs"


def _round(value: float) -> str:
    """Return three digits, without an exponent."""
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e" in text else text
