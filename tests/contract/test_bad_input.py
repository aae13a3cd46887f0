"""No body, query or address ever gets a 5xx, and nothing of a refused one is stored."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.conftest import database_url, engines, migrated_template, redis_url  # noqa: F401
from tests.integration.ingress_stage import WEBHOOK_TOKEN, call, is_problem, members, staged

MEMBERS = (
    "messageId", "customerPhone", "message", "repetition", "type", "ttlSeconds", "expiresAt", "code", "language",
    "voice", "speed", "from", "interruptible", "redial", "scheduledAt", "callbackUrl", "metadata",
)  # fmt: skip
WRONG = ([], [1], {"a": {}}, {}, True, 10**400, -1.5, 1e300, "", " ", "\x7f", "x" * 5000)
#: Odd, but right.
ALLOWED = [("redial", {}), ("metadata", {}), ("interruptible", True), ("messageId", " "), ("messageId", "\x7f")]
ANY_BUT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):  # noqa: F811
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        stage.services.doorbell.close()  # its thread draws random numbers, which hypothesis objects to
        yield stage


@pytest.fixture
def stores_nothing(stage):
    before = stage.count("messages")
    yield
    assert stage.count("messages") == before


def with_member(raw):
    """A good body with one more member, spelled by hand."""
    return json.dumps(call()).encode()[:-1] + b", " + raw + b"}"


BAD_JSON = {
    "empty": b"",
    "not JSON": b"hello",
    "a form": b"messageId=1&message=2",
    "21 levels": with_member(b'"metadata": ' + b"[" * 20 + b"]" * 20),
    "6,000 levels": with_member(b'"metadata": ' + b"[" * 6000 + b"]" * 6000),
    "6,000 objects": b'{"a":' * 2000 + b"{}" + b"}" * 2000,
    "NUL": with_member(b'"code": "\\u0000"'),
    "NUL in a name": with_member(b'"\\u0000": 1'),
    "half a pair": with_member(b'"code": "\\ud800"'),
    "NaN": with_member(b'"speed": NaN'),
    "Infinity": with_member(b'"speed": Infinity'),
    "5,000 digits": with_member(b'"ttlSeconds": ' + b"1" * 5000),
    "twice": with_member(b'"message": "x"'),
    "UTF-16": json.dumps(call()).encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + json.dumps(call()).encode(),
    "no UTF-8": with_member(b'"code": "\xff"'),
    "cut": json.dumps(call()).encode()[:-5],
}


@pytest.mark.parametrize("raw", BAD_JSON.values(), ids=BAD_JSON)
def test_what_is_not_json_is_a_400(stage, stores_nothing, raw):
    assert is_problem(stage.send(raw), 400, "invalid_json")


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"1", b"1e999", b"true", b"null", b"[{}]"])
def test_json_that_is_no_object_is_a_422(stage, stores_nothing, raw):
    assert is_problem(stage.send(raw), 422, "invalid_request")


def test_a_number_beyond_every_float_is_a_422(stage, stores_nothing):
    assert members(stage.send(with_member(b'"speed": 1e999'))) == ["speed"]


def test_over_16_kib_is_a_413(stage, stores_nothing):
    assert is_problem(stage.send(json.dumps(call()).encode().ljust(17 * 1024)), 413, "body_too_large")


def test_just_16_kib_are_read(stage):
    assert stage.send(json.dumps(call()).encode().ljust(16 * 1024)).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a/b/c"])
def test_another_media_type_is_a_415(stage, stores_nothing, kind):
    reply = stage.http.post(
        "/api/make-call", data=json.dumps(call()), headers=stage.customer.headers, content_type=kind
    )

    assert is_problem(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize("kind", [None, "application/json; charset=utf-8", "application/vnd.shop+json"])
def test_json_by_any_of_its_names_is_read(stage, kind):
    reply = stage.http.post(
        "/api/make-call", data=json.dumps(call()), headers=stage.customer.headers, content_type=kind
    )

    assert reply.status_code == 200


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("value", WRONG, ids=lambda value: json.dumps(value)[:10])
def test_a_member_of_a_wrong_type_or_size_is_named(stage, member, value):
    reply = stage.make_call(call(**{member: value}))

    if (member, value) in ALLOWED:
        assert reply.status_code == 200
        return
    assert (reply.status_code, reply.content_type) == (422, "application/problem+json")
    assert {name.partition(".")[0] for name in members(reply)} <= {member, "message"}


def test_a_very_long_member_name_is_not_repeated_in_full(stage, stores_nothing):
    reply = stage.make_call(call(**{"x" * 12_000: 1}))

    assert is_problem(reply, 422, "invalid_request")
    assert len(reply.data) < 1000


def test_a_body_made_of_unknown_members_gets_a_short_answer(stage, stores_nothing):
    reply = stage.make_calls(*({f"m{n}": n for n in range(1000)} for _ in range(150)))

    assert reply.get_json()["rejected"] == 150
    assert {len(item["error"]["errors"]) for item in reply.get_json()["data"]} == {20}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["+6581234567", "2026-10-05T09:12:10Z", "otp", "{code}", "\ud800", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*MEMBERS, "maxAttempts", "onUnknown", "calls"]) | st.text(), inner, max_size=6
        )
    ),
    max_leaves=12,
)


@settings(ANY_BUT, max_examples=500)
@given(json_values)
def test_an_arbitrary_body_never_gets_a_5xx(stage, value):
    reply = stage.send(json.dumps(value).encode())

    assert 400 <= reply.status_code < 500, reply.text


@settings(ANY_BUT, max_examples=500)
@given(st.sampled_from(MEMBERS), json_values)
def test_an_arbitrary_member_never_gets_a_5xx(stage, member, value):
    reply = stage.send(json.dumps(call(**{member: value})).encode())

    assert reply.status_code < 500, reply.text


@settings(ANY_BUT, max_examples=200)
@given(st.lists(json_values, min_size=1, max_size=5))
def test_an_arbitrary_batch_never_gets_a_5xx(stage, values):
    reply = stage.send(json.dumps({"calls": values}).encode(), "/api/make-calls")

    assert reply.status_code in (200, 400), reply.text


@settings(ANY_BUT, max_examples=200)
@given(st.sampled_from(["vss", "vca", "vcs", "vru", "vnu"]), st.binary(max_size=80) | json_values.map(json.dumps))
def test_an_arbitrary_webhook_is_kept(stage, kind, raw):
    assert stage.webhook(kind, raw).status_code == 200


# Queries, addresses, methods


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("messageId=", 422),
        ("messageId=%00", 422),
        ("messageId=a%00b", 422),
        ("messageId=" + "x" * 129, 422),
        ("messageId=" + "x" * 100_000, 422),
        ("messageid=OTP1", 422),
        ("messageId=%ff%fe", 404),
        ("messageId=%ed%a0%80", 404),
        ("messageId=%", 404),
        ("messageId=%0a", 404),
        ("messageId=' OR 1=1 --", 404),
        ("messageId=%25", 404),
        ("messageId=a&messageId=b", 404),
    ],
)
def test_an_odd_query_is_refused_or_finds_nothing(stage, query, status):
    reply = stage.http.get("/v1/messages?" + query, headers=stage.customer.headers)

    assert is_problem(reply, status, "invalid_request" if status == 422 else "not_found")


@pytest.mark.parametrize(
    "id_", ["x", "msg_", "%00", "msg_%00", "msg_" + "0" * 26, "%ff", "..", "x" * 9000, "msg_\u0660" * 5]
)
def test_an_odd_id_finds_nothing(stage, id_):
    assert is_problem(stage.http.get(f"/v1/messages/{id_}", headers=stage.customer.headers), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/make-call", "POST"),
        ("PUT", "/api/make-call", "POST"),
        ("DELETE", "/api/make-calls", "POST"),
        ("POST", "/v1/messages/msg_1", "GET, HEAD"),
        ("GET", "/api/webhooks/vca", "POST"),
        ("GET", "/api/webhooks/vss", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("TRACE", "/api/make-call", "POST"),
        ("OPTIONS", "/api/make-call", "POST"),
        ("OPTIONS", "/v1/messages/msg_1", "GET, HEAD"),
        ("CONNECT", "/v1/messages", "GET, HEAD, POST"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(stage, method, path, allowed):
    reply = stage.http.open(path, method=method)

    assert is_problem(reply, 405, "method_not_allowed")
    assert reply.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/make-call/", "/api/webhooks/vxx", "/api/webhooks/", "/%00", "/static/x"]
)
def test_an_unknown_address_is_a_404(stage, path):
    assert is_problem(stage.http.post(path, headers={"Authorization": WEBHOOK_TOKEN}), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1//messages", "//v1/messages", "/api//make-call", "/v1/messages/../x"])
def test_an_odd_address_is_a_404_and_no_redirect(stage, path):
    assert is_problem(stage.http.get(path, headers=stage.customer.headers), 404, "not_found")


@pytest.mark.parametrize(
    "limit", ["0", "201", "000000001" + "9" * 9, "1" * 5000, "000000001" + "9" * 5000, "\u0661", "1.0"]
)
def test_an_odd_limit_of_a_page_is_named(stage, limit):
    for path in ("/v1/suppressions", "/v1/messages"):
        assert members(stage.http.get(path, query_string={"limit": limit}, headers=stage.customer.headers)) == ["limit"]


@pytest.mark.parametrize(
    "path", ["/v1/suppressions", "/v1/keys", "/api/make-calls", "/v1/messages/msg_1/outcome", "/api/make-call"]
)
def test_a_body_of_long_unknown_members_gets_a_short_answer_everywhere(stage, path):
    reply = stage.send(json.dumps({f"{n}{'x' * 150}": n for n in range(90)}).encode(), path)

    assert is_problem(reply, 422, "invalid_request")
    assert len(reply.get_json()["errors"]) == 20
    assert max(map(len, members(reply))) <= 129
