"""What the chart makes of five sets of values, and which values it refuses.

After a change that is meant: `LLMD_UPDATE_GOLDEN=1 pytest tests/chart`, and read the difference.
"""

import os
from collections.abc import Iterator

import pytest
from tests.chart.rendering import (
    CASES,
    CHART,
    HERE,
    MONITORS,
    NO_CRD,
    RENDER,
    Helm,
    Object,
    find_container,
    find_deployment,
    render,
    render_release,
)

from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.plan.base.leadership import Election
from llmdeployment_operator.plan.base.settings import ServingImages
from llmdeployment_operator.settings import plan_settings, runtime_settings

pytestmark = pytest.mark.chart


def test_helm_lint_finds_nothing(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_the_objects_are_those_of_the_golden_file(helm: Helm, name: str) -> None:
    golden = HERE / "golden" / f"{name}.yaml"

    done = helm(*RENDER, *NO_CRD, *MONITORS, "-f", str(HERE / "values" / f"{name}.yaml"))

    assert done.returncode == 0, done.stderr
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        golden.write_text(done.stdout, encoding="utf-8")
    assert done.stdout == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_the_operator_understands_its_environment(helm: Helm, name: str) -> None:
    documents = render_release(helm, *NO_CRD, "-f", str(HERE / "values" / f"{name}.yaml"))

    env = {
        each["name"]: each["value"] for each in find_container(documents)["env"] if "value" in each
    }

    settings, runtime = plan_settings(env), runtime_settings(env)
    wanted = {"own-namespace": ("llm-system",), "confined": ("team-a", "team-b")}
    assert settings.namespaces == wanted.get(name, ())
    assert settings.own_namespace is (name == "own-namespace")
    assert settings.serving_images == ServingImages(
        gpu="llmdeployment/serving:0.1.0-gpu",
        cpu="llmdeployment/serving:0.1.0-cpu",
        simulated="llmdeployment/serving:0.1.0-simulated",
    )
    assert runtime.cluster_read is (name != "confined")
    labels = find_deployment(documents)["spec"]["template"]["metadata"]["labels"]
    assert settings.operator_labels.items() <= labels.items()


def test_the_crd_is_upgraded_with_the_release_and_outlives_it(helm: Helm) -> None:
    documents = render_release(helm)

    found = next(d for d in documents if d["kind"] == "CustomResourceDefinition")
    assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert found == build_crd()


def _rules(documents: list[Object]) -> Iterator[Object]:
    for document in documents:
        if document["kind"] in {"Role", "ClusterRole"}:
            yield from document["rules"]


@pytest.mark.parametrize("name", CASES)
def test_no_role_holds_more_than_it_says(helm: Helm, name: str) -> None:
    documents = render_release(helm, *NO_CRD, "-f", str(HERE / "values" / f"{name}.yaml"))

    for rule in _rules(documents):
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
        assert not {"escalate", "bind"} & set(rule["verbs"])
        # Only a console whose viewers have names acts as somebody, and test_console.py says as whom.
        assert "impersonate" not in rule["verbs"] or name == "console"
        if "secrets" in rule["resources"]:
            assert not {"list", "watch"} & set(rule["verbs"])


def test_without_rights_in_the_cluster_there_is_no_cluster_role(helm: Helm) -> None:
    documents = render_release(helm, *NO_CRD, "-f", str(HERE / "values/confined.yaml"))

    assert {d["kind"] for d in documents} == {
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
    }
    namespaces = [d["metadata"]["namespace"] for d in documents if d["kind"] == "Role"]
    assert namespaces == ["team-a", "team-b", "llm-system"]


def test_the_pod_is_restricted(helm: Helm) -> None:
    documents = render_release(helm, *NO_CRD)

    deployment = next(d for d in documents if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_two_operators_elect_one_by_a_lease_they_have_the_rights_to(helm: Helm) -> None:
    documents = render_release(helm, *NO_CRD)

    deployment = next(d for d in documents if d["kind"] == "Deployment")
    env = {entry["name"]: entry["value"] for entry in find_container(documents)["env"]}
    election = runtime_settings(env).election
    assert election == Election("llm-system", "op-llmdeployment-operator", 10, 7, 2)
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    budget = next(d for d in documents if d["kind"] == "PodDisruptionBudget")
    for selector in (spread["labelSelector"], budget["spec"]["selector"]):
        assert selector == deployment["spec"]["selector"]
    leases = [rule for rule in _rules(documents) if rule["resources"] == ["leases"]]
    assert {verb for rule in leases for verb in rule["verbs"]} == {"get", "create", "update"}
    for rule in leases:
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == [election.name]


def test_without_an_election_there_is_one_operator_at_a_time(helm: Helm) -> None:
    documents = render_release(helm, *NO_CRD, "--set", "leaderElection.enabled=false")

    deployment = next(d for d in documents if d["kind"] == "Deployment")
    env = {entry["name"]: entry["value"] for entry in find_container(documents)["env"]}
    assert runtime_settings(env).election is None
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert "topologySpreadConstraints" not in deployment["spec"]["template"]["spec"]
    assert "PodDisruptionBudget" not in {d["kind"] for d in documents}
    assert not [rule for rule in _rules(documents) if "leases" in rule["resources"]]


def test_every_object_has_the_common_labels(helm: Helm) -> None:
    values = str(HERE / "values/everything.yaml")
    documents = render(helm, "-f", values)

    labels = {"team": "platform", "example.com/cost-center": "42"}
    assert len(documents) > 15
    for document in documents:
        assert labels.items() <= document["metadata"]["labels"].items(), document["metadata"]
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert not labels.keys() & deployment["spec"]["selector"]["matchLabels"].keys()


def test_proxies_are_not_used_for_the_cluster(helm: Helm) -> None:
    documents = render_release(helm, "-f", str(HERE / "values/everything.yaml"))

    container = find_container(documents)
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert env["HTTPS_PROXY"] == env["HTTP_PROXY"] == "http://proxy.example.com:3128"
    # The kubelet fills in $(...).
    own = "$(KUBERNETES_SERVICE_HOST),kubernetes.default,.svc,.cluster.local,localhost,127.0.0.1"
    assert env["NO_PROXY"] == f"{own},.example.com"
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    own_mounts = {"/etc/llmd/ca": "ca-bundle", "/etc/llmd/notifications": "notifications"}
    assert mounts == {"/tmp": "tmp", "/more": "more", **own_mounts}  # noqa: S108  # because it is the mount's path
    assert env["SSL_CERT_FILE"] == "/etc/llmd/ca/ca.crt"


@pytest.mark.parametrize(
    ("values", "namespace"),
    [
        ((), "default"),
        (("--set", "watch.namespaces={a,b}"), "a"),
        (("--set", "watch.namespaces={a,b},test.namespace=b"), "b"),
    ],
    ids=["all", "some", "named"],
)
def test_helm_test_may_do_one_thing_in_one_namespace(
    helm: Helm, values: tuple[str, ...], namespace: str
) -> None:
    documents = render(helm, *NO_CRD, *values)

    hooks = [d for d in documents if "helm.sh/hook" in d["metadata"].get("annotations", {})]
    by_kind = {hook["kind"]: hook for hook in hooks}
    assert by_kind.keys() == {"Role", "RoleBinding", "ServiceAccount", "NetworkPolicy", "Pod"}
    shut = by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert shut.items() <= by_kind["Pod"]["metadata"]["labels"].items()
    for kind in ("Role", "RoleBinding"):
        assert by_kind[kind]["metadata"]["namespace"] == namespace
    pod = by_kind["Pod"]
    name = {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]}
    one, any_name = by_kind["Role"]["rules"]
    assert one["resourceNames"] == [name["LLMD_TEST_NAME"]]
    assert (one["verbs"], any_name["verbs"]) == (["get", "delete"], ["create"])
    assert name["LLMD_TEST_NAMESPACE"] == namespace
    assert pod["spec"]["activeDeadlineSeconds"] == 300
    operator = find_container(documents)
    assert pod["spec"]["containers"][0]["image"] == operator["image"]
    assert pod["spec"]["containers"][0]["securityContext"] == operator["securityContext"]
    selector = next(d for d in documents if d["kind"] == "Deployment")["spec"]["selector"]
    assert not selector["matchLabels"].items() <= pod["metadata"]["labels"].items()


PROXIED = "console.enabled=true,console.auth.mode=Proxy,console.url=https://a.example,console.auth.secretName=a,console.auth.anyUser=true"
REFUSED = {
    "a label of the chart's own": (
        "commonLabels.app\\.kubernetes\\.io/name=x",
        "which the chart sets itself",
    ),
    "a label with a space": ("commonLabels.team=a b", "commonLabels"),
    "a variable of the chart's own": ("extraEnv[0].name=LLMD_WORKERS", "extraEnv"),
    "a variable without a name": ("extraEnv[0].value=x", "name"),
    "a variable with a dash": ("extraEnv[0].name=A-B", "extraEnv"),
    "the chart's own volume": (
        "extraVolumes[0].name=tmp,extraVolumes[0].emptyDir=null",
        "extraVolumes",
    ),
    "a volume of nothing": ("extraVolumes[0].name=more", "extraVolumes"),
    "a mount without a path": ("extraVolumeMounts[0].name=more", "mountPath"),
    "a mount in place of the chart's own": (
        "extraVolumeMounts[0].name=more,extraVolumeMounts[0].mountPath=/tmp",
        "mountPath",
    ),
    "a proxy without a scheme": ("proxy.https=proxy.example.com:3128", "https"),
    "a proxy with a path": ("proxy.https=http://proxy.example.com/path", "https"),
    "hosts in one text": ("proxy.noProxy={a\\,b}", "noProxy"),
    "a bundle that is no name": ("caBundle=/etc/ssl", "caBundle"),
    "a history without an end": ("revisionHistoryLimit=1000", "revisionHistoryLimit"),
    "a test that cannot be ready": ("test.seconds=1", "seconds"),
    "an unknown value": ("watch.namespace=a", "namespace"),
    "an unknown top-level value": ("replica=2", "replica"),
    "no replica": ("replicas=0", "replicas"),
    "replicas as text": ("replicas=two", "replicas"),
    "a lease shorter than its renewal": (
        "leaderElection.leaseSeconds=7",
        "leaderElection.renewSeconds, and that below leaderElection.leaseSeconds",
    ),
    "a lease of a day": ("leaderElection.leaseSeconds=86400", "leaseSeconds"),
    "an unknown storage": ("headStorage.kind=hostPath", "must be one of"),
    "an unknown egress": ("networkPolicy.runtimeEgress=None", "must be one of"),
    "a size with a space": ("headStorage.size=1 Gi", "size"),
    "no workers": ("workers=0", "workers"),
    "workers as text": ("workers=many", "workers"),
    "an unknown log level": ("logLevel=LOUD", "must be one of"),
    "an unknown pull policy": ("image.operator.pullPolicy=Maybe", "must be one of"),
    "no repository": ("image.serving.repository=", "repository"),
    "a tag in the repository": ("image.serving.repository=a/b:1", "repository"),
    "a namespace that is no name": ("watch.namespaces={Team_A}", "namespaces"),
    "no service account": ("serviceAccount.create=false", "name"),
    "the values of before": ("metrics.serviceMonitor.enabled=true", "metrics"),
    "a scraper that is nobody": ("monitoring.from[0].namespace=monitoring", "namespace"),
    "a scraper that is everybody": ("monitoring.from={}", "from"),
    "no interval": ("monitoring.interval=0s", "interval"),
    "a monitor's label with a space": ("monitoring.labels.release=a b", "labels"),
    "one runbook for all alerts": ("monitoring.runbookURL=https://x.example/runbook", "runbookURL"),
    "a runbook's address with a space": ("monitoring.runbookURL=a NAME", "runbookURL"),
    "two ways to scrape": (
        "monitoring.enabled=true,monitoring.annotations=true",
        "would have everything scraped twice: set one of them",
    ),
    "a console at a path": ("console.url=https://llm.example.com/console", "url"),
    "a console without a scheme": ("console.url=llm.example.com", "url"),
    "a Prometheus without a scheme": ("console.prometheusURL=prometheus:9090", "prometheusURL"),
    "an unknown way to log in": ("console.auth.mode=Basic", "must be one of"),
    "a header that means something else": ("console.auth.userHeader=Authorization", "userHeader"),
    "a header with a space": ("console.auth.userHeader=X User", "userHeader"),
    "a group of Kubernetes itself": ("console.auth.groups={system:masters}", "groups"),
    "a user of Kubernetes itself": ("console.auth.users={System:admin}", "users"),
    "a prefix of Kubernetes itself": ("console.auth.userPrefix=system:", "userPrefix"),
    "everybody at the console": ("console.from={}", "from"),
    "a proxy without an address": (
        "console.enabled=true,console.auth.mode=Proxy,console.auth.secretName=a",
        "needs console.url",
    ),
    "a proxy without a secret": (
        "console.enabled=true,console.auth.mode=Proxy,console.url=https://a.example",
        "needs console.auth.secretName",
    ),
    "a proxy that may be anybody, unasked": (
        PROXIED.removesuffix(",console.auth.anyUser=true"),
        "set console.auth.anyUser=true",
    ),
    "one header for two things": (
        f"{PROXIED},console.auth.groupsHeader=x-forwarded-user",
        "must differ",
    ),
    "its own namespace, unasked": ("watch.namespaces={llm-system}", "set watch.ownNamespace=true"),
    "two pull policies for children": (
        "image.gateway.pullPolicy=Never",
        "image.gateway.pullPolicy and image.serving.pullPolicy must be the same",
    ),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_values_are_refused(helm: Helm, values: str, message: str) -> None:
    done = helm(*RENDER, "--set", values)

    assert done.returncode != 0
    assert message in done.stderr
