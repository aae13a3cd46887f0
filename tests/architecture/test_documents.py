"""The documents say what the code does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from deploy import doc_tables, procfile
from deploy.cli import main
from ingress.call_request import CallRequest
from ingress.problems import CODES
from shared.lifecycle import Status
from shared.settings import Settings
from tests.architecture.source import ROOT, published_files

README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()

#: Not to be read in anything that is published: folders of one machine, and work put off.
PRIVATE_FOLDERS = re.compile(r"(?<![\w.$}/])/(home|Users|root|work)/\w")
TEMPORARY_FOLDERS = re.compile(r"(?<![\w.$}/])/tmp/\w")
PUT_OFF = re.compile("TO" + "DO|FIX" + "ME|X" + "XX")


@pytest.mark.parametrize("path", doc_tables.documents(), ids=lambda path: path.name)
def test_what_a_document_shows_of_the_code_is_current(path):
    text = path.read_text()

    assert doc_tables.render(text) == text, "run: python -m deploy.doc_tables"


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_is_in_the_readme_and_in_the_example(name):
    assert f"| `{name}` |" in README
    assert re.search(rf"(?m)^#?{name}=", (ROOT / ".env.example").read_text())


@pytest.mark.parametrize("status", Status)
def test_every_status_is_in_the_readme(status):
    assert f"`{status}`" in README


def test_every_member_of_a_request_is_in_the_readme():
    members = [field.alias or name for name, field in CallRequest.model_fields.items()]

    assert [member for member in members if f"`{member}`" not in README] == []


def test_every_error_of_a_sound_request_is_in_the_readme():
    told_by_their_http_status = {
        "invalid_json", "unauthorized", "not_found", "method_not_allowed", "body_too_large", "unsupported_media_type",
        "internal_error",
    }  # fmt: skip

    assert [code for code in CODES.keys() - told_by_their_http_status if f"`{code}`" not in README] == []


def test_every_command_that_a_document_names_exists():
    named = re.findall(
        r"ringpost ((?:[a-z]+(?:-[a-z]+)* ?)+)", " ".join(re.findall(r"`ringpost [^`]+`|bin/ringpost .+", README))
    )

    assert named
    for words in named:
        _find(main, shlex.split(words))


def test_every_role_is_in_the_readme():
    roles = procfile.parse_procfile((ROOT / "Procfile").read_text())

    assert [role for role in roles if f"`{role}`" not in README] == []


def test_every_test_that_the_architecture_names_exists():
    named = set(re.findall(r"`(test_\w+)`", ARCHITECTURE))
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    written = {name for text in texts for name in re.findall(r"(?m)^def (test_\w+)", text)}

    assert named
    assert named - written == set()


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_every_link_inside_the_project_leads_somewhere(document):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / document).read_text())

    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_file_that_the_architecture_names_exists():
    named = re.findall(r"`((?:ingress|workers|shared|deploy|tests)/[\w/]+(?:\.py)?)`", ARCHITECTURE)

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_architecture_has_at_most_200_lines():
    assert len(ARCHITECTURE.splitlines()) <= 200


def test_no_decision_takes_more_than_five_lines():
    decisions = re.findall(r"(?ms)^\d+\. \*\*.*?(?=^\d+\. |\Z)", ARCHITECTURE)

    assert [text.splitlines()[0] for text in decisions if len(text.strip().splitlines()) > 5] == []


def test_no_published_file_names_a_folder_of_one_machine():
    assert _files_with(PRIVATE_FOLDERS) == []


def test_no_file_outside_the_tests_names_a_temporary_folder():
    assert [name for name in _files_with(TEMPORARY_FOLDERS) if not name.startswith("tests/")] == []


def test_no_published_file_puts_work_off():
    assert _files_with(PUT_OFF) == []


def _find(command: click.Command, words: list[str]) -> None:
    for word in words:
        if not isinstance(command, click.Group):
            return
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"there is no command {word!r}"
        command = found


def _files_with(pattern: re.Pattern[str]) -> list[str]:
    here = Path(__file__)
    texts = {path: path.read_bytes().decode("utf-8", "replace") for path in published_files() if path != here}
    return sorted(path.relative_to(ROOT).as_posix() for path, text in texts.items() if pattern.search(text))
