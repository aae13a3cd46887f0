"""
Does the suite bite? Each planted bug must be noticed by the test that is named for it.

Planting them all takes minutes: ``ringpost chaos bites`` does, and asks for it here by ``RINGPOST_BITES``. Without it,
only the table is checked against the code.
"""

import ast
import os
import shutil
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, published_files
from tests.chaos.bugs import BUGS

pytestmark = [pytest.mark.xdist_group("deaths"), pytest.mark.timeout(600)]
planting = pytest.mark.skipif(os.environ.get("RINGPOST_BITES") != "all", reason="RINGPOST_BITES=all plants every bug")
each_bug = pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
_WHERE = "import deploy, ingress, shared, workers; print(*(one.__file__ for one in (deploy, ingress, shared, workers)))"


@pytest.fixture
def sound(tmp_path):
    """A copy of the project, without what git does not keep."""
    for path in published_files():
        target = tmp_path / "project" / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    yield tmp_path / "project"
    shutil.rmtree(tmp_path / "project")


def run(folder, *arguments):
    """Run this interpreter in *folder*, on the code that lies there."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("RINGPOST_", "PYTEST_"))}
    known |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=known, capture_output=True, text=True, check=False
    )


def run_tests(folder, *nodes):
    return run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *nodes)


@each_bug
def test_a_bug_fits_the_code_and_its_test_exists(bug):
    for file, old, _ in bug.changes:
        assert (ROOT / file).read_text().count(old) == 1, old

    file, _, name = bug.caught_by.partition("::")
    assert name in {node.name for node in ast.parse((ROOT / file).read_text()).body if hasattr(node, "name")}


def test_every_bug_has_a_name_of_its_own():
    assert len({bug.name for bug in BUGS}) == len(BUGS) == 14


@planting
def test_on_sound_code_every_named_test_passes(sound):
    found = run(sound, "-c", _WHERE).stdout.split()
    done = run_tests(sound, *sorted({bug.caught_by for bug in BUGS}))

    assert [path for path in found if not path.startswith(f"{sound}/")] == []
    assert len(found) == 4
    assert done.returncode == 0, done.stdout[-4000:]


@planting
@each_bug
def test_a_planted_bug_is_noticed(sound, bug):
    for file, old, new in bug.changes:
        changed = sound / file
        changed.write_text(changed.read_text().replace(old, new))

    done = run_tests(sound, bug.caught_by)

    assert done.returncode == 1, done.stdout[-4000:] + done.stderr[-1000:]
    assert f"FAILED {bug.caught_by}" in done.stdout, done.stdout[-4000:]
