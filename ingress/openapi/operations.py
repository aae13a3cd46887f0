"""Every route of the API in one table: what it takes, what it answers, which errors it may tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from ingress.call_request import CallRequest
from ingress.openapi import answers, asked, limits, stories
from ingress.openapi.parameters import (
    AFTER,
    ENDPOINT,
    KEY,
    LIMIT,
    MESSAGE,
    MESSAGE_QUERY,
    PAGE,
    PREFER,
    WEBHOOK_KIND,
)

#: What any request may get: a bug of ours, and a body that does not come.
_ALWAYS: Final = ("internal_error", "request_timeout")
_KEYED: Final = (*_ALWAYS, "unauthorized", "too_many_failures", "unavailable")
_BODY: Final = ("invalid_json", "body_too_large", "unsupported_media_type", "overloaded")
_CALLS: Final = (*_KEYED, *_BODY, "invalid_request")

PROVIDER: Final = ("basicKey", "bearerKey")
EIGHT_X_EIGHT: Final = ("webhookSecret",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    name: str
    summary: str
    security: Sequence[str] = PROVIDER
    parameters: Sequence[Mapping[str, Any]] = ()
    body: type[BaseModel] | None = None
    takes_anything: bool = False
    answers: Mapping[int, Sequence[type[BaseModel]]] = field(default_factory=dict)
    errors: Sequence[str] = _KEYED
    example: Mapping[str, Any] | None = None
    headers: Sequence[str] = ()
    media: Sequence[str] = ("application/json",)  # of what has no model


OPERATIONS: Final = (
    Operation(
        method="post",
        path="/api/make-call",
        name="makeCall",
        summary="Take one message and place its call.",
        parameters=(PREFER,),
        body=CallRequest,
        answers={200: (answers.MakeCallAnswer,)},
        errors=(
            *_CALLS, "prefix_quarantined", "message_id_reused", "country_not_allowed", "number_not_allowed",
            "quiet_hours", "source_not_allowed", "daily_cap_reached", "number_limit", "prefix_limit",
            "provider_limit", "deadline_unreachable", "dialing_stopped",
        ),
        example=asked.CALL_EXAMPLE,
        headers=("Idempotency-Replayed",),
    ),
    Operation(
        method="post",
        path="/api/make-calls",
        name="makeCalls",
        summary="Take up to 1000 messages; each has an outcome of its own.",
        body=asked.MakeCalls,
        answers={200: (answers.MakeCallsAnswer,)},
        errors=_CALLS,
        example={"calls": [asked.CALL_EXAMPLE]},
    ),
    Operation(
        method="get",
        path="/v1/messages",
        name="listMessages",
        summary="Your messages, newest first; with messageId, that one with its whole story.",
        parameters=MESSAGE_QUERY,
        answers={200: (stories.MessagePage, stories.Message)},
        errors=(*_KEYED, "invalid_request", "not_found"),
    ),
    Operation(
        method="get",
        path="/v1/messages/{id}",
        name="readMessage",
        summary="One message with its whole story.",
        parameters=(MESSAGE,),
        answers={200: (stories.Message,)},
        errors=(*_KEYED, "not_found"),
    ),
    Operation(
        method="post",
        path="/v1/messages/{id}/outcome",
        name="reportOutcome",
        summary="Tell whether the code was used.",
        parameters=(MESSAGE,),
        body=asked.OutcomeReport,
        answers={200: (answers.Outcome,)},
        errors=(*_CALLS, "not_found", "not_reportable"),
        example={"verified": True},
    ),
    Operation(
        method="post",
        path="/v1/preview",
        name="previewCall",
        summary="What make-call would have said, and for how long. Rings nobody, stores nothing, counts against no"
        " limit; what is stopped or used up for the moment does not matter.",
        body=asked.PreviewRequest,
        answers={200: (limits.Preview,)},
        errors=(*_CALLS, "country_not_allowed", "number_not_allowed", "quiet_hours", "source_not_allowed"),
        example={name: text for name, text in asked.CALL_EXAMPLE.items() if name != "messageId"},
    ),
    Operation(
        method="get",
        path="/v1/limits",
        name="readLimits",
        summary="What you may send, as it holds for the key that asks.",
        answers={200: (limits.Limits,)},
    ),
    Operation(
        method="get",
        path="/v1/suppressions",
        name="listSuppressions",
        summary="Numbers that are not to be called.",
        parameters=(LIMIT, AFTER),
        answers={200: (answers.SuppressionPage,)},
        errors=(*_KEYED, "invalid_request", "forbidden"),
    ),
    Operation(
        method="post",
        path="/v1/suppressions",
        name="suppressNumber",
        summary="Have a number called no more.",
        body=asked.NumberToSuppress,
        answers={200: (answers.Suppression,), 201: (answers.Suppression,)},
        errors=(*_CALLS, "forbidden"),
        example={"number": "+6581230009"},
    ),
    Operation(
        method="delete",
        path="/v1/suppressions",
        name="freeNumber",
        summary="Let a number be called again.",
        body=asked.NumberToFree,
        answers={200: (answers.Suppression,)},
        errors=(*_CALLS, "forbidden", "not_found"),
        example={"number": "+6581230009"},
    ),
    Operation(
        method="get",
        path="/v1/keys",
        name="listKeys",
        summary="Your keys, without their secrets.",
        answers={200: (answers.Keys,)},
    ),
    Operation(
        method="post",
        path="/v1/keys",
        name="createKey",
        summary="Make a key; two of a mode may be active.",
        body=asked.KeyTerms,
        answers={201: (answers.NewKey,)},
        errors=(*_CALLS, "forbidden", "too_many_keys"),
        example={"mode": "test", "name": "build server"},
    ),
    Operation(
        method="delete",
        path="/v1/keys/{id}",
        name="revokeKey",
        summary="End a key within 5 seconds.",
        parameters=(KEY,),
        answers={200: (answers.Key,)},
        errors=(*_KEYED, "not_found", "key_in_use"),
    ),
    Operation(
        method="post",
        path="/v1/keys/{id}/revoke",
        name="revokeKeyByPost",
        summary="The same, where DELETE does not get through.",
        parameters=(KEY,),
        answers={200: (answers.Key,)},
        errors=(*_KEYED, "not_found", "key_in_use"),
    ),
    Operation(
        method="get",
        path="/v1/endpoints",
        name="listEndpoints",
        summary="Where callbacks go.",
        answers={200: (answers.Endpoints,)},
        errors=(*_KEYED, "forbidden"),
    ),
    Operation(
        method="post",
        path="/v1/endpoints/{id}/secret/rotate",
        name="rotateSecret",
        summary="Give an endpoint a new secret; the old one signs along for a day.",
        parameters=(ENDPOINT,),
        answers={200: (answers.RotatedSecret,)},
        errors=(*_KEYED, "forbidden", "not_found"),
    ),
    Operation(
        method="post",
        path="/api/webhooks/vca",
        name="takeCallAction",
        summary="8x8 asks what to do in a call. Whatever it says, the call is hung up.",
        security=EIGHT_X_EIGHT,
        takes_anything=True,
        answers={200: (answers.HangUpReply,)},
        errors=(*_ALWAYS, "unauthorized", "overloaded"),
    ),
    Operation(
        method="post",
        path="/api/webhooks/{kind}",
        name="takeReport",
        summary="8x8 reports. Whatever it is, it is kept; what it is, eventType decides and not the address.",
        security=EIGHT_X_EIGHT,
        parameters=(WEBHOOK_KIND,),
        takes_anything=True,
        answers={200: (answers.Health, answers.HangUpReply)},
        errors=(*_ALWAYS, "unauthorized", "not_found", "body_too_large", "overloaded", "unavailable"),
    ),
    Operation(
        method="get",
        path="/healthz",
        name="healthz",
        summary="Whether the process answers.",
        security=(),
        answers={200: (answers.Health,)},
        errors=_ALWAYS,
    ),
    Operation(
        method="get",
        path="/readyz",
        name="readyz",
        summary="Whether messages can be taken.",
        security=(),
        answers={200: (answers.Readiness,), 503: (answers.Readiness,)},
        errors=_ALWAYS,
    ),
    Operation(
        method="get",
        path="/metrics",
        name="metrics",
        summary="Figures for Prometheus. Without METRICS_TOKEN there is no such address.",
        security=("metricsToken",),
        media=("text/plain", "application/openmetrics-text"),
        errors=(*_ALWAYS, "unauthorized", "not_found"),
    ),
    Operation(
        method="get",
        path="/openapi.json",
        name="openapi",
        summary="This document.",
        security=(),
        errors=_ALWAYS,
    ),
    Operation(
        method="get",
        path="/docs",
        name="docs",
        summary="Pages for people: how to begin.",
        security=(),
        errors=_ALWAYS,
        media=("text/html",),
    ),
    Operation(
        method="get",
        path="/docs/{page}",
        name="docsPage",
        summary="One of these pages, or a file that they show.",
        security=(),
        parameters=(PAGE,),
        errors=(*_ALWAYS, "not_found"),
        media=("text/html", "text/css", "text/plain", "image/svg+xml"),
    ),
)  # fmt: skip
