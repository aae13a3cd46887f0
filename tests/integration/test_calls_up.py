"""How many calls are up is counted where it decides something, and known well enough elsewhere."""

import random

import pytest

from shared.db.queries import claim as claims
from shared.db.queries import providers
from shared.db.queries.pacing import open_pace
from shared.ids import new_id
from shared.lifecycle import Lane
from shared.pacing import Pace
from tests.integration.worker_stage import PROVIDER, staged

OURS, OTHERS = "test_voice", "other_voice"
_UP = "SELECT count(*) FROM messages WHERE busy_until > now()"


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        for name in (OURS, OTHERS):
            stage.database.run(lambda connection, name=name: open_pace(connection, name, 1e6))
        stage.database.run(lambda connection: providers.create_provider(connection, "prov_b", "b", None))
        yield stage


def claim(stage, wanted, *, cap, subaccount=OURS):
    limits = Pace(subaccount, dials_per_second=1e6, max_in_flight=cap, lease_s=30, ring_s=60)
    return stage.database.run(
        lambda c: claims.claim(c, limits, Lane.OTP, wanted=wanted, claim_id=new_id("claim")), alone=True
    )


def keep(stage, count, provider=PROVIDER):
    return stage.keep_all([stage.new_message(provider_id=provider) for _ in range(count)])


def up(stage):
    return stage.execute(_UP)[0].count


def counted(stage):
    """What the last count found, and since when."""
    row = stage.execute("SELECT flown, flown_turns FROM subaccounts WHERE subaccount_id = :id", id=OURS)[0]
    return row.flown, row.flown_turns


def end(stage, count):
    stage.execute(
        "UPDATE messages SET busy_until = NULL, busy_destination = NULL WHERE id IN"
        " (SELECT id FROM messages WHERE busy_until > now() LIMIT :count)",
        count=count,
    )


def test_far_from_the_cap_the_last_count_will_do(stage):
    keep(stage, 30)
    claim(stage, 10, cap=1000)
    first = counted(stage)
    for _ in range(2):
        claim(stage, 10, cap=1000)

    assert (first, counted(stage)) == ((0, 0), (0, 0))
    assert up(stage) == 30


def test_near_the_cap_calls_are_counted_and_those_that_ended_make_room(stage):
    keep(stage, 40)
    claim(stage, 18, cap=20)
    end(stage, 18)

    assert len(claim(stage, 18, cap=20).calls) == 18
    assert counted(stage) == (0, 18)
    assert len(claim(stage, 18, cap=20).calls) == 2
    assert counted(stage) == (18, 36)


def test_where_several_providers_wait_calls_are_counted_for_their_shares(stage):
    keep(stage, 20)
    claim(stage, 10, cap=1000)
    keep(stage, 4, "prov_b")
    claimed = claim(stage, 4, cap=1000)

    assert {call.provider_id for call in claimed.calls} == {"prov_b"}  # who has no call up
    assert counted(stage) == (10, 10)


def test_a_count_whose_counter_began_anew_says_nothing(stage):
    keep(stage, 30)
    claim(stage, 10, cap=30)
    stage.execute("UPDATE subaccounts SET flown = 0, flown_turns = 1000000")
    claim(stage, 10, cap=30)

    assert counted(stage) == (10, 10)


@pytest.mark.parametrize("seed", range(4))
def test_as_many_are_claimed_as_a_count_each_time_would_allow(stage, seed):
    luck = random.Random(seed)
    for _ in range(60):
        keep(stage, luck.randrange(6))
        if luck.random() < 0.3:
            keep(stage, 1, "prov_b")
        if luck.random() < 0.4:
            end(stage, luck.randrange(30))
        cap, wanted = luck.choice((5, 20, 40, 200)), luck.randrange(1, 12)
        if luck.random() < 0.2:
            claim(stage, wanted, cap=1000, subaccount=OTHERS)
        before = up(stage)
        waiting = stage.execute("SELECT provider_id FROM messages WHERE status = 'queued'")
        took = len(claim(stage, wanted, cap=cap).calls)

        most = max(0, min(wanted, cap - before, len(waiting)))
        if len({row.provider_id for row in waiting}) < 2:
            assert took == most
        else:  # what is looked at for each is bounded
            assert min(1, most) <= took <= most
        assert up(stage) == before + took
