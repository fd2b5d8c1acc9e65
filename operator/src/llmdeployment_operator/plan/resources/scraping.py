"""Annotations that say where a pod's metrics are, for a Prometheus that finds pods by them."""

from typing import Any

from llmdeployment_operator.plan.base.settings import Settings

METRICS_PATH = "/metrics"


def annotate_pods(settings: Settings, port: int) -> dict[str, Any]:
    """Return the annotations of a pod template's metadata, or nothing where they are not asked for.

    There can be only one port, so the pods of a replica name the replica's own and not Ray's.
    """
    if not settings.scrape_annotations:
        return {}
    found = {"scrape": "true", "port": str(port), "path": METRICS_PATH}
    return {"annotations": {f"prometheus.io/{key}": value for key, value in found.items()}}
