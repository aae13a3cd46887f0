"""One message's way is told in the order of time, whoever told what."""

from ingress.dashboard.timeline import timeline

AT = "2026-10-05T09:12:{:02}.000Z".format
CALL = {
    "number": 1, "startedAt": AT(2), "outcome": "created", "answeredAt": AT(6), "keyPressed": "5",
    "endedAt": AT(15), "sessionStatus": "COMPLETED", "heard": "full", "legs": [{"leg": "a", "initiatedAt": AT(3)}],
}  # fmt: skip
TRIES = [
    {"number": 1, "at": AT(17), "httpStatus": None, "error": "timeout"},
    {"number": 2, "at": AT(22), "httpStatus": 200, "error": None},
]
MESSAGE = {
    "scheduledAt": AT(1), "nextDialAt": None, "reason": None,
    "events": [
        {"at": AT(16), "type": "message.delivered", "reason": None},
        {"at": AT(0), "type": "message.accepted", "reason": None},
    ],
    "attempts": [CALL],
    "callbacks": [{"type": "message.delivered", "url": "https://shop.example/", "nextAt": None, "deliveries": TRIES}],
}  # fmt: skip


def test_everything_is_told_in_its_turn():
    assert [(moment, what) for moment, what, _ in timeline(MESSAGE)] == [
        (AT(0), "accepted"),
        (AT(1), "due"),
        (AT(2), "dialled"),
        (AT(3), "ringing"),
        (AT(6), "picked up"),
        (AT(15), "hung up"),
        (AT(16), "delivered"),
        (AT(17), "told"),
        (AT(22), "told"),
    ]


def test_the_sentences_name_what_happened():
    told = {moment: text for moment, _, text in timeline(MESSAGE)}

    assert told[AT(6)] == "call 1, key 5"
    assert told[AT(15)] == "call 1: COMPLETED, heard: full"
    assert told[AT(17)] == "message.delivered to https://shop.example/, try 1: timeout"
    assert told[AT(22)].endswith("try 2: HTTP 200")


def test_what_is_still_to_come_is_there_too():
    waiting = MESSAGE | {
        "nextDialAt": AT(40),
        "reason": "busy",
        "attempts": [CALL | {"outcome": None, "answeredAt": None, "endedAt": None, "legs": []}],
        "callbacks": [{"type": "message.busy", "url": "https://shop.example/", "nextAt": AT(50), "deliveries": []}],
    }
    told = [(what, text) for _, what, text in timeline(waiting)]

    assert ("dialled", "call 1: no answer of 8x8 yet") in told
    assert ("next dial", "busy") in told
    assert told[-1] == ("next callback", "message.busy to https://shop.example/")
