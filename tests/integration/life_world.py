"""A world for drills of messages' lives: the real steps on real PostgreSQL; 8x8 and receivers without their wires."""

import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from sqlalchemy import DateTime, text

from shared.callback import new_secret
from shared.db import conservation
from shared.db.queries import accept, claim, providers
from shared.db.tables import METADATA
from shared.errors import NoReply, NotSent
from shared.http.edge import Reply
from shared.ids import new_id
from shared.lifecycle import CORRECTED, FINAL_EVENT_TYPES, FINALS, TYPES, Status
from shared.services import pace_of
from shared.voice_api.codes import Disposition, Reason, Verdict
from tests.integration.worker_stage import PROVIDER, vca, vss
from workers.deliver_callbacks import DeliverCallbacks
from workers.place_calls import PlaceCalls
from workers.reconcile_events import ReconcileEvents

#: How 8x8 may answer a POST: whether it took the callflow, and what we see of it.
ANSWERS = {
    "created": (True, None),
    "reply_lost": (True, Verdict(Disposition.UNKNOWN, Reason.NO_REPLY)),
    "nothing_came_of_it": (False, Verdict(Disposition.UNKNOWN, Reason.NO_REPLY)),
    "not_sent": (False, Verdict(Disposition.NOT_SENT, Reason.UNREACHABLE)),
    "no_line": (False, Verdict(Disposition.RETRY, Reason.CAPACITY, 503, over_capacity=True)),
    "throttled": (False, Verdict(Disposition.RETRY, Reason.THROTTLED, 429, retry_after_s=3, over_capacity=True)),
    "refused": (False, Verdict(Disposition.REFUSED, Reason.REFUSED_UPSTREAM, 400)),
    "expired": (False, Verdict(Disposition.EXPIRED, Reason.EXPIRED_UPSTREAM, 400)),
    "account_refused": (False, Verdict(Disposition.BLOCKED_ACCOUNT, Reason.ACCOUNT_REFUSED, 401)),
    "source_refused": (False, Verdict(Disposition.BLOCKED_SOURCE, Reason.SOURCE_NOT_ALLOWED, 400)),
}

#: How a call may end, and the statuses that its message may then have, unless it is dialled again.
ENDINGS = {
    "COMPLETED": Status.DELIVERED,
    "NO_ANSWER": Status.NO_ANSWER,
    "BUSY": Status.BUSY,
    "FAILED": Status.FAILED,
    "CANCELED": Status.CANCELED,
}
#: After which the sender's policy lets us dial once more.
REDIALLED = {"NO_ANSWER", "BUSY"}

_MOMENTS = [
    (table.name, [column.name for column in table.columns if isinstance(column.type, DateTime)])
    for table in METADATA.sorted_tables
    if table.name
    not in {"providers", "api_keys", "lanes", "voices", "suppressions", "audit_log", "feed_events", "servers"}
]


_MESSAGES = "SELECT m.id, m.status, a.attempt_id FROM messages m LEFT JOIN dial_attempts a ON a.message_id = m.id"


@dataclass
class Session:
    """A call that 8x8 took."""

    id: str
    attempt_id: str
    destination: str
    ending: str | None = None  # what its summary says; the same in every copy
    is_told: bool = False  # the summary was kept
    is_echoed: bool = False  # and named our attempt


class Eight:
    """8x8 as the dialling step meets it."""

    def __init__(self):
        self.answers = itertools.repeat("created")
        self.sessions = []
        self.replies = {}  # what a POST of long ago is answered, by attempt

    def send_callflow(self, body, may_still_send, _ids):
        if not may_still_send():
            return Verdict(Disposition.NOT_SENT, Reason.LEASE_LOST)
        callflow = json.loads(body)
        destination = next(
            step["params"]["destination"] for step in callflow["callflow"] if step["action"] == "makeCall"
        )
        attempt_id = callflow["clientRequestId"]
        if attempt_id in self.replies:
            return self.replies.pop(attempt_id)
        takes, verdict = ANSWERS[next(self.answers)]
        if not takes:
            return verdict
        return verdict or self.take(attempt_id, destination)

    def take(self, attempt_id, destination):
        session = Session(f"session-{len(self.sessions)}", attempt_id, destination)
        self.sessions.append(session)
        return Verdict(Disposition.CREATED, status_code=0, session_id=session.id)


class Receivers:
    """What the provider's endpoint answers, and what it heard."""

    def __init__(self):
        self.answers = itertools.repeat("ok")
        self.heard = []

    def send(self, _template, body, *, headers, limits):
        answer = next(self.answers)
        if answer == "not_sent":
            raise NotSent("connect")
        self.heard.append((headers["webhook-id"], json.loads(body)))
        if answer == "no_reply":
            raise NoReply("timeout")
        status = {"ok": 200, "error": 500}[answer]
        return Reply(status=status, headers={}, body=b"", elapsed_s=0.0, is_whole=True)


@dataclass
class World:
    """What happens to messages, and what must hold whatever happens."""

    stage: object
    asked: dict = field(default_factory=dict)  # messages by id
    statuses: dict = field(default_factory=dict)  # as last seen
    asleep: list = field(default_factory=list)  # claimed calls whose worker died or sleeps

    def __post_init__(self):
        self.eight, self.receivers = Eight(), Receivers()
        self.services = replace(self.stage.services, voice_api=self.eight, callbacks_edge=self.receivers)
        self.endpoint_id = new_id("ep")
        secret = self.services.sealer.seal(new_secret(bytes(range(32))).encode(), row=self.endpoint_id)
        self.stage.database.run(
            lambda connection: providers.create_endpoint(
                connection, self.endpoint_id, PROVIDER,
                url="https://bank.example/cb", sealed_secret=secret, event_types=FINAL_EVENT_TYPES,
            )
        )  # fmt: skip

    # What happens

    def submit(self, **members):
        message = self.stage.new_message(**members)
        self.stage.keep_all([message])
        self.asked[message.id] = message

    def submit_again(self, id_):
        """The provider repeats, as it got no answer."""
        again = replace(self.asked[id_], id=new_id("msg"))
        (stored,) = self.stage.database.run(lambda connection: accept.store(connection, [again]))
        assert (stored.id, stored.is_new) == (id_, False)

    def dial(self, lane, answers):
        self.eight.answers = itertools.cycle(answers)
        step = PlaceCalls(self.services)
        step(lane)
        step.drain()

    def die_dialling(self, lane, *, after_post):
        """A worker claims, perhaps POSTs, and is not heard of again; or only much later."""
        pace = pace_of(self.services.settings)
        claimed = self.stage.database.run(
            lambda connection: claim.claim(connection, pace, lane, wanted=2, claim_id=new_id("claim")), alone=True
        )
        for call in claimed.calls:
            content = json.loads(self.services.sealer.unseal(call.content, row=call.message_id))
            verdict = self.eight.take(call.attempt_id, content["destination"]) if after_post else None
            self.asleep.append((call, verdict))

    def wake_up(self, place):
        """A worker that slept through its lease goes on where it was: before its POST, or with 8x8's answer."""
        call, verdict = self.asleep.pop(place)
        step = PlaceCalls(self.services)
        if verdict is not None:
            self.eight.replies[call.attempt_id] = verdict
        step._dial(call, time.monotonic() - (0 if verdict else 1000))
        step.drain()

    def answer(self, session):
        self.stage.keep_webhook(
            vca(
                session_id=session.id, destination=session.destination,
                event_id=new_id("event"), event_data="5" if session.id.endswith("1") else None,
            )
        )  # fmt: skip

    def end(self, session, ending, *, echo, copies=1):
        """8x8 sends the summary, as often as it likes: always the same."""
        session.ending = session.ending or ending
        session.is_told = True
        session.is_echoed = session.is_echoed or echo
        members = {"client_request_id": session.attempt_id} if echo else {}
        body = vss(session.ending, session_id=session.id, destination=session.destination, **members)
        for _ in range(copies):
            self.stage.keep_webhook(body)

    def forge(self, session, ending):
        """Somebody else's summary under our session's id."""
        self.stage.keep_webhook(vss(ending, session_id=session.id, destination="+6580000000"))

    def reconcile(self, answers, *, hands_over):
        self.receivers.answers = itertools.cycle(answers)
        callbacks = DeliverCallbacks(self.services) if hands_over else None
        ReconcileEvents(self.services, callbacks)()
        if callbacks is not None:
            _finish(callbacks)

    def deliver(self, answers):
        self.receivers.answers = itertools.cycle(answers)
        step = DeliverCallbacks(self.services)
        step()
        _finish(step)

    def sweep(self):
        self.stage.sweep()

    def let_pass(self, seconds):
        """Everything that is stored becomes so much older."""
        moved = ", ".join(
            f"t{place} AS (UPDATE {name} SET " + ", ".join(f"{c} = {c} - CAST(:by AS interval)" for c in columns) + ")"
            for place, (name, columns) in enumerate(_MOMENTS)
            if columns
        )
        self.execute(f"WITH {moved} SELECT 1", by=f"{seconds} s")

    # What must hold

    def execute(self, sql, **values):
        """The rows of a statement that is looked for after every happening: without BEGIN and COMMIT around it."""
        with self.stage.database.statement() as connection:
            return connection.execute(text(sql), values).all()

    def check(self):
        rows = self.execute(_MESSAGES)
        found = {row.id: Status(row.status) for row in rows}
        assert found.keys() == self.asked.keys(), "a message was lost, or stored twice"
        for id_, now in found.items():
            before = self.statuses.get(id_)
            if before in FINALS and now is not before:
                assert before is Status.UNDETERMINED, f"{id_} was {before} and became {now}"
                assert now in FINALS
            self.statuses[id_] = now
        self.check_dials({row.attempt_id: row.id for row in rows})

    def check_dials(self, owner):
        """No phone rings twice unless its sender wants that; *owner* says whose each attempt is."""
        of_message = {}
        for session in self.eight.sessions:
            of_message.setdefault(owner[session.attempt_id], []).append(session)
        for id_, sessions in of_message.items():
            message = self.asked[id_]
            assert len({session.attempt_id for session in sessions}) == len(sessions), f"{id_}: one attempt, two calls"
            assert len(sessions) <= message.max_attempts + message.spare_attempts, f"{id_} was dialled too often"
            for earlier in sessions[:-1]:
                ended = earlier.is_told and earlier.ending in REDIALLED
                assert ended or message.redial_unknown, f"{id_} was dialled again, unasked, beside {earlier}"

    def finish(self):
        """Let the rest come as it should: then every message is final, told once, and right."""
        for _ in range(40):
            for session in self.eight.sessions:
                if not session.is_told:
                    self.end(session, "COMPLETED", echo=True)
            self.reconcile(["ok"], hands_over=False)
            self.sweep()
            for lane in TYPES:
                self.dial(lane, ["refused"])
            self.deliver(["ok"])
            self.check()
            if self.is_over():
                break
            self.let_pass(3600)
        self.check_ends()

    def is_over(self):
        open_ = "SELECT FROM messages WHERE finished_at IS NULL"
        due = "SELECT FROM callbacks WHERE state IN ('due', 'sending')"
        kept = "SELECT FROM webhook_inbox WHERE processed_at IS NULL AND session_id IS NULL"
        return not self.execute(f"{open_} UNION ALL {due} UNION ALL {kept}")

    def check_ends(self):
        found = self.stage.database.run(lambda connection: conservation.findings(connection, 1e7))
        assert found == []
        assert set(self.statuses.values()) <= FINALS
        attempts = self.execute("SELECT attempt_id, message_id, session_id, destination_key FROM dial_attempts")
        of_phone = Counter(bytes(row.destination_key) for row in attempts)
        # Two calls to one phone, a summary that names none of them, and no answer of 8x8 to tell: nobody can know.
        known = {row.attempt_id for row in attempts if row.session_id or of_phone[bytes(row.destination_key)] == 1}
        owner = {row.attempt_id: row.message_id for row in attempts}
        for id_, status in self.statuses.items():
            sessions = [one for one in self.eight.sessions if owner[one.attempt_id] == id_]
            if any(one.ending == "COMPLETED" and (one.is_echoed or one.attempt_id in known) for one in sessions):
                assert status is Status.DELIVERED, f"{id_} was heard and is {status}"
            elif status in {Status.DELIVERED, Status.NO_ANSWER, Status.BUSY}:
                assert status in [ENDINGS[one.ending] for one in sessions], f"{id_} is {status} after {sessions}"
        self.check_callbacks()

    def check_callbacks(self):
        """Every final status was told, under one id however often, and the last word is the right one."""
        bodies = dict(self.receivers.heard)
        last = {}
        for event_id, body in self.receivers.heard:
            assert bodies[event_id] == body, "the same id told two things"
        for body in sorted(bodies.values(), key=lambda one: one["sequence"]):
            last[body["data"]["id"]] = body["data"]["status"]
        parked = {row.message_id for row in self.execute("SELECT message_id FROM callbacks WHERE state = 'parked'")}
        expected = {id_: status.value for id_, status in self.statuses.items()}
        wrong = {id_ for id_, status in expected.items() if last.get(id_) != status} - parked
        assert not wrong, [(last.get(id_), expected[id_], self.stage.callbacks(id_)) for id_ in wrong]
        told = Counter((body["data"]["id"], body["type"] == CORRECTED) for body in bodies.values())
        assert set(told.values()) <= {1}, "a final status was told under two ids"


def _finish(step):
    """Let it send all that it took: draining alone gives back what no sender has begun with."""
    step.senders.wait_for_free(step.senders.limit, 10)
    step.drain()
