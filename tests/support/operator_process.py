"""The operator as a process of its own behind a proxy of its own, so that a test can kill it and see what it sends."""

import os
import resource
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from dev.cluster.control_plane import ControlPlane
from tests.support.fault_proxy import Fault, FaultProxy, no_fault
from tests.support.ports import free_port

LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 5, 3, 1


class OperatorProcess:
    """`llmdeployment-operator` with a Lease in the namespace that it watches.

    Attributes:
        writes: time and path of every request that is no GET, as the proxy received it.
        fault: what the proxy does to a request; may be replaced at any time.
    """

    def __init__(
        self,
        plane: ControlPlane,
        namespace: str,
        folder: Path,
        lease: tuple[int, int, int] = (LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS),
    ) -> None:
        folder.mkdir()
        self.log = folder / "log"
        self.port = free_port()
        self.writes: list[tuple[float, str]] = []
        self.fault: Fault = no_fault
        self.proxy = FaultProxy(plane)
        self.proxy.fault = self._record
        self._environment = {
            **os.environ,
            "LLMD_KUBECONFIG": self.proxy.kubeconfig(folder),
            "LLMD_NAMESPACES": namespace,
            "LLMD_OPERATOR_NAMESPACE": namespace,
            "LLMD_OWN_NAMESPACE": "true",
            "LLMD_SERVING_IMAGE_GPU": "serving",
            "LLMD_SERVING_IMAGE_CPU": "serving",
            "LLMD_SERVING_IMAGE_SIMULATED": "serving",
            "LLMD_GATEWAY_IMAGE": "gateway",
            "LLMD_PORT": str(self.port),
            "LLMD_LEADER_ELECTION": "true",
            "LLMD_LEASE_SECONDS": str(lease[0]),
            "LLMD_LEASE_RENEW_SECONDS": str(lease[1]),
            "LLMD_LEASE_RETRY_SECONDS": str(lease[2]),
        }

    def start(self) -> None:
        self.proxy.start()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("llmdeployment-operator")],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.proxy.stop()

    def leads(self) -> bool:
        return "llmdeployment_operator_leader 1.0" in self.read_metrics()

    def read_metrics(self) -> str:
        """What `/metrics` says, or nothing."""
        return self._get("/metrics")

    def rss_mib(self) -> int:
        """Memory that the process holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 2**20

    def readiness(self) -> str:
        """What `/readyz` says with status 200, or nothing."""
        return self._get("/readyz").strip()

    def _get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def _record(self, method: str, path: str) -> int | str | None:
        if method != "GET":
            self.writes.append((time.monotonic(), path))
        return self.fault(method, path)
