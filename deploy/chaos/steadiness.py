"""Whether a long drill left Ringpost as it was: what it held on to, and how long everything took. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.chaos.records import Event, Evidence, Kind
from deploy.chaos.trend import Trend, blocks, trend_of
from shared.lifecycle import FINAL_EVENT_TYPES

_MOST_SHARE: Final = 0.05
_MOST_MIB: Final = 20.0
#: A pool that opened one connection more is no leak; one that does so again and again is.
_SPARE: Final = 2
_SHARES: Final = (0.5, 0.99)
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """A drill's parts, in seconds of its history."""

    loaded_s: float  # the first message
    warm_s: float  # from which on nothing may grow
    broken_s: float  # faults begin
    look_s: float  # over so long what is held is the median of what was seen

    @property
    def warming_s(self) -> float:
        """How long a process may take to find its size."""
        return self.warm_s - self.loaded_s


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; above *most* it is bad news."""

    name: str
    value: float
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """One process of a kind as it was seen: moment, and MiB resident, descriptors or threads."""

    kind: str
    pid: int
    mib: Points
    descriptors: Points
    threads: Points


def figures(evidence: Evidence, spans: Spans) -> list[Figure]:
    """Everything that should have stayed as it was."""
    held = [event for event in evidence.history if event.kind is Kind.HELD]
    lives = lives_of(held)
    found = [*_memory(lives, spans), *_counts(lives, held, spans), *_redis(held, spans)]
    foreign = [(event.at_s, event.facts["foreign"]) for event in held]
    for what, points in latencies(evidence).items():
        found += _latency(what, points, foreign, spans)
    quiet = [share for at_s, share in foreign if spans.warm_s <= at_s < spans.broken_s]
    if quiet:
        found.append(Figure("used by others, % of the machine", 100 * statistics.fmean(quiet)))
    return found


def lives_of(held: Iterable[Event]) -> list[Life]:
    """Every process that was seen, in order of kind and start."""
    known: dict[tuple[str, float, int], Life] = {}
    for event in held:
        for kind, pid, started, mib, descriptors, threads in event.facts["processes"]:
            life = known.setdefault((kind, started, pid), Life(kind, pid, [], [], []))
            life.mib.append((event.at_s, mib))
            life.descriptors.append((event.at_s, descriptors))
            life.threads.append((event.at_s, threads))
    return [known[key] for key in sorted(known)]


def latencies(evidence: Evidence) -> dict[str, Points]:
    """Moment in the history and milliseconds: from acceptance to the first call, from the summary to the callback."""
    began = next(event for event in evidence.history if event.kind is Kind.BEGAN)
    since = began.wall - began.at_s
    rows = {row.id: row for row in evidence.rows}
    calls = {call.request_id: call for call in evidence.sessions}
    told: dict[str, float] = {}
    for one in sorted(evidence.deliveries, key=lambda delivery: delivery.at, reverse=True):
        if one.type in FINAL_EVENT_TYPES:
            told[one.message_id] = one.at
    dialled, called_back = [], []
    last = {attempt.id: attempt for attempt in sorted(evidence.attempts, key=lambda attempt: attempt.number)}
    for attempt in evidence.attempts:
        row, call = rows.get(attempt.id), calls.get(attempt.attempt_id)
        if row is None or call is None:
            continue
        if attempt.number == 1:
            dialled.append((row.created_at - since, 1000 * (call.accepted_at - row.created_at)))
        if last[attempt.id] is attempt and call.vss and row.message_id in told:
            at = call.vss[0].sent_at
            called_back.append((at - since, 1000 * (told[row.message_id] - at)))
    return {"accept to dial": sorted(dialled), "report to callback": sorted(called_back)}


def held_at(points: Points, begin: float, end: float) -> float | None:
    """The median of what was seen in between; None for nothing."""
    seen = [value for at_s, value in points if begin <= at_s < end]
    return statistics.median(seen) if seen else None


def growth(points: Points, warming_s: float, look_s: float, until: float | None = None) -> tuple[float, float] | None:
    """What was held once warm, and at the end; None for a life too short to tell."""
    seen = [(at_s, value) for at_s, value in points if until is None or at_s < until]
    if not seen or seen[-1][0] - seen[0][0] < warming_s + 2 * look_s:
        return None
    warm_s, end_s = seen[0][0] + warming_s, seen[-1][0]
    before, after = held_at(seen, warm_s, warm_s + look_s), held_at(seen, end_s - look_s, end_s + 1)
    return None if before is None or after is None else (before, after)


def _memory(lives: Sequence[Life], spans: Spans) -> Iterator[Figure]:
    for kind, ours in _by_kind(lives).items():
        for when, until in (("", spans.broken_s), (" with faults", None)):
            pairs = [growth(life.mib, spans.warming_s, spans.look_s, until) for life in ours]
            grown = [pair for pair in pairs if pair is not None]
            if grown:
                if until is not None:
                    yield Figure(f"{kind}: MiB once warm", max(before for before, _ in grown))
                yield Figure(f"{kind}: MiB more{when}", max(after - before for before, after in grown), _MOST_MIB)
                share = max(after / before - 1 for before, after in grown)
                yield Figure(f"{kind}: % more{when}", 100 * share, 100 * _MOST_SHARE)
        young = [life for life in ours if life.mib[0][0] >= spans.broken_s]
        if young:
            yield Figure(f"{kind}: most MiB, {len(young)} new", max(value for life in young for _, value in life.mib))


def _counts(lives: Sequence[Life], held: Sequence[Event], spans: Spans) -> Iterator[Figure]:
    for kind, ours in _by_kind(lives).items():
        for what in ("descriptors", "threads"):
            pairs = [growth(getattr(life, what), spans.warming_s, spans.look_s, spans.broken_s) for life in ours]
            known = [pair for pair in pairs if pair is not None]
            if known:
                most = max(after - before for before, after in known)
                yield Figure(f"{kind}: {what} once warm", max(before for before, _ in known))
                yield Figure(f"{kind}: {what} more", most, _SPARE)
    points = _known(held, "connections")
    pair = growth(points, spans.warming_s, spans.look_s, spans.broken_s)
    if pair is not None:
        yield Figure("PostgreSQL connections once warm", pair[0])
        yield Figure("PostgreSQL connections more", pair[1] - pair[0], _SPARE)
        yield Figure("PostgreSQL connections more, at the end", points[-1][1] - pair[0], _SPARE)


def _redis(held: Sequence[Event], spans: Spans) -> Iterator[Figure]:
    points = _known(held, "redis")
    before = held_at(points, 0, spans.loaded_s)
    if before is None:
        return
    end_s = points[-1][0]
    after = held_at(points, end_s - spans.loaded_s, end_s + 1)  # as long at rest as before the first message
    assert after is not None
    yield Figure("Redis at the start, KiB", before / 1024)
    yield Figure("Redis at the end, % more", 100 * (after / before - 1), 100 * _MOST_SHARE)


def _latency(what: str, points: Points, foreign: Points, spans: Spans) -> Iterator[Figure]:
    for share in _SHARES:
        trend = trend_of(blocks(points, foreign, (spans.warm_s, spans.broken_s), share))
        if trend is not None:
            yield from _told(f"{what} p{100 * share:g}", trend)


def _told(name: str, trend: Trend) -> Iterator[Figure]:
    yield Figure(f"{name}, ms", trend.level)
    yield Figure(f"{name}: slope over the time, ms", trend.gain)
    yield Figure(f"{name}: its error, ms", trend.error)
    yield Figure(f"{name}: sure gain, ms", trend.sure_gain, 0.0)


def _by_kind(lives: Sequence[Life]) -> dict[str, list[Life]]:
    found: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        found[life.kind].append(life)
    return found


def _known(held: Iterable[Event], what: str) -> Points:
    return [(event.at_s, event.facts[what]) for event in held if event.facts[what] is not None]
