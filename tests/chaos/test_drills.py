"""The drills of ``ringpost chaos`` with small counts, on one stage."""

import pytest

from deploy.chaos import conductor
from deploy.chaos.plot import draw

SEED = 8
IN_HAND = 64  # calls that one worker may have claimed and not yet sent
MESSAGES = {"burst": 400, "ambiguity": 60, "webhooks": 60, "redis": 150, "recovery": 90}
TIMES = ("request p99", "callback p99", "first dial after the kill, s", "last dial of what had waited, s")
#: What takes half a minute and more `ringpost chaos` plays: replacing every process, hostile endpoints, the canary,
#: the soak.
IN_THE_SUITE = [one for one in conductor.PROGRAMMES if one.name in MESSAGES]

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("deaths")]


@pytest.fixture(scope="module")
def stage():
    with conductor.stage() as stage:
        yield stage


@pytest.mark.parametrize("programme", IN_THE_SUITE, ids=lambda programme: programme.name)
def test_every_promise_holds_through(programme, stage, tmp_path):
    played = conductor.play(programme, stage, SEED, lambda _: None, quick=True, messages=MESSAGES[programme.name])

    verdict = played.result.verdict
    # Times are for the drill on a machine of its own: here others run beside it. Of so few messages, what one killed
    # worker had claimed and not yet sent is more than the share that may stay undetermined: it is counted by kills.
    violations = [one for one in verdict.violations if not one.what.startswith(TIMES)]
    figures = verdict.figures
    never_called = int(figures["undetermined, never called"])
    if int(figures["undetermined, other"]) - never_called <= 0.01 * int(figures["messages"]):
        violations = [one for one in violations if "are undetermined; bound" not in one.what]
    assert violations == [], dict(figures)
    assert never_called <= IN_HAND * int(figures.get("kills", 0))
    assert verdict.figures["accepted"] == verdict.figures["messages"] > 0
    picture = draw(played.result.evidence, programme.title, tmp_path / "timeline.svg")
    assert picture is None or picture.stat().st_size > 0
