"""Providers, honest and abused, and processes that watch what they send: what is quarantined, and what is not."""

import random
from collections import Counter
from dataclasses import dataclass, field

from ingress import suspicion
from ingress.suspicion import Calls, Pattern
from ingress.watch import Seen, Watch

NOON = 1_800_000_000.0
#: Seconds from a message to the end of its call, and from there until an unused code is told apart.
CALL_S, TOLD_S = 30, 180


@dataclass
class Stream:
    """Messages of one kind: so many a second to numbers that *number* draws, ending as the shares say."""

    per_s: float
    number: object  # luck, how many came -> E.164
    heard: float = 0.65
    used: float = 0.7
    short: float = 0.05
    is_fraud: bool = False


@dataclass
class World:
    """One provider on several processes."""

    streams: list
    seed: int
    reports: bool = True
    processes: int = 2
    mode: str = "usual"
    usual: Calls = field(default_factory=Calls)

    def run(self, seconds):
        """What was quarantined: range -> (when, why)."""
        luck = random.Random(self.seed)
        watches = [Watch() for _ in range(self.processes)]
        self.ends, self.fraud, self.came = {}, set(), Counter()
        quarantined = {}
        for second in range(seconds):
            for stream in self.streams:
                for _ in range(_poisson(luck, stream.per_s)):
                    self._send(luck, watches, stream, NOON + second, quarantined)
            if second % 6 == 0:
                self._look(watches, NOON + second, quarantined)
        return quarantined

    def _send(self, luck, watches, stream, at, quarantined):
        self.came[id(stream)] += 1
        number = stream.number(luck, self.came[id(stream)])
        range_ = number[:-4]
        if stream.is_fraud:
            self.fraud.add(range_)
        if range_ in quarantined:
            return
        id_ = str(len(self.ends))
        heard = luck.random() < stream.heard
        self.ends[id_] = (at + CALL_S, heard, luck.random() < stream.short, luck.random() < stream.used)
        seen = Seen(at, id_, "prov", range_.encode(), range_ + "****", int(number[-4:]), "SG", self.mode)
        luck.choice(watches).saw(seen)

    def _look(self, watches, now, quarantined):
        for watch in watches:
            for one in watch.candidates(now):
                pattern = Pattern(one.messages, one.share, one.usual_share, one.tails)
                said = suspicion.why(
                    pattern, self.calls(one.ids, now), self.calls(one.other_ids, now), self.usual,
                    strict=self.mode == "strict",
                )  # fmt: skip
                if said is not None:
                    quarantined.setdefault(one.seen.range_key.decode(), (now - NOON, said))

    def calls(self, ids, now):
        known = [self.ends[id_] for id_ in ids if self.ends[id_][0] <= now]
        heard = [one for one in known if one[1]]
        used = [one for one in heard if self.reports and one[3]]
        told = [one for one in heard if one[0] + TOLD_S <= now or (self.reports and one[3])] if self.reports else []
        return Calls(len(known), len(heard), sum(one[2] for one in heard), len(told), len(used))


def _poisson(luck, mean):
    count, left = 0, luck.expovariate(1)
    while left < mean:
        count += 1
        left += luck.expovariate(1)
    return count


def anywhere(luck, _):
    """Random phones of one country."""
    return f"+65{luck.choice('89')}{luck.randrange(10**7):07}"


def in_sequence(first):
    return lambda _, count: f"+{first + count}"


def in_range(prefix):
    return lambda luck, _: f"{prefix}{luck.randrange(10**4):04}"


HONEST = {
    "a burst of 20,000 to random phones": {"streams": [Stream(200, anywhere)], "seconds": 100},
    "steady": {"streams": [Stream(3, anywhere)]},
    "a load test in sequence, all answered": {
        "streams": [Stream(100, in_sequence(6591000000), heard=1.0, short=1.0)], "reports": False, "seconds": 60},
    "a load test in sequence beside real calls": {
        "streams": [Stream(2, anywhere), Stream(2, in_sequence(6591000000), heard=0.9)]},
    "staff in sequence": {"streams": [Stream(2, anywhere), Stream(0.5, in_sequence(6562220000), heard=0.7)]},
    "one small town": {"streams": [Stream(2, in_range("+656222"))]},
    "a small town called more than ever": {"streams": [Stream(1, anywhere), Stream(2, in_range("+656222"))]},
    "an outage of all calls": {
        "streams": [Stream(2, anywhere, heard=0.03), Stream(2, in_range("+656222"), heard=0.03)]},
    "few answer in one town": {"streams": [Stream(2, anywhere), Stream(1.5, in_range("+656222"), heard=0.45)]},
    "no codes, only alerts": {"streams": [Stream(2, anywhere), Stream(1, in_range("+656222"))], "reports": False},
    "codes are rarely used": {"streams": [Stream(2, anywhere, used=0.2), Stream(1, in_range("+656222"), used=0.2)]},
}  # fmt: skip
FRAUD = {
    "in sequence, nobody answers": {"streams": [
        Stream(2, anywhere), Stream(1, in_sequence(23570120000), heard=0.05, is_fraud=True)]},
    "in sequence, answered, never used": {"streams": [
        Stream(2, anywhere), Stream(1, in_sequence(23570120000), heard=0.98, used=0.0, is_fraud=True)]},
    "slowly": {"seconds": 1200, "streams": [
        Stream(2, anywhere), Stream(0.15, in_sequence(23570120000), heard=0.95, used=0.0, is_fraud=True)]},
    "random phones of one range, never used": {"streams": [
        Stream(2, anywhere), Stream(2, in_range("+2357012"), heard=0.98, used=0.0, is_fraud=True)]},
    "several ranges in sequence": {"streams": [
        Stream(2, anywhere),
        *(Stream(0.5, in_sequence(23570120000 + 10_000 * n), heard=0.1, is_fraud=True) for n in range(4))]},
    "a provider that sends nothing else": {
        "streams": [Stream(1, in_sequence(23570120000), heard=0.02, is_fraud=True)], "reports": False},
    "people hang up": {"streams": [
        Stream(2, anywhere), Stream(1, in_sequence(23570120000), heard=0.9, short=0.97, is_fraud=True)],
        "reports": False},
}  # fmt: skip


def played(name, seed, *, seconds=480, **members):
    """A world and what it came to: hits, false alarms, misses, and when each was found."""
    world = World(seed=seed, **{key: value for key, value in members.items() if key != "seconds"})
    found = world.run(members.get("seconds", seconds))
    hits = found.keys() & world.fraud
    return hits, found.keys() - world.fraud, world.fraud - found.keys(), found
