"""deploy/compose.yaml: sound after Compose's own schema, whole, and of one mind with the code."""

import json
import re
import shutil
import subprocess
from importlib import resources

import jsonschema_rs
import pytest
import yaml

from deploy import fleet
from shared.settings import SECRET_FIELDS, Settings
from tests.architecture.source import ROOT

FOLDER = ROOT / "deploy"
ROLES = fleet.commands()
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = [*ROLES, "migrate"]
#: Of the images of others, the user that each was made for.
USERS = {"postgres": "999:999", "valkey": "999:999", "prometheus": "65534:65534", "grafana": "472:0"}
CALLER = {"EIGHT_X_EIGHT_SUBACCOUNT_ID": "shop_voice", "OUTBOUND_PHONE_NUMBER": "+6531580001"}
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def rendered(text, known):
    """What Compose makes of a value."""

    def value(match):
        name, kind, other = match.groups()
        if name is None:
            return "$"
        assert known.get(name) or kind == "-", f"{name}: {other}"
        return known.get(name) or other

    return _VARIABLE.sub(value, str(text))


def environment(role, known):
    return {name: rendered(value, known) for name, value in SERVICES[role]["environment"].items()}


@pytest.fixture
def secrets(tmp_path):
    """The folder that deploy/compose-secrets makes, for the simulator."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed on this machine")
    script = tmp_path / "compose-secrets"
    shutil.copy(FOLDER / "compose-secrets", script)
    subprocess.run([script, "--simulator"], check=True, capture_output=True)
    return tmp_path / "secrets"


def test_it_is_sound_after_compose_s_own_schema():
    schema = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    validator = jsonschema_rs.validator_for(json.loads(schema.read_text()))

    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid(COMPOSE | {"services": {"web": SERVICES["web"] | {"read_onyl": True}}})


@pytest.mark.parametrize("role", ROLES)
def test_every_role_of_the_procfile_runs_as_there(role):
    service = SERVICES[role]

    assert service["entrypoint"] == ["/bin/sh", "-c"]
    assert [rendered(word, {}) for word in service["command"]] == [f"exec {ROLES[role]}"]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_waits_for_the_migration_and_can_run_without_redis(role):
    waits = {name: wait["condition"] for name, wait in SERVICES[role]["depends_on"].items()}

    assert waits == {"migrate": "service_completed_successfully", "valkey": "service_started"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["command"] == ["migrate"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_nobody_and_can_change_nothing(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == USERS.get(name, "10001:10001")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_every_container_that_stays_is_asked_how_it_is(name):
    assert SERVICES[name]["restart"] == "unless-stopped"
    test = SERVICES[name]["healthcheck"]["test"]

    assert test[0] in ("CMD", "CMD-SHELL")
    if name in ROLES:
        asked = "/healthz" in test[-1] if name == "web" else test[1:] == ["ringpost", "doctor", "--worker", name]
        assert asked


def test_calls_and_callbacks_under_way_are_recorded_before_a_container_ends():
    assert {SERVICES[role]["stop_grace_period"] for role in ROLES} == {"35s"}


def test_what_processes_are_told_are_settings():
    known = {name.upper() for name in Settings.model_fields} | {f"{name.upper()}_FILE" for name in SECRET_FIELDS}

    assert [name for role in OURS for name in SERVICES[role]["environment"] if name not in known] == []


def test_every_secret_comes_from_a_file_that_is_made_and_shown_to_whom_needs_it(secrets):
    kept = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    shown = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    made = {f"secrets/{path.name}" for path in secrets.iterdir()}

    assert set(kept) == shown
    assert set(kept.values()) | {"secrets/redis_password"} == made
    for name, service in SERVICES.items():
        told = {value for key, value in service.get("environment", {}).items() if key.endswith("_FILE")}
        assert {f"/run/secrets/{secret}" for secret in service.get("secrets", ())} >= told, name
    assert secrets.stat().st_mode & 0o777 == 0o700


def test_secrets_are_made_once(secrets):
    before = {path.name: path.read_text() for path in secrets.iterdir()}

    subprocess.run([secrets.parent / "compose-secrets", "--simulator"], check=True, capture_output=True)

    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


@pytest.mark.parametrize("role", OURS)
def test_a_process_starts_with_what_it_is_told(role, secrets, monkeypatch):
    simulator = dict(
        line.split("=", 1) for line in (FOLDER / "simulator.env").read_text().splitlines() if line[0] != "#"
    )
    for known in (CALLER, simulator):
        told = environment(role, known)
        files = {name: path.replace("/run/secrets", str(secrets)) for name, path in told.items() if "_FILE" in name}
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in (told | files).items():
            monkeypatch.setenv(name, value)

        settings = Settings.load(_env_file=None)

        assert settings.database_url.endswith("@postgres:5432/ringpost")
        assert settings.redis_url.endswith("@valkey:6379/0")
        assert settings.trusted_proxies == 1


def test_the_simulator_is_where_the_example_looks_for_it():
    example = (FOLDER / "simulator.env").read_text()
    service = SERVICES["simulator"]

    assert "EIGHT_X_EIGHT_BASE_URL=http://simulator:8888" in example
    assert f"COMPOSE_PROFILES={service['profiles'][0]}" in example
    assert service["build"]["target"] == "simulator"


def test_without_the_caller_s_own_settings_nothing_starts():
    with pytest.raises(AssertionError, match="subaccount"):
        environment("web", {})


def test_the_engines_keep_what_they_are_given():
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert SERVICES["valkey"]["image"] == "valkey/valkey:9"
    assert {"--appendonly yes", "--maxmemory-policy noeviction"} <= set(SERVICES["valkey"]["command"])


def test_the_webhook_spool_outlives_the_container():
    assert SERVICES["web"]["volumes"] == ["spool:/data"]
    assert SERVICES["web"]["environment"]["RINGPOST_DATA_DIR"] == "/data"


def test_the_engines_are_reached_by_nobody_else():
    inside = {name for name, service in SERVICES.items() if "data" in service["networks"]}

    assert COMPOSE["networks"]["data"] == {"internal": True}
    assert inside == {*OURS, "postgres", "valkey"}
    assert [name for name in ("postgres", "valkey", "prometheus") if "ports" in SERVICES[name]] == []


def test_every_file_that_is_mounted_is_there():
    sources = [volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]

    assert [source for source in sources if source[0] == "." and not (FOLDER / source).exists()] == []
    assert {source for source in sources if source[0] != "."} == set(COMPOSE["volumes"])


def test_prometheus_asks_every_ingress_with_the_token():
    read = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = read["scrape_configs"]
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]

    assert job["metrics_path"] == "/metrics"
    assert job["authorization"]["credentials_file"] == "/run/secrets/metrics_token"
    assert (job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"]) == (["web"], 5678)
    assert set(read["rule_files"]) <= set(mounted)


def test_grafana_finds_prometheus_and_its_dashboard():
    provisioning = FOLDER / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/ringpost.yml").read_text())["providers"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])

    assert source["url"] == "http://prometheus:9090"
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounted["./grafana/dashboard.json"].startswith(provider["options"]["path"] + "/")


def test_secrets_and_own_settings_reach_neither_git_nor_an_image():
    assert {"deploy/secrets/", "deploy/settings.env"} <= set((ROOT / ".gitignore").read_text().splitlines())
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored.index("deploy/secrets") > ignored.index("!deploy")
    assert "**/*.env" in ignored
