"""``deploy -> ingress, workers -> shared``, and files that decide do no I/O."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, imports, modules, nodes, tree

MAY_IMPORT = {
    "shared": {"shared"},
    "ingress": {"ingress", "shared"},
    "workers": {"workers", "shared"},
    "deploy": {"deploy", "ingress", "workers", "shared"},
}

PURE = [
    "ingress/admission.py",
    "ingress/learning.py",
    "ingress/suspicion.py",
    "shared/alarms.py",
    "shared/backlog.py",
    "shared/callback.py",
    "shared/errors.py",
    "shared/languages.py",
    "shared/lifecycle.py",
    "shared/log_evidence.py",
    "shared/matching.py",
    "shared/numbering.py",
    "shared/pacing.py",
    "shared/phone.py",
    "shared/reasons.py",
    "shared/retry_policy.py",
    "shared/sending_rules.py",
    "shared/speech.py",
    "shared/spelling.py",
    "shared/stops.py",
    "shared/times.py",
    "shared/verdict.py",
    "shared/voices.py",
    "shared/voice_api/call_log.py",
    "shared/voice_api/callflow.py",
    "shared/voice_api/code_labels.py",
    "shared/voice_api/codes.py",
    "shared/voice_api/events.py",
    "shared/voice_api/fields.py",
    "shared/voice_api/pretence.py",
    "deploy/chaos/cases.py",
    "deploy/chaos/checker.py",
    "deploy/chaos/records.py",
    "deploy/chaos/verdict.py",
    "deploy/simulator/call.py",
    "deploy/simulator/codes.py",
    "deploy/simulator/drift.py",
    "deploy/simulator/exports.py",
    "deploy/simulator/faults.py",
    "deploy/simulator/outcomes.py",
    "deploy/simulator/payloads.py",
    "deploy/simulator/phone.py",
    "deploy/simulator/shapes.py",
    "deploy/simulator/validation.py",
    "deploy/simulator/voices.py",
]
IMPURE_MODULES = {
    "aiohttp",
    "dramatiq",
    "flask",
    "http",
    "os",
    "psycopg2",
    "random",
    "redis",
    "requests",
    "secrets",
    "socket",
    "sqlalchemy",
    "subprocess",
    "threading",
    "time",
    "urllib3",
}
#: What is due and whose lease has ended, PostgreSQL's clock decides. These ask their machine's for something else.
MACHINE_CLOCK = {
    "ingress/docs/snippets/verify.py",  # a provider's, not ours
    "ingress/forecast.py",  # what it learnt is PostgreSQL's by the difference of the two clocks
    "ingress/intake.py",  # by default; the site gives it the forecast's
    "ingress/trials.py",  # when a signature was made
    "shared/failpoints.py",  # the drills' own notes
    "shared/spans.py",  # when a span began and ended, as other machines tell theirs
    "shared/vitals.py",  # the difference of the two clocks
    "workers/deliver_callbacks.py",  # when a signature was made; a wait is a difference
    "workers/sweep.py",  # the difference of the two clocks
}
IMPURE_CALLS = {"datetime.now", "datetime.utcnow", "date.today", "time.sleep", "uuid.uuid4", "open", "print"}


def test_imports_point_inwards_only():
    arrows = {
        (module, name)
        for module in modules()
        for name in imports(module)
        if (package := name.partition(".")[0]) in MAY_IMPORT and package not in MAY_IMPORT[module.partition("/")[0]]
    }

    assert arrows == set()


def test_the_product_imports_no_tests():
    assert _importers_of({"tests", "pytest", "hypothesis", "fakeredis"}, modules()) == set()


def test_flask_is_known_to_the_ingress_only():
    assert _importers_of({"flask", "werkzeug"}, modules("workers", "shared")) == set()


def test_one_file_knows_opentelemetry_and_only_a_process_that_traces_imports_it():
    at_the_top = {
        module
        for module in modules()
        for node in tree(module).body
        if isinstance(node, ast.ImportFrom) and node.module == "shared.spans"
    }

    assert _importers_of({"opentelemetry"}, modules()) == {"shared/spans.py"}
    assert at_the_top == set()


def test_only_the_bindings_and_the_wiring_of_the_workers_know_dramatiq():
    assert _importers_of({"dramatiq"}, modules("workers")) == {"workers/actors.py", "workers/main.py"}


def test_the_list_of_pure_files_names_files_that_exist():
    assert [module for module in PURE if not (ROOT / module).is_file()] == []


@pytest.mark.parametrize("module", PURE)
def test_a_pure_file_imports_no_input_or_output(module):
    assert {name.partition(".")[0] for name in imports(module)} & IMPURE_MODULES == set()


@pytest.mark.parametrize("module", PURE)
def test_a_pure_file_imports_none_of_our_files_that_are_not_pure(module):
    pure = {Path(name).with_suffix("").as_posix().replace("/", ".") for name in PURE}
    files = {name.replace("/", ".").removesuffix(".py") for name in modules()}

    assert {name for name in imports(module) if name in files} <= pure


@pytest.mark.parametrize("module", PURE)
def test_a_pure_file_asks_no_clock_and_no_chance(module):
    called = {ast.unparse(node.func) for node in nodes(module) if isinstance(node, ast.Call)}

    assert called & IMPURE_CALLS == set()


def test_no_other_file_asks_the_clock_of_its_machine():
    names = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}
    asking = {
        module
        for module in modules("ingress", "workers", "shared")
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in names
    }

    assert asking == MACHINE_CLOCK


def _importers_of(packages, among):
    return {module for module in among if {name.partition(".")[0] for name in imports(module)} & packages}
