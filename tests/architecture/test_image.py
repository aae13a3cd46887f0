"""The image is built from what is locked, runs as nobody in particular, and needs to write one folder only."""

from __future__ import annotations

import re

from shared.settings import SECRET_FIELDS
from tests.architecture.source import ROOT

STEPS = re.sub(r"\\\n\s*", "", (ROOT / "deploy/Dockerfile").read_text())
STAGES = dict(re.findall(r"(?ms)^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", STEPS))
#: What is built where no target is named, on what it is built.
RUNS = STAGES["base"] + STAGES["ringpost"]


def test_everything_in_it_is_installed_by_hash_or_is_the_project():
    installs = re.findall(r"pip install ([^&\n]+)", STEPS)

    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def test_it_runs_as_an_ordinary_user_and_writes_only_its_data_folder():
    assert re.findall(r"(?m)^USER (.+)$", RUNS) == ["10001:10001"]
    assert re.findall(r"(?m)^VOLUME (.+)$", RUNS) == ["/data"]
    assert "PYTHONDONTWRITEBYTECODE=1" in RUNS
    assert "RINGPOST_DATA_DIR=/data" in RUNS


def test_what_is_built_by_default_has_no_simulator_in_it():
    assert list(STAGES)[-1] == "ringpost"
    assert re.findall(r"(?m)^COPY --from=(\S+) (/\w+)", STAGES["ringpost"]) == [("build", "/venv"), ("build", "/app")]
    assert "locked/dev.txt" not in STAGES["build"]


def test_no_secret_is_baked_in():
    assert not [name for name in SECRET_FIELDS if re.search(rf"(?m)^(ARG|ENV)\b.*{name.upper()}=", STEPS)]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
