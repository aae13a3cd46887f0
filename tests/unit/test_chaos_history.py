"""The history of a drill, as its processes write it and its checker reads it."""

from deploy.chaos.history import History, read
from deploy.chaos.records import Kind


def test_events_of_several_writers_are_read_in_the_order_of_time(tmp_path):
    with History(tmp_path / "one.jsonl") as one, History(tmp_path / "two.jsonl", one.began) as two:
        one.note(Kind.BEGAN, seed=8)
        two.note(Kind.SUBMIT, message="m1", outcome="ok")
        one.note(Kind.KILL, what="web")

    events = read([two.path, one.path])

    assert [event.kind for event in events] == [Kind.BEGAN, Kind.SUBMIT, Kind.KILL]
    assert events[1].facts == {"message": "m1", "outcome": "ok"}
    assert events[0].at_s <= events[1].at_s <= events[2].at_s


def test_a_line_that_death_cut_off_is_left_out(tmp_path):
    with History(tmp_path / "one.jsonl") as one:
        one.note(Kind.BEGAN)
    with one.path.open("a") as file:
        file.write('{"at": 1.0, "wa')

    assert [event.kind for event in read([one.path])] == [Kind.BEGAN]


def test_what_comes_after_the_end_is_dropped(tmp_path):
    with History(tmp_path / "one.jsonl") as one:
        pass

    one.note(Kind.KILL)

    assert read([one.path]) == ()
