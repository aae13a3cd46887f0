"""Files and functions stay small enough to be read at one go."""

from __future__ import annotations

from tests.architecture.source import ROOT, functions, lines_without_docstring, modules, parameters

FILE_LINES = 300
FUNCTION_LINES = 40
PARAMETERS = 6


def test_no_file_has_more_than_300_lines():
    sizes = {module: len((ROOT / module).read_text().splitlines()) for module in modules()}

    assert {module: size for module, size in sizes.items() if size > FILE_LINES} == {}


def test_no_function_has_more_than_40_lines_without_its_docstring():
    sizes = {
        f"{module}: {name}": lines_without_docstring(node) for module in modules() for name, node in functions(module)
    }

    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_no_function_has_more_than_6_parameters():
    counts = {f"{module}: {name}": parameters(node) for module in modules() for name, node in functions(module)}

    assert {name: count for name, count in counts.items() if count > PARAMETERS} == {}
