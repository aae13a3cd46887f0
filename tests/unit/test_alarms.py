"""Every standing alarm: a figure that is exposed, silent when all is well, told when it is not."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingress.exposition import exposition
from shared.alarms import ALARMS, ringing
from shared.metrics import METRICS, Kind

WELL = {
    "known": {"database": 1, "redis": 1, "disk": 1},
    "database_up": 1,
    "redis_up": 1,
    "overdue_s": {"queued": 29.0, "placed": 0.0},
    "waiting_messages": {"otp": 3, "alert": 0},
    "oldest_waiting_s": {"otp": 29.0, "alert": 0.0},
    "deadline_slack_s": {"otp": 61.5},
    "recent_messages": {"otp": 40},
    "deadline_hit_share": {"otp": 0.975},
    "request_to_dial_s": [{"lane": "otp", "quantile": "0.95", "seconds": 0.4}],
    "request_to_answer_s": [{"lane": "otp", "quantile": "0.5", "seconds": 9.5}],
    "callbacks_overdue_s": 29.0,
    "webhooks_overdue_s": None,
    "dial_unknown_messages": 3,
    "dial_unknown_oldest_s": 3599.0,
    "held_messages": 0,
    "unmatched_events": 2,
    "unmatched_oldest_s": 599.0,
    "parked_events": 0,
    "parked_callbacks": 0,
    "failing_endpoints": 0,
    "endpoints": {"healthy": 2, "failing": 1, "disabled": 0},
    "open_callbacks": {"healthy": 0, "failing": 7, "disabled": 0},
    "breakers_open": 0,
    "call_errors": {"-2010": 2},
    "sweeper_silent_s": 1.0,
    "sweeper_clock_off_s": 1.9,
    "clock_ahead_s": -1.9,
    "undetermined_share": 0.001,
    "answer_share": 0.5,
    "answer_share_of": [{"provider": "prov_a", "country": "SG", "share": 0.2}],
    "stops": {},
    "daily_calls": {"*": 79},
    "daily_cap_share": {"*": 0.79},
    "contradicting_events": 0,
    "dropped_events": 0,
    "fallen_heard_share": {},
    "fallen_used_share": {},
    "quarantined_ranges": 0,
    "counted": {
        "requests": [
            {"labels": ["/v1/keys", "GET", "2xx"], "amounts": [*[0.0] * 4, 3.0, *[0.0] * 8, 0.25]},
            {"labels": ["/v1/keys", "GET", "5xx"], "amounts": [*[0.0] * 12, 1.0, 30.0]},
        ],
        "dial_answers": [{"labels": ["created", "1"], "amounts": [9.0, *[0.0] * 12, 0.02]}],
        "callback_posts": [{"labels": ["2xx"], "amounts": [9.0, *[0.0] * 12, 0.02]}],
        "sweeper_findings": [{"labels": ["lease_lapsed"], "amounts": [4.0]}],
        "pool_waits": [{"labels": ["web"], "amounts": [5.0]}],
        "pool_wait_seconds": [{"labels": ["web"], "amounts": [0.75]}],
    },
    "dials": 12345678901,
    "consumers": {"reconcile_events": 1},
    "dead_letters": {"reconcile_events": 0},
    "redis_memory_share": 0.6,
    "spool_files": 0,
    "spool_bytes": 0,
    "spool_parked_files": 0,
    "spool_writable": 1,
    "spool_disk_used_share": 0.8,
    "spool_disk_free_bytes": 12345678901,
}
ILL = {
    "figures_unknown": {"known": {"database": 0}},
    "database_away": {"database_up": 0},
    "redis_away": {"redis_up": 0},
    "message_overdue": {"overdue_s": {"queued": 31.0}},
    "callback_overdue": {"callbacks_overdue_s": 31.0},
    "webhook_overdue": {"webhooks_overdue_s": 31.0},
    "sweeper_silent": {"sweeper_silent_s": 31.0},
    "messages_held": {"held_messages": 1},
    "doubt_old": {"dial_unknown_oldest_s": 3601.0},
    "clock_off": {"clock_ahead_s": -2.1},
    "breaker_open": {"breakers_open": 1},
    "consumer_missing": {"consumers": {"reconcile_events": 0}},
    "dead_letters": {"dead_letters": {"reconcile_events": 1}},
    "redis_memory": {"redis_memory_share": 0.61},
    "disk_full": {"spool_disk_used_share": 0.81},
    "spool_unwritable": {"spool_writable": 0},
    "spool_waits": {"spool_files": 1},
    "undetermined": {"undetermined_share": 0.0011},
    "unheard": {"answer_share_of": [{"provider": "prov_a", "country": "SG", "share": 0.19}]},
    "calls_stopped": {"stops": {"country TD": 1}},
    "cap_near": {"daily_cap_share": {"*": 0.8}},
    "webhook_contradicts": {"contradicting_events": 1},
    "webhook_dropped": {"dropped_events": 1},
    "share_fallen": {"fallen": ["of 100 calls to SG 10% were heard lately, usually 62%"]},
    "range_quarantined": {"quarantined_ranges": 1},
    "webhook_unmatched": {"unmatched_oldest_s": 601.0},
    "events_parked": {"parked_events": 1},
    "callbacks_parked": {"parked_callbacks": 1},
    "endpoint_failing": {"failing_endpoints": 1},
    "spool_parked": {"spool_parked_files": 1},
}
#: What must be watched in production, and the metrics that show it, each with the alarm made of it. What is spent is
#: known as calls only.
STANDING = {
    "oldest overdue row per state": {
        "ringpost_overdue_seconds": "message_overdue",
        "ringpost_callbacks_overdue_seconds": "callback_overdue",
        "ringpost_webhooks_overdue_seconds": "webhook_overdue",
    },
    "doubtful calls, count and age": {
        "ringpost_dial_unknown_messages": "doubt_old",
        "ringpost_dial_unknown_oldest_seconds": "doubt_old",
        "ringpost_held_messages": "messages_held",
    },
    "sweeper heartbeat age": {"ringpost_sweeper_silent_seconds": "sweeper_silent"},
    "dead letters": {"ringpost_dead_letters": "dead_letters"},
    "consumer threads fewer than expected": {"ringpost_consumers": "consumer_missing"},
    "Redis memory": {"ringpost_redis_memory_share": "redis_memory"},
    "breakers: of the ingress towards Redis, of 8x8": {
        "ringpost_redis_up": "redis_away",
        "ringpost_breakers_open": "breaker_open",
    },
    "unmatched inbox age": {"ringpost_unmatched_oldest_seconds": "webhook_unmatched"},
    "parked deliveries": {
        "ringpost_parked_callbacks": "callbacks_parked",
        "ringpost_parked_events": "events_parked",
        "ringpost_spool_parked_files": "spool_parked",
    },
    "answer rate by sender and country": {"ringpost_answer_share_of": "unheard"},
    "spend, against its cap": {"ringpost_dials": None, "ringpost_daily_cap_share": "cap_near"},
    "clock offset": {"ringpost_clock_ahead_seconds": "clock_off", "ringpost_sweeper_clock_off_seconds": "clock_off"},
    "spool depth": {"ringpost_spool_files": "spool_waits", "ringpost_spool_bytes": "spool_waits"},
    "disk": {"ringpost_spool_disk_used_share": "disk_full", "ringpost_spool_writable": "spool_unwritable"},
    "share of undetermined": {"ringpost_undetermined_share": "undetermined"},
    "what is away": {"ringpost_database_up": "database_away", "ringpost_known": "figures_unknown"},
}
KNOWN = WELL | {
    "webhooks_overdue_s": 0.0,
    "stops": {"country TD": 1},
    "fallen_heard_share": {"bank SG": 0.1},
    "fallen_used_share": {"bank SG": 0.1},
}


def exposed(figures):
    return {one.name: one for one in text_string_to_metric_families(exposition(figures)[0].decode())}


def test_nothing_rings_when_all_is_well():
    assert dict(ringing(WELL)) == {}
    assert {sample.value for sample in exposed(WELL)["ringpost_alarm"].samples} == {0}


@pytest.mark.parametrize("name", [alarm.name for alarm in ALARMS])
def test_an_alarm_rings_alone_and_is_exposed(name):
    figures = WELL | ILL[name]

    assert [*dict(ringing(figures))] == [name]
    assert [s.labels["alarm"] for s in exposed(figures)["ringpost_alarm"].samples if s.value] == [name]


def test_a_sweeper_that_never_was_is_an_alarm():
    assert [*dict(ringing(WELL | {"sweeper_silent_s": None}))] == ["sweeper_silent"]


def test_what_is_not_known_rings_nothing_but_that():
    away = {"known": {"database": 0, "redis": 0, "disk": 0}, "database_up": 0, "redis_up": 0}

    assert [*dict(ringing(away))] == ["figures_unknown", "database_away", "redis_away"]


@pytest.mark.parametrize("what", STANDING)
def test_what_must_be_watched_is_exposed(what):
    named = {alarm.name: alarm for alarm in ALARMS}
    families = exposed(KNOWN)

    assert STANDING[what].keys() <= families.keys()
    for metric, alarm in STANDING[what].items():
        figure = metric.removeprefix("ringpost_").replace("_seconds", "_s")
        assert alarm is None or figure in named[alarm].figures


def test_every_figure_that_an_alarm_goes_by_is_exposed():
    families = exposed(KNOWN)
    figures = {figure for alarm in ALARMS for figure in alarm.figures}

    assert {f"ringpost_{figure.removesuffix('_s')}" + "_seconds" * figure.endswith("_s") for figure in figures} <= (
        families.keys()
    )
    assert set(KNOWN) - {"counted"} <= {name.removeprefix("ringpost_").replace("_seconds", "_s") for name in families}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_told_as_it_is_described(metric):
    family = exposed(KNOWN)[metric.name]

    assert (family.type, family.documentation) == (metric.kind, metric.meaning)
    assert {sample.name for sample in family.samples} == set(metric.samples)
    assert {label for sample in family.samples for label in sample.labels} == {
        *metric.labels, *(("le",) if metric.kind is Kind.HISTOGRAM else ())
    }  # fmt: skip


def test_what_processes_counted_is_told_by_all_its_labels_and_its_durations_by_some():
    families = exposed(KNOWN)
    durations = {
        (sample.name, sample.labels.get("le")): sample.value
        for sample in families["ringpost_request_seconds"].samples
        if sample.labels["route"] == "/v1/keys"
    }

    assert {(s.labels["status"], s.value) for s in families["ringpost_requests"].samples} == {("2xx", 3), ("5xx", 1)}
    assert durations["ringpost_request_seconds_bucket", "0.05"] == 0
    assert durations["ringpost_request_seconds_bucket", "0.1"] == 3
    assert durations["ringpost_request_seconds_bucket", "25.0"] == 3
    assert durations["ringpost_request_seconds_bucket", "+Inf"] == 4
    assert durations["ringpost_request_seconds_count", None] == 4
    assert durations["ringpost_request_seconds_sum", None] == 30.25


def test_large_figures_keep_their_digits():
    families = exposed(WELL)

    assert families["ringpost_spool_disk_free_bytes"].samples[0].value == 12345678901
    assert (families["ringpost_dials"].type, families["ringpost_dials"].samples[0].value) == ("counter", 12345678901)


def test_openmetrics_is_for_whoever_asks_for_it():
    body, content_type = exposition(WELL, "application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
