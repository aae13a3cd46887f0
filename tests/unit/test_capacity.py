"""What a load needs follows from what a message costs, and the published page from the published figures."""

import json

import pytest

from deploy.bench import capacity
from deploy.bench.machine import Circumstances
from deploy.bench.result import Figure

FIGURES = {
    "burst.web_ms": 1.2, "burst.calls-otp_ms": 0.6, "burst.events_ms": 0.3, "burst.callbacks_ms": 0.15,
    "burst.postgres_ms": 0.75, "burst.valkey_ms": 0.03, "burst.all_ms": 3.0, "burst.generator_ms": 1.0,
    "burst.ours": 400.0, "burst.transactions": 0.3, "burst.wal_kib": 4.0, "burst.stored_kib": 2.0, "burst.rings": 0.02,
    "growth.claim": 1.1, "accept.limit": 5000.0, "accept.one": 2000.0, "accept.ours": 3500.0, "webhooks.vss": 5000.0,
    "scaling.one": 300.0, "drain.ours": 1500.0, "scaling.two": 590.0, "callbacks.one": 1200.0, "memory.web": 116.0,
    "memory.worker": 92.0,
}  # fmt: skip
AROUND = Circumstances("2 cores (a processor), 8 GiB, Linux", "3.11", "c0ffee", "2026-01-01 00:00 UTC", (), 0.1)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "results" / "figures.json"
    capacity.keep({key: Figure(key, key, value, "") for key, value in FIGURES.items()}, AROUND, path)
    return capacity.page(json.loads(path.read_text()))


def row(page, first):
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_a_core_carries_as_many_as_fit_into_a_second(page):
    assert row(page, "web")[2:] == ["1.20 ms", "833"]
    assert row(page, "all of it")[2:] == ["3.00 ms", "333"]


def test_a_load_needs_its_processor_time_with_room_to_spare(page):
    assert row(page, "500") == [
        "500", "1.00", "0.50", "0.25", "0.12", "0.62", "2.5", "15,000", "1.95 MiB/s", "82.4 GiB"
    ]  # fmt: skip


def test_the_plan_is_held_against_the_burst_of_the_same_run(page):
    assert "carry 500 /s" in page
    assert "400 /s, which is 80 % of it" in page


def test_the_published_page_is_of_the_published_figures():
    assert capacity.PAGE.read_text() == capacity.page(json.loads(capacity.FIGURES.read_text()))
