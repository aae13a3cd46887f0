"""Texts that a provider keeps by name, each in versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress import bodies, members
from ingress.asking import ask
from ingress.filling import CODE
from ingress.lean import json_answer
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from shared import speech
from shared.db.queries import audit_log, templates
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import Mode
from shared.times import rfc3339

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


def template_routes(site: Site) -> Blueprint:
    """GET /v1/templates; GET, PUT and DELETE /v1/templates/{name}."""
    routes = Blueprint("templates", __name__)

    @routes.get("/v1/templates")
    def mine() -> Response:
        owner = site.providers.owner(request)
        rows = ask(site, lambda c: templates.latest(c, owner.provider_id))
        return json_answer(to_json({"data": [_resource(row) for row in rows]}))

    @routes.get("/v1/templates/<name>")
    def one(name: str) -> Response:
        owner = site.providers.owner(request)
        rows = ask(site, lambda c: templates.versions(c, owner.provider_id, _name(name)))
        if not rows:
            raise _missing()
        return json_answer(to_json(_resource(rows[0]) | {"versions": [_resource(row) for row in rows]}))

    @routes.put("/v1/templates/<name>")
    def keep(name: str) -> Response:
        kept, is_new = _keep(site, _changing(site), name)
        return json_answer(to_json(_resource(kept)), 201 if is_new else 200)

    @routes.delete("/v1/templates/<name>")
    def give_up(name: str) -> Response:
        owner = _changing(site)
        row = ask(site, lambda c: _given_up(c, owner, _name(name)))
        if row is None:
            raise _missing()
        return json_answer(to_json(_resource(row)))

    return routes


def _keep(site: Site, owner: KeyOwner, name: str) -> tuple[Any, bool]:
    if not NAME.fullmatch(name):
        said = "must be 1 to 64 small letters, digits, - and _, as the address has it"
        raise invalid([MemberError("name", said)])
    readers: dict[str, members.Reader] = {
        "text": partial(_text, site.settings.message_max_length),
        "language": _language,
    }
    said_of = members.of_body(bodies.parse(bodies.read(request, bodies.CALL_LIMIT)), readers, ("text",))
    kept = ask(site, lambda c: _kept(c, owner, name, said_of))
    if kept is None:
        most = f"{templates.MOST_NAMES} names with {templates.MOST_VERSIONS} versions each"
        ever = f"{templates.MOST_EVER} versions in all, deleted ones included"
        raise Problem("too_many_templates", f"There may be {most}, and {ever}. Delete a template that is not used.")
    return kept


def _given_up(connection: Connection, owner: KeyOwner, name: str) -> Any | None:
    row = templates.one(connection, owner.provider_id, name)
    if row is not None and templates.delete(connection, owner.provider_id, name):
        audit_log.note(connection, owner.key_id, "template.delete", name, before={"version": row.version}, after={})
    return row


def _kept(connection: Connection, owner: KeyOwner, name: str, said: Mapping[str, Any]) -> tuple[Any, bool] | None:
    kept = templates.put(connection, owner.provider_id, name, said["text"], said.get("language"))
    if kept is not None and kept[1]:
        version = kept[0].version
        audit_log.note(
            connection, owner.key_id, "template.put", name, before={"version": version - 1}, after={"version": version}
        )
    return kept


def _changing(site: Site) -> KeyOwner:
    """Whoever changes what live messages say: a test key is in more hands."""
    owner = site.providers.owner(request)
    if owner.mode is Mode.TEST:
        raise Problem("forbidden", "A test key cannot change templates: live messages are made of them.")
    return owner


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise _missing()
    return name


def _text(most: int, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise ValueError(f"must be a text of 1 to {most} characters")
    cleaned, _ = speech.sanitise(value)
    if not cleaned:
        raise ValueError("has nothing that can be spoken")
    return value


def _language(value: Any) -> str:
    if not isinstance(value, str) or not _LANGUAGE.fullmatch(value):
        raise ValueError("must be a BCP 47 language tag such as en-US")
    return value


def _resource(row: Any) -> dict[str, Any]:
    return {
        "name": row.name,
        "version": row.version,
        "text": row.text,
        "language": row.language,
        "variables": sorted(set(speech.placeholders(row.text)) - {CODE}),
        "takesCode": CODE in speech.placeholders(row.text),
        "createdAt": rfc3339(row.created_at),
    }


def _missing() -> Problem:
    return Problem("not_found", "You have no template of this name.")
