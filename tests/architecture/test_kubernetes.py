"""deploy/kubernetes: sound after Kubernetes' own schemas, whole, and of one mind with the code."""

import re

import kubernetes_validate
import pytest
import yaml

from deploy import fleet
from shared.http.addresses import FORBIDDEN_V4, FORBIDDEN_V6
from shared.settings import SECRET_FIELDS, Settings
from tests.architecture.kustomize import BASE, EXAMPLE, FOLDER, build, documents, files_of, folders_of, one

OLDEST = "1.27"
#: What is no part of Kubernetes, and what ours may say; there is no package with schemas of them that loads in seconds.
CUSTOM = {
    "ScaledObject": {
        "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "fallback", "advanced", "triggers",
    },
    "ServiceMonitor": {"selector", "endpoints"},
    "PrometheusRule": {"groups"},
}  # fmt: skip
ROLES = fleet.commands()
WORKERS = ROLES.keys() - {"web"}
#: Who calls back, be it to test an endpoint; and who asks 8x8.
CALL_BACK = {"web", "events", "callbacks"}
ASK_8X8 = {"calls-otp", "calls-bulk", "sweeper"}
DRAIN = 25  # s
ALL = build(EXAMPLE)
WORKLOADS = [each for each in ALL if each["kind"] in ("Deployment", "StatefulSet", "Job")]
PODS = {each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in WORKLOADS}


def pod(role):
    return PODS[role]["spec"]["template"]["spec"]


def container(role):
    (found,) = pod(role)["containers"]
    return found


def selected(selector):
    """The roles whose pods it selects."""
    return {
        role
        for role, workload in PODS.items()
        if selector.get("matchLabels", {}).items() <= workload["spec"]["template"]["metadata"]["labels"].items()
        and all(role in each["values"] for each in selector.get("matchExpressions", ()))
    }


def test_every_file_is_there_and_named_once():
    folders = [path.parent for path in FOLDER.rglob("kustomization.yaml")]
    named = [path for folder in folders for path in files_of(folder)]
    told_apart = {FOLDER / "secret.example.yaml", *(folder / "kustomization.yaml" for folder in folders)}

    assert {target for folder in folders for target in folders_of(folder)} == {*folders} - {EXAMPLE}
    assert {path for path in FOLDER.rglob("*") if path.is_file()} - told_apart == set(named)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("found", [build(BASE), ALL], ids=["base", "example"])
def test_every_resource_is_sound_after_kubernetes_own_schema(found, version):
    for resource in [*found, *documents(FOLDER / "secret.example.yaml")]:
        if resource["kind"] not in CUSTOM:
            kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelt_member_would_be_noticed():
    web = one(ALL, "StatefulSet", "ringpost-web")
    web["spec"]["replica"] = web["spec"].pop("replicas")

    try:
        with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
            kubernetes_validate.validate(web, OLDEST, strict=True)
    finally:
        web["spec"]["replicas"] = web["spec"].pop("replica")


def test_resources_of_others_say_what_is_known_of_them_only():
    found = [each for each in ALL if each["kind"] in CUSTOM]

    assert {each["kind"] for each in found} == CUSTOM.keys()
    assert [each["metadata"]["name"] for each in found if not each["spec"].keys() <= CUSTOM[each["kind"]]] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_role_of_the_procfile_runs_as_there(role):
    assert container(role)["command"] == ["/bin/sh", "-c"]
    assert container(role)["args"] == [f"exec {ROLES[role]}"]
    assert PODS[role]["kind"] == ("StatefulSet" if role == "web" else "Deployment")


def test_the_migration_comes_first():
    assert container("migrate")["args"] == ["migrate"]
    waiting = {role: pod(role).get("initContainers", [{}])[0].get("args", [])[:2] for role in ROLES}
    assert waiting == {role: ["migrate", "--wait"] for role in ROLES}


def test_every_selector_selects_what_it_is_named_for():
    for role, workload in PODS.items():
        if workload["kind"] != "Job":
            assert selected(workload["spec"]["selector"]) == {role}
            (spread,) = pod(role)["topologySpreadConstraints"]
            assert selected(spread["labelSelector"]) == {role}
            assert selected(one(ALL, "PodDisruptionBudget", f"ringpost-{role}")["spec"]["selector"]) == {role}
    for service in (each for each in ALL if each["kind"] == "Service"):
        assert selected({"matchLabels": service["spec"]["selector"]}) == {"web"}


def test_what_pods_are_told_are_settings_and_all_that_are_required():
    told = one(ALL, "ConfigMap", "ringpost-settings")["data"]
    names = {name.upper() for name in Settings.model_fields}
    files = {f"{name.upper()}_FILE" for name in SECRET_FIELDS}
    required = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
    (secret,) = documents(FOLDER / "secret.example.yaml")

    assert told.keys() <= names | files
    assert required <= told.keys() | {name.removesuffix("_FILE") for name in told}
    kept = {f"/run/secrets/ringpost/{name}" for name in secret["stringData"]}
    assert {path for name, path in told.items() if name.endswith("_FILE")} == kept
    assert set(secret["stringData"].values()) == {""}, "nobody's secret is in here"


def test_every_pod_is_nobody_and_can_change_nothing():
    for role in PODS:
        spec = pod(role)
        assert spec["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        assert spec["automountServiceAccountToken"] is False
        for each in [*spec["containers"], *spec.get("initContainers", ())]:
            context = each["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert each["resources"].keys() == {"requests", "limits"}
            assert each["image"] == "ringpost"


def test_the_ingress_is_alive_by_healthz_and_ready_by_readyz():
    probes = {
        name: container("web")[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }

    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


@pytest.mark.parametrize("role", sorted(WORKERS))
def test_a_worker_is_alive_while_it_gives_signs_of_life(role):
    asked = [container(role)[f"{name}Probe"]["exec"]["command"] for name in ("startup", "liveness")]

    assert asked == [["ringpost", "doctor", "--worker", role]] * 2
    assert "readinessProbe" not in container(role)


def test_nothing_is_killed_before_it_has_drained():
    waited = {role: pod(role)["terminationGracePeriodSeconds"] for role in ROLES}
    (_, pause) = container("web")["lifecycle"]["preStop"]["exec"]["command"]

    assert all(seconds > DRAIN + 10 for seconds in waited.values())
    assert waited["web"] >= int(pause) + 2 + DRAIN + 10


def test_webhooks_reach_the_ingress_ready_or_not_and_nothing_else_does():
    (rule,) = one(ALL, "Ingress", "ringpost")["spec"]["rules"]
    ways = {way["path"]: way["backend"]["service"]["name"] for way in rule["http"]["paths"]}
    always = {name: one(ALL, "Service", name)["spec"].get("publishNotReadyAddresses", False) for name in ways.values()}

    assert ways == {"/api/webhooks/": "ringpost-webhooks", "/": "ringpost-web"}
    assert always == {"ringpost-webhooks": True, "ringpost-web": False}


def test_the_spool_outlives_its_pod():
    (claim,) = PODS["web"]["spec"]["volumeClaimTemplates"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container("web")["volumeMounts"]}

    assert mounts["/data"] == claim["metadata"]["name"]
    assert PODS["web"]["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenScaled": "Retain", "whenDeleted": "Retain",
    }  # fmt: skip


def test_nothing_comes_in_or_goes_out_unnamed():
    policies = {each["metadata"]["name"]: each["spec"] for each in build(BASE) if each["kind"] == "NetworkPolicy"}

    deny = policies.pop("ringpost-default-deny")
    assert (selected(deny["podSelector"]), sorted(deny["policyTypes"])) == (PODS.keys(), ["Egress", "Ingress"])
    assert deny.keys() == {"podSelector", "policyTypes"}
    reached = {name: spec for name, spec in policies.items() if "ingress" in spec}
    assert {name: selected(spec["podSelector"]) for name, spec in reached.items()} == {
        "ringpost-web-from-ingress": {"web"}, "ringpost-metrics-from-monitoring": {"web"},
    }  # fmt: skip


@pytest.mark.parametrize(("name", "roles"), [("ringpost-to-8x8", ASK_8X8), ("ringpost-to-receivers", CALL_BACK)])
def test_the_internet_is_what_callbacks_may_reach(name, roles):
    spec = one(ALL, "NetworkPolicy", name)["spec"]
    (rule,) = spec["egress"]
    (v4, v6) = [block["ipBlock"] for block in rule["to"]]

    assert selected(spec["podSelector"]) == roles
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    assert v4 == {"cidr": "0.0.0.0/0", "except": [str(network) for network in FORBIDDEN_V4]}
    assert v6 == {"cidr": "2000::/3", "except": [str(network) for network in FORBIDDEN_V6]}


def test_what_keda_scales_is_there_and_says_no_number_of_its_own():
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in ALL if each["kind"] == "ScaledObject"}

    assert scaled == {f"ringpost-{role}" for role in WORKERS - {"sweeper"}}
    assert [name for name in scaled if "replicas" in one(ALL, "Deployment", name)["spec"]] == []
    assert all(one(build(BASE), "Deployment", name)["spec"]["replicas"] > 1 for name in scaled)


def test_what_keda_asks_for_is_told():
    from shared.metrics import METRICS

    queries = [
        trigger["metadata"]["query"]
        for each in ALL
        if each["kind"] == "ScaledObject"
        for trigger in each["spec"]["triggers"]
    ]
    asked = {name for query in queries for name in re.findall(r"ringpost_\w+", query)}

    assert {"ringpost_waiting_messages", "ringpost_deadline_slack_seconds"} <= asked
    assert asked <= {sample for metric in METRICS for sample in metric.samples}


def test_the_monitor_finds_the_ingress_and_its_token():
    spec = one(ALL, "ServiceMonitor", "ringpost")["spec"]
    (endpoint,) = spec["endpoints"]
    found = [
        each
        for each in ALL
        if each["kind"] == "Service" and spec["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ]
    (secret,) = documents(FOLDER / "secret.example.yaml")

    assert [each["metadata"]["name"] for each in found] == ["ringpost-web-pods"]
    assert endpoint["port"] in {port["name"] for port in found[0]["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": secret["metadata"]["name"], "key": "metrics_token"}


def test_the_alerts_are_those_of_prometheus():
    from deploy import prometheus_rule

    alerts = prometheus_rule.SOURCE.read_text()

    assert prometheus_rule.PATH.read_text() == prometheus_rule.render(alerts), "run: python -m deploy.prometheus_rule"
    assert one(ALL, "PrometheusRule", "ringpost")["spec"] == yaml.safe_load(alerts)
