"""As much of PromQL as our rules and panels are written in: what an expression asks, or why it is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?x)\s*(?:
    (?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*(?![\w.]))
  | (?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?(?![\w.]))
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<name>[a-zA-Z_:][\w:]*)
  | (?P<mark>==|!=|<=|>=|=~|!~|[-+*/%^<>=(){}\[\],])
)"""
)
AGGREGATIONS = {"sum", "max", "min", "avg", "count"}
#: Functions, and what each argument is: a number, an instant vector or a range vector.
FUNCTIONS = {
    "rate": ("range",),
    "increase": ("range",),
    "avg_over_time": ("range",),
    "histogram_quantile": ("number", "vector"),
    "absent": ("vector",),
}
SETS = {"and", "or", "unless"}
OPERATORS = {"==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^"} | SETS
#: What each scrape adds to a sample.
SCRAPED = frozenset({"instance", "job", "pod"})


class Malformed(Exception):
    """No expression."""


@dataclass(frozen=True)
class Selector:
    """A metric that is asked for, with the labels that must match."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


class Expression:
    """One parsed: ``selectors`` that it reads, ``groupings`` with the selectors below each, ``labels`` it ends with."""

    def __init__(self, text):
        self.selectors = []
        self.groupings = []
        self._tokens = list(_tokens(text))
        self._place = 0
        self._expression()
        if self._kind() is not None:
            raise Malformed(f"{self._tokens[self._place :]} in {text}")

    def _kind(self):
        return self._tokens[self._place][0] if self._place < len(self._tokens) else None

    def _peek(self):
        return self._tokens[self._place][1] if self._place < len(self._tokens) else None

    def _take(self, *wanted, kind=None):
        found = self._peek()
        if found is None or (wanted and found not in wanted) or (kind and self._kind() != kind):
            raise Malformed(f"{found!r} where {wanted or kind} belongs")
        self._place += 1
        return found

    def _expression(self):
        kind = self._operand()
        while self._peek() in OPERATORS:
            operator = self._take()
            right = self._operand()
            if "range" in (kind, right) or (operator in SETS and {kind, right} != {"vector"}):
                raise Malformed(f"{kind} {operator} {right}")
            kind = "vector" if "vector" in (kind, right) else "number"
        return kind

    def _operand(self):
        if self._kind() == "number":
            self._take()
            return "number"
        if self._peek() == "(":
            self._take()
            kind = self._expression()
            self._take(")")
            return kind
        name = self._take(kind="name")
        if name in AGGREGATIONS:
            return self._aggregation()
        if name in FUNCTIONS:
            return self._call(name)
        return self._selector(name)

    def _aggregation(self):
        grouping, labels = None, ()
        if self._peek() in ("by", "without"):
            grouping = self._take()
            labels = tuple(self._listed(")", lambda: self._take(kind="name"), opens="("))
        before = len(self.selectors)
        self._take("(")
        if self._expression() != "vector":
            raise Malformed("an aggregation of no vector")
        self._take(")")
        self.groupings.append((grouping, labels, self.selectors[before:]))
        return "vector"

    def _call(self, name):
        kinds = tuple(self._listed(")", self._expression, opens="("))
        if kinds != FUNCTIONS[name]:
            raise Malformed(f"{name}{kinds}")
        return "vector"

    def _selector(self, name):
        matchers = self._listed("}", self._matcher, opens="{") if self._peek() == "{" else ()
        self.selectors.append(Selector(name, tuple(matchers)))
        if self._peek() != "[":
            return "vector"
        self._take()
        self._take(kind="duration")
        self._take("]")
        return "range"

    def _matcher(self):
        label, operator = self._take(kind="name"), self._take("=", "!=", "=~", "!~")
        return label, operator, self._take(kind="string")[1:-1]

    def _listed(self, closes, read, *, opens):
        self._take(opens)
        found = []
        while self._peek() != closes:
            found.append(read())
            if self._peek() != closes:
                self._take(",")
        self._take(closes)
        return found


def _tokens(text):
    place, text = 0, text.strip()
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None:
            raise Malformed(f"{text[place:]!r} in {text}")
        place = found.end()
        yield found.lastgroup, found[found.lastgroup]


def mistakes(text, metrics):
    """
    What in an expression asks for what is not told; empty when all of it is.

    Args:
        text: PromQL.
        metrics: The name of each sample, and its labels.
    """
    expression = Expression(text)
    for one in expression.selectors:
        if one.name not in metrics:
            yield f"there is no {one.name}"
            continue
        known = metrics[one.name] | SCRAPED
        yield from (f"{one.name} has no label {label}" for label, _, _ in one.matchers if label not in known)
        yield from (
            f"{value!r} is no pattern" for _, how, value in one.matchers if "~" in how and not _is_pattern(value)
        )
    for grouping, labels, selectors in expression.groupings:
        for one in selectors:
            known = metrics.get(one.name, frozenset()) | SCRAPED
            yield from (f"{grouping} {label}: {one.name} has none" for label in labels if label not in known)


def _is_pattern(value):
    try:
        re.compile(value)
    except re.error:
        return False
    return True
