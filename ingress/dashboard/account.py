"""An operator's own page: another password, signing out here and everywhere."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from ingress.dashboard.sessions import Sessions
from ingress.dashboard.sign_in import Known, Refused, SignIn
from ingress.peer import client_ip
from ingress.site import Site
from shared import passwords
from shared.db.queries import operators
from shared.operators import check_password


def account_pages(site: Site, sign_in: SignIn, sessions: Sessions) -> Blueprint:
    """/dashboard/account, /dashboard/sign-out."""
    routes = Blueprint("account", __name__)

    @routes.get("/account")
    def account() -> str:
        return render_template("account.html", why=None)

    @routes.post("/account/password")
    def change_password() -> Response | tuple[str, int]:
        name, client = g.visitor.operator.name, client_ip(request)
        try:
            new = check_password(request.form.get("new", ""), name)
            sign_in.check(name, request.form.get("password", ""), client)
            hashed = passwords.hashed(new)
            site.services.database.run(lambda c: operators.set_password(c, name, hashed, actor=name))
        except ValueError as error:
            return render_template("account.html", why=f"Not changed: {error}."), 422
        except Refused as refused:
            return render_template("account.html", why=f"Not changed: {refused}"), refused.status
        try:
            sign_in.open(Known(name, hashed), client, g.visitor.token)
        except Refused:  # somebody changed it again, or disabled the operator
            g.pop("new_token", None)
            return redirect(url_for("sign_in.form"), 303)
        return redirect(url_for("now.now"), 303)

    @routes.post("/sign-out")
    def sign_out() -> Response:
        sessions.end(g.visitor, everywhere=False)
        return redirect(url_for("sign_in.form"), 303)

    @routes.post("/sign-out-everywhere")
    def sign_out_everywhere() -> Response:
        sessions.end(g.visitor, everywhere=True)
        return redirect(url_for("sign_in.form"), 303)

    return routes
