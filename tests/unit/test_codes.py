"""Every code of 8x8 leads to one disposition, and no bytes of 8x8 can break the reading."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.voice_api import codes
from shared.voice_api.codes import Disposition, Reason, Scope
from shared.voice_api.events import normalise_status

REFUSALS = {
    -1001: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1002: (Disposition.REFUSED, Reason.VOICE_UNKNOWN),
    -1003: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1004: (Disposition.REFUSED, Reason.WEBHOOK_MISSING),
    -1005: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1006: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1007: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1008: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1009: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1010: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1011: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1012: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1013: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1014: (Disposition.BLOCKED_SOURCE, Reason.SOURCE_NOT_ALLOWED),
    -1015: (Disposition.EXPIRED, Reason.EXPIRED_UPSTREAM),
    -1016: (Disposition.REFUSED, Reason.TEXT_REFUSED),
    -1017: (Disposition.REFUSED, Reason.INVALID_NUMBER),
    -1018: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1019: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -1020: (Disposition.REFUSED, Reason.CALLFLOW_INVALID),
    -2001: (Disposition.RETRY, Reason.UPSTREAM_ERROR),
    -2002: (Disposition.RETRY, Reason.UPSTREAM_ERROR),
    -2004: (Disposition.REFUSED, Reason.NO_COVERAGE),
    -2007: (Disposition.EXPIRED, Reason.EXPIRED_UPSTREAM),
    -2008: (Disposition.BLOCKED_SOURCE, Reason.SOURCE_NOT_ALLOWED),
    -2010: (Disposition.RETRY, Reason.CAPACITY),
    -9999: (Disposition.RETRY, Reason.UPSTREAM_ERROR),
}

STATUSES = {
    307: (Disposition.BLOCKED_ACCOUNT, Reason.ENDPOINT_WRONG),
    308: (Disposition.BLOCKED_ACCOUNT, Reason.ENDPOINT_WRONG),
    400: (Disposition.REFUSED, Reason.REFUSED_UPSTREAM),
    401: (Disposition.BLOCKED_ACCOUNT, Reason.ACCOUNT_REFUSED),
    402: (Disposition.BLOCKED_ACCOUNT, Reason.ACCOUNT_REFUSED),
    403: (Disposition.BLOCKED_ACCOUNT, Reason.ACCOUNT_REFUSED),
    404: (Disposition.BLOCKED_ACCOUNT, Reason.ACCOUNT_REFUSED),
    405: (Disposition.BLOCKED_ACCOUNT, Reason.ENDPOINT_WRONG),
    407: (Disposition.BLOCKED_ACCOUNT, Reason.ENDPOINT_WRONG),
    408: (Disposition.UNKNOWN, Reason.REPLY_UNREADABLE),
    410: (Disposition.BLOCKED_ACCOUNT, Reason.ENDPOINT_WRONG),
    413: (Disposition.REFUSED, Reason.REFUSED_UPSTREAM),
    415: (Disposition.REFUSED, Reason.REFUSED_UPSTREAM),
    421: (Disposition.BLOCKED_ACCOUNT, Reason.ENDPOINT_WRONG),
    422: (Disposition.REFUSED, Reason.REFUSED_UPSTREAM),
    425: (Disposition.RETRY, Reason.UPSTREAM_ERROR),
    426: (Disposition.BLOCKED_ACCOUNT, Reason.ACCOUNT_REFUSED),
    429: (Disposition.RETRY, Reason.THROTTLED),
}

# reason, redial, redial once, scope, over capacity
ERRORS = {
    -2001: (Reason.UPSTREAM_ERROR, True, False, Scope.NONE, False),
    -2002: (Reason.UPSTREAM_ERROR, True, False, Scope.NONE, False),
    -2003: (Reason.CALLFLOW_INVALID, False, False, Scope.NONE, False),
    -2004: (Reason.NO_COVERAGE, False, False, Scope.NONE, False),
    -2005: (Reason.SPEECH_FAILED, True, True, Scope.NONE, False),
    -2006: (Reason.CALLFLOW_INVALID, False, False, Scope.NONE, False),
    -2007: (Reason.EXPIRED_UPSTREAM, False, False, Scope.NONE, False),
    -2008: (Reason.SOURCE_NOT_ALLOWED, False, False, Scope.SOURCE, False),
    -2009: (Reason.CALLFLOW_INVALID, False, False, Scope.NONE, False),
    -2010: (Reason.CAPACITY, True, False, Scope.NONE, True),
    -9999: (Reason.UPSTREAM_ERROR, True, True, Scope.NONE, False),
}


def a_refusal(code: object, **members: object) -> bytes:
    return json.dumps({"sessionStatus": "NOT_CREATED", "statusCode": code, **members}).encode()


def a_success(**members: object) -> bytes:
    reply = {"sessionId": "5b1a7c10", "sessionStatus": "CREATED", "statusCode": 1, "statusMessage": "Created"}
    return json.dumps(reply | members).encode()


@pytest.mark.parametrize("http_status", [200, 400, 422, 500])
@pytest.mark.parametrize("code", sorted(codes.REPLY_RULES, reverse=True))
def test_a_refusal_is_judged_by_its_code_whatever_the_http_status(code, http_status):
    verdict = codes.judge(http_status, a_refusal(code))

    assert (verdict.disposition, verdict.reason) == REFUSALS[code]
    assert verdict.status_code == code


@pytest.mark.parametrize("status", sorted(codes.STATUS_RULES))
def test_an_answer_without_a_body_is_judged_by_its_http_status(status):
    verdict = codes.judge(status, b"")

    assert (verdict.disposition, verdict.reason) == STATUSES[status]
    assert verdict.status_code == status


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_may_carry_the_http_number_as_its_code(status):
    verdict = codes.judge(200, a_refusal(status))

    expected = STATUSES.get(status, (Disposition.RETRY, Reason.UPSTREAM_ERROR))
    assert (verdict.disposition, verdict.reason) == expected


@pytest.mark.parametrize("code", sorted(codes.ERROR_RULES, reverse=True))
def test_each_error_of_a_summary_has_one_rule(code):
    rule = codes.error_rule(code)

    assert (rule.reason, rule.redial, rule.redial_once, rule.scope, rule.over_capacity) == ERRORS[code]


@pytest.mark.parametrize("code", [None, 0, -1004, -2011, 31])
def test_an_unlisted_error_of_a_summary_never_leads_to_another_call(code):
    rule = codes.error_rule(code)

    assert (rule.reason, rule.redial) == (Reason.UPSTREAM_ERROR, False)


def test_only_created_with_a_session_id_is_a_success():
    verdict = codes.judge(200, a_success())

    assert verdict == codes.Verdict(Disposition.CREATED, None, 1, "Created", "5b1a7c10")


@pytest.mark.parametrize("http_status", [200, 201, 202])
@pytest.mark.parametrize("spelling", ["CREATED", "created", " Created "])
def test_a_created_session_is_a_success_under_any_2xx_and_spelling(http_status, spelling):
    verdict = codes.judge(http_status, a_success(sessionStatus=spelling))

    assert verdict.disposition is Disposition.CREATED


@pytest.mark.parametrize(
    ("http_status", "body"),
    [
        (200, b""),
        (200, b"<html>ok</html>"),
        (200, b"[]"),
        (200, a_success(sessionId=None)),
        (200, a_success(sessionId="")),
        (200, a_success(sessionId="  ")),
        (200, a_success(sessionId="x" * 129)),
        (200, a_success(sessionId="nul\0")),
        (200, a_success(sessionId="\ud800")),
        (200, a_success(sessionStatus="PENDING")),
        (200, a_success(sessionStatus=None)),
        (200, b'{"statusCode": -9999}'),
        (204, b""),
        (301, b""),
        (302, b""),
        (303, b""),
        (408, b""),
        (500, b""),
        (500, a_success()),
        (500, b'{"statusCode": -9999}'),
        (500, b'{"code": 1, "message": "oops", "errorId": "e", "timestamp": "t"}'),
        (502, b"<html>Bad Gateway</html>"),
        (503, b""),
        (504, b"\x1f\x8b\x08"),
        (400, a_success()),
    ],
)
def test_an_answer_that_does_not_rule_out_a_call_is_unknown(http_status, body):
    assert codes.judge(http_status, body).disposition is Disposition.UNKNOWN


@pytest.mark.parametrize("http_status", [200, 408, 500, 502, 503, 504])
@pytest.mark.parametrize("code", [None, 0, 1, -9999, 500, 503, "nonsense", -42, 10**30])
def test_not_created_without_a_cause_may_be_dialed_again(http_status, code):
    verdict = codes.judge(http_status, a_refusal(code))

    assert (verdict.disposition, verdict.reason) == (Disposition.RETRY, Reason.UPSTREAM_ERROR)


@pytest.mark.parametrize("code", [-1000, -1021, -1999, 409])
def test_an_unlisted_refusal_is_final(code):
    verdict = codes.judge(400, a_refusal(code))

    assert (verdict.disposition, verdict.reason) == (Disposition.REFUSED, Reason.REFUSED_UPSTREAM)


@pytest.mark.parametrize("status", [406, 409, 411, 414, 431, 451])
def test_any_other_4xx_is_final(status):
    assert codes.judge(status, b"nope").disposition is Disposition.REFUSED


def test_a_named_cause_counts_without_the_word_not_created():
    verdict = codes.judge(502, b'{"statusCode": -1017}')

    assert (verdict.disposition, verdict.reason) == (Disposition.REFUSED, Reason.INVALID_NUMBER)


@pytest.mark.parametrize("spelling", ["NOT_CREATED", "NOT CREATED", "not-created", " Not Created "])
def test_not_created_is_understood_in_every_spelling(spelling):
    verdict = codes.judge(200, a_refusal(-1017, sessionStatus=spelling))

    assert verdict.disposition is Disposition.REFUSED


def test_a_code_may_be_a_numeric_string():
    assert codes.judge(400, a_refusal("-1015")).disposition is Disposition.EXPIRED


@pytest.mark.parametrize("status", [200, 429, 503])
def test_a_retry_says_how_long_to_wait(status):
    verdict = codes.judge(status, a_refusal(429), " 7 ")

    assert (verdict.disposition, verdict.retry_after_s) == (Disposition.RETRY, 7.0)


@pytest.mark.parametrize("header", [None, "", "-1", "1.5", "soon", "Mon, 05 Oct 2026 09:12:10 GMT", "٣", "9" * 40])
def test_an_unreadable_retry_after_is_none(header):
    assert codes.retry_after_s(header) is None


def test_a_retry_after_is_at_most_an_hour():
    assert codes.retry_after_s("86400") == codes.MAX_RETRY_AFTER_S


def test_only_a_retry_has_a_retry_after():
    assert codes.judge(401, b"", "7").retry_after_s is None


@pytest.mark.parametrize(("status", "body"), [(429, b""), (200, a_refusal(-2010))])
def test_throttling_and_a_full_trunk_ask_for_a_slower_pace(status, body):
    assert codes.judge(status, body).over_capacity


def test_a_status_message_is_capped_printable_and_without_numbers():
    message = "Invalid\nMSISDN +6581234567 " + "x" * 500

    verdict = codes.judge(400, a_refusal(-1017, statusMessage=message))

    assert verdict.status_message.startswith("Invalid MSISDN +**** xxx")
    assert len(verdict.status_message) <= codes.MAX_STATUS_MESSAGE


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 6000,
        b'{"a":' * 6000,
        b"NaN",
        b'{"statusCode": 1e999}',
        b'{"statusCode": NaN}',
        b'{"statusCode": true, "sessionStatus": 1, "sessionId": 5, "statusMessage": []}',
        b'{"statusCode": ' + b"9" * 5000 + b"}",
        '{"statusCode": 1}'.encode("utf-16"),
        b"\xff\xfe\x00",
        b"\xed\xa0\x80",
        b"\x00",
    ],
)
def test_no_hostile_body_raises(body):
    assert codes.judge(200, body).disposition is Disposition.UNKNOWN


@given(st.integers(100, 599), st.binary(max_size=200), st.none() | st.text(max_size=20))
def test_no_bytes_raise(http_status, body, retry_after):
    codes.judge(http_status, body, retry_after)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(
    http_status=st.integers(100, 599),
    reply=st.fixed_dictionaries(
        {},
        optional={
            "sessionStatus": st.sampled_from(["CREATED", "NOT_CREATED"]) | JSON,
            "statusCode": st.sampled_from(sorted(codes.REPLY_RULES)) | JSON,
            "sessionId": JSON,
            "statusMessage": JSON,
        },
    ),
)
def test_no_json_raises_and_success_needs_all_three_signs(http_status, reply):
    verdict = codes.judge(http_status, json.dumps(reply).encode())

    if verdict.disposition is Disposition.CREATED:
        assert 200 <= http_status < 300
        assert normalise_status(reply["sessionStatus"]) == "CREATED"
        assert reply["sessionId"].strip() == verdict.session_id != ""
