"""Prometheus' text format, written in about two thirds of the time that prometheus_client takes, and the same byte for byte.

A replica is scraped while it generates, and its page has 700 series and more. The client looks at each label's name anew in each series.
"""

import re
from collections.abc import Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString
from typing_extensions import override

_PLAIN = frozenset({"counter", "gauge", "histogram", "summary"})
"""Types that both have by the same name."""
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*").fullmatch
_SPECIAL = re.compile(r'[\\\n"]').search


class _One(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    @override
    def collect(self) -> Iterator[Metric]:
        yield self._family


def write_page(families: Iterable[Metric]) -> bytes:
    """Return metrics in Prometheus' text format."""
    return b"".join(
        _write_family(each) if _is_plain(each) else generate_latest(_One(each)) for each in families
    )


def _is_plain(family: Metric) -> bool:
    """Return whether nothing of a metric has to be renamed."""
    names = {name for sample in family.samples for name in sample.labels}
    return (
        family.type in _PLAIN
        and _NAME(family.name) is not None
        and all(_NAME(name) and ":" not in name for name in names)
        and all(sample.timestamp is None for sample in family.samples)
    )


def _write_family(family: Metric) -> bytes:
    created_name = f"{family.name}_created"
    created = [sample for sample in family.samples if sample.name == created_name]
    lines = _write_head(family, family.name + ("_total" if family.type == "counter" else ""))
    lines += [_write_sample(each) for each in family.samples if each.name != created_name]
    if created:
        lines += _write_head(family, created_name, "gauge")
        lines += [_write_sample(each) for each in created]
    return "".join(lines).encode()


def _write_head(family: Metric, name: str, kind: str = "") -> list[str]:
    text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    return [f"# HELP {name} {text}\n", f"# TYPE {name} {kind or family.type}\n"]


def _write_sample(sample: Sample) -> str:
    value = floatToGoString(sample.value)  # type: ignore[no-untyped-call]  # because prometheus_client does not annotate it
    if not sample.labels:
        return f"{sample.name} {value}\n"
    labels = ",".join(
        [
            f'{name}="{_escape(text) if _SPECIAL(text) else text}"'
            for name, text in sorted(sample.labels.items())
        ]
    )
    return f"{sample.name}{{{labels}}} {value}\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
