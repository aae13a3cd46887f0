"""The document, put together from the table of operations and the models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from ingress.call_request import CallRequest
from ingress.openapi import answers
from ingress.openapi.asked import CALL_EXAMPLE, MEANINGS, MessageRequest, PreviewRequest
from ingress.openapi.operation import Operation
from ingress.openapi.operations import OPERATIONS
from ingress.openapi.told import Problem
from ingress.problems import CODES
from shared.lifecycle import EVENT_TYPES

PATH: Final = Path(__file__).with_name("openapi.json")
_REF: Final = "#/components/schemas/{model}"
_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_ANY_TEXT: Final = {"schema": {"type": "string"}}

_DESCRIPTION: Final = """\
One-time passcodes, alerts and notifications as phone calls. Every error is a problem (RFC 9457) with a `code` of a \
closed list, also at an address that there is not (404 `not_found`) and for a method that an address does not take \
(405 `method_not_allowed`, with `Allow`). HEAD is answered wherever GET is. Answers may grow by members; requests with \
members that are not named here are refused, as is NUL in any text. What is no HTTP is answered by the server itself, \
without a body, or cut off.
"""
_SCHEMES: Final = {
    "basicKey": {"type": "http", "scheme": "basic", "description": "The key's id and its secret."},
    "bearerKey": {"type": "http", "scheme": "bearer", "description": "`keyId:secret`, as it is or in base64."},
    "webhookSecret": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "WEBHOOK_AUTH_TOKEN itself, or as a bearer token, or as the password of Basic. With a "
        "WEBHOOK_PATH_SECRET webhooks are at /api/webhooks/<secret>/ instead.",
    },
    "metricsToken": {"type": "http", "scheme": "bearer", "description": "METRICS_TOKEN."},
}
_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    "X-Request-Id": {"required": True, "schema": {"type": "string", "pattern": "^req_[0-9a-f]+$"}},
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    "Allow": {"required": True, "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    "Location": {"required": True, "schema": {"type": "string", "format": "uri-reference"}},
    "Idempotency-Replayed": {
        "description": "The message was stored before.",
        "schema": {"type": "string", "const": "true"},
    },
}
#: Errors of addresses and methods that have no operation here.
NOWHERE: Final = ("not_found", "method_not_allowed")


class _Schemas(GenerateJsonSchema):
    """Without titles, which repeat names, and without defaults in answers, where nothing is left to the reader."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ringpost", "version": "1", "description": _DESCRIPTION},
        "paths": paths,
        "webhooks": _callbacks(),
        "components": {
            "securitySchemes": _SCHEMES,
            "headers": dict(_HEADERS),
            "schemas": _schemas(),
            "responses": {code: _problem(CODES[code][0], [code]) for code in _lone_errors()},
        },
    }


def render() -> str:
    """The file's text."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _operation(one: Operation) -> dict[str, Any]:
    said: dict[str, Any] = {"operationId": one.name, "summary": one.summary}
    said["security"] = [{name: []} for name in one.security]
    if one.parameters:
        said["parameters"] = list(one.parameters)
    if one.body is not None:
        content: dict[str, Any] = {"schema": _ref(one.body)}
        if one.example is not None:
            content["example"] = one.example
        said["requestBody"] = {"required": True, "content": {_JSON: content}}
    if one.takes_anything:
        said["requestBody"] = {"content": {_JSON: {"schema": {}}}}
    said["responses"] = _responses(one)
    return said


def _responses(one: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if not one.answers:
        told["200"] = _response("As the summary says.", {}, ())
        told["200"]["content"] = {kind: {"schema": {}} if kind == _JSON else _ANY_TEXT for kind in one.texts}
    for status, models in one.answers.items():
        schemas = [_ref(model) for model in models]
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        told[str(status)] = _response(models[0].__doc__ or "", {_JSON: {"schema": schema}}, one.headers)
    for status, codes in _by_status(one).items():
        lone = {"$ref": f"#/components/responses/{codes[0]}"}
        problem = lone if len(codes) == 1 else _problem(status, codes)
        if status in one.answers:  # told in two ways: by the route in its own, and in front of it
            problem = _problem(status, codes)
            problem["content"] |= told[str(status)]["content"]
        told[str(status)] = problem
    return dict(sorted(told.items()))


def _by_status(one: Operation) -> dict[int, list[str]]:
    ordered = sorted(one.errors, key=lambda code: CODES[code][0])
    return {status: list(codes) for status, codes in groupby(ordered, key=lambda code: CODES[code][0])}


def _lone_errors() -> list[str]:
    """Codes that are the only one of their status somewhere, so that each is written once."""
    lone = {codes[0] for one in OPERATIONS for codes in _by_status(one).values() if len(codes) == 1}
    return sorted(lone | set(NOWHERE))


def _problem(status: int, codes: Sequence[str]) -> dict[str, Any]:
    schema = {**_ref(Problem), "properties": {"status": {"const": status}, "code": {"enum": list(codes)}}}
    headers = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}
    said = "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes)
    return _response(said, {_PROBLEM: {"schema": schema}}, headers.get(status, ()))


def _response(description: str, content: Mapping[str, Any], headers: Iterable[str]) -> dict[str, Any]:
    named = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *headers)}
    return {"description": description.strip(), "headers": named, "content": dict(content)}


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas() -> dict[str, Any]:
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for one in OPERATIONS:
        if one.body is not None:
            modes.append((one.body, "validation"))
        modes += [(model, "serialization") for models in one.answers.values() for model in models]
    modes += [(Problem, "serialization"), (answers.Callback, "serialization")]
    unique = list(dict.fromkeys(modes))
    _, known = models_json_schema(unique, ref_template=_REF, schema_generator=_Schemas)
    schemas: dict[str, Any] = known["$defs"]
    for model in (CallRequest, MessageRequest, PreviewRequest):
        _explain(schemas[model.__name__])
    return dict(sorted(schemas.items()))


def _explain(call: dict[str, Any]) -> None:
    """Say of the members of a call what their model does not."""
    call["examples"] = [CALL_EXAMPLE]
    for name, meaning in MEANINGS.items():
        call["properties"][name]["description"] = meaning
    call["properties"]["metadata"] |= {
        "maxProperties": 10,
        "propertyNames": {"minLength": 1, "maxLength": 40},
        "additionalProperties": {"type": "string", "maxLength": 500},
    }


def _callbacks() -> dict[str, Any]:
    """By event type; which of them an endpoint gets, its subscription says."""
    return {name: {"post": _callback(name)} for name in EVENT_TYPES}


def _callback(name: str) -> dict[str, Any]:
    content = {"schema": {**_ref(answers.Callback), "properties": {"type": {"const": name}}}}
    return {
        "operationId": name,
        "summary": "Posted to your endpoint, at least once; the same webhook-id is the same event.",
        "parameters": [*(_signed_by(*one) for one in _SIGNATURE), _TRACE],
        "requestBody": {"required": True, "content": {_JSON: content}},
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "Send nothing more here: the endpoint is disabled."},
            "default": {"description": "Sent again later."},
        },
    }


#: Standard Webhooks' headers.
_SIGNATURE: Final = (
    ("webhook-id", "Stays the same when it is sent again."),
    ("webhook-timestamp", "Seconds since 1970; refuse what is more than 5 minutes off."),
    ("webhook-signature", "`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`; two while a secret is rotated."),
)
_TRACE: Final = {
    "name": "traceparent",
    "in": "header",
    "description": "W3C Trace Context: the trace that the message belongs to. There only while the service traces.",
    "schema": {"type": "string"},
}


def _signed_by(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "description": description, "schema": {"type": "string"}}
