"""What the figures should be: one table, and the verdict over it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deploy.bench.result import Figure


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one figure; *beside* are the figures to be shown with it."""

    key: str
    what: str
    bound: float
    at_least: bool = False
    beside: tuple[str, ...] = ()

    def is_met(self, value: float) -> bool:
        """Whether *value* keeps within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


def _least(key: str, what: str, bound: float, *beside: str) -> Goal:
    return Goal(key, what, bound, at_least=True, beside=beside)


def _most(key: str, what: str, bound: float, *beside: str) -> Goal:
    return Goal(key, what, bound, beside=beside)


GOALS: Final = (
    _least("burst.times", "burst end to end, against naive", 6, "burst.ours", "burst.naive", "burst.ceiling"),
    _least("burst.ours", "burst end to end", 1100),
    _most("burst.own_ms", "processor time a message, our processes", 1.5),
    _most("burst.all_ms", "the same with PostgreSQL and Redis", 2.2, "burst.postgres_ms", "burst.valkey_ms"),
    _most("burst.statements", "SQL statements a message under burst", 0.3, "burst.transactions"),
    _most("burst.rings", "rings a message under burst", 0.1),
    _most("burst.lost", "messages lost under burst", 0),
    _most("burst.doubled", "messages dialled twice under burst", 0),
    _most("latency.ours_accept_to_dial_p50", "50/s: accept to dial, p50", 4, "latency.naive_accept_to_dial_p50"),
    _most("latency.ours_accept_to_dial_p99", "50/s: accept to dial, p99", 12, "latency.naive_accept_to_dial_p99"),
    _most("latency.ours_report_to_callback_p50", "50/s: report to callback, p50", 6,
          "latency.naive_report_to_callback_p50"),
    _most("latency.ours_report_to_callback_p99", "50/s: report to callback, p99", 20,
          "latency.naive_report_to_callback_p99"),
    _most("idle.dial_p50", "idle: accept to dial, p50", 4),
    _most("idle.dial_max", "idle: accept to dial, max", 12),
    _most("idle.worker_cpu", "idle: processor time of the busiest worker", 0.5),
    _least("accept.of_limit", "accept, two processes, of the commit limit", 0.6, "accept.ours", "accept.limit"),
    _least("accept.times", "accept, against naive", 9, "accept.ours", "accept.naive"),
    _most("accept.p99_of_single", "accept p99 against one insert a request", 0.6, "accept.ours_p99",
          "accept.single_p99"),
    _most("accept.alone_share", "accept p50 of a lone client against one insert a request", 1.5, "accept.alone_ours",
          "accept.alone_single"),
    _least("accept.one_of_floor", "accept, one process, of the floor", 0.65, "accept.one", "accept.one_floor",
          "accept.one_wsgi"),
    _least("accept.batch_share", "make-calls of 1,000, of a bare multi-row insert", 0.7, "accept.batch",
           "accept.batch_bare"),
    _least("drain.times", "drain at 0 ms, against naive", 8, "drain.ours", "drain.naive", "drain.times_least",
           "drain.times_most"),
    _least("drain.of_senders", "drain at 200 ms, of senders / latency", 0.85, "drain.slow", "drain.senders"),
    _least("drain.of_adapter", "drain per core, of one thread of bare sends", 0.4, "drain.ours", "drain.adapter"),
    _most("drain.doubled", "messages dialled twice in a drain", 0),
    _least("webhooks.of_floor", "VSS acknowledged, of the floor", 0.65, "webhooks.vss", "webhooks.floor",
          "webhooks.wsgi"),
    _most("webhooks.vca_p99", "VCA at 16 connections, p99", 25),
    _least("reconcile.times", "reconcile, against a plain transaction a summary", 25, "reconcile.ours",
           "reconcile.by_row"),
    _least("callbacks.one", "callbacks to one fast receiver", 1000),
    _most("callbacks.slowed", "8 fast receivers beside a hanging and a slow one: time", 1.2, "callbacks.eight",
          "callbacks.eight_beside"),
    _most("growth.accept", "1,000,000 stored against 10,000: accept", 1.3),
    _most("growth.claim", "1,000,000 stored against 10,000: claim", 1.3),
    _most("growth.session", "1,000,000 stored against 10,000: session look-up", 1.3),
    _most("growth.status", "1,000,000 stored against 10,000: status of a message", 1.3),
    _most("growth.page", "1,000,000 stored against 10,000: list page", 1.3),
    _least("growth.waiting_claim", "100,000 waiting against 100: claims a second", 0.9),
    _least("growth.waiting_ring", "100,000 waiting against 100: rings a second", 0.9),
    _most("audit.seconds", "`ringpost audit` of 1,000,000 messages", 10, "audit.cpu_s", "audit.slowest"),
    _most("audit.findings", "the same: messages not accounted for", 0),
    _least("scaling.times", "calls a second, two call workers against one", 1.7, "scaling.one", "scaling.two"),
    _most("dashboard.empty_slowest", "the dashboard's slowest page, nothing stored, ms", 300),
    _most("dashboard.full_slowest", "the same with 100,000 messages, ms", 300),
    _most("memory.worker", "memory of the largest worker process, MiB", 120),
    _most("memory.web", "memory of the largest ingress process, MiB", 150),
    _most("memory.growth", "memory at the end against after warming up", 1.05),
    _least("pacing.of_cap", "hidden trunk cap: throughput of what it carries", 0.9, "pacing.ours", "pacing.cap"),
    _most("pacing.refused", "hidden trunk cap: calls that find no line, once settled", 0.01),
    _most("fairness.otp", "100,000 notifications waiting: OTP accept to dial p99", 1.1, "fairness.otp_alone",
          "fairness.otp_beside", "fairness.otp_held"),
    _most("fairness.provider", "50,000 of one provider waiting: another's 10, p99", 2, "fairness.provider_alone",
          "fairness.provider_beside"),
    _most("admission.error", "error of estimatedDialAt, median", 0.2),
    _most("overload.refusal_p99", "overload: a refusal takes, p99", 50, "overload.flood_p99", "overload.lateness_p99",
          "overload.refused", "overload.more_refusal_p99", "overload.more_flood_p99"),
    _most("overload.unexplained", "overload: answers other than 200 and 429/503 with Retry-After", 0),
    _most("overload.memory", "overload: memory of the largest ingress process, MiB", 150),
    _most("overload.recovery_s", "overload: seconds until accept is as quick as before", 5),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, what was measured, and whether it is met; None when it was not measured."""

    goal: Goal
    figure: Figure | None
    is_met: bool | None


def judge(figures: Mapping[str, Figure]) -> list[Verdict]:
    """Every goal held against the figures."""
    verdicts = []
    for goal in GOALS:
        figure = figures.get(goal.key)
        value = None if figure is None else figure.value
        verdicts.append(Verdict(goal, figure, None if value is None else goal.is_met(value)))
    return verdicts
