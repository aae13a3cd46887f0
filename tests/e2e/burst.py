"""Many messages from many clients that repeat what was not accepted, and the verdict over all their traces."""

import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import requests

from tests.e2e.stage import wait_until

CLIENTS = 16
ATTEMPT_S = 12  # of one request
GIVE_UP_S = 60  # of one message
TTL_S = 25  # so that a doubtful call is given up within the drill


@dataclass
class Burst:
    """So many messages at a steady pace; ``accepted`` has our id and the seconds each took."""

    stage: object
    name: str
    messages: int
    seconds: float
    accepted: dict = field(default_factory=dict)
    refused: Counter = field(default_factory=Counter)

    def __post_init__(self):
        self._turn = itertools.count()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self.numbers = {f"{self.name}-{place:04d}": self.stage.new_number() for place in range(self.messages)}
        self._clients = [threading.Thread(target=self._client, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self):
        self._began = time.monotonic()
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self._stop.set()
        for client in self._clients:
            client.join()

    def _client(self):
        names = list(self.numbers)
        with requests.Session() as session:
            while (place := next(self._turn)) < self.messages:
                self._stop.wait(self._began + place * self.seconds / self.messages - time.monotonic())
                self._submit(session, names[place])

    def _submit(self, session, message_id):
        """Ask until it is accepted: the same messageId makes that safe, whatever became of the answer."""
        body = {
            "messageId": message_id,
            "customerPhone": self.numbers[message_id],
            "message": "Your code is 4, 0, 7.",
            "ttlSeconds": TTL_S,
            "type": self.type_of(message_id),
        }
        give_up_at = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up_at and not self._stop.is_set():
            started = time.monotonic()
            answer, id_ = self._ask(session, body)
            with self._changed:
                if id_ is not None:
                    self.accepted[message_id] = (id_, time.monotonic() - started)
                    self._changed.notify_all()
                    return
                self.refused[answer] += 1
            self._stop.wait(0.1)

    def _ask(self, session, body):
        try:
            reply = session.post(
                f"{self.stage.url}/api/make-call", json=body, auth=self.stage.key, timeout=(1, ATTEMPT_S)
            )
            if reply.status_code != 200:
                return f"{reply.status_code} {reply.json()['code']}", None
            return "200", reply.json()["data"]["id"]
        except requests.RequestException as error:
            return type(error).__name__, None

    @staticmethod
    def type_of(message_id):
        """Every fifth is not an OTP, so that the other lanes' workers have work too."""
        return "alert" if message_id.endswith(("0", "5")) else "otp"

    def wait_for_accepted(self, count, timeout=GIVE_UP_S):
        """Return when so many messages are accepted."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.accepted) >= count, timeout), self.refused

    def wait_for_end(self, timeout):
        """Return when every accepted message is final and its callback done; asks PostgreSQL, so it may be away."""
        ids = [id_ for id_, _ in self.accepted.values()]
        wait_until(lambda: self._open(ids) == {}, timeout, f"all of {self.name} are final and told")

    def _open(self, ids):
        rows = self.stage.rows(
            """
            SELECT COALESCE(c.state, 'untold') AS state, m.status, count(*) AS messages
            FROM messages m
            LEFT JOIN feed_events f ON f.message_id = m.id AND f.type = 'message.' || m.status
            LEFT JOIN callbacks c USING (event_id)
            WHERE m.id = ANY (:ids) AND (m.finished_at IS NULL OR c.state IS DISTINCT FROM 'done')
            GROUP BY 1, 2
            """,
            ids=ids,
        )
        return {(row.status, row.state): row.messages for row in rows}

    def statuses(self):
        """Status and reason by messageId, as the database has them."""
        rows = self.stage.rows(
            "SELECT message_id, status, reason FROM messages WHERE message_id = ANY (:names)", names=list(self.numbers)
        )
        return {row.message_id: (row.status, row.reason) for row in rows}

    def callbacks(self):
        """What the provider received: by messageId, the webhook-ids and statuses of the final events."""
        told = {}
        for one in self.stage.receiver.received:
            body = json.loads(one.body)
            data = body["data"]
            if data["messageId"] in self.numbers:
                assert one.is_verified, body
                told.setdefault(data["messageId"], []).append((one.headers["webhook-id"], body["type"], data["status"]))
        return told


def undetermined_of(burst):
    """Why nobody knows: how many were never dialled, how many summaries never came, and how many came in vain."""
    calls = {call.destination: call for call in burst.stage.simulator.ledger.accepted}
    kinds = Counter()
    for message_id, (status, reason) in burst.statuses().items():
        if status == "undetermined":
            call = calls.get(burst.numbers[message_id])
            kind = "not dialled" if call is None else f"VSS answered {call.came_back('VSS')[-1:]}"
            kinds[f"{kind}, {reason}"] += 1
    return dict(kinds)


def faults_of(burst):
    """Everything that contradicts a promise, one sentence each; empty is the only good answer."""
    statuses, callbacks, ledger = burst.statuses(), burst.callbacks(), burst.stage.simulator.ledger
    sessions = {}
    for call in ledger.accepted:
        sessions.setdefault(call.destination, []).append(call.session_status)
    faults = []
    for message_id, number in burst.numbers.items():
        if message_id not in burst.accepted:
            faults.append(f"{message_id} was never accepted")
            continue
        status, reason = statuses.get(message_id, ("lost", None))
        calls, told = sessions.get(number, []), callbacks.get(message_id, [])
        faults += [f"{message_id}: {what}" for what in contradictions(status, reason, calls, told)]
    return faults


def contradictions(status, reason, calls, told):
    """What does not fit together in one message's status, 8x8's sessions for its phone and its final callbacks."""
    if len(calls) > 1:
        yield f"dialled {len(calls)} times"
    if status == "delivered" and calls != ["COMPLETED"]:
        yield f"delivered, but 8x8 says {calls}"
    if status == "undetermined" and not reason:
        yield "undetermined without a reason"
    if status == "expired" and calls not in ([], ["ERROR"] if reason == "expired_upstream" else []):
        yield f"expired ({reason}), but 8x8 says {calls}"
    if status not in ("delivered", "undetermined", "expired"):
        yield f"ended as {status} ({reason})"
    if len({webhook_id for webhook_id, _, _ in told}) != 1:
        yield f"{len(told)} callbacks with different ids: {told}"
    elif {status_ for _, _, status_ in told} != {status}:
        yield f"is {status}, but the callback says {told}"
