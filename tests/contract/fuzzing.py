"""What a fuzzing run sends, and what it holds the answers and the database against."""

import json
from collections import Counter

from ingress.bodies import WEBHOOK_LIMIT
from shared.voice_api.events import glance
from tests.contract.judge import Judge


def drawn(oddities, count):
    """So many requests: calls and 8x8's reports 5 : 2 : 2, and one of all else."""
    for number in range(count):
        place = number % 10
        if place < 5:
            yield oddities.call()
        elif place < 9:
            yield oddities.webhook("vca" if place % 2 else "vss")
        else:
            yield oddities.other()


class Ledger:
    """What was answered, and what that promises of the database."""

    def __init__(self):
        self.judge, self.complaints, self.statuses = Judge(), {}, Counter()
        self.accepted, self.events = set(), set()

    def note(self, asked, status, headers, body):
        complaint = self.judge.complaint(asked.method, asked.path, status, headers, body)
        if complaint:
            self.complain(asked, complaint)
        self.statuses[asked.path if asked.path.startswith("/api/") else "other", status] += 1
        if status in (200, 202) and asked.method == "POST" and not complaint:
            self._expect(asked, json.loads(body))

    def complain(self, asked, complaint):
        """Once of each kind, with the request."""
        shown = asked.target[:200], dict(asked.headers, Authorization=""), asked.pieces, asked.body[:300]
        self.complaints.setdefault((asked.method, asked.path[:30], complaint[:80]), (complaint, shown))

    def _expect(self, asked, value):
        """What a good answer says is stored."""
        if asked.path == "/api/make-call":
            self.accepted.add(value["data"]["id"])
        elif asked.path == "/v1/messages":
            self.accepted.add(value["id"])
        elif asked.path == "/integrations/okta/telephony":
            self.accepted.add(value["commands"][0]["value"][0]["transactionId"])
        elif asked.path in ("/api/make-calls", "/v1/messages/batch"):
            self.accepted |= {one["id"] for one in value["data"] if "id" in one}
        elif asked.path.startswith("/api/webhooks/") and len(asked.body) <= WEBHOOK_LIMIT:
            self.events.add(glance(asked.body).dedupe_key)
