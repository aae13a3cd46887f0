"""What a provider may send, from the command line: shown, set, noted, and known to the door at once."""

import json

import pytest

from shared.db.queries.providers import owner_of_key
from shared.sending_rules import parse_number_limits, parse_quiet_hours
from tests.integration.ingress_stage import call, is_problem, staged


@pytest.fixture
def door(settings, database, provider_id):
    with staged(settings.database_url, settings.redis_url, settings.ringpost_data_dir) as stage:
        yield stage


def audit(door):
    return door.rows("SELECT action, before, after FROM audit_log WHERE action LIKE 'provider.%' ORDER BY audit_id")


def test_countries_are_set_noted_and_known_at_the_door_within_five_seconds(ringpost, door, monkeypatch):
    provider = door.customer.provider_id
    assert is_problem(door.make_call(call(customerPhone="+12025550143")), 422, "country_not_allowed")

    done = ringpost("providers", "countries", provider, "sg,US")
    # The longest that a process goes by what it read before, over.
    monkeypatch.setattr(door.site.providers._owners, "_for_s", 0)

    assert done.exit_code == 0
    assert door.make_call(call(customerPhone="+12025550143")).status_code == 200
    noted = audit(door)[-1]
    assert (noted.action, noted.before, noted.after) == (
        "provider.countries", {"countries": None}, {"countries": ["SG", "US"]},
    )  # fmt: skip


def test_nobody_is_called_abroad_unless_a_list_says_so(door):
    replies = {country: door.make_call(call(customerPhone=to)) for country, to in {
        "SG": "+6581234567", "US": "+12025550143", "LV": "+37121234567", "CU": "+5351234567",
    }.items()}  # fmt: skip

    assert {country for country, reply in replies.items() if reply.status_code == 200} == {"SG"}
    assert {reply.get_json().get("code") for reply in replies.values()} == {None, "country_not_allowed"}


def test_a_key_is_asked_anew_within_two_seconds():
    from ingress import auth

    assert auth._KEY_MEMORY_S <= 2


def test_limits_are_shown_set_and_left_to_the_settings_again(ringpost, door):
    provider = door.customer.provider_id
    first = json.loads(ringpost("providers", "limits", provider, "--json").stdout)

    done = ringpost(
        "providers", "limits", provider, "--per-number", "5/60", "--per-minute", "none", "--per-prefix", "70",
        "--detection", "strict",
    )  # fmt: skip
    rules = door.services.database.run(lambda c: owner_of_key(c, door.customer.key_id)).rules
    ringpost("providers", "limits", provider, "--per-number", "default")

    assert set(first.values()) == {None, False}
    assert "none" in done.stdout
    assert (rules.number_limits, rules.messages_per_minute, rules.prefix_per_hour) == (((5, 60),), 0, 70)
    assert rules.detection == "strict"
    assert [one.before["numberLimits"] for one in audit(door)[-2:]] == [None, "5/60"]


def test_quiet_hours_are_set_and_taken_away(ringpost, door):
    provider = door.customer.provider_id
    ringpost("providers", "quiet-hours", provider, "22:00-08:00", "--alerts")
    rules = door.services.database.run(lambda c: owner_of_key(c, door.customer.key_id)).rules
    ringpost("providers", "quiet-hours", provider, "off")

    assert (rules.quiet_hours, rules.quiet_alerts) == (parse_quiet_hours("22:00-08:00"), True)
    assert [(one.before["quietHours"], one.after["quietHours"]) for one in audit(door)[-2:]] == [
        (None, "22:00-08:00"), ("22:00-08:00", None),
    ]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["countries", "bank", "SG,XX"], 2, "countries: XX is no"),
    (["countries", "nobody", "SG"], 1, "there is no provider 'nobody'"),
    (["limits", "bank", "--per-number", "3"], 2, "--per-number: needs count/seconds"),
    (["limits", "bank", "--per-minute", "0"], 2, "--per-minute: needs a whole number"),
    (["limits", "bank", "--per-prefix", "-1"], 2, "--per-prefix: needs"),
    (["quiet-hours", "bank", "22-8"], 2, "HOURS: needs two different times"),
    (["quiet-hours", "bank", "08:00-08:00"], 2, "HOURS: needs two different times"),
])  # fmt: skip
def test_wrong_use_is_one_line_and_changes_nothing(ringpost, provider_id, arguments, code, said):
    result = ringpost("providers", *arguments)

    assert (result.exit_code, said in result.stderr) == (code, True)


@pytest.mark.parametrize("text", ["3/600/1", "0/60", "3/0", "a", "3/9999999", "1001/60"])
def test_a_limit_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError, match="needs count/seconds"):
        parse_number_limits(text)
