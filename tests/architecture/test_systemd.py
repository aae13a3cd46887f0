"""deploy/systemd: units that systemd understands, of one mind with the Procfile and the settings."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import fleet
from shared.settings import SECRET_FIELDS, Settings
from tests.architecture.source import ROOT

FOLDER = ROOT / "deploy/systemd"
ROLES = fleet.commands()
PROGRAMS = "/opt/ringpost/.venv/bin/"
UNITS = sorted(FOLDER.glob("*.service"))
DRAIN = 25  # s
#: Of 10: a service that may do anything has 9.6.
EXPOSED_AT_MOST = 2.0


class Lines(dict):
    """All values of a name that is set again and again."""

    def __setitem__(self, name, value):
        if isinstance(value, list) and isinstance(self.get(name), list):
            self[name].extend(value)
        else:
            super().__setitem__(name, value)


def read(path):
    parser = configparser.RawConfigParser(dict_type=Lines, strict=False, comment_prefixes="#", delimiters="=")
    parser.optionxform = str
    parser.read(path)
    return {
        section: {name: value.splitlines() for name, value in parser.items(section)} for section in parser.sections()
    }


COMMON = read(FOLDER / "ringpost-.service.d/common.conf")["Service"]


def told(*services):
    """Names and values of Environment= lines."""
    words = [word for service in services for line in service.get("Environment", ()) for word in line.split()]
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_of_the_procfile_runs_as_there(role):
    service = read(FOLDER / f"ringpost-{role}@.service")["Service"]

    assert service["ExecStart"] == [PROGRAMS + ROLES[role]]
    assert service["Restart"] == ["always"]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_waits_for_the_migration_and_goes_with_the_target(role):
    unit = read(FOLDER / f"ringpost-{role}@.service")
    wanted = [word for line in read(FOLDER / "ringpost.target")["Unit"]["Wants"] for word in line.split()]

    assert unit["Unit"]["Requires"] == unit["Unit"]["After"] == ["ringpost-migrate.service"]
    assert unit["Install"]["WantedBy"] == ["ringpost.target"]
    assert [name for name in wanted if name.startswith(f"ringpost-{role}@")]


def test_the_migration_runs_once_and_again_where_it_could_not():
    service = read(FOLDER / "ringpost-migrate.service")["Service"]

    assert service["ExecStart"] == [f"{PROGRAMS}ringpost migrate"]
    assert (service["Type"], service["RemainAfterExit"], service["Restart"]) == (["oneshot"], ["yes"], ["on-failure"])


def test_a_worker_that_falls_silent_is_started_again():
    watched = {role: "WatchdogSec" in read(FOLDER / f"ringpost-{role}@.service")["Service"] for role in ROLES}

    assert watched == {role: role != "web" for role in ROLES}


def test_what_processes_are_told_are_settings_and_secrets_are_files():
    names = {name.upper() for name in Settings.model_fields}
    files = {f"{name.upper()}_FILE" for name in SECRET_FIELDS}
    known = told(COMMON, *(read(path)["Service"] for path in UNITS))
    kept = dict(line.split(":") for line in COMMON["LoadCredential"])

    assert known.keys() <= names | files | {"PYTHONUNBUFFERED"}
    assert {name: path for name, path in known.items() if name.endswith("_FILE")} == {
        f"{name.upper()}_FILE": f"%d/{name}" for name in kept
    }
    assert {name.upper() for name, field in Settings.model_fields.items() if field.is_required()} <= {
        *(name.upper() for name in kept), "EIGHT_X_EIGHT_SUBACCOUNT_ID", "OUTBOUND_PHONE_NUMBER",  # settings.env
    }  # fmt: skip


def test_nothing_is_killed_before_it_has_drained():
    assert int(COMMON["TimeoutStopSec"][0]) > DRAIN + 10
    assert COMMON["KillMode"] == ["mixed"]


@pytest.fixture
def installed(tmp_path):
    """The units, as if this environment were /opt/ringpost/.venv; an instance of each template."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed on this machine")
    folder = tmp_path / "units"
    shutil.copytree(FOLDER, folder)
    for path in folder.rglob("*.*"):
        if path.is_file():
            text = path.read_text().replace(PROGRAMS, f"{Path(sys.executable).parent}/")
            path.write_text(text.replace("=/opt/ringpost", f"={ROOT}"))
    for path in list(folder.glob("*@.service")):
        shutil.copy(path, folder / path.name.replace("@", "@5678"))
    return folder


def test_systemd_understands_every_unit(installed):
    units = [path for path in sorted(installed.iterdir()) if path.suffix in (".service", ".target")]

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(path for path in units if "@." not in path.name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    # It also looks at units of this machine that these name.
    assert [line for line in done.stderr.splitlines() if "ringpost" in line] == []


@pytest.mark.parametrize("name", [path.name.replace("@", "@5678") for path in UNITS])
def test_a_service_may_do_little(installed, name):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED_AT_MOST * 10:.0f}", "--no-pager",
         installed / name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges running services only")

    assert done.returncode == 0, done.stdout[-300:] + done.stderr
