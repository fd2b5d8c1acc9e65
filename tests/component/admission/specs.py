"""What somebody who may only write LLMDeployments tries to get: specs that must be refused, and specs that are honest.

`mine` is a Secret that this account may get, `theirs` is not.
"""

from typing import Any

Spec = dict[str, Any]

HF: Spec = {"model": {"source": "hf://a/b"}}
EXTERNAL: Spec = {"model": {"source": "external://gpt"}}
CANARY: Spec = {"strategy": "Canary", "steps": [{"weight": 10}]}


def call_external(secret: str | None, url: str = "https://api.example.com/v1") -> Spec:
    """A model behind an API somewhere else."""
    key = {"apiKeySecretRef": {"name": secret}} if secret else {}
    return {**EXTERNAL, "engine": {"name": "external", "external": {"baseURL": url, **key}}}


def ask_judge(secret: str | None, url: str = "https://judge.example.com/v1") -> Spec:
    """A canary that is evaluated with a judge."""
    key = {"apiKeySecretRef": {"name": secret}} if secret else {}
    judge = {"url": url, "model": "m", **key}
    evaluation = {"golden": {"configMapRef": {"name": "golden"}}, "judge": judge}
    return {**HF, "rollout": {**CANARY, "evaluation": evaluation}}


def set_env(*env: Spec) -> Spec:
    """Variables of the engine."""
    return {**HF, "engine": {"env": list(env)}}


def lay_over(**pod: Any) -> Spec:
    """Fields of the pods' spec."""
    return {**HF, "podTemplate": {"spec": pod}}


def lay_over_container(**container: Any) -> Spec:
    """Fields of the pods' container."""
    return lay_over(containers=[{"name": "ray", **container}])


def mount(**volume: Any) -> Spec:
    """A volume of the pods."""
    return lay_over(volumes=[{"name": "v", **volume}])


def label(**metadata: dict[str, str]) -> Spec:
    """Labels and annotations of the pods."""
    return {**HF, "podTemplate": {"metadata": metadata}}


def in_an_arm(**overrides: Any) -> Spec:
    """The same in one arm of a test."""
    arms = [{"name": "a", "weight": 50}, {"name": "b", "weight": 50, "overrides": overrides}]
    return {**HF, "arms": arms}


def set_gateway(**gateway: Any) -> Spec:
    """Fields of the gateway."""
    return {**HF, "gateway": gateway}


def from_secret(name: str) -> Spec:
    """A variable's source."""
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}


SECRETS: dict[str, Spec] = {
    "external key": call_external("theirs"),
    "external key, plain http in the cluster": call_external("theirs", "http://thief.evil.svc/v1"),
    "hub token": {"model": {"source": "hf://a/b", "tokenSecretRef": {"name": "theirs"}}},
    "hub token and another hub": {
        "model": {"source": "hf://a/b", "tokenSecretRef": {"name": "theirs"}},
        "engine": {"env": [{"name": "HF_ENDPOINT", "value": "https://thief.example.com"}]},
    },
    "credentials of a bucket": {
        "model": {"source": "s3://models/a", "credentialsSecretRef": {"name": "theirs"}}
    },
    "token for a server of their own": {
        "model": {
            "source": "https://thief.example.com/SHA256SUMS",
            "sha256": "0" * 64,
            "tokenSecretRef": {"name": "theirs"},
        }
    },
    "judge": ask_judge("theirs"),
    "gateway keys": {**HF, "gateway": {"apiKeysSecretRef": {"name": "theirs"}}},
    "variable": set_env({"name": "A", **from_secret("theirs")}),
    "variable, optional": set_env(
        {
            "name": "A",
            "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "k", "optional": True}},
        }
    ),
    "last of eight variables": set_env(
        *({"name": f"A{n}", **from_secret("mine")} for n in range(7)),
        {"name": "Z", **from_secret("theirs")},
    ),
    "nine variables, nobody can check": set_env(
        *({"name": f"A{n}", **from_secret("mine")} for n in range(9))
    ),
    "volume": mount(secret={"secretName": "theirs"}),
    "projected volume": mount(projected={"sources": [{"secret": {"name": "theirs"}}]}),
    "variable of the container": lay_over_container(env=[{"name": "A", **from_secret("theirs")}]),
    "all variables of the container": lay_over_container(
        envFrom=[{"secretRef": {"name": "theirs"}}]
    ),
    "pull secret": lay_over(imagePullSecrets=[{"name": "theirs"}]),
    "arm: external key": {
        **call_external(None),
        "arms": [
            {"name": "a", "weight": 50},
            {
                "name": "b",
                "weight": 50,
                "overrides": {"engine": {"external": {"apiKeySecretRef": {"name": "theirs"}}}},
            },
        ],
    },
    "arm: hub token": in_an_arm(model={"source": "hf://a/c", "tokenSecretRef": {"name": "theirs"}}),
    "arm: variable": in_an_arm(engine={"env": [{"name": "A", **from_secret("theirs")}]}),
    "arm: volume": in_an_arm(
        podTemplate={"spec": {"volumes": [{"name": "v", "secret": {"secretName": "theirs"}}]}}
    ),
}
PODS: dict[str, Spec] = {
    "privileged": lay_over_container(securityContext={"privileged": True}),
    "root": lay_over_container(securityContext={"runAsUser": 0, "runAsNonRoot": False}),
    "root pod": lay_over(securityContext={"runAsUser": 0, "runAsNonRoot": False}),
    "capabilities": lay_over_container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
    "escalation": lay_over_container(securityContext={"allowPrivilegeEscalation": True}),
    "writable root": lay_over_container(securityContext={"readOnlyRootFilesystem": False}),
    "unmasked proc": lay_over_container(securityContext={"procMount": "Unmasked"}),
    "unconfined": lay_over(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    "sysctls": lay_over(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
    "host's files": mount(hostPath={"path": "/"}),
    "host's files without a slash": mount(hostPath={"path": "/var/run/docker.sock"}),
    "host's network": lay_over(hostNetwork=True),
    "host's processes": lay_over(hostPID=True),
    "host's memory": lay_over(hostIPC=True),
    "host's users": lay_over(hostUsers=True),
    "host's port": lay_over_container(ports=[{"containerPort": 80, "hostPort": 80}]),
    "service account": lay_over(serviceAccountName="llmdeployment-operator"),
    "service account, old name": lay_over(serviceAccount="llmdeployment-operator"),
    "token": lay_over(automountServiceAccountToken=True),
    "projected token": mount(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
    "another container": lay_over(containers=[{"name": "x", "image": "evil"}]),
    "a container without a name": lay_over(containers=[{"image": "evil"}]),
    "init container": lay_over(initContainers=[{"name": "x", "image": "evil"}]),
    "ephemeral container": lay_over(ephemeralContainers=[{"name": "x", "image": "evil"}]),
    "command": lay_over_container(command=["sh", "-c", "id"]),
    "arguments": lay_over_container(args=["x"]),
    "image": lay_over_container(image="evil"),
    "hooks": lay_over_container(lifecycle={"postStart": {"exec": {"command": ["id"]}}}),
    "probe": lay_over_container(livenessProbe={"exec": {"command": ["id"]}}),
    "node": lay_over(nodeName="control-plane"),
    "every taint": lay_over(tolerations=[{"operator": "Exists"}]),
    "every taint, empty key": lay_over(tolerations=[{"key": "", "operator": "Exists"}]),
    "system priority": lay_over(priorityClassName="system-node-critical"),
    "runtime class": lay_over(runtimeClassName="privileged"),
    "shared processes": lay_over(shareProcessNamespace=True),
    "names of hosts": lay_over(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["api.example.com"]}]),
    "name servers": lay_over(dnsConfig={"nameservers": ["10.0.0.1"]}),
    "volume of a driver": mount(csi={"driver": "evil"}),
    "volume of NFS": mount(nfs={"server": "10.0.0.1", "path": "/"}),
    "volume of iSCSI": mount(iscsi={"targetPortal": "10.0.0.1", "iqn": "i", "lun": 0}),
    "volumes that are no list": lay_over(volumes={"name": "v"}),
    "containers that are no list": lay_over(containers="ray"),
    "apparmor off": label(
        annotations={"container.apparmor.security.beta.kubernetes.io/ray": "unconfined"}
    ),
    "seccomp off": label(annotations={"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}),
    "the operator's label": label(labels={"app.kubernetes.io/name": "llmdeployment-operator"}),
    "gateway: every taint": set_gateway(tolerations=[{"operator": "Exists"}]),
    "gateway: system priority": set_gateway(priorityClassName="system-cluster-critical"),
    "arm: privileged": in_an_arm(
        podTemplate={"spec": {"containers": [{"name": "ray", "securityContext": {}}]}}
    ),
    "arm: host's files": in_an_arm(
        podTemplate={"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}
    ),
    "arm: the operator's label": in_an_arm(
        podTemplate={"metadata": {"labels": {"app.kubernetes.io/name": "llmdeployment-operator"}}}
    ),
}
SERVICES: dict[str, Spec] = {
    "load balancer": set_gateway(service={"type": "LoadBalancer"}),
    "port of the nodes": set_gateway(service={"type": "NodePort"}),
    "name in a DNS": set_gateway(
        service={"annotations": {"external-dns.alpha.kubernetes.io/hostname": "shop.example.com"}}
    ),
}
HONEST: dict[str, Spec] = {
    "the smallest": HF,
    "a claim": {"model": {"source": "pvc://models/a"}},
    "an API without a key": call_external(None),
    "an API with my key": call_external("mine"),
    "my bucket": {"model": {"source": "s3://models/a", "credentialsSecretRef": {"name": "mine"}}},
    "my hub token": {"model": {"source": "hf://a/b", "tokenSecretRef": {"name": "mine"}}},
    "a judge without a key": ask_judge(None),
    "a judge with my key": ask_judge("mine"),
    "my gateway keys": {**HF, "gateway": {"apiKeysSecretRef": {"name": "mine"}}},
    "my variable": set_env({"name": "A", **from_secret("mine")}),
    "eight of my variables": set_env(*({"name": f"A{n}", **from_secret("mine")} for n in range(8))),
    "plain variables": set_env(*({"name": f"A{n}", "value": "x"} for n in range(64))),
    "a variable of a ConfigMap": set_env(
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}
    ),
    "a variable of the pod": set_env(
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ),
    "a hub of one's own": set_env({"name": "HF_ENDPOINT", "value": "https://hub.example.com"}),
    "GPUs": {**HF, "resources": {"limits": {"nvidia.com/gpu": 2}}, "parallelism": {"tensor": 2}},
    "flags": {**HF, "engine": {"args": {"max-model-len": 4096}}},
    "an image": {**HF, "image": "registry.example.com/serving:1"},
    "a prompt": {**HF, "prompt": {"system": "Be brief."}},
    "scaling": {**HF, "scaling": {"maxReplicas": 3, "targets": {"ttft": {"milliseconds": 500}}}},
    "a canary": {**HF, "rollout": CANARY},
    "arms": in_an_arm(prompt={"system": "Be brief."}),
    "arm: my variable": in_an_arm(engine={"env": [{"name": "A", **from_secret("mine")}]}),
    "arm: a pod template": in_an_arm(podTemplate={"spec": {"nodeSelector": {"gpu": "a100"}}}),
    "a node selector": lay_over(nodeSelector={"gpu": "a100"}),
    "affinity": lay_over(affinity={"podAntiAffinity": {}}),
    "a toleration": lay_over(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]),
    "spread": lay_over(topologySpreadConstraints=[]),
    "a priority": lay_over(priorityClassName="batch"),
    "a scheduler": lay_over(schedulerName="kueue"),
    "a grace period": lay_over(terminationGracePeriodSeconds=60),
    "device claims": lay_over(resourceClaims=[{"name": "gpu", "resourceClaimName": "g"}]),
    "my pull secret": lay_over(imagePullSecrets=[{"name": "mine"}]),
    "a claim as a volume": mount(persistentVolumeClaim={"claimName": "c"}),
    "scratch": mount(emptyDir={"medium": "Memory"}),
    "a ConfigMap as a volume": mount(configMap={"name": "m"}),
    "my Secret as a volume": mount(secret={"secretName": "mine"}),
    "a volume of its own": mount(ephemeral={"volumeClaimTemplate": {"spec": {}}}),
    "a mount": lay_over_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
    "resources": lay_over_container(resources={"claims": [{"name": "gpu"}]}),
    "variables of the container": lay_over_container(env=[{"name": "A", "value": "x"}]),
    "my variables of the container": lay_over_container(
        env=[{"name": "A", **from_secret("mine")}], envFrom=[{"secretRef": {"name": "mine"}}]
    ),
    "labels": label(labels={"team": "a"}),
    "annotations": label(annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}),
    "a Service of the cluster": set_gateway(service={"type": "ClusterIP"}),
    "a gateway in its place": set_gateway(
        nodeSelector={"pool": "edge"},
        tolerations=[{"key": "edge", "operator": "Exists"}],
        affinity={"podAntiAffinity": {}},
        topologySpreadConstraints=[{"topologyKey": "topology.kubernetes.io/zone"}],
        priorityClassName="front",
    ),
    "an empty pod template": {**HF, "podTemplate": {}},
}
