"""A browser without a screen, for tests of the dashboard: it keeps the cookie and sends the token."""

import re

from ingress.dashboard.sessions import COOKIE
from shared import passwords
from shared.db.queries import operators
from shared.db.queries.operators import NewOperator
from shared.ids import new_id
from shared.operators import Role

PASSWORD = "seven green bicycles"
CHEAP = passwords.Cost(4, 8, 1)
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}


class Browser:
    """Keeps the cookie, and knows the token of the page that it saw last."""

    def __init__(self, stage, address="192.0.2.1"):
        self.http = stage.http.application.test_client()
        self.headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}

    def get(self, path, **headers):
        return self.http.get(f"http://localhost/dashboard{path}", headers=self.headers | headers)

    def post(self, path, headers=OURS, **form):
        return self.http.post(f"http://localhost/dashboard{path}", headers=self.headers | headers, data=form)

    def csrf(self, path="/account"):
        return re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)[1]

    def sign_in(self, name, password=PASSWORD):
        return self.post("/sign-in", csrf=self.csrf("/sign-in"), name=name, password=password)

    @property
    def token(self):
        cookie = self.http.get_cookie(COOKIE)
        return cookie and cookie.value


def signed_in(stage, role=Role.VIEWER):
    """A browser of a new operator."""
    id_ = new_id("op")
    new = NewOperator(id_, f"ada{id_[-8:].lower()}", role, passwords.hashed(PASSWORD))
    assert stage.services.database.run(lambda c: operators.add(c, new, actor="tests"))
    browser = Browser(stage)
    browser.name = new.name
    assert browser.sign_in(new.name).status_code == 303
    return browser


def noted(stage, target):
    rows = stage.rows("SELECT actor, action, after FROM audit_log WHERE target = :t ORDER BY audit_id", t=target)
    return [tuple(row) for row in rows]


def change(stage, statement, **values):
    return stage.rows(statement + " RETURNING 1", **values)


def _next_sequence(stage):
    ((number,),) = stage.rows(
        "UPDATE providers SET last_sequence = last_sequence + 1 WHERE provider_id = :p RETURNING last_sequence",
        p=stage.customer.provider_id,
    )
    return number


def parked_callback(stage, message_id, endpoint_id, state="parked"):
    event_id = f"evt_{message_id[4:]}"
    change(
        stage,
        "INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts) VALUES"
        " (:e, :p, :s, :m, 'message.delivered', 'delivered', '{}')",
        s=_next_sequence(stage),
        e=event_id, p=stage.customer.provider_id, m=message_id,
    )  # fmt: skip
    change(
        stage,
        "INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, attempts, state, finished_at) VALUES"
        " (:c, :e, :ep, :m, 9, :s, now())",
        c=f"cb_{message_id[4:]}_1", e=event_id, ep=endpoint_id, m=message_id, s=state,
    )  # fmt: skip
    return f"cb_{message_id[4:]}_1"
