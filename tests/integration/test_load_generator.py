"""The load generator as a process, against an echo of the chain."""

import subprocess
import sys

import pytest

from deploy.bench.generator import Generator, GeneratorError
from deploy.bench.load.ledger import FIRST_PHONE
from deploy.bench.load.receivers import HANGS
from deploy.bench.measures.overload import probing
from deploy.fleet import PROJECT, free_port

PATIENCE_S = 5


@pytest.fixture
def generator():
    with Generator((0.0, HANGS)) as generator:
        yield generator


@pytest.fixture
def echo(generator):
    command = [sys.executable, "-m", "deploy.bench.load.echo", f"{generator.voice_url}/callflows"]
    with subprocess.Popen(
        [*command, generator.callback_urls[0]], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


def test_every_message_goes_through_the_whole_chain_once(generator, echo):
    generator.become(vss_url=f"{echo}/vss", latency_s=0.01, call_s=0.05)

    name, sent = generator.submit(f"{echo}/api/make-call", 40, connections=8)
    report = generator.watch(name, "called", PATIENCE_S)

    assert sent.statuses == {"200": 40}
    assert set(report.reached.values()) == {40}
    assert (report.doubled_dials, report.doubled_callbacks) == (0, 0)
    assert report.latency("due_to_callback").p50 >= 50
    assert generator.seen()["vss 200"] == 40


def test_the_moments_of_a_message_are_in_their_order(generator, echo):
    generator.become(vss_url=f"{echo}/vss", call_s=0.02)

    name, _ = generator.submit(f"{echo}/api/make-call", 10, rate=200.0)
    report = generator.watch(name, "called", PATIENCE_S)

    assert report.latency("due_to_dial").p50 <= report.latency("due_to_callback").p50
    assert report.latency("report_to_callback").p50 > 0


def test_a_call_that_finds_every_line_taken_is_no_report_of_a_call(generator, echo):
    generator.become(vss_url=f"{echo}/vss", call_s=0.3, lines=3)

    name, _ = generator.submit(f"{echo}/api/make-call", 8, connections=8)
    generator.watch(name, "called", PATIENCE_S)

    seen = generator.seen()
    assert (seen["callflows"], seen["without_line"], seen["most_up"]) == (8, 5, 3)
    assert generator.report(name).reached["reported"] == 3


def test_a_dead_address_is_told_as_messages_without_an_answer(generator):
    _, report = generator.submit(f"http://127.0.0.1:{free_port('127.0.0.1')}/", 2, connections=2)

    assert report.statuses == {"0": 2}
    assert report.reached["accepted"] == 0


def test_two_loads_share_no_phone_and_no_id(generator):
    first, first_phone = generator.expect(10)
    second, second_phone = generator.expect(10)

    assert first != second
    assert second_phone == first_phone + 10


def test_an_impossible_wish_is_an_error_and_the_generator_lives_on(generator):
    with pytest.raises(GeneratorError, match="KeyError"):
        generator.report("nobody")

    assert generator.seen() == {}


def test_a_probe_tells_when_answers_came_and_when_it_saw_them(echo):
    body = '{"messageId":"{id}","customerPhone":"+{phone}","message":"A probe."}'

    url = f"{echo}/api/make-call"
    with probing(url=url, headers={}, seconds=0.2, pause_s=0.05, body=body, first_phone=FIRST_PHONE) as answers:
        pass

    assert {answer["status"] for answer in answers} == {200}
    assert all(0 < answer["arrived_ms"] <= answer["seen_ms"] for answer in answers)


def test_a_load_tells_how_late_it_was_sent(generator, echo):
    _, report = generator.submit(f"{echo}/api/make-call", 10, rate=500.0)

    assert report.lateness.count == 10
    assert report.lateness.p50 >= 0
