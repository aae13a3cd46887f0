"""The documents in a real browser: whole at every width, in both colour schemes, for everybody."""

import pytest

from ingress.docs import pages
from tests.integration.browser_stage import LONG, LOOKS, NARROW, NEEDS_CHROMIUM, browsing, faults, opened, serving
from tests.integration.ingress_stage import staged

pytestmark = [NEEDS_CHROMIUM, LONG]


@pytest.fixture(scope="module")
def url(database_url, redis_url, tmp_path_factory):
    with (
        staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage,
        serving(stage.http.application) as url,
    ):
        yield f"{url}/docs"


@pytest.fixture(scope="module")
def chromium():
    with browsing() as browser:
        yield browser


@pytest.mark.parametrize("look", LOOKS)
def test_pages_fit_and_can_be_read_by_everybody(url, chromium, look):
    found = {}
    with opened(chromium, bypass_csp=True, **look) as page:
        for name in pages.PAGES:
            page.goto(f"{url}/{name}".rstrip("/"))
            if fault := faults(page):
                found[name] = fault

    assert found == {}


def test_the_policy_refuses_nothing_of_ours_and_every_picture_is_drawn(url, chromium):
    with opened(chromium, viewport=NARROW) as page:
        for name in pages.PAGES:
            page.goto(f"{url}/{name}".rstrip("/"))
            page.wait_for_load_state("load")
            drawn = page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            assert drawn, name

        assert page.complaints == []


def test_every_page_leads_to_every_other_and_each_link_inside_to_its_place(url, chromium):
    with opened(chromium) as page:
        for name in pages.PAGES:
            page.goto(f"{url}/{name}".rstrip("/"))
            broken = page.evaluate(
                "[...document.querySelectorAll('a[href^=\"#\"]')].map(link => link.hash.slice(1))"
                ".filter(id => !document.getElementById(id))"
            )
            assert broken == [], name
            linked = page.evaluate("[...document.querySelectorAll('nav a')].map(link => link.pathname)")
            assert {f"/docs/{other}".rstrip("/") for other in pages.PAGES} <= set(linked)
