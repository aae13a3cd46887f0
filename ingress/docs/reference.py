"""The API's reference as a page shows it, from the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ingress.problems import CODES

_DOCUMENT: Final = Path(__file__).parents[1] / "openapi" / "openapi.json"
_METHODS: Final = ("get", "post", "patch", "put", "delete")


@dataclass(frozen=True, slots=True)
class Row:
    """A member or parameter."""

    name: str
    kind: str
    is_required: bool
    said: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What may be answered."""

    status: str
    said: str
    models: tuple[str, ...]
    codes: tuple[tuple[str, str], ...]  # of errors, with their titles


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    name: str
    method: str
    path: str
    summary: str
    needs: str
    parameters: tuple[Row, ...]
    body: tuple[str, ...]
    example: str
    replies: tuple[Reply, ...]


_NEEDS: Final[Mapping[str, str]] = {
    "basicKey": "your key",
    "webhookSecret": "the webhooks' secret",
    "metricsToken": "the metrics' token",
}


def routes() -> list[Route]:
    """Every route of the document."""
    told = _read()
    return [
        _route(told, method, path, operation)
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    ]


def models() -> dict[str, tuple[str, tuple[Row, ...]]]:
    """Every model: what it is, and its members."""
    return {
        name: (_plain(schema.get("description", "")), tuple(_rows(schema)))
        for name, schema in _read()["components"]["schemas"].items()
        if "properties" in schema
    }


def _read() -> Any:
    return json.loads(_DOCUMENT.read_bytes())


def _route(told: Any, method: str, path: str, operation: Any) -> Route:
    asked = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    example = asked.get("example")
    schemes = [name for one in operation["security"] for name in one]
    return Route(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        needs=_NEEDS.get(schemes[0], schemes[0]) if schemes else "nothing",
        parameters=tuple(
            Row(f"{one['name']} ({one['in']})", _kind(one["schema"]), one.get("required", False), one["description"])
            for one in operation.get("parameters", ())
        ),
        body=tuple(_named(asked.get("schema", {}))),
        example="" if example is None else json.dumps(example, indent=2, ensure_ascii=False),
        replies=tuple(_reply(told, status, one) for status, one in operation["responses"].items()),
    )


def _reply(told: Any, status: str, reply: Any) -> Reply:
    if "$ref" in reply:
        reply = told["components"]["responses"][reply["$ref"].rpartition("/")[2]]
    named = [name for content in reply["content"].values() for name in _named(content.get("schema", {}))]
    codes = [(code, CODES[code][1]) for code in re.findall(r"`(\w+)`:", reply["description"]) if code in CODES]
    return Reply(status, _plain(reply["description"]), tuple(dict.fromkeys(named)), tuple(codes))


def _named(schema: Any) -> Iterator[str]:
    """The models that a schema names."""
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    for one in schema.get("anyOf", ()):
        yield from _named(one)
    if "items" in schema:
        yield from _named(schema["items"])


def _rows(schema: Any) -> Iterator[Row]:
    required = schema.get("required", ())
    for name, one in schema["properties"].items():
        said = _plain(one.get("description", ""))
        yield Row(name, _kind(one), name in required, said)


def _kind(schema: Any) -> str:
    """A schema in few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    kind = schema.get("format") or schema.get("type", "any")
    bounds = [
        f"{word} {schema[name]}"
        for name, word in (
            ("minimum", "from"), ("exclusiveMinimum", "over"), ("maximum", "to"), ("minLength", "at least"),
            ("maxLength", "at most"),
        )
        if name in schema
    ]  # fmt: skip
    return " ".join([kind, *bounds])


def _plain(text: str) -> str:
    return text.replace("`", "")
