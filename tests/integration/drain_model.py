"""A world in which messages are dialled as the claim does it, to compare estimates with what then happens."""

import heapq
from dataclasses import dataclass, field, replace
from statistics import median

from ingress import admission, learning
from ingress.admission import Asked, Speed
from ingress.learning import Learned
from shared.backlog import Backlog, Waiting

STEP_S = 0.02
READ_EVERY_S = 0.5


@dataclass
class Message:
    lane: str
    provider: str
    at: float
    deadline: float
    is_refused: bool = False
    estimated: float | None = None
    dialed: float | None = None

    @property
    def error(self):
        """Of the estimate, as a share of the wait; a few milliseconds are nothing."""
        return abs(self.estimated - self.dialed) / max(0.25, self.dialed - self.at)


@dataclass
class World:
    """Time runs in small steps; messages come, wait, are dialled fairly and end."""

    per_s: float = 50.0  # what the dialling really does
    pace: float = 50.0  # what the settings allow
    lines: float = 10_000
    call_s: float = 40.0
    quick_s: float = 0.005
    now: float = 1_000_000.0
    waiting: list = field(default_factory=list)
    flying: list = field(default_factory=list)  # a heap of end, provider
    done: list = field(default_factory=list)
    dialed: int = 0
    last_dials: dict = field(default_factory=dict)
    is_stopped: bool = False  # no worker is there
    tokens: float = 0.0
    since: list = field(default_factory=list)
    came: list = field(default_factory=list)
    learned: Learned = field(default_factory=lambda: Learned(Speed()))
    inflows: dict = field(default_factory=dict)
    backlog: Backlog | None = None
    view: object = None
    read_at: float = 0.0

    def accept(self, lane, provider, ttl_s=120):
        """One more message, with its estimate."""
        message = Message(lane, provider, self.now, self.now + ttl_s)
        queue = (lane, provider)
        before = sum((m.lane, m.provider) == queue and m.deadline <= message.deadline for m in self.since)
        asked = Asked(lane, provider, self.now, message.deadline, since=before)
        told = admission.estimate(self.view, asked, self.now)
        message.estimated = told.dial_at
        message.is_refused = told.will_meet_deadline is False
        self.waiting.append(message)
        self.since.append(message)
        return message

    def run(self, seconds, arrivals=()):
        """*arrivals*: lane, provider, a second, and their lifetime."""
        credit = [0.0] * len(arrivals)
        ends = self.now + seconds
        while self.now < ends:
            if self.view is None or self.now - self.read_at >= READ_EVERY_S:
                self.read()
            for index, (lane, provider, per_s, ttl_s) in enumerate(arrivals):
                credit[index] += per_s * STEP_S
                while credit[index] >= 1:
                    credit[index] -= 1
                    self.accept(lane, provider, ttl_s)
            self.dial()
            self.now += STEP_S

    def dial(self):
        while self.flying and self.flying[0][0] <= self.now:
            heapq.heappop(self.flying)
        if self.is_stopped:
            return
        self.tokens = min(self.per_s * 0.2, self.tokens + self.per_s * STEP_S)
        up = {}
        for _, provider in self.flying:
            up[provider] = up.get(provider, 0) + 1
        while self.tokens >= 1 and self.waiting:
            otp = [m for m in self.waiting if m.lane == "otp"]
            lines = self.lines if otp else self.lines * 0.8
            if len(self.flying) >= lines:
                return
            heads = {}
            for message in otp or self.waiting:
                head = heads.get(message.provider)
                if head is None or message.deadline < head.deadline:
                    heads[message.provider] = message
            chosen = min(heads.values(), key=lambda m: (up.get(m.provider, 0), m.deadline))
            self.waiting.remove(chosen)
            self.tokens -= 1
            self.dialed += 1
            self.last_dials[chosen.lane] = self.now
            chosen.dialed = self.now + self.quick_s
            up[chosen.provider] = up.get(chosen.provider, 0) + 1
            heapq.heappush(self.flying, (self.now + self.call_s, chosen.provider))
            self.done.append(chosen)

    def read(self):
        """What the ingress reads, learns and works out."""
        queues = {}
        for message in self.waiting:
            queues.setdefault((message.lane, message.provider), []).append(message.deadline)
        flying = {}
        for _, provider in self.flying:
            flying[provider] = flying.get(provider, 0) + 1
        backlog = Backlog(
            at=self.now,
            pace=self.pace,
            lines=self.lines,
            waiting={queue: classes(deadlines, self.now) for queue, deadlines in queues.items()},
            flying=flying,
            dialed=self.dialed,
            last_dials=dict(self.last_dials),
            quick_s=self.quick_s,
        )
        if self.backlog is not None:
            self.learned = learning.learn(self.learned, self.backlog, backlog)
            counts = {}
            for message in self.since:
                counts[message.lane, message.provider] = counts.get((message.lane, message.provider), 0) + 1
            for queue in self.inflows.keys() | counts.keys():
                one = learning.inflow(self.inflows.pop(queue, None), counts.get(queue, 0), backlog.at - self.read_at)
                if one:
                    self.inflows[queue] = one
        self.backlog, self.read_at, self.since = backlog, self.now, []
        self.view = admission.outlook(backlog, self.learned.speed, dict(self.inflows))

    def median_error(self, *, after=0.0, lane=None):
        """Of all that were dialled; *after* leaves out the first seconds."""
        began = 1_000_000.0 + after
        found = [m.error for m in self.done if m.at >= began and lane in {None, m.lane}]
        assert len(found) > 20
        return median(found)


def classes(deadlines, now):
    """As PostgreSQL groups them."""
    grouped = {}
    for deadline in sorted(deadlines):
        edge = 1.0
        index = 0
        while deadline - now >= edge * 1.25:
            edge *= 1.25
            index += 1
        grouped.setdefault(index, []).append(deadline)
    return tuple(Waiting(len(of), of[0], of[-1]) for of in grouped.values())


def knowing(world, **speed):
    """A world whose ingress has seen a backlog before."""
    world.learned = replace(world.learned, speed=Speed(**speed))
    return world
