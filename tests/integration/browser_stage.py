"""A real browser in front of an ingress: what tests of pages that people see stand on."""

import os
import shutil
import threading
from contextlib import contextmanager

import pytest
from werkzeug.serving import make_server

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
#: Of a small phone, in CSS pixels.
NARROW = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 900}
#: Width decides what fits, the scheme what can be read: two looks show both of each. ``RINGPOST_LOOKS=all``: all four.
_ALL = os.environ.get("RINGPOST_LOOKS") == "all"
LONG = pytest.mark.skipif(not _ALL, reason="RINGPOST_LOOKS=all: takes a minute and more")
LOOKS = [
    pytest.param({"viewport": viewport, "color_scheme": scheme}, id=f"{name}-{scheme}")
    for name, viewport in (("wide", WIDE), ("narrow", NARROW))
    for scheme in ("light", "dark")
    if _ALL or (name, scheme) in (("wide", "light"), ("narrow", "dark"))
]


@contextmanager
def serving(app):
    """The URL at which *app* answers."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@contextmanager
def browsing():
    """Debian's Chromium, or whichever is installed."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(chromium, **options):
    """A page whose complaints are kept."""
    with chromium.new_context(**options) as context:
        page = context.new_page()
        page.complaints = []
        page.on(
            "console", lambda said: page.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page


def faults(page):
    """How many pixels the page is too wide, and what axe-core finds serious or worse."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    too_wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]][:3])
        for one in axe.run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    return (max(0, too_wide), serious) if too_wide > 0 or serious else None
