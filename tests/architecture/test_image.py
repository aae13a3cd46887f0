"""The image is built from what is locked, runs as nobody in particular, and needs to write one folder only."""

from __future__ import annotations

import re

from shared.settings import SECRET_FIELDS
from tests.architecture.source import ROOT

STEPS = re.sub(r"\\\n\s*", "", (ROOT / "deploy/Dockerfile").read_text())
LAST_STAGE = STEPS.rpartition("\nFROM ")[2]


def test_everything_in_it_is_installed_by_hash_or_is_the_project():
    installs = re.findall(r"pip install ([^&\n]+)", STEPS)

    assert len(installs) == 2
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def test_it_runs_as_an_ordinary_user_and_writes_only_its_data_folder():
    assert re.search(r"(?m)^USER 10001:10001$", LAST_STAGE)
    assert re.findall(r"(?m)^VOLUME (.+)$", LAST_STAGE) == ["/data"]
    assert "PYTHONDONTWRITEBYTECODE=1" in LAST_STAGE
    assert "RINGPOST_DATA_DIR=/data" in LAST_STAGE


def test_no_secret_is_baked_in():
    assert not [name for name in SECRET_FIELDS if re.search(rf"(?m)^(ARG|ENV)\b.*{name.upper()}=", STEPS)]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
