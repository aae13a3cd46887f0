"""The routes around callbacks: the feed of events, endpoints, and what was sent there."""

from __future__ import annotations

from typing import Final

from ingress.openapi import answers, asked, deliveries
from ingress.openapi.operation import CALLS, KEYED, Operation
from ingress.openapi.parameters import AFTER, DELIVERY, ENDPOINT, FEED_QUERY, LIMIT, STATE

_OWN: Final = (*KEYED, "forbidden", "not_found")
_TERMS: Final = (*CALLS, "forbidden")

CALLBACK_OPERATIONS: Final = (
    Operation(
        method="get",
        path="/v1/events",
        name="readEvents",
        summary="Your events in order and without gaps, as callbacks tell them; of a test key, those of test messages.",
        parameters=FEED_QUERY,
        answers={200: (deliveries.Feed,)},
        errors=(*KEYED, "invalid_request", "events_purged"),
    ),
    Operation(
        method="get",
        path="/v1/endpoints",
        name="listEndpoints",
        summary="Where callbacks go, and how each fares.",
        answers={200: (answers.Endpoints,)},
        errors=(*KEYED, "forbidden"),
    ),
    Operation(
        method="post",
        path="/v1/endpoints",
        name="createEndpoint",
        summary="Have callbacks sent to one more URL; 10 at most.",
        body=asked.EndpointTerms,
        answers={201: (answers.NewEndpoint,)},
        errors=(*_TERMS, "endpoint_exists", "too_many_endpoints"),
        example={"url": "https://bank.example/callbacks", "events": ["message.delivered", "message.failed"]},
    ),
    Operation(
        method="get",
        path="/v1/endpoints/{id}",
        name="readEndpoint",
        summary="One endpoint, also one that was deleted.",
        parameters=(ENDPOINT,),
        answers={200: (answers.Endpoint,)},
        errors=_OWN,
    ),
    Operation(
        method="patch",
        path="/v1/endpoints/{id}",
        name="changeEndpoint",
        summary="Change the URL or the events; what waits goes to the new URL, signed with the same secret.",
        parameters=(ENDPOINT,),
        body=asked.EndpointChange,
        answers={200: (answers.Endpoint,)},
        errors=(*_TERMS, "not_found", "endpoint_exists"),
        example={"events": ["message.delivered", "message.no_answer", "message.busy"]},
    ),
    Operation(
        method="delete",
        path="/v1/endpoints/{id}",
        name="deleteEndpoint",
        summary="Send nothing there any more; what waits is parked, what was sent stays to be read.",
        parameters=(ENDPOINT,),
        answers={200: (answers.Endpoint,)},
        errors=_OWN,
    ),
    Operation(
        method="post",
        path="/v1/endpoints/{id}/enable",
        name="enableEndpoint",
        summary="Send there again, of what happens from now on; what is parked waits for recover.",
        parameters=(ENDPOINT,),
        answers={200: (answers.Endpoint,)},
        errors=_OWN,
    ),
    Operation(
        method="post",
        path="/v1/endpoints/{id}/secret/rotate",
        name="rotateSecret",
        summary="Give an endpoint a new secret; the old one signs along for a day.",
        parameters=(ENDPOINT,),
        answers={200: (answers.RotatedSecret,)},
        errors=_OWN,
    ),
    Operation(
        method="post",
        path="/v1/endpoints/{id}/test",
        name="testEndpoint",
        summary="Send a made-up event of type message.test there now, and say what the receiver answered.",
        parameters=(ENDPOINT,),
        answers={200: (deliveries.Trial,)},
        errors=(*_OWN, "overloaded"),
    ),
    Operation(
        method="get",
        path="/v1/endpoints/{id}/deliveries",
        name="listDeliveries",
        summary="What was sent there, newest first, with every try.",
        parameters=(ENDPOINT, STATE, LIMIT, AFTER),
        answers={200: (deliveries.DeliveryPage,)},
        errors=(*_OWN, "invalid_request"),
    ),
    Operation(
        method="post",
        path="/v1/endpoints/{id}/recover",
        name="recoverDeliveries",
        summary="Send what is parked of a time range again, 10000 at once; with dryRun, only say how many.",
        parameters=(ENDPOINT,),
        body=asked.RecoverTerms,
        answers={200: (deliveries.Recovered,)},
        errors=(*_TERMS, "not_found", "endpoint_disabled"),
        example={"since": "2026-10-05T00:00:00Z", "dryRun": True},
    ),
    Operation(
        method="post",
        path="/v1/deliveries/{id}/resend",
        name="resendDelivery",
        summary="Send one callback again now, whatever became of it, with its schedule from the start.",
        parameters=(DELIVERY,),
        answers={200: (deliveries.CallbackDelivery,)},
        errors=(*_OWN, "endpoint_disabled"),
    ),
)
