"""The dashboard in a real browser: nothing is refused by its own policy, and everybody can use it."""

import pytest

from shared import passwords
from shared.db.queries import figures, operators, processes
from shared.db.queries.operators import NewOperator
from shared.db.queries.processes import Process
from shared.ids import new_id
from shared.operators import Role
from tests.integration.browser_stage import (
    LONG,
    LOOKS,
    NARROW,
    NEEDS_CHROMIUM,
    WIDE,
    browsing,
    faults,
    opened,
    playwright,
    serving,
)
from tests.integration.dashboard_stage import CHEAP, PASSWORD, change, parked_callback
from tests.integration.ingress_stage import staged, submit

pytestmark = NEEDS_CHROMIUM
PAGES = (
    "now", "messages", "messages?q=none", "callbacks", "queues", "parked", "traffic", "providers", "senders", "audit",
    "settings", "operators", "account",
)  # fmt: skip


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", CHEAP)
        with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), dashboard_enabled=True) as stage:
            _fill(stage)
            yield stage


def _fill(stage):
    database = stage.services.database
    stage.message_id = submit(stage, stage.customer)
    parked_callback(stage, submit(stage, stage.customer), stage.customer.endpoint_id)
    process = Process("proc_1", "place_calls.otp", "a-host-with-a-long-name.example", 42, "1.2.3", 50_000_000)
    database.run(lambda c: processes.beat(c, process), alone=True)
    change(
        stage, "INSERT INTO webhook_inbox (dedupe_key, body, processed_at, result) VALUES ('k', '', now(), 'parked')"
    )
    for minute in range(3):
        figure = {
            "waiting_messages": {"otp": minute},
            "oldest_waiting_s": {"otp": 1.5},
            "dials": 10 * minute,
            "in_flight": 2,
        }
        database.run(lambda c, figure=figure: figures.keep(c, figure), alone=True)
        change(stage, "UPDATE figures SET at = at - interval '1 minute'")
    name = "ada"
    new = NewOperator(new_id("op"), name, Role.ADMIN, passwords.hashed(PASSWORD))
    database.run(lambda c: operators.add(c, new, actor="tests"))


@pytest.fixture(scope="module")
def url(stage):
    with serving(stage.http.application) as url:
        yield f"{url}/dashboard"


@pytest.fixture(scope="module")
def chromium():
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def session(chromium, url):
    """The cookie of somebody who has signed in."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{url}/sign-in")
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/now")
        return context.storage_state()


def paths(stage):
    return *PAGES, f"messages/{stage.message_id}", f"callbacks/{stage.customer.endpoint_id}"


@pytest.mark.parametrize("look", LOOKS)
def test_pages_fit_and_can_be_read_by_everybody(stage, url, chromium, session, look):
    found = {}
    with opened(chromium, storage_state=session, bypass_csp=True, **look) as page:
        for path in paths(stage):
            page.goto(f"{url}/{path}")
            if fault := faults(page):
                found[path] = fault

    assert found == {}


def test_the_policy_refuses_nothing_of_ours_and_charts_are_drawn(stage, url, chromium, session):
    with opened(chromium, storage_state=session, viewport=WIDE) as page:
        for path in paths(stage):
            page.goto(f"{url}/{path}")
            page.wait_for_load_state("load")
            if path == "now":
                page.wait_for_selector(".chart canvas")
                assert page.locator(".chart canvas").count() == 6

        assert page.complaints == []


@LONG
def test_every_link_button_and_field_is_reached_by_the_keyboard_alone(stage, url, chromium, session):
    reach = "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex]')]"
    seen = f"{reach}.filter(one => one.checkVisibility() && !one.hidden)"
    with opened(chromium, storage_state=session, viewport=NARROW) as page:
        for path in paths(stage):
            page.goto(f"{url}/{path}")
            page.evaluate("window.reached = new Set()")
            wanted = page.evaluate(f"{seen}.length")
            # Each part of a date is a stop of its own.
            parts = page.locator("input[type^=date]").count() * 8
            for _ in range(wanted + parts + 5):
                page.keyboard.press("Tab")
                page.evaluate("reached.add(document.activeElement)")
            left = page.evaluate(f"{seen}.filter(one => !reached.has(one)).map(one => one.outerHTML.slice(0, 90))")
            assert left == [], path


def test_now_looks_again_by_itself_and_keeps_what_is_focused(stage, url, chromium, session):
    with opened(chromium, storage_state=session, viewport=WIDE) as page:
        page.clock.install()
        page.goto(f"{url}/now")
        button = page.get_by_role("button", name="Pause alert")
        button.focus()
        before = page.locator("#live").inner_text()
        submit(stage, stage.customer)
        with page.expect_response("**/now*"):
            page.clock.run_for(6000)
        playwright.expect(page.locator("#live")).not_to_have_text(before)

        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Pause alert"


@pytest.mark.parametrize("with_script", [True, False])
def test_what_operators_do_works_with_and_without_javascript(stage, url, chromium, session, with_script):
    with opened(chromium, storage_state=session, viewport=WIDE, java_script_enabled=with_script) as page:
        page.goto(f"{url}/now")
        page.get_by_role("button", name="Pause notification").click()
        page.get_by_role("button", name="Resume notification").click()
        id_ = submit(stage, stage.customer)
        page.goto(f"{url}/messages")
        page.get_by_label("Id, messageId or call session").fill(id_)
        page.get_by_role("button", name="Find").click()
        page.get_by_role("button", name="Cancel this message").click()
        assert page.locator(".lead strong").inner_text() == "canceled"
        page.goto(f"{url}/traffic")
        page.locator("select[name=scope]").select_option("country")
        page.get_by_label("Which").fill("FR")
        page.get_by_label("Why").fill("a drill")
        page.get_by_role("button", name="Show what it would cost").click()
        page.get_by_role("button", name="Stop country FR").click()
        page.get_by_role("button", name="Call country FR again").click()
        assert page.get_by_role("button", name="Call country FR again").count() == 0
