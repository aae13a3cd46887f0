"""Toll fraud that is played is caught, and honest traffic is not."""

import os
import random
import sys

import pytest

from ingress import suspicion, watch
from ingress.suspicion import Calls, Pattern, is_crowd, is_sequence
from ingress.watch import Seen, Watch
from tests.unit.fraud_world import FRAUD, HONEST, NOON, Stream, World, in_sequence, played

#: More seeds tell the figures that the documents give.
SEEDS = range(int(os.environ.get("RINGPOST_FRAUD_SEEDS", "1")))


def test_fraud_is_caught_and_honest_traffic_is_not():
    hits = false = misses = 0
    found_at = []
    for name, members in {**HONEST, **FRAUD}.items():
        for seed in SEEDS:
            caught, wrong, missed, found = played(name, seed, **members)
            hits, false, misses = hits + len(caught), false + len(wrong), misses + len(missed)
            if len(SEEDS) > 1 and (wrong or missed):
                sys.stdout.write(f"{name}, seed {seed}: {len(wrong)} wrong, {len(missed)} missed {found}\n")
            found_at += [found[one][0] for one in caught]
            assert not wrong or len(SEEDS) > 1, (name, found)
            assert not missed or len(SEEDS) > 1, (name, missed)

    precision, recall = hits / (hits + false), hits / (hits + misses)
    found_at.sort()
    if len(SEEDS) > 1:
        middle, late = (found_at[int(len(found_at) * share)] for share in (0.5, 0.9))
        sys.stdout.write(
            f"\n{len(SEEDS)} seeds: precision {precision:.3f}, recall {recall:.3f}, {false} false alarms,"
            f" found after {middle:.0f} s (p90 {late:.0f} s)\n"
        )
    assert precision >= 0.95
    assert recall >= 0.95


def test_a_provider_may_have_sequences_alone_suffice():
    world = World([Stream(1, in_sequence(6591000000), heard=1.0)], seed=1, reports=False, mode="strict")

    ((_, why),) = world.run(120).values()

    assert "in sequence" in why
    assert "suffice for this provider" in why


def test_who_is_not_to_be_watched_is_not():
    members = FRAUD["in sequence, nobody answers"]

    assert World(seed=1, mode="off", **members).run(300) == {}


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_a_sequence_is_seen_through_any_process(processes):
    assert is_sequence(range(0, 64 * processes, processes))


def test_random_numbers_are_no_sequence():
    assert not any(is_sequence(random.Random(seed).sample(range(10_000), 64)) for seed in range(300))


def test_few_or_equal_numbers_are_no_sequence():
    assert not is_sequence(range(20))
    assert not is_sequence([4711] * 64)


def test_a_crowd_is_more_than_usual():
    assert is_crowd(Pattern(100, 0.5, 0.0, ()))
    assert not is_crowd(Pattern(100, 0.5, 0.3, ()))
    assert not is_crowd(Pattern(40, 0.5, 0.0, ()))
    assert not is_crowd(Pattern(100, 0.1, 0.0, ()))


def test_why_is_a_sentence_with_figures():
    pattern = Pattern(412, 0.3, 0.0, range(64))

    said = suspicion.why(pattern, Calls(60, 3), Calls(50, 32), Calls(), strict=False)

    assert said == "64 numbers in sequence, 412 messages; of 60 calls 3 were heard, elsewhere 64%"


@pytest.mark.parametrize("usual", [Calls(), Calls(1000, 600, 0, 600, 420)])
def test_before_enough_calls_have_ended_nothing_is_said(usual):
    assert suspicion.why(Pattern(412, 0.3, 0.0, range(64)), Calls(29, 0), Calls(), usual, strict=False) is None


def test_memory_is_bounded_however_many_ranges_and_providers_there_are():
    looked = Watch()
    for n in range(12_000):
        looked.saw(Seen(NOON, str(n), f"prov_{n % 3000}", str(n % 5000).encode(), "+1****", n % 10_000, "US", "usual"))
        if n % 1000 == 0:
            looked.candidates(NOON)
    looked.candidates(NOON)

    assert len(looked._providers) <= watch.MOST_PROVIDERS
    assert len(looked._samples) <= watch.MOST_SAMPLES
    assert all(len(one.kept) <= watch.SAMPLE for one in looked._samples.values())


def test_a_sample_is_kept_until_its_calls_have_ended_however_many_follow():
    looked = Watch()
    for n in range(5000):
        looked.saw(Seen(NOON + n / 50, str(n), "prov", b"r", "+1****", n, "US", "usual"))
    (one,) = looked.candidates(NOON + 100)

    assert len(one.ids) == watch.SAMPLE
    assert max(map(int, one.ids)) < 100
    assert one.messages == 5000
