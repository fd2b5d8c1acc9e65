"""What a runtime's Ray Serve is told to run, and what it says of it.

Source: `ServeDeploySchema` in `ray/serve/schema.py`, Ray 2.60; measured facts in docs/concepts/serving.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.base.model_files import (
    list_adapter_sources,
    locate_adapter,
    locate_model,
)
from llmdeployment_operator.plan.base.output_patterns import TELEMETRY, render_monitoring
from llmdeployment_operator.plan.base.request_log import RequestLogPlan
from llmdeployment_operator.plan.base.revisions import Revision, count_ongoing_requests
from llmdeployment_operator.plan.base.serving_image import WITH_WEIGHTS
from llmdeployment_operator.plan.base.telemetry import takes_telemetry

APPLICATION = "llm"
DEPLOYMENT = "replica"
RETRY_SECONDS = 300.0
"""Serve never retries an application that failed to start three times; the operator does, this often."""

OLD_IMAGE = (
    "the serving image is older than this engine and does not know it. "
    "Use the image of this release, or another spec.engine.name."
)
_UNKNOWN_ENGINE = "engine.name: Input should be"
"""In the message of any image that has another list of engines (`ServingConfig`)."""

_HEALTH_CHECK_TIMEOUT = 30.0
_ATTEMPT_STEP = 0.001
_ALIVE = frozenset({"STARTING", "UPDATING", "RECOVERING", "RUNNING", "STOPPING"})
_EXCEPTION = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): ")


@dataclass(frozen=True)
class ServeState:
    """What Serve's REST API said of our application.

    Attributes:
        config: the application as it was last declared, or None when there is none.
        status: of the application: DEPLOYING, RUNNING, DEPLOY_FAILED, ...
        message: the last line of what the replicas said when they failed.
        replicas: replicas that exist in any state, draining ones too.
        placed: addresses of the pods that hold one.
        unplaced: replicas that wait for a pod to hold them.
        declared_at: seconds since the epoch of the last declaration.
        error: why there is no answer; all else is then empty.
    """

    config: dict[str, Any] | None = None
    status: str = ""
    message: str = ""
    replicas: int = 0
    placed: frozenset[str] = frozenset()
    unplaced: int = 0
    declared_at: float = 0.0
    error: str = ""


def read_serve_state(answer: dict[str, Any]) -> ServeState:
    """Return our application's state out of `GET /api/serve/applications/`."""
    app = answer.get("applications", {}).get(APPLICATION)
    if app is None:
        return ServeState()
    deployment = app.get("deployments", {}).get(DEPLOYMENT, {})
    alive = [r for r in deployment.get("replicas", []) if r.get("state") in _ALIVE]
    return ServeState(
        config=app.get("deployed_app_config"),
        status=str(app.get("status", "")),
        message=explain_message(str(deployment.get("message") or app.get("message") or "")),
        replicas=len(alive),
        placed=frozenset(r["node_ip"] for r in alive if r.get("node_ip")),
        unplaced=sum(1 for r in alive if not r.get("node_ip")),
        declared_at=float(app.get("last_deployed_time_s") or 0.0),
    )


def explain_message(text: str) -> str:
    """Return what Serve says, in words that say what to do where a replica of an older image cannot.

    >>> explain_message("ConfigError: ServingConfig is not valid: engine.name: Input should be 'vllm', 'simulated' or 'external'")
    'the serving image is older than this engine and does not know it. Use the image of this release, or another spec.engine.name.'
    """
    line = extract_last_line(text)
    return OLD_IMAGE if _UNKNOWN_ENGINE in line else line


def extract_last_line(text: str) -> str:
    r"""Return the last line that says something: of a traceback, the error itself.

    >>> extract_last_line("Traceback ...\n  File x\nValueError: no such model\n\n")
    'no such model'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _EXCEPTION.sub("", lines[-1])[:500] if lines else ""


def build_serve_config(
    deployment: LLMDeployment,
    on_runtime: tuple[Revision, ...],
    replicas: int,
    attempt: int = 0,
    self_test: Mapping[str, Any] | None = None,
    request_log: RequestLogPlan | None = None,
) -> dict[str, Any]:
    """Return the body of the PUT for a runtime that carries these revisions.

    Serve compares what it is given with what it was given last time, so nothing is said here that is not meant.
    The replica count goes into the deployment's options and never into the builder's arguments: a change of the
    arguments is a new version of the application and takes every replica down.

    Args:
        deployment: whose model it is.
        on_runtime: the revisions this runtime answers for; they differ in prompt and adapters only.
        replicas: how many are wanted; of none there are no pods.
        attempt: how often the same configuration failed before. It hides in an option that matters to nobody,
            since an identical declaration is not tried again.
        self_test: how the replicas test themselves, if not as they do by themselves (`self_test.build_settings`).
        request_log: what they log of requests; None: nothing.
    """
    user_config: dict[str, Any] = {
        "revisions": {str(r.number): _build_user_config(r) for r in on_runtime}
    }
    if self_test:
        user_config["selfTest"] = dict(self_test)
    monitoring = render_monitoring(deployment, request_log)
    if not takes_telemetry(min(on_runtime, key=lambda each: each.number).rendering):
        monitoring = {field: monitoring[field] for field in monitoring if field not in TELEMETRY}
    if monitoring:
        user_config["monitoring"] = monitoring
    replica: dict[str, Any] = {
        "name": DEPLOYMENT,
        # Serve takes no 0: without a pod to be in, the one stays an intention.
        "num_replicas": max(1, replicas),
        "user_config": user_config,
    }
    if attempt:
        replica["health_check_timeout_s"] = round(
            _HEALTH_CHECK_TIMEOUT + attempt * _ATTEMPT_STEP, 3
        )
    return {
        "proxy_location": "HeadOnly",
        "http_options": {
            "host": "0.0.0.0",  # noqa: S104  # because the pod's own address is not known here, NetworkPolicies guard it
            "port": 8000,
            "request_timeout_s": None,
            "keep_alive_timeout_s": 75,
        },
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": "llmdeployment_serving.app:build",
                "args": build_serving_config(deployment, on_runtime[-1].template),
                "external_scaler_enabled": True,
                "deployments": [replica],
            }
        ],
    }


def build_serving_config(deployment: LLMDeployment, template: dict[str, Any]) -> dict[str, Any]:
    """Return the `ServingConfig` of a runtime: the builder's arguments."""
    model, engine = template["model"], template.get("engine", {})
    parallelism = template.get("parallelism", {})
    name = engine.get("name", "vllm")
    # Said only when it is so: the arguments of runtimes that are older than the field must stay what they are.
    adapters = {"adapters": True} if model.get("adapters") else {}
    task = {"task": model["task"]} if model.get("task") else {}
    return {
        **adapters,
        **task,
        "servedName": model.get("servedName") or deployment.metadata.name,
        "modelPath": locate_model(model["source"]).path if name in WITH_WEIGHTS else "",
        "engine": {"name": name, "args": engine.get("args", {})},
        "maxOngoingRequests": count_ongoing_requests(template),
        "tensorParallelSize": parallelism.get("tensor", 1),
        "pipelineParallelSize": parallelism.get("pipeline", 1),
        "gpus": count_accelerators(template.get("resources", {})).get("nvidia.com/gpu", 0),
    }


def count_attempt(state: ServeState, now: float) -> int:
    """Return which attempt the declaration should be: one more when the last one failed long enough ago."""
    deployments = (state.config or {}).get("deployments") or [{}]
    timeout = float(deployments[0].get("health_check_timeout_s", _HEALTH_CHECK_TIMEOUT))
    made = round((timeout - _HEALTH_CHECK_TIMEOUT) / _ATTEMPT_STEP)
    failed = state.status == "DEPLOY_FAILED" and now - state.declared_at > RETRY_SECONDS
    return made + 1 if failed else made


def explain_put(wanted: dict[str, Any], state: ServeState) -> str | None:
    """Say why the application has to be declared, or None when it is as declared."""
    if state.config is None:
        return "Serve does not run the application yet"
    if wanted["applications"][0] != state.config:
        return "the application's configuration changed"
    return None


def _build_user_config(revision: Revision) -> dict[str, Any]:
    prompt, model = revision.template.get("prompt"), revision.template["model"]
    adapters = [
        {"name": name, "path": locate_adapter(source, model["source"])}
        for name, source in list_adapter_sources(model).items()
    ]
    found = {"prompt": prompt, "adapters": adapters}
    return {key: value for key, value in found.items() if value}
