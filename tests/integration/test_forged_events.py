"""W3: 8x8 signs nothing, so a webhook must fit the call that it names; a forged or replayed one is harmless."""

import copy

import pytest
from structlog.testing import capture_logs

from ingress.exposition import exposition
from shared import vitals
from shared.alarms import ringing
from shared.db.queries import strays
from tests.integration.worker_stage import SOURCE, staged, vca, vss
from workers.tidy import Tidy

NUMBER = "+6581234567"
OTHERS = {
    "destination": {"destination": "+6580000000"},
    "source": {"source": "+6531589999"},
    "subaccount": {"subaccount_id": "other"},
    "all": {"destination": "+6580000000", "source": "+6531589999", "subaccount_id": "other"},
}


@pytest.fixture
def stage(settings):
    with staged(settings, unmatched_events_limit=4) as stage:
        yield stage


def placed(stage, destination=NUMBER):
    id_ = stage.keep(destination)
    stage.place(id_)
    return id_


def told(stage, id_):
    """All that providers and operators could see of a message."""
    legs = stage.execute("SELECT * FROM call_legs WHERE attempt_id LIKE :id", id=f"att_{id_[4:]}%")
    return stage.message(id_), stage.attempts(id_), stage.events(id_), stage.callbacks(id_), legs


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_a_summary_with_a_guessed_session_changes_nothing(stage, status):
    stage.endpoint()
    ids = {name: placed(stage, None) for name in OTHERS}
    before = [told(stage, id_) for id_ in ids.values()]

    with capture_logs() as logs:
        stage.keep_webhook(*(stage.summary(id_, status, **OTHERS[name]) for name, id_ in ids.items()))
        stage.reconcile()

    assert [told(stage, id_) for id_ in ids.values()] == before
    assert stage.inbox_results() == ["contradicts"] * 4
    why = [sorted(one["why"]) for one in logs if one["event"] == "event_contradicts"]
    assert why == [["destination"], ["source"], ["subaccount"], ["destination", "source", "subaccount"]]


@pytest.mark.parametrize("forged_first", [True, False])
@pytest.mark.parametrize("apart", [True, False])
def test_the_genuine_summary_counts_whatever_else_comes_and_when(stage, forged_first, apart):
    id_ = placed(stage)
    stage.endpoint()
    genuine = stage.summary(id_)
    forged = [stage.summary(id_, "FAILED", **wrong) for wrong in OTHERS.values()]

    for batch in [forged, [genuine]] if forged_first else [[genuine], forged]:
        stage.keep_webhook(*batch)
        if apart:
            stage.reconcile()
    stage.reconcile()

    assert stage.state(id_) == ("delivered", None)
    assert sorted(stage.inbox_results()) == ["applied"] + ["contradicts"] * 4
    assert (len(stage.events(id_)), len(stage.callbacks(id_))) == (1, 1)


def test_our_own_request_id_is_not_enough_either(stage):
    ids = {name: placed(stage, None) for name in OTHERS}
    stage.execute("UPDATE messages SET status = 'dial_unknown', session_id = NULL")
    stage.execute("UPDATE dial_attempts SET disposition = 'unknown', session_id = NULL")

    for name, id_ in ids.items():
        stage.report(id_, echo=True, session_id=f"invented-{name}", **OTHERS[name])

    assert {stage.message(id_).status for id_ in ids.values()} == {"dial_unknown"}
    assert {stage.attempts(id_)[0].session_id for id_ in ids.values()} == {None}
    assert stage.inbox_results() == ["contradicts"] * 4
    stage.report(ids["all"], echo=True, session_id="true")
    assert stage.state(ids["all"]) == ("delivered", None)


def test_a_forged_key_press_changes_nothing(stage):
    id_ = placed(stage)
    stage.endpoint(event_types=["message.answered"])
    before = told(stage, id_)
    known = {"session_id": f"session-{id_}", "destination": NUMBER, "event_data": "5"}

    for name in ("destination", "source"):
        stage.keep_webhook(vca(**known | OTHERS[name], event_id=f"event-{name}"))
    stage.reconcile()

    assert told(stage, id_) == before
    assert stage.inbox_results() == ["contradicts", "contradicts"]


def test_a_session_id_alone_is_not_enough(stage):
    id_ = placed(stage)
    bare = stage.summary(id_)
    del bare["payload"]["details"], bare["payload"]["subAccountId"]
    stage.keep_webhook(bare)

    stage.reconcile()

    assert (stage.state(id_), stage.inbox_results()) == (("placed", None), ["contradicts"])


def without(*names):
    def change(body, _):
        for name in names:
            body["payload"]["details"]["callA"].pop(name)

    return change


def saying(**members):
    """The leg's members, made of the number that was called."""

    def change(body, number):
        body["payload"]["details"]["callA"].update({name: spelled(number) for name, spelled in members.items()})

    return change


HONEST = {
    "no details": lambda body, _: body["payload"].pop("details"),
    "no subaccount": lambda body, _: body["payload"].pop("subAccountId"),
    "no destination": without("destination"),
    "no source": without("source"),
    "no numbers": without("source", "destination"),
    "masked": saying(destination=lambda number: f"{number[:3]}****{number[-4:]}", source=lambda _: "null"),
    "withheld": saying(source=lambda _: "anonymous"),
    "null": saying(source=lambda _: None, destination=lambda _: None),
    "without a plus": saying(source=lambda _: SOURCE[1:], destination=lambda number: number[1:]),
    "with 00": saying(source=lambda _: "00" + SOURCE[1:], destination=lambda number: "00" + number[1:]),
    "as numbers": saying(source=lambda _: int(SOURCE), destination=int),
    "spaced": saying(source=lambda _: "+65 3158-0001", destination=lambda number: f"({number[:3]}) {number[3:]} "),
    "caller id in national form": saying(source=lambda _: "31580001"),
    "caller id with a trunk prefix": saying(source=lambda _: "031580001"),
}


def test_what_8x8_leaves_out_masks_or_writes_otherwise_is_no_contradiction(stage):
    numbers = {name: f"+65812300{place:02}" for place, name in enumerate(HONEST)}
    ids = {name: placed(stage, number) for name, number in numbers.items()}
    for name, change in HONEST.items():
        body = copy.deepcopy(stage.summary(ids[name]))
        change(body, numbers[name])
        stage.keep_webhook(body)

    stage.reconcile()

    results = dict(zip(HONEST, stage.inbox_results(), strict=True))
    assert {name: result for name, result in results.items() if result != "applied"} == {}
    assert {stage.message(id_).status for id_ in ids.values()} == {"delivered"}


def test_a_summary_that_is_replayed_changes_nothing_ever(stage):
    first, second = placed(stage), placed(stage, "+6581230001")
    stage.endpoint()
    old = stage.summary(first, "NO_ANSWER")
    stage.keep_webhook(old)
    stage.reconcile()
    before = [told(stage, id_) for id_ in (first, second)]

    stage.keep_webhook(old)  # the inbox knows it
    stage.reconcile()
    stage.execute("DELETE FROM webhook_inbox")  # ... and once it was purged, its call does
    stage.keep_webhook(old, old | {"version": 5})
    stage.reconcile()
    moved = copy.deepcopy(old)  # yesterday's, with the session of a call that is under way
    moved["payload"]["sessionId"] = f"session-{second}"
    stage.keep_webhook(moved)
    stage.reconcile()

    assert [told(stage, id_) for id_ in (first, second)] == before
    assert stage.inbox_results() == ["duplicate", "duplicate", "contradicts"]


def test_what_contradicts_is_counted_and_an_alarm(stage):
    id_ = placed(stage)
    stage.report(id_, **OTHERS["destination"])

    found = vitals.gather(stage.database, stage.services.broker.client, stage.settings.spool_dir)

    assert (found["contradicting_events"], found["dropped_events"]) == (1, 0)
    assert "1 webhooks of the last hour are at odds" in "\n".join(sentence for _, sentence in ringing(found))
    assert "ringpost_contradicting_events 1.0" in exposition(found)[0].decode()


def strangers(stage, *numbers, age_s):
    """Summaries of calls that are not ours, looked at, and received a while ago."""
    names = [f"stranger-{number}" for number in numbers]
    stage.keep_webhook(*(vss(session_id=name, destination="+6580000000") for name in names))
    stage.reconcile()
    aged(stage, names, age_s)


def aged(stage, names, age_s):
    sql = "UPDATE webhook_inbox SET received_at = now() - :age_s * interval '1 s' WHERE named_session_id = ANY (:names)"
    stage.execute(sql, age_s=age_s, names=names)


def waiting(stage):
    return stage.execute("SELECT count(*) FROM webhook_inbox WHERE processed_at IS NULL")[0][0]


def test_of_too_many_strangers_the_oldest_are_given_up_and_never_one_that_may_be_ours(stage):
    doubtful = [placed(stage)]
    stage.execute("UPDATE messages SET busy_destination = NULL")
    doubtful.append(placed(stage))
    stage.execute("UPDATE dial_attempts SET disposition = 'unknown', session_id = NULL")
    stage.keep_webhook(vss(session_id="of-one-of-two", destination=NUMBER))
    strangers(stage, *range(6), age_s=300)
    aged(stage, ["of-one-of-two"], 400)
    strangers(stage, *range(6, 9), age_s=1)

    Tidy(stage.services)()
    found = vitals.gather(stage.database, stage.services.broker.client, stage.settings.spool_dir)

    # Six of the ten are too many; young ones and the one of a call of ours stay whatever the limit.
    results = stage.inbox_results()
    assert results == ["ambiguous", *["dropped"] * 6, *["unmatched"] * 3]
    assert (waiting(stage), found["dropped_events"]) == (4, 6)
    assert "were given up" in "\n".join(sentence for _, sentence in ringing(found))
    assert {bytes(row.body) for row in stage.execute("SELECT body FROM webhook_inbox WHERE result = 'dropped'")} == {
        b""
    }


def test_many_strangers_are_given_up_page_by_page(stage, monkeypatch):
    monkeypatch.setattr(strays, "_PAGE", 2)
    strangers(stage, *range(9), age_s=300)

    Tidy(stage.services)()

    assert sorted(stage.inbox_results()) == [*["dropped"] * 5, *["unmatched"] * 4]


def test_within_the_limit_no_stranger_is_given_up(stage):
    strangers(stage, *range(4), age_s=300)

    Tidy(stage.services)()

    assert stage.inbox_results() == ["unmatched"] * 4


def test_a_flood_of_young_strangers_waits_for_our_own_records(stage):
    strangers(stage, *range(9), age_s=1)

    Tidy(stage.services)()

    assert stage.inbox_results() == ["unmatched"] * 9


def test_what_is_of_no_call_of_ours_is_gone_within_a_day_and_the_rest_stays(stage):
    id_ = placed(stage)
    stage.keep_webhook(stage.summary(id_), stage.summary(id_, "FAILED", **OTHERS["source"]))
    stage.keep_webhook(*(vss(session_id=f"s-{n}", destination="+6580000000") for n in range(2)))
    stage.reconcile()
    stage.execute("UPDATE webhook_inbox SET received_at = now() - interval '2 h', due_at = now() WHERE due_at > now()")
    stage.reconcile()  # an hour is over: no more tries
    assert stage.inbox_results() == ["applied", "contradicts", "unmatched", "unmatched"]
    assert stage.settings.unmatched_event_seconds == 3600  # which leave 23 of the day's 24
    tidy = Tidy(stage.services)

    stage.execute("UPDATE webhook_inbox SET processed_at = now() - interval '22 h'")
    tidy()
    assert len(stage.inbox_results()) == 4
    stage.execute("UPDATE webhook_inbox SET processed_at = now() - interval '23 h'")
    tidy()

    assert stage.inbox_results() == ["applied"]
