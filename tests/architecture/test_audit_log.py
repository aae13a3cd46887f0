"""Whatever is noted in the audit log tells what was before, unless there was nothing."""

from __future__ import annotations

import ast
import re

from tests.architecture.source import ROOT, modules, nodes

#: What begins something, or changes nothing.
BEGINNINGS = {
    "provider.create", "key.create", "suppression.add", "operator.add", "operator.sign_in", "operator.sign_in_failed",
    "endpoint.create",
}  # fmt: skip
WRITER = "shared/db/queries/audit_log.py"


def noted():
    """Module, action and the names of the arguments of each call that notes a change."""
    for module in modules("deploy", "ingress", "shared"):
        if not re.search(r"audit_log\.note\(|import .*\bnote\b|^    note,$", (ROOT / module).read_text(), re.MULTILINE):
            continue
        for node in nodes(module):
            if isinstance(node, ast.Call) and (place := _place(node.func)) is not None:
                action = node.args[place]
                text = action.value if isinstance(action, ast.Constant) else ast.unparse(action)
                yield module, text, {keyword.arg for keyword in node.keywords}


def _place(called):
    """Where the action stands among the arguments; None for another function."""
    if isinstance(called, ast.Name):
        return 1 if called.id == "note" else None
    is_ours = isinstance(called, ast.Attribute) and called.attr == "note" and ast.unparse(called.value) == "audit_log"
    return 2 if is_ours else None


def test_every_change_is_noted_with_what_was_before():
    calls = [one for one in noted() if one[1] != "action" or "console" not in one[0]]  # which only passes it on
    begun = {action for _, action, _ in calls} & BEGINNINGS

    assert len(calls) > 20
    assert begun == BEGINNINGS
    # None: both by **.
    assert [one for one in calls if one[1] not in BEGINNINGS and not one[2] & {"before", None}] == []


def test_one_function_writes_the_audit_log():
    texts = {module: (ROOT / module).read_text() for module in modules("deploy", "ingress", "shared", "workers")}

    assert {module for module, text in texts.items() if re.search("(INTO|UPDATE|FROM) audit_log", text)} == {WRITER}
