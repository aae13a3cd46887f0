"""Every route of the API in one table: what it takes, what it answers, which errors it may tell."""

from __future__ import annotations

from typing import Final

from ingress.openapi import answers, asked
from ingress.openapi.callback_operations import CALLBACK_OPERATIONS
from ingress.openapi.message_operations import MESSAGES
from ingress.openapi.operation import ALWAYS, CALLS, EIGHT_X_EIGHT, KEYED, Operation
from ingress.openapi.parameters import AFTER, KEY, LIMIT, WEBHOOK_KIND
from ingress.openapi.template_operations import TEMPLATES

OPERATIONS: Final = (
    *MESSAGES,
    Operation(
        method="get",
        path="/v1/suppressions",
        name="listSuppressions",
        summary="Numbers that are not to be called.",
        parameters=(LIMIT, AFTER),
        answers={200: (answers.SuppressionPage,)},
        errors=(*KEYED, "invalid_request", "forbidden"),
    ),
    Operation(
        method="post",
        path="/v1/suppressions",
        name="suppressNumber",
        summary="Have a number called no more.",
        body=asked.NumberToSuppress,
        answers={200: (answers.Suppression,), 201: (answers.Suppression,)},
        errors=(*CALLS, "forbidden"),
        example={"number": "+6581230009"},
    ),
    Operation(
        method="delete",
        path="/v1/suppressions",
        name="freeNumber",
        summary="Let a number be called again.",
        body=asked.NumberToFree,
        answers={200: (answers.Suppression,)},
        errors=(*CALLS, "forbidden", "not_found"),
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
        errors=(*CALLS, "forbidden", "too_many_keys"),
        example={"mode": "test", "name": "build server"},
    ),
    Operation(
        method="delete",
        path="/v1/keys/{id}",
        name="revokeKey",
        summary="End a key within 5 seconds.",
        parameters=(KEY,),
        answers={200: (answers.Key,)},
        errors=(*KEYED, "not_found", "key_in_use"),
    ),
    Operation(
        method="post",
        path="/v1/keys/{id}/revoke",
        name="revokeKeyByPost",
        summary="The same, where DELETE does not get through.",
        parameters=(KEY,),
        answers={200: (answers.Key,)},
        errors=(*KEYED, "not_found", "key_in_use"),
    ),
    *CALLBACK_OPERATIONS,
    *TEMPLATES,
    Operation(
        method="post",
        path="/api/webhooks/vca",
        name="takeCallAction",
        summary="8x8 asks what to do in a call. Whatever it says, the call is hung up.",
        security=EIGHT_X_EIGHT,
        takes_anything=True,
        answers={200: (answers.HangUpReply,)},
        errors=(*ALWAYS, "unauthorized", "overloaded"),
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
        errors=(*ALWAYS, "unauthorized", "not_found", "body_too_large", "overloaded", "unavailable"),
    ),
    Operation(
        method="get",
        path="/healthz",
        name="healthz",
        summary="Whether the process answers.",
        security=(),
        answers={200: (answers.Health,)},
        errors=ALWAYS,
    ),
    Operation(
        method="get",
        path="/readyz",
        name="readyz",
        summary="Whether messages can be taken.",
        security=(),
        answers={200: (answers.Readiness,), 503: (answers.Readiness,)},
        errors=ALWAYS,
    ),
    Operation(
        method="get",
        path="/metrics",
        name="metrics",
        summary="Figures for Prometheus. Without METRICS_TOKEN there is no such address.",
        security=("metricsToken",),
        texts=("text/plain", "application/openmetrics-text"),
        errors=(*ALWAYS, "unauthorized", "not_found"),
    ),
    Operation(
        method="get",
        path="/openapi.json",
        name="openapi",
        summary="This document.",
        security=(),
        errors=ALWAYS,
    ),
)  # fmt: skip
