"""Who may use the dashboard, for admins. One does not change oneself: the last admin could not undo it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import abort, g, redirect, render_template, request, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from ingress.dashboard.pages import Pages
from ingress.site import Site
from shared import passwords
from shared.db.database import Database
from shared.db.queries import operators
from shared.db.queries.operators import NewOperator
from shared.ids import new_id
from shared.operators import Role, check_name, check_password


def operator_pages(site: Site) -> Pages:
    """/dashboard/operators."""
    routes = Pages("operators", __name__)
    database = site.services.database

    @routes.page("/operators", "operators.html")
    def listed() -> Mapping[str, Any]:
        return {"rows": database.run(operators.listed, alone=True), "roles": list(Role)}

    def page(why: str) -> str:
        return render_template("operators.html", **listed(), why=why)

    @routes.post("/operators")
    def add() -> Response | tuple[str, int]:
        try:
            name, role = check_name(request.form.get("name", "")), Role(request.form.get("role", ""))
            password = check_password(request.form.get("password", ""), name)
        except ValueError as error:
            return page(f"Not added: {error}."), 422
        new = NewOperator(new_id("op"), name, role, passwords.hashed(password))
        by = g.visitor.operator.name
        if not database.run(lambda c: operators.add(c, new, actor=by)):
            return page("Not added: the name is taken."), 409
        return _back()

    _add_changes(routes, database)
    return routes


def _add_changes(routes: Pages, database: Database) -> None:
    def back(change: Callable[[Connection], bool | None]) -> Response:
        if database.run(change) is None:
            abort(404)
        return _back()

    @routes.post("/operators/<name>/role")
    def set_role(name: str) -> Response:
        by = _not_oneself(name)
        try:
            role = Role(request.form.get("role", ""))
        except ValueError:
            abort(422, "There is no such role.")
        return back(lambda c: operators.set_role(c, name, role, actor=by))

    @routes.post("/operators/<name>/disable")
    def disable(name: str) -> Response:
        by = _not_oneself(name)
        return back(lambda c: operators.set_disabled(c, name, disabled=True, actor=by))

    @routes.post("/operators/<name>/enable")
    def enable(name: str) -> Response:
        by = _not_oneself(name)
        return back(lambda c: operators.set_disabled(c, name, disabled=False, actor=by))


def _back() -> Response:
    return redirect(url_for("operators.listed"), 303)


def _not_oneself(name: str) -> str:
    """Who asks for the change."""
    try:
        check_name(name)
    except ValueError:
        abort(404)
    by: str = g.visitor.operator.name
    if name == by:
        abort(422, "Nobody changes their own role or state here: another admin does, or the command line.")
    return by
