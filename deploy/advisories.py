"""
``python -m deploy.advisories < report.json``: what pip-audit found, a line each.

Exit codes: 0 nothing is known against any package, 1 something is, 2 some packages could not be looked up. pip-audit's
own exit code does not tell the last two apart.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

NOTHING: Final = 0
WEAK: Final = 1
UNKNOWN: Final = 2


def judge(report: dict[str, Any]) -> tuple[int, list[str]]:
    """
    The exit code and the lines for a report in pip-audit's JSON.

    Of its members ``dependencies`` counts: name, version, and vulns (id, aliases, fix_versions) or skip_reason.
    """
    packages = report["dependencies"]
    weak = [
        f"{package['name']} {package['version']}: {weakness['id']}"
        f" ({', '.join(weakness.get('aliases', ())) or 'no other name'}),"
        f" mended in {', '.join(weakness['fix_versions']) or 'no version yet'}"
        for package in packages
        for weakness in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    lines = weak + ([f"not looked up: {', '.join(unknown)}"] if unknown else [])
    if weak:
        return WEAK, lines
    if unknown or not packages:
        return UNKNOWN, lines or ["no package was looked up"]
    return NOTHING, [f"nothing is known against {len(packages)} packages"]


if __name__ == "__main__":
    try:
        code, found = judge(json.load(sys.stdin))
    except (ValueError, LookupError, TypeError) as error:
        code, found = UNKNOWN, [f"the report cannot be read: {error!r}"]
    print("\n".join(found))
    sys.exit(code)
