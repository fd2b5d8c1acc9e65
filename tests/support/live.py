"""LLMDeployments on the real cluster."""

import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dev.demo.kube import Kube
from dev.demo.progress import find_message
from tests.support.until import until

Object = dict[str, Any]
CHILDREN = (
    "controllerrevisions,serviceaccounts,roles,rolebindings,networkpolicies,configmaps,services,"
    "statefulsets,deployments,poddisruptionbudgets,jobs,secrets,pods,endpointslices,persistentvolumeclaims"
)
SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
"""Of a gateway's HAProxy, so that five of them beside their heads fit a node of two CPUs."""


@dataclass(frozen=True)
class Live:
    """One LLMDeployment by name."""

    kube: Kube
    name: str

    def create(self, **spec: Any) -> "Live":
        """Apply a simulated one, with these fields over it."""
        body = {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": self.name},
            "spec": {
                "model": {"source": "file:///dev/null"},
                "engine": {"name": "simulated", "args": {"decode-tokens-per-second": 50}},
                "gateway": {
                    "replicas": 1,
                    "hold": {"maxRequests": 1000, "seconds": 150},
                    "resources": SMALL,
                },
                **spec,
            },
        }
        self.kube.apply(body)
        return self

    def edit(self, **spec: Any) -> None:
        self.kube.patch("llm", self.name, {"spec": spec})

    def annotate(self, **commands: str) -> None:
        """Say something of its rollout, as `kubectl annotate` does."""
        named = {f"llmdeployment.dev/{key}": value for key, value in commands.items()}
        self.kube.patch("llm", self.name, {"metadata": {"annotations": named}})

    @property
    def object(self) -> Object:
        found = self.kube.get("llm", self.name)
        assert found is not None
        return found

    def condition(self, kind: str) -> Object:
        """One condition, if it speaks of the current generation; else empty."""
        found = self.object
        conditions = found.get("status", {}).get("conditions") or []
        fresh = [
            c for c in conditions if c["observedGeneration"] == found["metadata"]["generation"]
        ]
        condition: Object = next((c for c in fresh if c["type"] == kind), {})
        return {**condition, "message": find_message(found, kind)} if condition else {}

    def until_ready(self, seconds: float = 300) -> "Live":
        self.until_condition("Ready", lambda ready: ready.get("status") == "True", seconds)
        # kube-proxy may be a moment behind: until then nobody is at the Service's address.
        until(self.reached, 60, f"the gateway of {self.name} answers at {self.url}")
        return self

    def reached(self) -> bool:
        """Whether the gateway answers at its Service's address, by the form of its errors."""
        try:
            with urllib.request.urlopen(f"{self.url}/nothing", timeout=5):  # noqa: S310  # because the URL is made here, with http
                return False
        except urllib.error.HTTPError as error:
            return b'"invalid_request_error"' in error.read()
        except OSError:
            return False

    def until_reason(self, reason: str, seconds: float = 200) -> str:
        """Wait until Ready is False for this reason; returns the message."""
        wanted = ("False", reason)
        found = self.until_condition(
            "Ready", lambda ready: (ready.get("status"), ready.get("reason")) == wanted, seconds
        )
        return str(found["message"])

    def until_condition(self, kind: str, holds: Callable[[Object], bool], seconds: float) -> Object:
        """Wait until a condition is as wanted; a failure says all that it was, since the pods are gone by then."""
        seen: dict[str, None] = {}

        def wanted() -> Object | None:
            found = self.condition(kind)
            seen[f"{found.get('status')}, {found.get('reason')}: {found.get('message')}"] = None
            return found if holds(found) else None

        try:
            return until(wanted, seconds, f"{kind} of {self.name} is as wanted")
        except AssertionError as error:
            raise AssertionError(f"{error}; it was: {list(seen)[-10:]}") from None

    @property
    def url(self) -> str:
        service = self.kube.get("service", self.name)
        assert service is not None
        return f"http://{service['spec']['clusterIP']}/v1"

    def pods(self, component: str) -> list[Object]:
        """Pods of a component that are not on their way out."""
        labels = f"llmdeployment.dev/name={self.name},llmdeployment.dev/component={component}"
        found = self.kube.all("pods", labels)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def pod(self, component: str) -> str:
        (pod,) = self.pods(component)
        return str(pod["metadata"]["name"])

    def delete_pod(self, component: str) -> None:
        self.kube.run("delete", "pod", self.pod(component), "--wait=false")

    def kill(self, component: str, process: str, signal: str, *options: str) -> None:
        """Signal the processes of a pod whose command line matches a pattern of grep.

        Containers of a pod share one process namespace, where pid 1 holds the pod: without it every container starts anew.
        The pattern must not match its own text, or the shell below ends itself.
        """
        each = (
            "for p in /proc/[0-9]*; do tr '\\0' ' ' 2>/dev/null <$p/cmdline "
            f"| grep -q '{process}' && kill {signal} ${{p#/proc/}} && echo $p; done; true"
        )
        killed = self.kube.run("exec", self.pod(component), *options, "--", "sh", "-c", each)
        assert killed.strip(), f"no process of the {component} has {process!r} in its command line"

    def until_replaced(self, component: str, old: str, seconds: float = 150) -> None:
        """Wait until another pod of the component is ready."""

        def ready() -> bool:
            for pod in self.pods(component):
                state = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
                if pod["metadata"]["uid"] != old and state.get("Ready") == "True":
                    return True
            return False

        until(ready, seconds, f"another {component} of {self.name} is ready")

    def uid(self, component: str) -> str:
        (pod,) = self.pods(component)
        return str(pod["metadata"]["uid"])

    def left(self) -> list[str]:
        """What exists of it."""
        found = self.kube.all(CHILDREN, f"llmdeployment.dev/name={self.name}")
        return [f"{obj['kind']} {obj['metadata']['name']}" for obj in found]

    def until_gone(self, seconds: float = 120) -> None:
        until(lambda: not self.left(), seconds, f"nothing is left of {self.name}")
