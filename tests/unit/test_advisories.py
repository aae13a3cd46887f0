"""What the dependency audit says of pip-audit's report."""

import pytest

from deploy.advisories import NOTHING, UNKNOWN, WEAK, judge

SOUND = {"name": "flask", "version": "3.1.2", "vulns": []}
SKIPPED = {"name": "redis", "skip_reason": "not found"}
HURT = {
    "name": "urllib3",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"], "description": "…"}],
}


@pytest.mark.parametrize(
    ("packages", "code", "lines"),
    [
        ([SOUND], NOTHING, ["nothing is known against 1 packages"]),
        ([SOUND, SKIPPED], UNKNOWN, ["not looked up: redis"]),
        ([], UNKNOWN, ["no package was looked up"]),
        ([SOUND, HURT], WEAK, ["urllib3 1.0: PYSEC-1 (CVE-1), mended in 2.0"]),
        ([HURT, SKIPPED], WEAK, ["urllib3 1.0: PYSEC-1 (CVE-1), mended in 2.0", "not looked up: redis"]),
    ],
)
def test_a_weakness_outweighs_what_could_not_be_looked_up(packages, code, lines):
    assert judge({"dependencies": packages}) == (code, lines)
