"""For each alert: series under which it fires, and series under which it stays silent. promtool's own notation of series.

Those of reasons are made from the table of reasons; the others are here.
"""

from dataclasses import dataclass

from dev.monitoring.alert import Alert
from dev.monitoring.reason_alerts import AVAILABLE, ROWS, TROUBLE

from llmdeployment_operator.plan.base.reasons import Reason

OWNER = 'namespace="shop", name="chat"'
OPERATOR = 'namespace="llm-system", job="llm-system/llm", instance="10.0.0.1:8080"'
STANDBY = OPERATOR.replace("10.0.0.1", "10.0.0.2")
POD = f'{OWNER}, instance="10.0.0.3:9090"'
LONG = 3000
"""Minutes of each series: longer than any alert looks back and waits."""

COMES_AND_GOES = "0 1 " * 30


@dataclass(frozen=True)
class Case:
    """Series, and the labels of the alert that they must raise; none if it must stay silent."""

    series: tuple[tuple[str, str], ...]
    labels: dict[str, str] | None = None
    says: str = "fires"


CHAT = {"namespace": "shop", "name": "chat"}
OPERATORS = {"namespace": "llm-system", "job": "llm-system/llm"}


def still(series: str, value: float) -> tuple[str, str]:
    """Return a series that has one value all the time."""
    return series, f"{value}x{LONG}"


def grow(series: str, step: float) -> tuple[str, str]:
    """Return a counter that grows by so much in a minute."""
    return series, f"0+{step}x{LONG}"


def list_reason_cases(reason: Reason) -> list[Case]:
    """Return the cases of a reason: it in its condition, another reason there, and it in a condition that does not count."""
    row = ROWS[reason]
    condition, status = {TROUBLE: ("Degraded", "True"), AVAILABLE: ("Available", "Unknown")}.get(
        row.condition, (row.condition.split('"')[1], "False")
    )
    name = "llmdeployment_condition_reason"

    def write(condition: str, reason: str) -> str:
        return f'{name}{{{OWNER}, condition="{condition}", status="{status}", reason="{reason}"}}'

    cases = [
        Case((still(write(condition, reason), 1),), CHAT),
        Case((still(write(condition, "AsExpected"), 1),), says="another reason"),
        Case((still(write("Progressing", reason), 1),), says="a condition that only tells"),
    ]
    if row.condition == TROUBLE:
        refused = write("Accepted", reason)
        cases.append(Case((still(refused, 1),), CHAT, "fires where the spec is refused"))
    return cases


def read_condition(kind: str, status: str, reason: str) -> str:
    """Return the name of a condition's series."""
    return f'llmdeployment_condition_reason{{{OWNER}, condition="{kind}", status="{status}", reason="{reason}"}}'


def count(code: str) -> str:
    """Return the name of the series of a gateway's requests with this status code."""
    return f'llmdeployment_gateway_requests_total{{{POD}, arm="main", revision="1", code="{code}"}}'


TOLD = {**OPERATORS, "receiver": "chat"}
_NOTIFIED = (
    f'llmdeployment_operator_notifications_total{{{{{OPERATOR}, receiver="chat", result="{{}}"}}}}'
)
_WAITING = f'llmdeployment_operator_notifications_waiting{{{OPERATOR}, receiver="chat"}}'
_LEADER = f"llmdeployment_operator_leader{{{OPERATOR}}}"
_QUEUE = f"llmdeployment_operator_queue_length{{{OPERATOR}}}"
_PASSES = f'llmdeployment_operator_reconciles_total{{{OPERATOR}, result="success"}}'
_FAILED = f'llmdeployment_operator_reconciles_total{{{OPERATOR}, result="error"}}'
_CUTS = f'llmdeployment_gateway_cut_requests_total{{{POD}, arm="main", revision="1", by="replica"}}'
_SERVERS = f'{{{POD}, service="chat-1a2b3c4d"}}'
_WAS = f'llmdeployment_condition{{{OWNER}, condition="Available", status="True"}}'
_UNAVAILABLE = read_condition("Available", "False", "CrashLoop")
_RUNNING, _TOKENS = "llmdeployment_requests_running", "llmdeployment_generation_tokens_total"

STATES: dict[str, list[Case]] = {
    "OperatorAbsent": [
        Case((still("up", 1),), {}),
        Case((still(_LEADER, 0),), says="one that stands by is there"),
    ],
    "OperatorNotLeading": [
        Case((still(_LEADER, 0),), OPERATORS),
        Case(
            (still(_LEADER, 1), still(f"llmdeployment_operator_leader{{{STANDBY}}}", 0)),
            says="one of two acts",
        ),
    ],
    "OperatorQueueStuck": [
        Case((still(_LEADER, 1), still(_QUEUE, 3), still(_PASSES, 7)), OPERATORS),
        Case((still(_LEADER, 1), still(_QUEUE, 3)), OPERATORS, "fires before the first pass"),
        Case((still(_LEADER, 1), still(_QUEUE, 3), grow(_PASSES, 1)), says="passes are made"),
        Case((still(_LEADER, 1), still(_QUEUE, 0), still(_PASSES, 7)), says="nobody waits"),
        Case((still(_LEADER, 0), still(_QUEUE, 3)), says="it stands by"),
        Case((still(_LEADER, 1), (_QUEUE, COMES_AND_GOES)), says="nobody waits for long"),
    ],
    "OperatorPassesFail": [
        Case((grow(_PASSES, 89), grow(_FAILED, 11)), OPERATORS),
        Case((grow(_PASSES, 91), grow(_FAILED, 9)), says="9 %"),
    ],
    "OperatorWatchesBroken": [
        Case((still(f"llmdeployment_operator_watches_broken{{{OPERATOR}}}", 1),), OPERATORS),
        Case((still(f"llmdeployment_operator_watches_broken{{{OPERATOR}}}", 0),), says="none"),
        Case(
            (
                still(f"llmdeployment_operator_watches_broken{{{OPERATOR}}}", 1),
                still(f"llmdeployment_operator_watches_broken{{{STANDBY}}}", 0),
            ),
            OPERATORS,
            "fires for one of two pods",
        ),
    ],
    "NotificationsFail": [
        Case((grow(_NOTIFIED.format("failed"), 1),), TOLD),
        Case((grow(_NOTIFIED.format("dropped"), 1),), TOLD, "fires for what had no room"),
        Case((still(_WAITING, 1),), TOLD, "fires before it is given up"),
        Case((grow(_NOTIFIED.format("sent"), 1), still(_NOTIFIED.format("failed"), 3)), says="before"),
        Case(((_WAITING, COMES_AND_GOES),), says="none waits for long"),
    ],
    "GatewayErrors": [
        Case((grow(count("200"), 947), grow(count("503"), 53)), CHAT),
        Case((grow(count("200"), 953), grow(count("503"), 47)), says="4.7 %"),
        Case((grow(count("200"), 50), grow(count("429"), 50)), says="errors of clients"),
    ],
    "GatewayRefuses": [
        Case((grow(f"llmdeployment_gateway_refused_requests_total{{{POD}}}", 1),), CHAT),
        Case((still(f"llmdeployment_gateway_refused_requests_total{{{POD}}}", 9),), says="before"),
    ],
    "GatewayCuts": [
        Case((grow(count("200"), 1000), grow(_CUTS, 11)), CHAT),
        Case((grow(count("200"), 1000), grow(_CUTS, 9)), says="0.9 %"),
        Case(
            (grow(count("200"), 100), grow(_CUTS.replace('"replica"', '"client"'), 50)),
            says="clients that leave",
        ),
    ],
    "GatewayHolds": [
        Case((still(f"llmdeployment_gateway_held_requests{{{POD}}}", 1),), CHAT),
        Case(
            ((f"llmdeployment_gateway_held_requests{{{POD}}}", COMES_AND_GOES),),
            says="none is held for long",
        ),
    ],
    "GatewayNotReady": [
        Case((still(f"llmdeployment_gateway_ready{{{POD}}}", 0),), CHAT),
        Case(
            (
                still(f"llmdeployment_gateway_ready{{{POD}}}", 0),
                still(f"llmdeployment_gateway_ready{{{POD.replace('0.3', '0.4')}}}", 1),
            ),
            says="one of two is",
        ),
    ],
    "GatewaySteeringFails": [
        Case((grow(f"llmdeployment_gateway_steering_failures_total{{{POD}}}", 3.2),), CHAT),
        Case((grow(f"llmdeployment_gateway_kube_failures_total{{{POD}}}", 3.2),), CHAT, "API server"),
        Case((grow(f"llmdeployment_gateway_kube_failures_total{{{POD}}}", 2.8),), says="now and then"),
    ],
    "Unavailable": [
        Case((still(_UNAVAILABLE, 1), (_WAS, f"1 0x{LONG}")), CHAT),
        Case((still(_UNAVAILABLE, 1), still(_WAS, 0)), says="it never answered"),
        Case(
            (still(read_condition("Available", "False", "ScaledToZero"), 1), (_WAS, f"1 0x{LONG}")),
            says="it was scaled to zero",
        ),
        Case((still(read_condition("Available", "True", "Serving"), 1), still(_WAS, 1)), says="it answers"),
    ],
    "StartsForLong": [
        Case((still(read_condition("Ready", "False", "LoadingModel"), 1),), CHAT),
        Case(
            (
                (read_condition("Ready", "False", "FetchingModel"), f"1x30 _x{LONG}"),
                (read_condition("Ready", "False", "LoadingModel"), f"_x30 1x{LONG}"),
            ),
            CHAT,
            "fires though the reason changed on the way",
        ),
        Case((still(read_condition("Ready", "False", "Canary"), 1),), says="a rollout"),
        Case((still(read_condition("Ready", "True", "Serving"), 1),), says="it serves"),
    ],
    "ReplicasUnreached": [
        Case(
            (
                still(f"llmdeployment_gateway_servers{_SERVERS}", 3),
                still(f"llmdeployment_gateway_servers_up{_SERVERS}", 3),
                still(f"llmdeployment_gateway_servers{_SERVERS.replace('0.3', '0.4')}", 2),
                still(f"llmdeployment_gateway_servers_up{_SERVERS.replace('0.3', '0.4')}", 2),
            ),
            {**CHAT, "service": "chat-1a2b3c4d"},
            "fires if one of two gateways does not know all",
        ),
        Case(
            (
                still(f"llmdeployment_gateway_servers{_SERVERS}", 3),
                still(f"llmdeployment_gateway_servers_up{_SERVERS}", 2),
            ),
            {**CHAT, "service": "chat-1a2b3c4d"},
        ),
        Case(
            (
                still(f"llmdeployment_gateway_servers{_SERVERS}", 3),
                still(f"llmdeployment_gateway_servers_up{_SERVERS}", 3),
            ),
            says="all are reached",
        ),
    ],
    "ReplicaWithoutAnswers": [
        Case(
            (still(f"{_RUNNING}{{{POD}}}", 2), still(f"{_TOKENS}{{{POD}}}", 70)),
            {**CHAT, "instance": "10.0.0.3:9090"},
        ),
        Case((still(f"{_RUNNING}{{{POD}}}", 2), grow(f"{_TOKENS}{{{POD}}}", 1)), says="slowly"),
        Case((still(f"{_RUNNING}{{{POD}}}", 0), still(f"{_TOKENS}{{{POD}}}", 70)), says="no request"),
        Case((still(f'{_RUNNING}{{{POD}, engine="external"}}', 2),), says="an API elsewhere"),
        Case(
            ((f"{_RUNNING}{{{POD}}}", COMES_AND_GOES), still(f"{_TOKENS}{{{POD}}}", 70)),
            says="requests that come and go",
        ),
    ],
    "EngineRestarts": [
        Case((grow(f"llmdeployment_engine_restarts_total{{{POD}}}", 0.045),), CHAT),
        Case((grow(f"llmdeployment_engine_restarts_total{{{POD}}}", 0.03),), says="less than twice an hour"),
    ],
}  # fmt: skip


def list_cases(alert: Alert) -> list[Case]:
    """Return every case of an alert."""
    found = STATES.get(alert.page)
    if found is not None:
        return found
    cases = list_reason_cases(Reason(alert.page))
    if alert.page == Reason.SELF_TEST_FAILED:
        failed = f"llmdeployment_self_tests_failed_total{{{OWNER}}}"
        cases.append(Case((grow(failed, 1),), CHAT, "fires though the replica was replaced"))
        cases.append(Case((still(failed, 3),), says="long ago"))
    return cases
