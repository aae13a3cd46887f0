"""What pip installs is what uv.lock names, to the hash."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.architecture.source import ROOT

LOCK = {
    (package["name"], package["version"]): {
        file["hash"] for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
    }
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    if "registry" in package["source"]
}
FILES = sorted((ROOT / "deploy/locked").glob("*.txt"))


def pinned(text: str) -> dict[tuple[str, str], set[str]]:
    found = re.finditer(r"(?m)^([a-z0-9-]+)==([^ ]+)(?: ; [^\\\n]+)?((?: \\\n    --hash=\S+)+)", text)
    return {(one[1], one[2]): set(re.findall(r"--hash=(\S+)", one[3])) for one in found}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_requirement_for_pip_is_pinned_by_the_hashes_of_the_lock_file(path):
    packages = pinned(path.read_text())

    assert len(packages) == len(re.findall(r"(?m)^[a-z]", path.read_text()))
    assert {package: LOCK[package] for package in packages} == packages, "run: deploy/lock"


def test_every_way_to_install_has_all_that_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {
        "production": project["project"]["dependencies"] + project["dependency-groups"]["build"],
        "traced": project["project"]["optional-dependencies"]["otel"],
        "dev": project["project"]["optional-dependencies"]["embedded"],
        "bench": project["project"]["optional-dependencies"]["bench"],
        "test": project["dependency-groups"]["dev"],
        "supply": project["dependency-groups"]["supply"],
    }
    for name, requirements in asked.items():
        installed = {name for name, _ in pinned((ROOT / f"deploy/locked/{name}.txt").read_text())}
        names = {re.match(r"[A-Za-z0-9-]+", requirement)[0].lower() for requirement in requirements}
        assert names - {"ringpost"} <= installed, "run: deploy/lock"
