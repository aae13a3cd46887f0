"""Many messages at once: as a table for a provider's own tools, and in figures."""

import csv
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from ingress import reports
from ingress.reports import COLUMNS
from shared.db.database import DatabaseAway
from shared.db.queries import stats
from shared.lifecycle import Mode
from shared.times import rfc3339
from tests.integration.ingress_stage import Customer, is_problem, members, staged, submit


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), allowed_countries="*") as stage:
        yield stage


@pytest.fixture
def customer(stage):
    """A provider that has no message yet."""
    return Customer(stage.services.database)


def asked(stage, customer, path, **query):
    return stage.http.get(f"{path}?{urlencode(query)}", headers=customer.headers)


def table(reply):
    assert reply.status_code == 200, reply.text
    return list(csv.DictReader(io.StringIO(reply.text)))


def test_the_table_has_a_row_a_message_newest_first(stage, customer):
    ids = [submit(stage, customer, metadata={"shop": 'Zürich, "1"'}) for _ in range(3)]

    reply = asked(stage, customer, "/v1/messages.csv")

    rows = table(reply)
    assert reply.content_type == "text/csv; charset=utf-8; header=present"
    assert 'filename="messages.csv"' in reply.headers["Content-Disposition"]
    assert tuple(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == ids[::-1]
    assert rows[0]["metadata"] == '{"shop": "Zürich, \\"1\\""}'
    assert (rows[0]["status"], rows[0]["retryable"], rows[0]["reason"]) == ("queued", "false", "")
    assert "4711" not in reply.text
    assert "81234567" not in reply.text


def test_no_cell_is_a_formula(stage, customer):
    for name in ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1"):
        submit(stage, customer, messageId=name)

    rows = table(asked(stage, customer, "/v1/messages.csv"))

    assert {row["messageId"][0] for row in rows} == {"'"}
    assert {row["to"] for row in rows} == {"'+65****4567"}
    assert not [one for row in rows for one in row.values() if one.startswith(("=", "+", "-", "@", "\t"))]


def test_pieces_make_one_table_without_gaps_or_repeats(stage, customer, monkeypatch):
    monkeypatch.setattr(reports, "_PIECE", 2)
    ids = [submit(stage, customer) for _ in range(5)]

    reply = asked(stage, customer, "/v1/messages.csv")

    assert [row["id"] for row in table(reply)] == ids[::-1]


def test_filters_are_those_of_the_list(stage, customer):
    submit(stage, customer)
    alert = submit(stage, customer, type="alert")

    assert [row["id"] for row in table(asked(stage, customer, "/v1/messages.csv", type="alert"))] == [alert]
    assert table(asked(stage, customer, "/v1/messages.csv", status="delivered")) == []
    refused = asked(stage, customer, "/v1/messages.csv", limit="5", after="x")
    assert (is_problem(refused, 422, "invalid_request"), members(refused)) == (True, ["limit", "after"])
    assert members(asked(stage, customer, "/v1/messages.csv", stauts="busy")) == ["stauts"]


def test_an_export_that_the_database_breaks_off_says_so(stage, customer, monkeypatch):
    monkeypatch.setattr(reports, "_PIECE", 1)
    for _ in range(3):
        submit(stage, customer)
    pages, run = iter([None]), stage.services.database.run

    def away(work, **how):
        if how.get("patience_s") == reports._LATER_S and next(pages, "away"):
            raise DatabaseAway
        return run(work, **how)

    monkeypatch.setattr(stage.services.database, "run", away)

    rows = table(asked(stage, customer, "/v1/messages.csv"))

    assert rows[-1]["id"] == "broken off"
    assert rows[0]["id"].startswith("msg_")


def test_nobody_exports_or_counts_what_is_anothers(stage, customer):
    submit(stage, customer)
    other = Customer(stage.services.database)

    assert table(asked(stage, other, "/v1/messages.csv")) == []
    assert asked(stage, other, "/v1/stats").get_json()["total"]["messages"] == 0


def ended(stage, id_, status, *, dial_s, answer_s=None, verified=None):
    """As if the call had begun so many seconds after the request, and been answered."""
    with stage.services.database.transaction() as connection:
        connection.execute(
            text("""INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source,
              destination_key, valid_until, started_at, answered_at)
            SELECT 'att_' || id, id, 1, 'c', 's', source, destination_key, now(),
              created_at + :dial_s * interval '1 second', created_at + :answer_s * interval '1 second'
            FROM messages WHERE id = :id"""),
            {"id": id_, "dial_s": dial_s, "answer_s": answer_s},
        )
        connection.execute(
            text("UPDATE messages SET status = :status, finished_at = now(), due_at = NULL, content = NULL"
                 " WHERE id = :id"),
            {"id": id_, "status": status},
        )  # fmt: skip
        if verified is not None:
            connection.execute(
                text("INSERT INTO outcomes (message_id, provider_id, country, verified)"
                     " SELECT id, provider_id, country, :verified FROM messages WHERE id = :id"),
                {"id": id_, "verified": verified},
            )  # fmt: skip


def test_figures_tell_how_many_were_in_time_and_how_soon(stage, customer):
    for place in range(1, 5):
        ended(stage, submit(stage, customer), "delivered", dial_s=place, answer_s=10 * place, verified=place < 4)
    ended(stage, submit(stage, customer), "delivered", dial_s=119, answer_s=130)  # spoken too late
    ended(stage, submit(stage, customer, customerPhone="+12025550123"), "no_answer", dial_s=2)
    for status in ("expired", "canceled"):
        id_ = submit(stage, customer)
        stage.rows(
            "UPDATE messages SET status = :s, finished_at = now(), due_at = NULL, content = NULL"
            " WHERE id = :id RETURNING 1", s=status, id=id_,
        )  # fmt: skip
    submit(stage, customer, type="alert")

    told = asked(stage, customer, "/v1/stats").get_json()

    total = told["total"]
    assert total["messages"] == 9
    assert total["statuses"] == {"delivered": 5, "no_answer": 1, "expired": 1, "canceled": 1, "queued": 1}
    assert total["deadlineHitRate"] == round(5 / 7, 4)
    assert total["secondsToDial"] == {"p50": 2.0, "p95": 119.0}
    assert total["secondsToAnswer"] == {"p50": 30.0, "p95": 130.0}
    assert total["outcomes"] == {"verified": 3, "notVerified": 1, "conversionRate": 0.75}
    assert {kind: one["messages"] for kind, one in told["byType"].items()} == {"otp": 8, "alert": 1}
    assert {kind: one["messages"] for kind, one in told["byCountry"].items()} == {"SG": 8, "US": 1}
    assert told["byType"]["alert"]["deadlineHitRate"] is None
    assert told["countedSince"] is None


def test_a_span_is_a_day_unless_asked_and_a_month_at_most(stage, customer):
    submit(stage, customer)
    now = datetime.now(UTC)

    day = asked(stage, customer, "/v1/stats").get_json()
    empty = asked(stage, customer, "/v1/stats", until=rfc3339(now - timedelta(hours=1))).get_json()

    assert (empty["total"]["messages"], day["total"]["messages"]) == (0, 1)
    assert empty["total"]["secondsToDial"] == {"p50": None, "p95": None}
    for query, member in [
        ({"since": rfc3339(now - timedelta(days=32)), "until": rfc3339(now)}, "since"),
        ({"since": rfc3339(now), "until": rfc3339(now)}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"country": "SG"}, "country"),
    ]:
        refused = asked(stage, customer, "/v1/stats", **query)
        assert is_problem(refused, 422, "invalid_request")
        assert members(refused) == [member]


def test_of_too_many_messages_the_newest_are_counted_and_since_when_is_told(stage, customer):
    ids = [submit(stage, customer) for _ in range(4)]
    span = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)

    found = stage.services.database.run(lambda c: stats.read(c, customer.provider_id, span, Mode.LIVE, most=3))

    assert found.total.messages == 3
    assert found.counted_since == stage.rows("SELECT created_at FROM messages WHERE id = :id", id=ids[1])[0][0]


def test_tests_are_counted_for_test_keys_and_live_ones_for_live_keys(stage, customer):
    submit(stage, customer)
    tester = Customer(stage.services.database)
    stage.rows("UPDATE api_keys SET mode = 'test', provider_id = :p WHERE key_id = :id RETURNING 1",
               p=customer.provider_id, id=tester.key_id)  # fmt: skip
    for _ in range(2):
        submit(stage, tester)

    assert asked(stage, customer, "/v1/stats").get_json()["total"]["messages"] == 1
    assert asked(stage, tester, "/v1/stats").get_json()["total"]["messages"] == 2
    assert len(table(asked(stage, tester, "/v1/messages.csv"))) == 2
    assert members(asked(stage, tester, "/v1/messages.csv", mode="live")) == ["mode"]
