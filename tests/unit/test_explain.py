"""A message in words: every status, every reason, and the figures beside them."""

import pytest

from shared.explain import explain
from shared.lifecycle import FINALS, WAITING, Status
from shared.reasons import MEANINGS, Reason, meaning_of

DIALED = {
    "startedAt": "2026-10-05T09:12:11.500Z",
    "answeredAt": None,
    "endedAt": None,
    "durationSeconds": None,
    "heard": None,
    "keyPressed": None,
    "sessionStatus": None,
    "errorCode": None,
}
ANSWERED = DIALED | {
    "answeredAt": "2026-10-05T09:12:20.000Z",
    "endedAt": "2026-10-05T09:12:46.000Z",
    "durationSeconds": 26,
    "heard": "full",
}


def story(status, reason=None, *, attempts=(), callbacks=(), next_dial_at=None):
    meaning = meaning_of(reason)
    return {
        "id": "msg_1", "messageId": "OTP789", "status": status, "reason": reason, "to": "+65****4567",
        "retryable": meaning is not None and meaning.retryable, "party": meaning and meaning.party,
        "createdAt": "2026-10-05T09:12:10.000Z", "expiresAt": "2026-10-05T09:14:10.000Z", "sessionId": None,
        "nextDialAt": next_dial_at, "attempts": list(attempts), "callbacks": list(callbacks),
    }  # fmt: skip


def callback(state, next_at=None):
    return {"state": state, "nextAt": next_at}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("reason", [None, *MEANINGS])
def test_every_message_has_one_sentence_that_reads_as_one(status, reason):
    told = explain(story(status, reason, attempts=[ANSWERED]))

    sentence = told["sentence"]
    assert not sentence[0].islower()
    assert sentence.endswith(".")
    assert ".." not in sentence
    assert "None" not in sentence
    assert "_" not in sentence
    assert told["party"] == (None if reason is None else MEANINGS[reason].party)


def test_a_delivered_message_tells_how_soon_and_how_much_was_heard():
    told = explain(story(Status.DELIVERED, attempts=[ANSWERED], callbacks=[callback("done")]))

    assert told["sentence"] == (
        "The phone at +65****4567 was answered, and whoever answered heard the whole text at least once;"
        " your endpoint was told."
    )
    facts = told["facts"]
    assert (facts["secondsToDial"], facts["secondsToAnswer"], facts["inTime"]) == (1.5, 10.0, True)
    assert (facts["heard"], facts["durationSeconds"], facts["moneyLikelySpent"]) == ("full", 26, True)


@pytest.mark.parametrize(
    ("callbacks", "told"),
    [
        ([], "no endpoint of yours wanted to be told"),
        ([callback("done")], "your endpoint was told"),
        ([callback("done"), callback("due", "2026-10-05T09:20:00.000Z")], "1 of 2 callbacks are still to be delivered"),
        ([callback("parked"), callback("due")], "1 of 2 callbacks could not be delivered and can be sent again"),
    ],
)
def test_it_says_what_became_of_the_callbacks(callbacks, told):
    said = explain(story(Status.DELIVERED, attempts=[ANSWERED], callbacks=callbacks))

    assert said["next"] == told
    assert sum(said["facts"]["callbacks"].values()) == len(callbacks)


def test_what_waits_tells_until_when():
    redial = explain(story(Status.QUEUED, Reason.BUSY, attempts=[DIALED], next_dial_at="2026-10-05T09:12:30.000Z"))
    stopped = explain(story(Status.QUEUED, Reason.DIALING_STOPPED))

    assert redial["happened"].endswith("as the phone was busy at the call before")
    assert redial["next"] == "it is called at 2026-10-05T09:12:30.000Z"
    assert stopped["next"] == "it is called when that is over, or expires at 2026-10-05T09:14:10.000Z"


def test_a_doubt_never_advises_a_second_call_without_its_price():
    told = explain(story(Status.UNDETERMINED, Reason.NO_SUMMARY))

    assert "may ring the phone twice" in told["next"]


def test_the_calls_are_counted_where_there_were_several():
    assert "(call 2 of 2)" in explain(story(Status.BUSY, Reason.BUSY, attempts=[DIALED, DIALED]))["happened"]
    assert all("call 1 of 1" not in explain(story(one, attempts=[DIALED]))["happened"] for one in FINALS | WAITING)
