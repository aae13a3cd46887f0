"""What the dashboard serves besides its own: the files of others, as they were published, with their licences."""

import hashlib
import re
from pathlib import Path

import ingress.dashboard

STATIC = Path(ingress.dashboard.__file__).parent / "static"
#: Of the files of the npm packages htmx.org 4.0.1 and uplot 1.6.32.
PUBLISHED = {
    "htmx-4.0.1.LICENSE": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
    "htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "uPlot-1.6.32.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uPlot-1.6.32.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def test_the_files_of_others_are_as_they_were_published():
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (STATIC / "vendor").iterdir()}

    assert found == PUBLISHED
    for name in PUBLISHED:
        assert f"{name.split('.min')[0].split('.iife')[0].removesuffix('.LICENSE')}.LICENSE" in PUBLISHED


def test_pages_name_no_other_host_and_have_no_code_of_their_own():
    for template in (STATIC.parent / "templates").glob("*.html"):
        text = template.read_text()
        assert not re.search(r"https?://", text), template.name
        assert not re.search(r"<script(?! defer src=)|<style|\sstyle=|\son\w+=|hx-on|\bjs:", text), template.name
