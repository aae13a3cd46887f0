"""
When to try again, and when to stop: every durable wait is computed here and stored in a row.

The waits come from tenacity's wait functions; its jitter is not used, because it draws its own chance.
*now* and *luck*, a number in [0, 1), come in from outside, so that each answer can be tested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import tenacity
from tenacity.wait import wait_base

CALLBACK_SCHEDULE: Final = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=24),
)
MAX_RETRY_AFTER_S: Final = 24 * 3600.0  # what a provider's Retry-After can ask for at most
MAX_DIAL_RETRY_AFTER_S: Final = 300.0  # 8x8's; an OTP that must wait longer has expired anyway
SPREAD: Final = 0.2  # of a wait, added by luck

EXPORT_FORGOTTEN_S: Final = 24 * 3600.0  # 8x8's log is asked no longer about a call

_LOOK_WAIT: Final = tenacity.wait_exponential(multiplier=2, max=60)  # s: 2, 4, 8 ... 60
_LOOKUP_DOUBLINGS: Final = 6
_DIAL_WAIT: Final = tenacity.wait_exponential(multiplier=0.5, max=30)  # s: 0.5, 1, 2, 4 ... 30
_CAPACITY_WAIT: Final = tenacity.wait_exponential(multiplier=2, max=30)  # s: 2, 4, 8, 16, 30


@dataclass(frozen=True, slots=True)
class RedialPolicy:
    """
    How often a phone that did not answer is called, and the waits between.

    The last wait repeats when a message asks for more attempts than there are waits.
    """

    max_attempts: int
    waits: tuple[timedelta, ...]


# Alerts and notifications spread their attempts evenly: three in 30 minutes, two in 2 hours.
# How often a test message is redialled follows from its type; nobody waits for a phone to be free again.
REDIAL: Final[Mapping[str, RedialPolicy]] = {
    "otp": RedialPolicy(max_attempts=2, waits=(timedelta(seconds=5),)),
    "alert": RedialPolicy(max_attempts=3, waits=(timedelta(minutes=10),)),
    "notification": RedialPolicy(max_attempts=2, waits=(timedelta(hours=1),)),
    "test": RedialPolicy(max_attempts=1, waits=(timedelta(seconds=1),)),
}


def next_callback_at(
    failures: int,
    *,
    now: datetime,
    luck: float,
    retry_after_s: float | None = None,
    schedule: Sequence[timedelta] = CALLBACK_SCHEDULE,
) -> datetime | None:
    """
    When to send a failed callback again.

    Each step is a promise to the provider ("after 5 s"), so jitter only adds: the attempt comes between
    the step and a fifth more. Jitter below the step would shorten the whole schedule and hit a receiver
    that is just coming back sooner than announced.

    Args:
        failures: Failed delivery attempts so far, this one included: 1 after the first.
        now: Aware time to count from.
        luck: In [0, 1).
        retry_after_s: The receiver's Retry-After in seconds; honoured between the step and 24 h.
        schedule: One wait per failure.

    Returns:
        None when the schedule is used up: the callback is parked.
    """
    if failures > len(schedule):
        return None
    chain = tenacity.wait_chain(*(tenacity.wait_fixed(step) for step in schedule))
    step_s = _wait_s(chain, failures)
    asked_s = min(retry_after_s or 0.0, MAX_RETRY_AFTER_S)
    return now + _spread(max(step_s, asked_s), luck)


def next_dial_at(tries: int, *, now: datetime, luck: float, retry_after_s: float | None = None) -> datetime:
    """
    When to ask 8x8 again after a POST that surely created no call: never sent, 429, NOT_CREATED.

    Full jitter, from nothing to 0.5 s, 1 s, 2 s ... 30 s, so that workers do not come back in step.
    It is added to a Retry-After, of which at most 5 minutes are honoured. *tries* is 1 after the first POST.
    """
    asked_s = min(max(retry_after_s or 0.0, 0.0), MAX_DIAL_RETRY_AFTER_S)
    return now + timedelta(seconds=asked_s + luck * _wait_s(_DIAL_WAIT, tries))


def next_capacity_retry_at(failures: int, *, now: datetime, luck: float) -> datetime:
    """
    When to dial again after 8x8 had no line or an internal fault (-2010, -2001, -2002), nobody answered.

    Half of 2 s, 4 s, 8 s ... 30 s is waited for certain, as lines come free only when calls end; luck
    spreads the other half. *failures* is 1 after the first.
    """
    return now + timedelta(seconds=_wait_s(_CAPACITY_WAIT, failures) * (0.5 + 0.5 * luck))


def next_look_s(looks: int, *, longest_s: float, retry_after_s: float = 0.0) -> float:
    """
    Seconds until an export job of 8x8 is looked at again, or asked for again: 2, 4, 8 ... 60, or as 8x8 says.

    *looks* is 1 after the first; *longest_s* the pause between two exports, which nobody waits longer than unasked.
    """
    return max(min(_wait_s(_LOOK_WAIT, looks), longest_s), retry_after_s)


def next_lookup_s(lookups: int, *, interval_s: float) -> float:
    """
    Seconds until the log is asked again about a call that it did not settle, twice as long each time.

    How late 8x8 lists a call is not documented. *lookups* is 1 after the first.
    """
    return float(interval_s * 2 ** min(lookups - 1, _LOOKUP_DOUBLINGS))


def next_redial_at(
    policy: RedialPolicy,
    attempts_made: int,
    *,
    now: datetime,
    deadline: datetime,
    call_s: float,
    luck: float,
) -> datetime | None:
    """
    When to call a phone again that was busy or did not answer.

    Args:
        policy: How often, and how far apart.
        attempts_made: Calls so far: 1 after the first.
        now: Aware time to count from.
        deadline: The message's own.
        call_s: What the next call needs before the deadline, in seconds: ring plus one play.
        luck: In [0, 1); adds up to a fifth of the wait.

    Returns:
        None when the attempts are used up or the next one could not be heard in time.
    """
    if attempts_made >= policy.max_attempts:
        return None
    chain = tenacity.wait_chain(*(tenacity.wait_fixed(wait) for wait in policy.waits))
    dial_at = now + _spread(_wait_s(chain, attempts_made), luck)
    return dial_at if dial_at + timedelta(seconds=call_s) <= deadline else None


def _spread(wait_s: float, luck: float) -> timedelta:
    return timedelta(seconds=wait_s * (1 + SPREAD * luck))


def _wait_s(wait: wait_base, attempt: int) -> float:
    """Ask a tenacity wait function for the wait after *attempt*, outside of any retry loop."""
    if attempt < 1:
        raise ValueError("attempts are counted from 1")
    state = tenacity.RetryCallState(_NO_LOOP, None, (), {})
    state.attempt_number = attempt
    return wait(state)


_NO_LOOP: Final = tenacity.Retrying()
