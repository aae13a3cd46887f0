"""The documents that are served: whole, true to the code, and needing nothing from elsewhere."""

import html
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from ingress.docs import diagram, pages, reference
from ingress.docs.errors import ADVICE
from ingress.openapi.operations import OPERATIONS
from ingress.problems import CODES
from shared.lifecycle import FINALS, IN_FLIGHT, TRANSITIONS, Status
from shared.reasons import MEANINGS
from tests.architecture.source import ROOT
from tests.integration.ingress_stage import is_problem, staged

VOID = {"meta", "link", "img", "br"}
READ = list(pages.PAGES)


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.open, self.names = [], [], [], [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        told = dict(attrs)
        self.names |= set(told)
        if "id" in told:
            self.ids.append(told["id"])
        self.links += [told[name] for name in ("href", "src") if name in told]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(name):
    return Page(pages.file(name)[0].decode())


def path_of(name):
    return f"/docs/{name}" if name else "/docs"


@pytest.mark.parametrize("name", READ)
def test_a_page_is_open_to_all_and_brings_nothing_from_elsewhere(stage, name):
    reply = stage.http.get(path_of(name))

    policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
    assert (reply.status_code, reply.content_type) == (200, "text/html; charset=utf-8")
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == policy["img-src"] == "'self'"
    assert "unsafe" not in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    told = page(name)
    assert told.open == []
    assert not {"script", "style"} & set(told.tags)
    assert not {one for one in told.names if one == "style" or one.startswith("on")}
    assert [link for link in told.links if not link.startswith(("/", "#"))] == []


@pytest.mark.parametrize("name", READ)
def test_every_link_leads_to_a_page_and_a_part_of_it_that_are_there(stage, name):
    parts = {}
    for link in page(name).links:
        path, _, part = link.partition("#")
        parts.setdefault(path or path_of(name), set()).add(part)

    for path, wanted in parts.items():
        reply = stage.http.get(path)
        assert reply.status_code == 200, path
        if wanted := wanted - {""}:
            assert wanted <= set(Page(reply.text).ids), path


@pytest.mark.parametrize("name", READ)
def test_a_page_has_one_heading_of_the_first_order_and_no_id_twice(name):
    told = page(name)

    assert told.tags.count("h1") == 1
    assert len(told.ids) == len(set(told.ids))
    assert told.tags.count("title") == told.tags.count("main") == told.tags.count("nav") == 1


@pytest.mark.parametrize(
    "name", ["x", "..", "..%2Fpages.py", "index.html", "style.css%00", "templates", "verify", "x" * 5000]
)
def test_there_is_nothing_else(stage, name):
    assert is_problem(stage.http.get(f"/docs/{name}"), 404, "not_found")


def test_only_known_names_are_remembered(stage):
    before = pages._made.cache_info().currsize
    for number in range(50):
        stage.http.get(f"/docs/none{number}")

    assert pages._made.cache_info().currsize == before


def test_a_file_is_served_as_what_it_is(stage):
    kinds = {
        "style.css": "text/css",
        "statuses.svg": "image/svg+xml",
        "verify.py": "text/plain",
        "send.php": "text/plain",
    }

    assert {name: stage.http.get(f"/docs/{name}").mimetype for name in kinds} == kinds
    assert "url(" not in stage.http.get("/docs/style.css").text
    assert is_problem(stage.http.post("/docs", json={}), 405, "method_not_allowed")


@pytest.mark.parametrize("code", CODES)
def test_every_error_has_its_place_where_its_type_points_to(stage, code):
    told = page("errors")

    assert code in told.ids
    assert all(sentence.endswith(".") for sentence in ADVICE[code])


def test_the_catalogue_has_no_error_that_there_is_not():
    assert set(ADVICE) == set(CODES)


def test_the_type_of_an_error_leads_to_the_catalogue(stage):
    path, _, part = stage.http.get("/v1/limits").get_json()["type"].partition("#")

    assert part in Page(stage.http.get(path).text).ids


def test_every_status_reason_and_move_is_shown():
    text = pages.file("statuses")[0].decode()

    assert set(pages.MEANT) == set(Status)
    assert [
        one
        for one in (*Status, *MEANINGS, *(event.value for event in TRANSITIONS))
        if f"<code>{one}</code>" not in text
    ] == []


def test_the_drawing_shows_every_move():
    shown = {(source, led_to) for (source, _), targets in diagram.moves().items() for led_to in targets}
    real = {(source, step.target) for step in TRANSITIONS.values() for source in step.sources}
    spread = {(one, target) for source, target in shown for one in (IN_FLIGHT if source == "call" else {source})}

    assert real <= spread
    # Drawn from the frame is only what each status in it does, directly or as one of its kind.
    common = {step.target for step in TRANSITIONS.values() if step.sources >= IN_FLIGHT}
    assert {pair for pair in spread - real if pair[0] not in IN_FLIGHT or pair[1] not in common} == set()
    assert {target for _, target in shown} >= FINALS


def test_the_drawing_is_sound_and_names_every_status():
    root = ET.fromstring(diagram.svg())
    texts = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}

    assert set(Status) <= texts
    assert "http" not in re.sub("http://www.w3.org/2000/svg", "", diagram.svg())
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == len(diagram.moves()) + 1


def test_every_route_and_model_is_in_the_reference():
    ids, text = page("reference").ids, pages.file("reference")[0].decode()

    assert [one.name for one in OPERATIONS if one.name not in ids] == []
    assert [name for name in reference.models() if f"model-{name}" not in ids] == []
    assert "GET /v1/limits" in text


@pytest.mark.parametrize("snippet", [*pages.VERIFIERS, *pages.SENDERS], ids=lambda one: one.name)
def test_every_snippet_is_shown_as_it_is(stage, snippet):
    kept = (ROOT / "ingress" / "docs" / "snippets" / snippet.name).read_text()

    assert stage.http.get(f"/docs/{snippet.name}").text == kept
    shown = html.unescape(stage.http.get("/docs/callbacks").text + stage.http.get("/docs/examples").text)
    assert kept.strip() in shown


@pytest.mark.parametrize("name", READ)
def test_what_a_page_tells_to_send_is_taken(stage, name):
    shown = html.unescape(re.sub("<[^>]+>", "", pages.file(name)[0].decode())).replace("\\\n", " ")

    for path, body in re.findall(r"""curl -s -u "\$KEY" "\$RINGPOST([^"]+)"(?:[^\n]*-d '([^']+)')?""", shown):
        headers = stage.customer.headers | {"Content-Type": "application/json"}
        at_once = path.replace("&wait=25", "")  # nothing has happened yet
        reply = stage.http.open(at_once, method="POST" if body else "GET", data=body, headers=headers)
        assert reply.status_code in (200, 201), (path, reply.text)


def test_the_pages_tell_to_send_something():
    assert [name for name in READ if b"curl -s" in pages.file(name)[0]] == ["", "otp", "callbacks", "testing"]


def test_the_numbers_of_test_keys_are_those_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    told = set(re.findall(r"\b00[0-9]{2}\b", pages.file("testing")[0].decode()))

    table = readme[readme.index("| number ends in |") : readme.index("| anything else |")]
    assert told == set(re.findall(r"\b00[0-9]{2}\b", table))
