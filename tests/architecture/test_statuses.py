"""What a status means is decided in one place, and SQL is written in one place."""

from __future__ import annotations

import ast
import re

from shared.lifecycle import Status
from tests.architecture.source import modules, nodes, tree

#: Files that may compare statuses: the table, the verdicts, and the statements.
DECIDES = ("shared/lifecycle.py", "shared/verdict.py", "shared/matching.py", "shared/db/")
#: The simulator has 8x8's statuses, not ours; the demonstration reads ours as a provider would.
SPEAKS_FOR_OTHERS = ("deploy/simulator/", "deploy/demo/")

PRODUCT = [module for module in modules() if not module.startswith((*DECIDES, *SPEAKS_FOR_OTHERS))]
STATEMENT = re.compile(r"\b(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+(\w+\s+)?SET\s|DELETE\s+FROM\s)")
STATUS_IN_SQL = re.compile(r"\bstatus\s*(=|<>|!=|IN\b|NOT\s+IN\b)\s*\(?\s*'")


def test_no_other_file_compares_a_message_with_a_status():
    compared = [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module in PRODUCT
        for node in nodes(module)
        if isinstance(node, ast.Compare) and any(_names_a_status(side) for side in (node.left, *node.comparators))
    ]

    assert compared == [], "name the group of statuses in shared/lifecycle.py and ask that"


def test_no_other_file_matches_on_a_status():
    matched = [
        f"{module}:{node.lineno}"
        for module in PRODUCT
        for node in nodes(module)
        if isinstance(node, ast.MatchValue) and _names_a_status(node)
    ]

    assert matched == []


def test_sql_is_written_in_shared_db_only():
    inside = [module for module in modules("ingress", "workers", "shared") if not module.startswith("shared/db/")]

    assert [(module, text) for module in inside for text in _strings(module) if STATEMENT.search(text)] == []


def test_no_statement_of_an_operators_tool_knows_a_status():
    tools = modules("deploy")

    assert [(module, text) for module in tools for text in _strings(module) if STATUS_IN_SQL.search(text)] == []


def _names_a_status(node: ast.AST) -> bool:
    """Whether *node* is, or holds, ``Status.X``."""
    return any(
        isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == "Status"
        and part.attr in Status.__members__
        for part in ast.walk(node)
    )


def _strings(module: str) -> list[str]:
    """Every string of the module that is no docstring."""
    inside = tree(module)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(inside)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    constants = [node for node in ast.walk(inside) if isinstance(node, ast.Constant) and id(node) not in prose]
    return [node.value for node in constants if isinstance(node.value, str)]
