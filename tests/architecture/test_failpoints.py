"""Every failpoint is at one place of the code, in the file of its step, and costs nothing to read."""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest

from shared.failpoints import FAILPOINTS, NAMES
from tests.architecture.source import modules, nodes

#: Where the steps are; a name's first word is its step's.
FILES = {
    "accept": {"ingress/site.py", "ingress/make_call.py", "shared/db/queries/accept.py"},
    "ring": {"shared/jobs.py"},
    "webhook": {"shared/db/queries/inbox.py", "ingress/webhooks.py"},
    "spool": {"ingress/spool.py"},
    "dial": {"workers/place_calls.py", "shared/voice_api/client.py", "shared/db/queries/claim.py"},
    "reconcile": {"workers/reconcile_events.py"},
    "callback": {"workers/deliver_callbacks.py"},
    "sweep": {"workers/sweep.py"},
}


def places():
    """Each call of ``failpoints.hit``: its name, the file, and whether it is a statement of its own."""
    found = defaultdict(list)
    for module in modules("ingress", "workers", "shared"):
        alone = {id(node.value) for node in nodes(module) if isinstance(node, ast.Expr)}
        for node in nodes(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoints.hit":
                found[ast.literal_eval(node.args[0])].append((module, id(node) in alone))
    return found


PLACES = places()


def test_every_failpoint_that_the_code_passes_is_in_the_table():
    assert PLACES.keys() - set(NAMES) == set()


def test_no_name_is_given_twice():
    assert sorted(set(NAMES)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_failpoint_is_passed_at_one_place_in_a_file_of_its_step(name):
    ((module, stands_alone),) = PLACES[name]

    assert module in FILES[name.partition(".")[0]]
    assert stands_alone


def test_every_failpoint_says_what_has_happened_there():
    assert [one.name for one in FAILPOINTS if not (one.step and one.row and one.meaning)] == []


def test_nobody_imports_the_function_itself_as_it_may_be_another_one():
    by_name = {
        module
        for module in modules()
        for node in nodes(module)
        if isinstance(node, ast.ImportFrom) and node.module == "shared.failpoints"
        for alias in node.names
        if alias.name == "hit"
    }

    assert by_name == set()
