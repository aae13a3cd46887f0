"""The benchmark itself, with counts so small that its figures mean nothing."""

import pytest

from deploy.bench import programme
from deploy.bench.goals import GOALS
from deploy.bench.result import by_key

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def scene():
    with programme.scene(quick=True, tell=lambda _: None, scale=0.02) as scene:
        yield scene


@pytest.mark.parametrize("name", ["burst", "drain"])
def test_a_measurement_loses_and_doubles_nothing(scene, name):
    measured = programme.run(programme.chosen([name], quick=True), scene, lambda _: None)

    figures = by_key(measured)
    assert figures[f"{name}.lost"].value == 0
    assert figures[f"{name}.doubled"].value == 0
    assert figures[f"{name}.times"].value > 0
    assert {goal.key for goal in GOALS if goal.key.startswith(f"{name}.")} <= figures.keys()


def test_a_plain_transaction_and_ours_settle_the_same_summaries(scene):
    figures = by_key(programme.run(programme.chosen(["reconcile"], quick=False), scene, lambda _: None))

    assert figures["reconcile.open"].value == 0
    assert figures["reconcile.undelivered"].value == 0
    assert figures["reconcile.times"].value > 0


def test_alone_the_heap_is_gone_and_beside_it_everything_is_dialled(scene):
    figures = by_key(programme.run(programme.chosen(["fairness"], quick=False), scene, lambda _: None))

    assert figures["fairness.otp_alone_count"].value == figures["fairness.otp_beside_count"].value > 0
    assert figures["fairness.provider_alone_count"].value == figures["fairness.provider_beside_count"].value > 0


def test_a_profile_tells_what_each_role_costs_or_why_it_cannot(scene):
    (measured,) = programme.run(programme.chosen(["profile"], quick=False), scene, lambda _: None)

    figures = by_key([measured])
    assert all(figures[f"profile.{role}"].value is not None for role in ("web", "calls-otp", "events", "callbacks"))
    assert figures["profile.sql1_ms"].value > 0
    assert measured.bars or "py-spy" in measured.notes[0]


def test_the_processes_of_every_role_are_known(scene):
    assert scene.stage.memory_mib().keys() == {"web", "calls-otp", "calls-bulk", "events", "callbacks", "sweeper"}


def test_statements_and_rings_are_counted(scene):
    before = scene.stage.meter.read()
    scene.stage.start_workers()
    scene.stage.world()

    scene.through(scene.stage.submit_url, 5, scene.stage.headers, until="called")

    used = scene.stage.meter.read().since(before)
    assert used.statements > 0
    assert used.rings > 0
