"""The operator's own Prometheus metrics."""

from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from llmdeployment_operator.autoscaler.types import ScalingReason

STATES = ("ready", "progressing", "degraded", "refused", "paused")


class Metrics:
    """All metrics of one operator, on a registry of its own so that several can live in one process."""

    def __init__(self) -> None:
        # Prometheus' text format has no place for the time at which a counter began, so it would be a series beside each.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # because prometheus_client does not annotate it
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.build_info = Gauge(
            "llmdeployment_operator_build_info",
            "1, with the version of the operator.",
            ["version"],
            registry=self.registry,
        )
        self.build_info.labels(version=_read_version()).set(1)
        self.reconciles = Counter(
            "llmdeployment_operator_reconciles",
            "Passes over one LLMDeployment, by result.",
            ["result"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "llmdeployment_operator_reconcile_seconds",
            "Duration of a pass.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self.registry,
        )
        self.writes = Counter(
            "llmdeployment_operator_writes",
            "Writes to the API server and to Ray Serve, by verb and kind.",
            ["verb", "kind"],
            registry=self.registry,
        )
        self.errors = Counter(
            "llmdeployment_operator_errors",
            "Passes that ended in an error, by the kind of the error.",
            ["error"],
            registry=self.registry,
        )
        self.objects = Gauge(
            "llmdeployment_operator_objects",
            "LLMDeployments, by state.",
            ["state"],
            registry=self.registry,
        )
        self.traffic = Gauge(
            "llmdeployment_revision_traffic_ratio",
            "Share of an LLMDeployment's requests that a revision gets in an arm.",
            ["namespace", "name", "arm", "revision"],
            registry=self.registry,
        )
        self.verdict = Gauge(
            "llmdeployment_canary_verdict",
            "What the analysis says of an arm's canary: 1 for its verdict, 0 for the others.",
            ["namespace", "name", "arm", "revision", "verdict"],
            registry=self.registry,
        )
        self.condition = Gauge(
            "llmdeployment_condition",
            "Conditions: 1 for the status that a condition has, 0 for the others.",
            ["namespace", "name", "condition", "status"],
            registry=self.registry,
        )
        self.condition_reason = Gauge(
            "llmdeployment_condition_reason",
            "1 for each condition, with its status and reason.",
            ["namespace", "name", "condition", "status", "reason"],
            registry=self.registry,
        )
        self.score = Gauge(
            "llmdeployment_evaluation_score_ratio",
            "Share of the golden set that a revision with replicas answered as expected when it was last asked.",
            ["namespace", "name", "revision"],
            registry=self.registry,
        )
        self.drift = Gauge(
            "llmdeployment_drift_difference",
            "Share of a revision's requests in a metric, minus that of the same hours of its first window.",
            ["namespace", "name", "revision", "metric"],
            registry=self.registry,
        )
        self.desired = Gauge(
            "llmdeployment_scaling_desired_replicas",
            "Replicas that autoscaling wants of a runtime.",
            ["namespace", "name", "runtime"],
            registry=self.registry,
        )
        self.scaling_decisions = Counter(
            "llmdeployment_scaling_decisions",
            "Decisions of autoscaling that changed a number of replicas, by reason.",
            ["namespace", "name", "reason"],
            registry=self.registry,
        )
        self.cost_per_hour = Gauge(
            "llmdeployment_cost_per_hour",
            "Cost per hour by the last ten minutes, in units of the currency, by revision or `idle`.",
            ["namespace", "name", "revision", "currency"],
            registry=self.registry,
        )
        self.cost = Counter(
            "llmdeployment_cost",
            "Cost in units of the currency, by revision, `idle` or `unattributed`.",
            ["namespace", "name", "revision", "currency"],
            registry=self.registry,
        )
        self.experiment_state = Gauge(
            "llmdeployment_experiment_state",
            "1 for the outcome of an experiment that holds, 0 for each other.",
            ["namespace", "name", "outcome"],
            registry=self.registry,
        )
        self.experiment_difference = Gauge(
            "llmdeployment_experiment_difference",
            "An arm's share of bad requests minus the control's; bound is estimate, lower or upper.",
            ["namespace", "name", "arm", "metric", "bound"],
            registry=self.registry,
        )
        self.experiment_requests = Gauge(
            "llmdeployment_experiment_requests",
            "Requests that an experiment has counted of an arm, and of the control beside it; side is arm or control.",
            ["namespace", "name", "arm", "side"],
            registry=self.registry,
        )
        self.experiment_users = Gauge(
            "llmdeployment_experiment_users",
            "Users whose requests an experiment has counted of an arm, and of the control beside it; side is arm or control.",
            ["namespace", "name", "arm", "side"],
            registry=self.registry,
        )
        self.experiment_cost_difference = Gauge(
            "llmdeployment_experiment_cost_difference",
            "By how much of the control's cost an arm costs more during an experiment; per is requests or tokens.",
            ["namespace", "name", "arm", "per"],
            registry=self.registry,
        )
        self.self_tests_failed = Counter(
            "llmdeployment_self_tests_failed",
            "Times that replicas of an LLMDeployment began to fail their self-test.",
            ["namespace", "name"],
            registry=self.registry,
        )
        self.queue = Gauge(
            "llmdeployment_operator_queue_length",
            "LLMDeployments that wait for a pass.",
            registry=self.registry,
        )
        self.leader = Gauge(
            "llmdeployment_operator_leader",
            "1 while this operator acts, 0 while it stands by for another.",
            registry=self.registry,
        )
        self.store_objects = Gauge(
            "llmdeployment_operator_store_objects",
            "Objects of the API server that are kept in memory.",
            registry=self.registry,
        )
        self.watches_broken = Gauge(
            "llmdeployment_operator_watches_broken",
            "Kinds and namespaces that cannot be watched now.",
            registry=self.registry,
        )
        self.notifications = Counter(
            "llmdeployment_operator_notifications",
            "Notifications that a receiver took, that were given up, or that had no room.",
            ["receiver", "result"],
            registry=self.registry,
        )
        self.notifications_waiting = Gauge(
            "llmdeployment_operator_notifications_waiting",
            "Notifications that a receiver has not taken yet.",
            ["receiver"],
            registry=self.registry,
        )
        self.spans_exported = Counter(
            "llmdeployment_operator_spans_exported",
            "Spans of passes and rollouts that the collector took.",
            registry=self.registry,
        )
        self.spans_dropped = Counter(
            "llmdeployment_operator_spans_dropped",
            "Spans of passes and rollouts that were dropped: the collector is slow or does not answer.",
            registry=self.registry,
        )
        for state in STATES:
            self.objects.labels(state=state).set(0)

    def begin(self, namespace: str, name: str, *, scales: bool) -> None:
        """Show what is counted here of an LLMDeployment, from 0 on: Prometheus takes no increase from a series that begins at 1."""
        self.self_tests_failed.labels(namespace, name)
        for reason in ScalingReason if scales else ():
            self.scaling_decisions.labels(namespace, name, reason.value)

    def forget(self, namespace: str, name: str) -> None:
        """Remove what is counted here of an LLMDeployment that is gone."""
        for counter in (self.scaling_decisions, self.self_tests_failed):
            counter.remove_by_labels({"namespace": namespace, "name": name})


def _read_version() -> str:
    try:
        return version("llmdeployment-operator")
    except PackageNotFoundError:
        return "unknown"
