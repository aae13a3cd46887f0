"""A beat tells of a living process that gets on with its work, and of nothing else."""

import math
import time
from types import SimpleNamespace

import pytest
import structlog

from deploy import fleet
from deploy.procfile import beat_of
from shared import jobs
from shared.heartbeat import STUCK_S, SWEEPER, Heartbeat, beats, name_of
from workers.main import is_well
from workers.single_flight import SingleFlight

QUEUES = ("place_calls.otp", "pretend_calls")


def a_heartbeat(folder, *, well=True, name="callbacks"):
    return Heartbeat(folder, name, lambda: well)


def test_a_beat_is_as_old_as_the_last_time_it_was_given(tmp_path, monkeypatch):
    heartbeat = a_heartbeat(tmp_path)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)

    heartbeat._beat()
    monkeypatch.setattr(time, "monotonic", lambda: 1007.0)
    (before,) = beats(tmp_path, "callbacks")
    heartbeat._beat()
    (after,) = beats(tmp_path, "callbacks")

    assert (before.age_s, after.age_s) == (7, 0)


def test_each_living_process_has_a_beat_of_its_own(tmp_path):
    living = [a_heartbeat(tmp_path), a_heartbeat(tmp_path), a_heartbeat(tmp_path, name="events")]
    for heartbeat in living:
        heartbeat._beat()

    assert (len(beats(tmp_path, "callbacks")), len(beats(tmp_path, "events"))) == (2, 1)


def test_a_file_that_nobody_holds_tells_of_nobody_and_goes_when_another_begins(tmp_path):
    left = tmp_path / "beats/callbacks.0"
    left.parent.mkdir()
    left.write_text(f"7 {time.monotonic()}\n")

    found = beats(tmp_path, "callbacks")
    a_heartbeat(tmp_path)._beat()

    assert found == []
    assert not left.exists()


def test_others_may_not_read_it(tmp_path):
    a_heartbeat(tmp_path)._beat()

    (file,) = (tmp_path / "beats").iterdir()
    assert [path.stat().st_mode & 0o777 for path in (file.parent, file)] == [0o700, 0o600]


def test_work_goes_on_where_there_is_no_place_to_tell_of_it(tmp_path):
    (tmp_path / "beats").write_text("a file where the folder should be")
    heartbeat = a_heartbeat(tmp_path)

    with structlog.testing.capture_logs() as told:
        heartbeat._beat()
        heartbeat._beat()

    assert [one["event"] for one in told] == ["heartbeat_not_written"]


@pytest.mark.parametrize(
    ("looked_s", "busy_s", "well"),
    [
        ((0, 0), (), True),
        ((0, STUCK_S - 1), (STUCK_S - 1,), True),  # a name server does not answer
        ((0, STUCK_S + 1), (), False),  # a consumer that looks no more
        ((0, math.inf), (), False),  # one that never looked
        ((0, 0), (1, STUCK_S + 1), False),  # a round that does not end
    ],
)
def test_a_worker_is_well_while_its_consumers_look_and_its_rounds_end(looked_s, busy_s, well):
    now = time.monotonic()
    broker = SimpleNamespace(looked_at={queue: now - age for queue, age in zip(QUEUES, looked_s, strict=True)})
    steps = SimpleNamespace(busy_since=lambda: [now - age for age in busy_s])

    assert is_well(broker, steps, QUEUES) == well


def test_a_flight_tells_since_when_its_round_is_under_way():
    flight, seen = SingleFlight(), []

    flight.run(lambda: seen.append(flight.busy_since))
    with pytest.raises(ZeroDivisionError):
        flight.run(lambda: 1 / 0)

    assert time.monotonic() - seen[0] < 5
    assert flight.busy_since is None


def test_every_worker_of_the_procfile_is_found_by_its_role():
    names = {role: beat_of(command) for role, command in fleet.commands().items()}

    assert names.pop("web") is None
    assert names.pop("sweeper") == SWEEPER
    assert len(set(names.values())) == len(names)
    assert sorted(queue for name in names.values() for queue in name.split("+")) == sorted(
        job.queue for job in jobs.ALL
    )
    assert names["calls-bulk"] == name_of(["pretend_calls", "place_calls.notification", "place_calls.alert"])
