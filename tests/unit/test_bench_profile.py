"""Sampled stacks and counted statements, as the benchmark tells them apart."""

from collections import Counter

import pytest

from deploy.bench import plots, sampler
from deploy.bench.meter import Statements, told
from deploy.bench.result import Bars, Measured
from deploy.bench.stacks import OTHER, PARTS, part_of, samples_by_part

DIAL = (
    "Thread.run (threading.py:982);Senders._run (workers/senders.py:83);PlaceCalls._dial (workers/place_calls.py:146)"
)


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        (DIAL, "the step itself"),
        (f"{DIAL};HttpEdge.send (shared/http/edge.py:157);HTTPAdapter.send (requests/adapters.py:696)", "HTTP out"),
        (f"{DIAL};dumps (json/__init__.py:231);encode (json/encoder.py:200)", "the step itself"),
        (f"{DIAL};build (shared/voice_api/callflow.py:70)", "callflow and answer"),
        ("_bootstrap (threading.py:1002);GroupCommitter._run (shared/db/group_commit.py:166)", "group commit"),
        ("do_execute (sqlalchemy/engine/default.py:951)", "SQL client"),
        ("Thread.run (threading.py:982)", OTHER),
        ("", OTHER),
    ],
)
def test_the_innermost_frame_with_a_name_decides(stack, part):
    assert part_of(stack) == part
    assert part in PARTS


def test_samples_are_counted_by_part():
    assert samples_by_part([f"{DIAL} 3", f"{DIAL} 4", "x (y.py:1) 2", "", "garbled"]) == Counter(
        {"the step itself": 7, OTHER: 2}
    )


def test_without_py_spy_the_reason_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sampler, "_program", lambda: None)
    watch = sampler.Sampler({"web": [1]}, tmp_path)

    with watch.during(1):
        pass

    assert watch.failures == ["py-spy is not installed"]
    assert watch.found["web"].total() == 0


def test_a_py_spy_that_may_not_attach_is_quoted(monkeypatch, tmp_path):
    program = tmp_path / "py-spy"
    program.write_text("#!/bin/sh\necho 'Permission Denied: Try running again with elevated permissions' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sampler, "_program", lambda: str(program))
    watch = sampler.Sampler({"web": [1, 2]}, tmp_path)

    with watch.during(1):
        pass

    assert watch.failures == ["Permission Denied: Try running again with elevated permissions"]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "WITH x AS (UPDATE messages m SET status = 'x') INSERT INTO callbacks SELECT",
            "update messages, insert into callbacks",
        ),
        ("PREPARE a AS WITH asked AS (SELECT) SELECT FROM asked JOIN dial_attempts a", "read dial_attempts"),
        ("SELECT\n  now()", "SELECT now()"),
        (
            "UPDATE messages; UPDATE callbacks; UPDATE breakers; UPDATE lanes",
            "update messages, update callbacks, update breakers and 1 more",
        ),
    ],
)
def test_a_statement_is_told_by_the_tables_that_it_changes(statement, what):
    assert told(statement) == what


def test_statements_are_counted_from_one_reading_to_the_next():
    before = Statements({"SELECT 1": (5, 2.0), "SELECT 2": (1, 1.0)})
    later = Statements({"SELECT 1": (8, 3.5), "SELECT 2": (1, 1.0), "SELECT 3": (1, 9.0)})

    assert before.until(later).top(5) == [("SELECT 3", 1, 9.0), ("SELECT 1", 3, 1.5)]


def test_bars_are_piled_up_into_a_file(tmp_path):
    bars = Bars("profile", "A profile", "ms", ["web", "events"], {"SQL": [0.5, 0.2], "HTTP": [0.1, 0.0]})

    (path,) = plots.draw_all([Measured("profile", "A profile", bars=[bars])], tmp_path)

    assert path.name == "profile.svg"
    assert "<svg" in path.read_text()
