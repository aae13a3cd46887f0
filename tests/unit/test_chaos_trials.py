"""Sweeps, random lives and planted bugs: what is read from them, how they tell, and what is refused."""

import pytest
from click.testing import CliRunner

from deploy import fleet
from deploy.bench.machine import Circumstances
from deploy.chaos import suites
from deploy.chaos.proof import Proof, page_of
from deploy.chaos.sweep import Swept, proof_of
from deploy.cli import main
from shared.failpoints import NAMES, Action

BITE = "tests/chaos/test_bites.py::test_a_planted_bug_is_noticed"
AROUND = Circumstances("2 cores", "3.11", "abc", "2026-11-27", (), 0.0)


class Pytest:
    """Says what it is told to, and ends so."""

    def __init__(self, *lines, code=0):
        self.lines, self.code = lines, code

    def __call__(self, _module, _log, *_arguments, told, environment):
        self.told = told
        return self

    def __enter__(self):
        for line in self.lines:
            self.told(line)
        return self

    def __exit__(self, *_):
        pass

    def join(self):
        return self.code


@pytest.fixture
def proved(monkeypatch, tmp_path):
    """Runs a trial whose pytest says these lines."""

    def run(trial, *lines, code=0):
        monkeypatch.setattr(suites, "Companion", Pytest(*lines, code=code))
        return trial(tmp_path / "log")

    return run


def lives(log):
    return suites.lives(2, 5, log, lambda *_: None)


def bites(log):
    return suites.bites(log, lambda *_: None)


def test_lives_hold_when_as_many_as_wanted_were_played(proved):
    proof = proved(lives, "tests/integration/test_message_life.py::test_every lives 1", "lives 2", "PASSED  [100%]")

    assert (proof.holds, proof.seed, proof.figures["lives"]) == (True, 5, 2)


@pytest.mark.parametrize(
    ("lines", "code", "told"),
    [
        (["lives 1", "PASSED [100%]"], 0, "1 of 2 lives were played"),
        (
            ["lives 1", "FAILED [100%]", "E   AssertionError: lost", "FAILED tests/x.py::test_y"],
            1,
            "E   AssertionError",
        ),
        (["lives 1", "no room left"], -9, "pytest ended with code -9"),
    ],
    ids=["too few", "a promise is broken", "killed"],
)
def test_lives_that_do_not_hold_say_why(proved, lines, code, told):
    proof = proved(lives, *lines, code=code)

    assert not proof.holds
    assert proof.faults[0].startswith(told)


def fuzz(log):
    return suites.fuzz(2000, 5, log, lambda *_: None)


def test_a_fuzzing_run_holds_when_all_requests_were_sent_and_tells_how_they_were_answered(proved):
    answered = "figure /api/make-call 422 900"
    whole = proved(fuzz, "tests/contract/test_fuzz.py::test_a fuzzed 2000", answered, "PASSED [100%]")
    cut = proved(fuzz, "fuzzed 1000", "PASSED [100%]")

    assert (whole.holds, whole.figures["/api/make-call 422"], whole.figures["requests"]) == (True, "900", 2000)
    assert cut.faults == ["1000 of 2000 requests were sent"]


def test_bites_count_the_bugs_that_were_noticed(proved):
    proof = proved(
        bites, f"{BITE}[one] PASSED [ 50%]", f"{BITE}[two] PASSED [ 75%]", "tests/x.py::test_z PASSED [100%]"
    )

    assert (proof.holds, proof.figures) == (True, {"bugs noticed": 2, "tests passed": 3})


def test_bugs_that_were_not_planted_prove_nothing(proved):
    assert proved(bites, f"{BITE}[one] SKIPPED (RINGPOST_BITES) [100%]").faults == ["bugs were not planted"]


def test_a_sweep_is_at_fault_for_what_was_never_passed_and_for_what_contradicts():
    hit = ({"name": NAMES[0]},)
    swept = Swept(Action.KILL, 3, hit, ("ring.after_send",), ("x: dialled 2 times",), {"delivered": 3}, 1.0)

    proof = proof_of([swept])

    assert proof.faults == ["kill: ring.after_send was never passed", "kill: x: dialled 2 times"]
    assert proof.figures["kill: failpoints hit"] == "1 of 2"


def test_a_verdict_fits_a_page():
    proof = Proof(name="lives", title="lives", seed=77, took_s=1.0, figures={"lives": 1}, faults=["lost"] * 90)

    text = page_of(proof, AROUND)

    assert len(text.splitlines()) <= 66
    assert all(word in text for word in ("Seed 77", "2 cores", "BROKEN: 90 findings", "and 50 more"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sweep", "--kinds", "kill,nap"], "--kinds: nap is none of kill, raise, pause"),
        (["--quick", "--seed", "3", "lives"], "--quick, --seed: write what is for chaos lives behind lives"),
        (["lives", "--lives", "0"], "'--lives'"),
    ],
)
def test_what_cannot_be_asked_for_is_wrong_use(words, told):
    done = CliRunner().invoke(main, ["chaos", *words])

    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize("name", ["lives", "bites"])
def test_without_tests_a_trial_that_needs_them_says_so(monkeypatch, tmp_path, name):
    monkeypatch.setattr(fleet, "PROJECT", tmp_path)

    done = CliRunner().invoke(main, ["chaos", name])

    assert done.exit_code == 2
    assert "this needs a checkout of the repository, with its tests" in done.output
