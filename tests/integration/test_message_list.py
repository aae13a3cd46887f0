"""GET /v1/messages: a provider's messages, page by page."""

import itertools
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from shared.db.prepared import plan_each_time
from shared.db.queries import message_list, moves
from shared.db.queries.message_list import Wanted
from shared.lifecycle import Event, Lane, Move, Status
from tests.integration.ingress_stage import Customer, call, is_problem, members, staged, submit

STORY_ONLY = {"nextDialAt", "attempts", "events", "callbacks"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), allowed_countries="*") as stage:
        yield stage


@pytest.fixture
def customer(stage):
    """A provider that has no message yet."""
    return Customer(stage.services.database)


def listed(stage, customer, **query):
    return stage.http.get(f"/v1/messages?{urlencode(query)}", headers=customer.headers)


def ids(reply):
    assert reply.status_code == 200, reply.text
    return [item["id"] for item in reply.get_json()["data"]]


def walk(stage, customer, **query):
    """The ids of every page."""
    pages, after = [], {}
    while True:
        reply = listed(stage, customer, **query, **after)
        pages.append(ids(reply))
        body = reply.get_json()
        assert body["hasMore"] is (body["next"] is not None)
        if not body["hasMore"]:
            return pages
        after = {"after": body["next"]}


def move(stage, *moved):
    with stage.services.database.transaction() as connection:
        moves.apply(connection, [Move(id_, event) for id_, event in moved])


def test_who_has_sent_nothing_gets_an_empty_list(stage, customer):
    assert listed(stage, customer).get_json() == {"data": [], "next": None, "hasMore": False}


def test_an_item_is_the_message_without_its_way(stage, customer):
    id_ = submit(stage, customer, message="Your secret is {code}", code="471", metadata={"order": "7"})

    reply = listed(stage, customer)

    story = stage.http.get(f"/v1/messages/{id_}", headers=customer.headers).get_json()
    assert reply.content_type == "application/json"
    assert reply.get_json()["data"] == [{name: value for name, value in story.items() if name not in STORY_ONLY}]
    assert not any(secret in reply.text for secret in ("secret", "471,", "4, 7", "81234567"))


def test_pages_hold_every_message_once_newest_first(stage, customer):
    stored = [submit(stage, customer) for _ in range(7)]

    pages = walk(stage, customer, limit=3)

    assert pages == [stored[:3:-1], stored[3:0:-1], stored[:1]]


def test_a_page_that_ends_with_the_last_message_says_so(stage, customer):
    stored = [submit(stage, customer) for _ in range(4)]

    assert walk(stage, customer, limit=2) == [stored[:1:-1], stored[1::-1]]


def test_messages_of_one_moment_are_parted_by_their_ids(stage, customer):
    stored = sorted(submit(stage, customer) for _ in range(5))
    stage.rows("UPDATE messages SET created_at = now() WHERE id = ANY (:ids) RETURNING 1", ids=stored)

    assert walk(stage, customer, limit=2) == [stored[:2:-1], stored[2:0:-1], stored[:1]]


def test_messages_that_come_meanwhile_move_no_page(stage, customer):
    stored = [submit(stage, customer) for _ in range(4)]
    first = listed(stage, customer, limit=2)

    new = submit(stage, customer)

    second = listed(stage, customer, limit=2, after=first.get_json()["next"])
    assert (ids(first), ids(second)) == (stored[:1:-1], stored[1::-1])
    assert ids(listed(stage, customer, limit=1)) == [new]


def test_fifty_messages_are_a_page_unless_asked_otherwise(stage, customer):
    bodies = [call() for _ in range(60)]
    stage.http.post("/api/make-calls", json={"calls": bodies}, headers=customer.headers)

    assert [len(page) for page in walk(stage, customer)] == [50, 10]
    assert [len(page) for page in walk(stage, customer, limit=200)] == [60]


def test_a_message_is_found_by_what_it_is(stage, customer):
    otp = submit(stage, customer)
    alert = submit(stage, customer, type="alert", customerPhone="+60123456789")
    notification = submit(stage, customer, type="notification", customerPhone="+6591230042")
    move(stage, (alert, Event.CANCEL_ASKED))

    def found(**query):
        return ids(listed(stage, customer, **query))

    assert found(status="queued") == [notification, otp]
    assert found(status="canceled") == [alert]
    assert found(status="canceled,queued") == [notification, alert, otp]
    assert found(status="dialing,placed") == []
    assert found(type="alert") == [alert]
    assert found(type="otp,notification") == [notification, otp]
    assert found(country="MY") == [alert]
    assert found(country="sg,my") == [notification, alert, otp]
    assert found(last4="0042") == [notification]
    assert found(last4="4567") == [otp]
    assert found(last4="4567", status="canceled") == []
    assert found(last4="0042", status="queued", type="notification", country="SG") == [notification]


def test_a_span_holds_its_first_moment_and_not_its_last(stage, customer):
    stored = [submit(stage, customer) for _ in range(4)]
    for second, id_ in enumerate(stored):
        stage.rows(
            "UPDATE messages SET created_at = '2026-10-05T09:12:10.5Z'::timestamptz + :s * interval '1 second'"
            " WHERE id = :id RETURNING 1",
            s=second,
            id=id_,
        )

    def found(**query):
        return [id_ for page in walk(stage, customer, limit=1, **query) for id_ in page]

    assert found(since="2026-10-05T09:12:11.500Z") == stored[:0:-1]
    assert found(until="2026-10-05T09:12:11.5Z") == stored[:1]
    assert found(since="2026-10-05T17:12:11.500+08:00", until="2026-10-05T09:12:13Z") == stored[2:0:-1]


def test_an_offset_may_keep_its_plus(stage, customer):
    reply = stage.http.get("/v1/messages?since=2026-10-05T17:12:10+08:00", headers=customer.headers)

    assert reply.status_code == 200


def test_another_providers_messages_and_cursors_show_nothing(stage, customer):
    others = Customer(stage.services.database)
    for _ in range(3):
        submit(stage, customer)
        submit(stage, others)
    cursor = listed(stage, others, limit=1).get_json()["next"]

    assert set(ids(listed(stage, others))).isdisjoint(ids(listed(stage, customer)))
    assert ids(listed(stage, Customer(stage.services.database), status="queued")) == []
    reply = listed(stage, customer, after=cursor)
    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == ["after"]


def test_an_altered_cursor_is_refused_wherever_it_was_altered(stage, customer):
    for _ in range(2):
        submit(stage, customer)
    cursor = listed(stage, customer, limit=1).get_json()["next"]

    for at, character in enumerate(cursor[:-1]):
        altered = cursor[:at] + ("A" if character != "A" else "B") + cursor[at + 1 :]
        reply = listed(stage, customer, after=altered)
        assert is_problem(reply, 422, "invalid_request"), at
        assert reply.get_json()["errors"] == [
            {
                "member": "after",
                "message": "must be the next of an earlier page of yours, exactly as it was given",
            }
        ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("after=", {"after": "must be the next of an earlier page"}),
        ("after=null", {"after": "must be the next"}),
        ("after=%00", {"after": "must be the next"}),
        ("after=%c3%bc", {"after": "must be the next"}),
        ("after=AAAAAAAAAAAAAAAAAAAAAA", {"after": "must be the next"}),
        ("after=" + "A" * 50_000, {"after": "must be the next"}),
        ("limit=", {"limit": "from 1 to 200"}),
        ("limit=0", {"limit": "from 1 to 200"}),
        ("limit=201", {"limit": "from 1 to 200"}),
        ("limit=-1", {"limit": "from 1 to 200"}),
        ("limit=1_0", {"limit": "from 1 to 200"}),
        ("limit=%D9%A3", {"limit": "from 1 to 200"}),
        ("limit=5&limit=6", {"limit": "may stand once"}),
        ("status=lost", {"status": "must be of scheduled, queued, dialing"}),
        ("status=QUEUED", {"status": "must be of scheduled"}),
        ("status=", {"status": "must be of scheduled"}),
        ("status=queued,", {"status": "must be of scheduled"}),
        ("status=queued,%00", {"status": "must be of scheduled"}),
        ("type=sms", {"type": "must be of otp, alert, notification"}),
        ("country=UK", {"country": "ISO alpha-2 country codes such as SG"}),
        ("country=Singapore", {"country": "ISO alpha-2"}),
        ("since=yesterday", {"since": "must be an RFC 3339 time"}),
        ("since=2026-10-05T09:12:10", {"since": "must be an RFC 3339 time"}),
        ("until=2026-02-30T09:12:10Z", {"until": "no moment in the calendar"}),
        ("since=2026-10-05T09:12:10Z&until=2026-10-05T09:12:10Z", {"since": "must be before until"}),
        ("last4=567", {"last4": "the last four digits"}),
        ("last4=%2B6581234567", {"last4": "the last four digits"}),
        ("last4=____", {"last4": "the last four digits"}),
        ("stauts=queued", {"stauts": "is not a member of this query; did you mean status?"}),
        ("cursor=x&Limit=3", {"cursor": "is not a member of this query", "Limit": "did you mean limit?"}),
        ("messageid=OTP1", {"messageid": "did you mean messageId?"}),
        ("%00=1", {"\0": "is not a member"}),
        ("limit=x&last4=y&colour=z", {"colour": "not a member", "limit": "from 1", "last4": "four digits"}),
    ],
)
def test_a_wrong_member_is_named_with_what_was_expected(stage, query, expected):
    reply = stage.http.get(f"/v1/messages?{query}", headers=stage.customer.headers)

    assert is_problem(reply, 422, "invalid_request")
    told = {error["member"]: error["message"] for error in reply.get_json()["errors"]}
    assert told.keys() == expected.keys()
    assert all(expected[name] in told[name] for name in expected)


def test_a_query_made_of_faults_gets_a_short_answer(stage):
    query = "&".join(f"{'x' * 300}{n}=1" for n in range(200))

    reply = stage.http.get(f"/v1/messages?{query}", headers=stage.customer.headers)

    assert is_problem(reply, 422, "invalid_request")
    assert len(members(reply)) == 20
    assert len(reply.data) < 5000


class Narrow:
    """Pages that look at so few rows that a handful of messages is a long history."""

    def __init__(self, stage, customer):
        self.stage, self.provider_id = stage, customer.provider_id

    def pages(self, limit, scanned, **wanted):
        """The ids of every page."""
        found, after = [], None
        while True:
            page = self.stage.services.database.run(
                lambda c, after=after: message_list.page(
                    c, self.provider_id, Wanted(**wanted), after=after, limit=limit, scanned=scanned
                ),
                alone=True,
            )
            found.append([row.id for row in page.rows])
            after = page.after
            if after is None:
                return found


@pytest.fixture
def narrow(stage, customer):
    return Narrow(stage, customer)


def test_a_page_that_looked_at_enough_comes_short_and_goes_on(stage, customer, narrow):
    stored = [submit(stage, customer, type="alert" if n in (0, 5) else "otp") for n in range(10)]

    pages = narrow.pages(2, 4, lanes=[Lane.ALERT])

    assert pages == [[], [stored[5]], [stored[0]]]


@pytest.mark.parametrize("scanned", range(3, 12))
@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("fitting", [(), (0,), (9,), (0, 1, 2), (7, 8, 9), (2, 5), range(10)])
def test_short_pages_hold_every_message_once(stage, narrow_history, fitting, limit, scanned):
    narrow, stored = narrow_history
    stage.rows(
        "UPDATE messages SET country = CASE WHEN id = ANY (:ids) THEN 'MY' ELSE 'SG' END"
        " WHERE id = ANY (:all) RETURNING 1",
        ids=[stored[n] for n in fitting],
        all=stored,
    )

    pages = narrow.pages(limit, scanned, countries=["MY"])

    assert [id_ for page in pages for id_ in page] == [stored[n] for n in sorted(fitting, reverse=True)]
    assert len(pages) <= 10 // min(scanned, limit) + 2


@pytest.fixture(scope="module")
def narrow_history(stage):
    customer = Customer(stage.services.database)
    return Narrow(stage, customer), [submit(stage, customer) for _ in range(10)]


def test_open_messages_are_found_at_once_however_old(stage, customer, narrow):
    stored = [submit(stage, customer) for _ in range(10)]
    closed = [id_ for n, id_ in enumerate(stored) if n not in (0, 3)]
    move(stage, *((id_, Event.CANCEL_ASKED) for id_ in closed))
    for _ in range(8):
        submit(stage, stage.customer)
    waiting = stage.rows("SELECT count(*) FROM messages WHERE finished_at IS NULL")[0][0]

    def found(scanned):
        return narrow.pages(5, scanned, statuses=[Status.QUEUED, Status.DIALING])

    assert found(waiting + 1) == [[stored[3], stored[0]]]
    assert narrow.pages(1, waiting + 1, statuses=[Status.QUEUED]) == [[stored[3]], [stored[0]]]
    # More wait than a page may look at, also of others: their index is no shorter way.
    assert found(6) == [[], [stored[3], stored[0]]]


def test_a_bulk_of_messages_is_read_by_index_only(stage, customer):
    fill(stage, customer.provider_id, 30_000)
    everything, rare, few = Wanted(), Wanted(statuses=[Status.BLOCKED]), Wanted(statuses=[Status.PLACED])

    for wanted in (everything, rare, few, Wanted(ending="9999"), Wanted(lanes=[Lane.ALERT], countries=["MY"])):
        used = used_by(stage, customer.provider_id, wanted)
        assert used["seq_scan"] == 0, wanted
        assert used["idx_tup_fetch"] <= message_list.SCANNED + 60, wanted
    assert used_by(stage, customer.provider_id, everything)["idx_tup_fetch"] <= 51


def fill(stage, provider_id, count):
    """Delivered messages, each a second older than the one before."""
    with stage.services.database.transaction() as connection:
        connection.execute(
            text("""
            INSERT INTO messages (id, provider_id, message_id, fingerprint, lane, status, destination_key,
              destination_masked, country, source, voice, speed, plays, seconds_per_play, interruptible, max_attempts,
              spare_attempts, redial_unknown, metadata, warnings, deadline, created_at, finished_at)
            SELECT 'msg_' || lpad(n::text, 26, '0'), :provider_id, 'bulk-' || n, 'f', 'otp', 'delivered', 'd',
              '+65****' || lpad((n % 9000)::text, 4, '0'), 'SG', '+6531580001', 'en-US-BenjaminRUS', 1, 2, 4, false, 2,
              5, false, '{}', '[]', now(), now() - n * interval '1 second', now()
            FROM generate_series(1, CAST(:count AS int)) AS n
            """),
            {"provider_id": provider_id, "count": count},
        )
    with stage.services.database.statement() as connection:
        connection.execute(text("ANALYZE messages"))


def used_by(stage, provider_id, wanted):
    """How the table messages was read for one page, by PostgreSQL's own count."""
    counted = text("SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'messages'")
    with stage.services.database.transaction() as connection:
        before = connection.execute(counted).one()
        message_list.page(connection, provider_id, wanted, after=None, limit=50)
        after = connection.execute(counted).one()
    return {name: getattr(after, name) - getattr(before, name) for name in before._fields}


@pytest.mark.parametrize(
    "wanted", [Wanted(), Wanted(lanes=[Lane.OTP], ending="4567"), Wanted(statuses=[Status.QUEUED], countries=["SG"])]
)
def test_behind_a_pool_that_shares_connections_the_list_is_the_same(stage, customer, wanted):
    stored = [submit(stage, customer) for _ in range(3)]
    with stage.services.database.engine.connect() as connection:
        plan_each_time(connection)

        page = message_list.page(connection, customer.provider_id, wanted, after=None, limit=2)

        connection.invalidate()
    assert ([row.id for row in page.rows], page.after[1]) == (stored[:0:-1], stored[1])
