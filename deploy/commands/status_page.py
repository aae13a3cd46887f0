"""The pages of ``ringpost status``: what the dashboard's Now shows, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deploy.commands.console import shown, table_of
from shared.times import age

if TYPE_CHECKING:
    from rich.console import Group, RenderableType


def page_of(state: Mapping[str, Any]) -> Group:
    """The figures of :func:`shared.db.state.present`."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_speed(state), _lanes(state), _messages(state), _callbacks(state), _answers(state)]
    lines = [*_calls(state["calls"]), *_waiting(state), *_figures(state["vitals"])]
    spaced = [piece for part in parts for piece in (part, "")]
    return Group(*spaced, Text("\n".join(lines)))


def news_of(state: Mapping[str, Any]) -> Group:
    """
    What is wrong, and where it says what to do; else that all is well.

    Args:
        state: Of :func:`shared.db.state.present`, with ``runbook``: the places that the ringing alarms lead to.
    """
    from rich.console import Group
    from rich.text import Text

    if not state["bad_news"]:
        return Group(Text("all well", style="green"))
    return Group(
        *(Text(f"! {line}", style="red") for line in state["bad_news"]),
        *(Text(f"  -> {place}") for place in state["runbook"]),
    )


def _speed(state: Mapping[str, Any]) -> RenderableType:
    slack = state["vitals"].get("deadline_slack_s", {})
    return table_of(
        "How soon, in the last 10 minutes",
        ["lane", "messages", "within the deadline", "to dial, p50", "p95", "to answer, p50", "p95", "nearest deadline"],
        [
            (
                row["lane"],
                row["messages"],
                None if row["hit_rate"] is None else f"{row['hit_rate']:.1%}",
                *(age(row[name]) for name in ("dial_p50_s", "dial_p95_s", "answer_p50_s", "answer_p95_s")),
                _left(slack.get(row["lane"])),
            )
            for row in state["lately"]
        ],
    )


def _left(slack_s: float | None) -> str:
    return "passed" if slack_s is not None and slack_s < 0 else age(slack_s)


def _lanes(state: Mapping[str, Any]) -> RenderableType:
    return table_of(
        "Lanes",
        ["lane", "waiting", "later", "oldest overdue", "paused since"],
        [
            (row["lane"], row["waiting"], row["waiting_later"], age(row["oldest_overdue_s"]), row["paused_at"])
            for row in state["lanes"]
        ],
    )


def _messages(state: Mapping[str, Any]) -> RenderableType:
    return table_of(
        "Messages under way",
        ["status", "messages", "oldest overdue"],
        [(row["status"], row["messages"], age(row["oldest_overdue_s"])) for row in state["messages"]],
    )


def _callbacks(state: Mapping[str, Any]) -> RenderableType:
    return table_of(
        "Callbacks not done",
        ["state", "callbacks", "oldest"],
        [(row["state"], row["callbacks"], age(max(0.0, row["oldest_s"] or 0.0))) for row in state["callbacks"]],
    )


def _answers(state: Mapping[str, Any]) -> RenderableType:
    return table_of(
        "8x8's answers in the last hour",
        ["what it meant", "reason", "code", "dials", "last"],
        [
            (row["disposition"], row["reason"], row["status_code"], row["calls"], row["last_at"])
            for row in state["answers"]
        ],
    )


def _calls(calls: Mapping[str, Any]) -> Iterator[str]:
    rate = calls["dialed_per_second"]
    yield f"calls in flight     {calls['in_flight']} of at most {int(calls['lines'])}{_cut(calls, 'lines')}"
    yield (
        f"dials a second      {'' if rate is None else f'{rate:.3g}, '}"
        f"at most {calls['dials_per_second']:.3g}{_cut(calls, 'pace')}"
    )
    if calls["held_s"] > 0:
        yield f"  8x8 asked to wait {age(calls['held_s'])} more"


def _cut(calls: Mapping[str, Any], limit: str) -> str:
    """What was refused, if 8x8 ever did."""
    refused, at = calls[f"{limit}_refused"], calls[f"{limit}_cut_at"]
    return "" if refused is None else f"; 8x8 refused {refused:.3g} at {at:%Y-%m-%d %H:%M:%S}"


def _waiting(state: Mapping[str, Any]) -> Iterator[str]:
    inbox, redis = state["inbox"], state["redis"]
    yield f"webhooks waiting    {inbox['unprocessed']}, oldest {age(inbox['oldest_s'])}"
    yield f"  without a match   {inbox['unmatched']}, oldest {age(inbox['oldest_unmatched_s'])}"
    yield f"sweeper last seen   {age(state['sweeper']['silent_s'])} ago"
    yield f"Redis               {redis['version'] if redis['reachable'] else 'does not answer'}"
    yield f"every message       {_audit(state['audit'])}"


def _audit(audit: Mapping[str, Any] | None) -> str:
    if audit is None:
        return "not audited yet: the sweeper does every 15 minutes, `ringpost audit` now"
    if not audit["found"]:
        return f"was accounted for at {shown(audit['at'])}"
    found = ", ".join(f"{count} {kind}" for kind, count in audit["found"].items())
    return f"was NOT accounted for at {shown(audit['at'])}: {found}; see `ringpost audit`"


def _figures(vitals: Mapping[str, Any]) -> Iterator[str]:
    for name, value in vitals.items():
        if isinstance(value, int | float):
            yield f"  {name:<25} {value:.4g}"
