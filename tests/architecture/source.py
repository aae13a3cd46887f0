"""The project's own source, as syntax trees, for the tests that hold its shape."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingress", "workers", "shared", "deploy")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules(*packages: str) -> tuple[str, ...]:
    """Paths of the packages' modules, relative to the project; migrations are history and stay as they are."""
    paths = sorted(path for package in packages or PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(path.relative_to(ROOT).as_posix() for path in paths if "migrations" not in path.parts)


@cache
def tree(module: str) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse((ROOT / module).read_text(), module)


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    """Every node of the tree; walking it takes longer than reading it."""
    return tuple(ast.walk(tree(module)))


@cache
def imports(module: str) -> frozenset[str]:
    """Every module that *module* imports, at its top or inside a function, dotted."""
    found: set[str] = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def functions(module: str) -> Iterator[tuple[str, Function]]:
    """Every function and method of the module with its name, nested ones too."""
    for node in nodes(module):
        if isinstance(node, Function):
            yield node.name, node


def lines_without_docstring(function: Function) -> int:
    """How many lines the function takes, decorators and docstring left out."""
    assert function.end_lineno is not None
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        length -= docstring.end_lineno - docstring.lineno + 1
    return length


def parameters(function: Function) -> int:
    """How many parameters a caller may give."""
    known = function.args
    every = [*known.posonlyargs, *known.args, *known.kwonlyargs, known.vararg, known.kwarg]
    names = [argument.arg for argument in every if argument is not None]
    return len([name for name in names if name not in ("self", "cls")])


def published_files() -> list[Path]:
    """Every text file that git keeps, or would keep."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]
