"""The dashboard's door: who gets in, who may do what, and what no page does without a session, a role and a token."""

import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from ingress.dashboard.access import NEEDED
from ingress.dashboard.app import CONTENT_SECURITY_POLICY, create_dashboard
from ingress.dashboard.pages import TWIN
from ingress.dashboard.sessions import COOKIE, hash_of
from shared import passwords
from shared.db.queries import operators
from shared.db.queries.operators import NewOperator
from shared.operators import Role
from tests.integration.dashboard_stage import CHEAP, PASSWORD, Browser
from tests.integration.ingress_stage import is_problem, staged

_numbers = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def _cheap_hashes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", CHEAP)
        yield


@pytest.fixture(scope="module")
def stage(_cheap_hashes, database_url, redis_url, tmp_path_factory):
    settings = {"dashboard_enabled": True, "sign_in_failures_per_minute": 3, "trusted_proxies": 1}
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), **settings) as stage:
        yield stage


@pytest.fixture
def operator(stage):
    """Adds operators of a role and returns their names."""

    def add(role=Role.VIEWER):
        number = next(_numbers)
        new = NewOperator(f"op_{number}", f"ada{number}", role, passwords.hashed(PASSWORD))
        assert stage.services.database.run(lambda c: operators.add(c, new, actor="tests"))
        return new.name

    return add


@pytest.fixture
def signed_in(stage, operator):
    """A browser whose operator has a role."""

    def begin(role=Role.VIEWER):
        browser = Browser(stage, f"192.0.2.{next(_numbers)}")
        browser.name = operator(role)
        assert browser.sign_in(browser.name).status_code == 303
        return browser

    return begin


def routes(stage):
    """Method, path and page of every route of the dashboard."""
    known = {"lane": "otp", "filename": "style.css", "name": "nobody", "id_": "0", "kind": "event", "action": "resend"}
    return [
        (method, re.sub(r"<(?:path:)?(\w+)>", lambda found: known[found[1]], rule.rule), rule.endpoint)
        for rule in create_dashboard(stage.site).url_map.iter_rules()
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
    ]


def is_at_the_door(reply):
    return reply.status_code == 303 and reply.headers["Location"] == "/dashboard/sign-in"


def test_by_default_there_is_no_dashboard(database_url, redis_url, tmp_path):
    with staged(database_url, redis_url, tmp_path) as stage:
        for path in ("/dashboard", "/dashboard/", "/dashboard/sign-in", "/dashboard/static/style.css"):
            assert is_problem(stage.http.get(path), 404, "not_found")


def test_every_page_is_in_the_table_of_roles(stage):
    assert {page.removesuffix(TWIN) for _, _, page in routes(stage)} == set(NEEDED)


def test_every_route_with_every_role_without_a_session_with_one_that_is_over_and_with_anothers_token(stage, signed_in):
    browsers = {role: signed_in(role) for role in Role}
    nobody, lapsed = Browser(stage), signed_in(Role.ADMIN)
    stage.rows("UPDATE operator_sessions SET used_at = now() - interval '31 min' WHERE token_hash = :hash RETURNING 1",
               hash=hash_of(lapsed.token))  # fmt: skip
    tokens = {role: browser.csrf() for role, browser in browsers.items()}
    before = len(stage.rows("SELECT 1 FROM audit_log"))

    for method, rule, page in routes(stage):
        path, needed = rule.removeprefix("/dashboard"), NEEDED[page.removesuffix(TWIN)]
        if needed is None:
            continue
        send = Browser.get if method == "GET" else Browser.post
        bare = send(nobody, path), send(lapsed, path)
        if method == "GET" and not page.endswith(TWIN):
            assert all(map(is_at_the_door, bare))
        else:
            assert {one.status_code for one in bare} == {403 if method == "POST" else 401}
        if method == "POST":
            assert is_at_the_door(nobody.post(path, csrf=nobody.csrf("/sign-in")))
            assert is_at_the_door(lapsed.post(path, csrf=lapsed.csrf("/sign-in")))
        for role, browser in browsers.items():
            if method == "POST":
                another = tokens[Role.ADMIN if role is Role.VIEWER else Role.VIEWER]
                assert browser.post(path, csrf=another).status_code == 403
                assert browser.post(path).status_code == 403
                if role.covers(needed):
                    continue  # what it does is another test's
                reply = browser.post(path, csrf=tokens[role])
            else:
                reply = browser.get(path)
            assert (reply.status_code != 403) is role.covers(needed), (role, method, path)
            assert reply.status_code in (200, 303, 403) or (reply.status_code == 404 and "/0" in path)

    assert len(stage.rows("SELECT 1 FROM audit_log")) == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://localhost"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
    ids=str,
)
def test_a_form_of_another_site_is_refused_whatever_token_it_has(signed_in, stage, headers):
    browser = signed_in(Role.OPERATOR)

    assert browser.post("/lanes/otp/pause", headers, csrf=browser.csrf()).status_code == 403
    assert stage.rows("SELECT 1 FROM lanes WHERE paused_at IS NOT NULL") == []


def test_a_form_of_a_browser_that_tells_the_origin_alone_counts(signed_in):
    browser = signed_in()

    assert browser.post("/sign-out", {"Origin": "https://localhost"}, csrf=browser.csrf()).status_code == 303


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere", "/static/style.css", "/now"])
def test_every_answer_has_the_headers_once(stage, path):
    browser = Browser(stage)
    reply = browser.get(path)
    plain = browser.get(path, **{"X-Forwarded-Proto": "https, http"})

    expected = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Strict-Transport-Security": "max-age=31536000",
    }
    found = {name: reply.headers.getlist(name) for name in expected}
    assert found == {name: [value] for name, value in expected.items()}
    assert "Strict-Transport-Security" not in plain.headers
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", reply.text)


def test_the_cookie_is_bound_to_this_host_and_hidden_and_another_after_the_sign_in(stage, operator):
    browser = Browser(stage)
    given = browser.get("/sign-in").headers["Set-Cookie"]
    before = browser.token

    reply = browser.sign_in(operator())

    assert given.startswith("__Host-ringpost=")
    assert set(given.split("; ")[1:]) == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
    assert reply.headers["Location"] == "/dashboard/now"
    assert browser.token != before
    kept = stage.rows("SELECT token_hash FROM operator_sessions WHERE token_hash = :hash", hash=hash_of(browser.token))
    assert len(kept) == 1
    assert is_at_the_door(Browser.get(with_token(stage, before), "/now"))


def with_token(stage, token):
    browser = Browser(stage)
    browser.http.set_cookie(COOKIE, token, secure=True)
    return browser


def test_a_session_ends_when_unused_for_30_minutes_or_12_hours_old(stage, signed_in):
    for column, span in (("used_at", "30 minutes"), ("created_at", "12 hours")):
        browser = signed_in()
        assert browser.get("/now").status_code == 200
        stage.rows(f"UPDATE operator_sessions SET {column} = now() - interval '{span}' WHERE token_hash = :hash"
                   " RETURNING 1", hash=hash_of(browser.token))  # fmt: skip
        assert is_at_the_door(browser.get("/now"))


def test_signing_out_ends_the_session_here_or_everywhere(stage, signed_in):
    first = signed_in()
    second, third = Browser(stage), Browser(stage)
    for browser in (second, third):
        browser.sign_in(first.name)
    old = third.token
    third.post("/sign-out", csrf=third.csrf())
    assert is_at_the_door(with_token(stage, old).get("/now"))
    assert first.get("/now").status_code == second.get("/now").status_code == 200

    first.post("/sign-out-everywhere", csrf=first.csrf())

    assert is_at_the_door(first.get("/now"))
    assert is_at_the_door(second.get("/now"))


@pytest.mark.parametrize("change", ["role", "disable", "password"])
def test_sessions_end_at_once_when_the_role_state_or_password_changes(stage, signed_in, ringpost, change):
    browser = signed_in()
    arguments, answer = {"role": ([browser.name, "operator"], ""), "disable": ([browser.name], ""),
                         "password": ([browser.name], "another long secret\n")}[change]  # fmt: skip

    assert ringpost("operators", change, *arguments, answer=answer).exit_code == 0

    assert is_at_the_door(browser.get("/now"))
    signed_in_again = browser.sign_in(browser.name).status_code == 303
    assert signed_in_again is (change == "role")


def test_whoever_guesses_is_held_back_and_the_operator_is_not_locked_out(stage, operator):
    name, guesser = operator(), Browser(stage, "198.51.100.1")
    codes = [guesser.sign_in(name, f"wrong guess {n}").status_code for n in range(4)]
    reply = guesser.sign_in(name)

    assert codes == [401, 401, 401, 429]
    assert reply.status_code == 429
    assert 0 < int(reply.headers["Retry-After"]) <= 20
    assert Browser(stage, "198.51.100.2").sign_in(name).status_code == 303


def test_tries_at_once_are_held_back_like_those_one_after_the_other(stage, operator, monkeypatch):
    name, compared = operator(), []
    hashed = passwords._scrypt
    monkeypatch.setattr(passwords, "_scrypt", lambda *given: compared.append(1) or hashed(*given))
    browsers = [Browser(stage, "198.51.100.3") for _ in range(16)]
    tokens = [browser.csrf("/sign-in") for browser in browsers]

    def guess(browser, token):
        return browser.post("/sign-in", csrf=token, name=name, password="a wrong guess").status_code

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(guess, browsers, tokens))

    assert set(codes) == {401, 429}
    assert len(compared) == codes.count(401) <= 4  # three, and one that was being compared beside the third


def test_an_unknown_name_is_answered_like_a_wrong_password_after_the_same_work(stage, operator, monkeypatch):
    name, gone = operator(), operator()
    stage.services.database.run(lambda c: operators.set_disabled(c, gone, disabled=True, actor="tests"))
    hashed, costs = passwords._scrypt, []
    monkeypatch.setattr(passwords, "_scrypt", lambda *given: costs.append(given[2]) or hashed(*given))

    answers = [Browser(stage, f"203.0.113.{n}").sign_in(who, "a wrong password").text.split("csrf")[0]
               for n, who in enumerate([name, "nobody-at-all", gone, "no name!", "\0"])]  # fmt: skip

    assert len(set(answers)) == 1
    assert costs == [CHEAP] * 5


def test_every_try_is_noted_without_the_password_or_a_name_that_may_be_one(stage, operator):
    name, browser = operator(), Browser(stage, "203.0.113.77")
    browser.sign_in(name, "not the password")
    browser.sign_in("hunter2hunter2", PASSWORD)
    browser.sign_in(name)

    noted = stage.rows("SELECT actor, action, after FROM audit_log WHERE target = '203.0.113.77' ORDER BY audit_id")
    assert [tuple(row) for row in noted] == [
        (name, "operator.sign_in_failed", {"reason": "wrong password"}),
        ("unknown", "operator.sign_in_failed", {"reason": "unknown name"}),
        (name, "operator.sign_in", None),
    ]
    assert "hunter2" not in str(stage.rows("SELECT a::text FROM audit_log a"))


def test_a_hash_of_old_parameters_is_made_anew_at_the_next_sign_in(stage, operator, monkeypatch):
    name = operator()
    monkeypatch.setattr(passwords, "COST", passwords.Cost(5, 8, 1))

    assert Browser(stage).sign_in(name).status_code == 303

    ((kept,),) = stage.rows("SELECT password FROM operators WHERE name = :name", name=name)
    assert kept.startswith("scrypt$5$8$1$")
    assert Browser(stage).sign_in(name).status_code == 303


def test_a_lane_is_paused_and_resumed_and_the_trail_tells_by_whom(stage, signed_in):
    browser = signed_in(Role.OPERATOR)
    token = browser.csrf()

    browser.post("/lanes/alert/pause", csrf=token)
    paused = browser.get("/now").text
    browser.post("/lanes/alert/resume", csrf=token)
    trail = browser.get(f"/audit?actor={browser.name}&action=lane").text

    assert 'aria-label="Resume alert"' in paused
    assert 'aria-label="Pause alert"' in browser.get("/now").text
    assert (trail.count(">lane.pause</td>"), trail.count(">lane.resume</td>")) == (1, 1)
    assert "paused: false" in trail
    assert browser.post("/lanes/none/pause", csrf=token).status_code == 404


def test_an_admin_adds_changes_and_disables_others_but_not_oneself(stage, signed_in):
    admin = signed_in(Role.ADMIN)
    token, name = admin.csrf(), f"grace{next(_numbers)}"
    new = {"csrf": token, "name": name.upper(), "role": "viewer", "password": PASSWORD}

    weak = admin.post("/operators", **new | {"password": "password1234"})
    added, again = admin.post("/operators", **new), admin.post("/operators", **new)
    admin.post(f"/operators/{name}/role", csrf=token, role="operator")
    admin.post(f"/operators/{name}/disable", csrf=token)
    own = [admin.post(f"/operators/{admin.name}/{what}", csrf=token, role="viewer") for what in ("role", "disable")]
    strange = [admin.post(f"/operators/{who}/disable", csrf=token) for who in ("nobody", "%00")]

    assert (weak.status_code, added.status_code, again.status_code) == (422, 303, 409)
    assert [one.status_code for one in own] == [422, 422]
    assert [one.status_code for one in strange] == [404, 404]
    assert "ada" in admin.get("/operators").text
    noted = stage.rows("SELECT action, before, after FROM audit_log WHERE target = :n ORDER BY audit_id", n=name)
    assert [tuple(row) for row in noted] == [
        ("operator.add", None, {"role": "viewer"}),
        ("operator.role", {"role": "viewer"}, {"role": "operator"}),
        ("operator.disable", {"disabled": False}, {"disabled": True}),
    ]


def test_an_operator_changes_the_password_and_stays_signed_in_here_alone(stage, signed_in):
    here = signed_in()
    there = Browser(stage)
    there.sign_in(here.name)
    form = {"csrf": here.csrf(), "new": "four white elephants"}

    wrong = here.post("/account/password", **form, password="not this one")
    done = here.post("/account/password", **form, password=PASSWORD)

    assert (wrong.status_code, done.status_code) == (401, 303)
    assert here.get("/now").status_code == 200
    assert is_at_the_door(there.get("/now"))
    assert there.sign_in(here.name, "four white elephants").status_code == 303


def test_what_is_shown_is_escaped_and_the_trail_goes_on_behind_a_page(stage, signed_in):
    browser = signed_in()
    stage.rows("INSERT INTO audit_log (actor, action, target, after) SELECT 'eve', 'x.y', '<script>' || n,"
               " '{\"a\": \"<b>\"}' FROM generate_series(1, 60) n RETURNING 1")  # fmt: skip

    first = browser.get("/audit?actor=eve").text
    second = browser.get(re.search(r'rel="next" href="/dashboard([^"]+)"', first)[1].replace("&amp;", "&")).text

    assert (first.count("&lt;script&gt;"), second.count("&lt;script&gt;")) == (50, 10)
    assert "<script" not in first
    assert "<b>" not in first
    assert browser.get("/audit?before=x").status_code == browser.get("/audit?since=2026-02-30").status_code == 422
    assert browser.get("/audit?actor=%00").status_code == 200


def test_only_allowed_networks_see_that_there_is_a_dashboard(database_url, redis_url, tmp_path):
    known = {"dashboard_enabled": True, "dashboard_allowed_ips": ("192.0.2.0/24",), "trusted_proxies": 1}
    with staged(database_url, redis_url, tmp_path, **known) as stage:
        assert Browser(stage, "192.0.2.9").get("/sign-in").status_code == 200
        assert Browser(stage, "198.51.100.9").get("/sign-in").status_code == 404


def test_a_body_that_is_no_form_and_other_methods_are_refused(stage, signed_in):
    browser = signed_in()

    assert browser.post("/sign-out", x="y" * 20_000).status_code == 413
    assert stage.http.put("/dashboard/now").status_code == 405
    assert stage.http.options("/dashboard/now").status_code == 405
    assert browser.get("/sign-out").status_code == 405


def test_the_audit_log_refuses_to_be_changed(stage, operator):
    operator()
    for statement in ("UPDATE audit_log SET actor = 'nobody' RETURNING 1", "DELETE FROM audit_log RETURNING 1"):
        with pytest.raises(Exception, match="stays as it was written"):
            stage.rows(statement)


def test_operators_are_added_listed_and_never_shown_with_a_password(ringpost, stage):
    name = f"lin{next(_numbers)}"
    added = ringpost("operators", "add", name, "--role", "admin", answer=f"{PASSWORD}\n")
    again = ringpost("operators", "add", name, answer=f"{PASSWORD}\n")
    short = ringpost("operators", "add", f"{name}x", answer="short\n")
    listed = json.loads(ringpost("operators", "list", "--json").stdout)

    assert (added.exit_code, again.exit_code, short.exit_code) == (0, 1, 2)
    assert "12 characters" in short.stderr
    (mine,) = [row for row in listed if row["name"] == name]
    assert set(mine) == {"name", "role", "createdAt", "passwordSetAt", "seenAt", "disabledAt"}
    assert mine["role"] == "admin"
    assert [ringpost("operators", command, "nobody", *more, answer=PASSWORD).exit_code
            for command, more in (("role", ["viewer"]), ("password", []), ("disable", []))] == [1, 1, 1]  # fmt: skip


def test_the_audit_log_is_listed_by_who_what_and_when(ringpost, stage):
    name = f"joan{next(_numbers)}"
    ringpost("operators", "add", name, answer=f"{PASSWORD}\n", RINGPOST_ACTOR="  Lead \n on duty ")
    ringpost("operators", "role", name, "operator")

    rows = json.loads(ringpost("audit-log", "--target", name, "--json").stdout)
    asked = ["--action", "operator.add"], ["--action", "oper"], ["--since", "2999-01-01T00:00:00Z"]
    told = [ringpost("audit-log", "--target", name, *more, "--json").stdout for more in asked]

    assert [row["action"] for row in rows] == ["operator.role", "operator.add"]
    assert (rows[0]["before"], rows[0]["after"]) == ({"role": "viewer"}, {"role": "operator"})
    assert rows[1]["actor"].startswith("Lead on duty (")
    assert [len(json.loads(one)) for one in told] == [1, 0, 0]
    assert ringpost("audit-log", "--since", "yesterday").exit_code == 2
    assert name in ringpost("audit-log").stdout


@pytest.mark.parametrize("strange", ["\0", "\ud800", "%", "9" * 40], ids=ascii)
def test_strange_values_are_refused_and_no_fault_of_ours(stage, signed_in, strange):
    browser, nobody = signed_in(Role.ADMIN), Browser(stage, f"203.0.113.{next(_numbers) % 250}")
    token, raw = browser.csrf(), strange.encode(errors="surrogatepass")
    in_path = quote(raw, safe="")
    replies = [
        nobody.post("/sign-in", csrf=nobody.csrf("/sign-in"), name=raw, password=raw),
        nobody.post("/sign-in", csrf=raw, name="a", password="b"),
        browser.post("/operators", csrf=token, name=raw, role=raw, password=raw),
        browser.post(f"/operators/{in_path}/disable", csrf=token),
        browser.post(f"/lanes/{in_path}/pause", csrf=token),
        browser.post("/account/password", csrf=token, password=raw, new=raw * 12),
        *(browser.get(f"/audit?{name}={in_path}") for name in ("actor", "action", "since", "before")),
        browser.get("/now", Cookie=f"{COOKIE}={in_path}"),
    ]

    assert [reply.status_code for reply in replies if reply.status_code >= 500] == []
    assert {401, 403} == {reply.status_code for reply in replies[:2]}
