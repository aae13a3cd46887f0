"""A provider's own limits, as it reads them."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.db.queries import daily_calls, sending_rules
from tests.integration.ingress_stage import Customer, basic, is_problem, staged

NOTHING_OF_SENDING = {
    "dialsPerSecond": None, "dailyCalls": None, "perNumber": [], "perMinute": None, "perPrefixAndHour": None,
    "quietHours": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def the_stage(database_url, redis_url, tmp_path_factory):
    with staged(
        database_url, redis_url, tmp_path_factory.mktemp("data"), number_limits="3/600,10/86400", dials_per_second=20
    ) as stage:
        yield stage


@pytest.fixture
def stage(the_stage):
    """For a provider that has no rules of its own yet."""
    the_stage.customer = Customer(the_stage.services.database)
    return the_stage


def limits(stage, headers=None):
    reply = stage.http.get("/v1/limits", headers=headers or stage.customer.headers)
    assert reply.status_code == 200, reply.text
    return reply.get_json()


def rule(stage, **changed):
    stage.services.database.run(lambda c: sending_rules.change(c, stage.customer.provider_id, changed))


def cap(stage, calls, **how):
    stage.services.database.run(lambda c: daily_calls.set_cap(c, stage.customer.provider_id, calls, **how))


def spent(stage, calls, days_ago=0):
    stage.services.database.run(
        lambda c: c.exec_driver_sql(
            "UPDATE daily_calls SET calls = %s, day = (now() AT TIME ZONE 'UTC')::date - %s::int WHERE name = %s",
            (calls, days_ago, stage.customer.provider_id),
        )
    )


def test_without_rules_of_its_own_the_settings_hold(stage):
    told = limits(stage)

    resets_at = datetime.fromisoformat(told["dailyCalls"].pop("resetsAt"))
    assert timedelta() < resets_at - datetime.now(UTC) <= timedelta(days=1)
    assert (resets_at.hour, resets_at.minute, resets_at.second) == (0, 0, 0)
    assert told == {
        "mode": "live",
        "dialsPerSecond": {"limit": 20, "isShared": True},
        "dailyCalls": {"limit": 100_000, "used": 0, "remaining": 100_000},
        "perNumber": [{"limit": 3, "perSeconds": 600}, {"limit": 10, "perSeconds": 86400}],
        "perMinute": None,
        "perPrefixAndHour": 20_000,
        "quietHours": None,
        "countries": ["SG"],
        "from": ["+6531580001"],
        "ttlSeconds": {"min": 15, "max": 86400, "default": {"otp": 120, "alert": 1800, "notification": 14400}},
        "scheduledAheadSeconds": 604_800,
        "messageCharacters": {"max": 1000, "maxSpoken": 3000},
        "repetition": {"min": 1, "max": 3, "default": 2},
        "speed": {"min": 0.5, "max": 2, "default": 1},
        "bodyBytes": {"call": 16384, "batch": 2_097_152},
        "callsPerBatch": 1000,
    }


def test_rules_of_its_own_come_first(stage):
    rule(
        stage, countries=["MY", "SG"], number_limits="5/60", messages_per_minute=70, prefix_per_hour=900,
        quiet_hours="22:00-08:00", quiet_alerts=True,
    )  # fmt: skip

    told = limits(stage)

    assert told["countries"] == ["MY", "SG"]
    assert told["perNumber"] == [{"limit": 5, "perSeconds": 60}]
    assert (told["perMinute"], told["perPrefixAndHour"]) == (70, 900)
    assert told["quietHours"] == {"begin": "22:00", "end": "08:00", "alertsToo": True}


def test_a_limit_that_was_taken_away_is_null(stage):
    rule(stage, countries=["*"], number_limits="", messages_per_minute=0, prefix_per_hour=0)

    told = limits(stage)

    assert (told["countries"], told["perNumber"], told["perMinute"], told["perPrefixAndHour"]) == (
        ["*"],
        [],
        None,
        None,
    )


@pytest.mark.parametrize(
    ("calls", "how", "used", "days_ago", "told"),
    [
        (10, {}, 4, 0, {"limit": 10, "used": 4, "remaining": 6}),
        (10, {}, 12, 0, {"limit": 10, "used": 12, "remaining": 0}),
        (10, {}, 9, 1, {"limit": 10, "used": 0, "remaining": 10}),
        (0, {}, 0, 0, {"limit": 0, "used": 0, "remaining": 0}),
        (None, {}, 7, 0, {"limit": 100_000, "used": 7, "remaining": 99_993}),
        (None, {"is_uncapped": True}, 7, 0, {"limit": None, "used": 7, "remaining": None}),
    ],
)
def test_the_days_calls_are_told_with_their_cap(stage, calls, how, used, days_ago, told):
    cap(stage, calls, **how)
    spent(stage, used, days_ago)

    assert limits(stage)["dailyCalls"].items() >= told.items()


def test_another_providers_rules_and_calls_are_its_own(stage):
    other = Customer(stage.services.database)
    before = limits(stage, other.headers)
    rule(
        stage,
        countries=["US"],
        number_limits="1/1",
        messages_per_minute=1,
        prefix_per_hour=1,
        quiet_hours="01:00-02:00",
    )
    cap(stage, 1)
    spent(stage, 1)

    assert limits(stage, other.headers) == before


def test_a_test_key_sees_no_live_calls_and_has_no_limits_of_sending(stage):
    spent(stage, 5)
    rule(stage, countries=["MY"], quiet_hours="01:00-02:00")
    key = stage.http.post("/v1/keys", json={"mode": "test"}, headers=stage.customer.headers).get_json()

    told = limits(stage, basic(key["id"], key["secret"]))

    assert told.items() >= (NOTHING_OF_SENDING | {"mode": "test", "countries": ["MY"]}).items()


def test_limits_are_read_only_and_need_a_key(stage):
    assert is_problem(stage.http.get("/v1/limits"), 401, "unauthorized")
    reply = stage.http.post("/v1/limits", json={}, headers=stage.customer.headers)
    assert is_problem(reply, 405, "method_not_allowed")
