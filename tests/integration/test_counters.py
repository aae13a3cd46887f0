"""What processes count is added up over all of them and over restarts, exactly, at hardly any cost."""

import threading
import time
from string import Template

import pytest
import requests

from deploy.receiver import Mode, ModeKind
from ingress.environ import BEGAN
from shared import counters as module
from shared.counters import BUCKETS_S, Counters
from shared.db.database import Database
from shared.db.queries import counters as rows
from tests.integration.callback_stage import stages
from tests.integration.ingress_stage import Customer, call
from tests.integration.ingress_stage import staged as ingress
from tests.integration.test_cli_processes import free_port
from tests.integration.test_vitals import TOKEN, samples
from tests.integration.worker_processes import arguments, running, until
from tests.integration.worker_stage import staged


def read(database):
    """By name and labels, what is stored."""
    with database.statement() as connection:
        found = rows.read(connection)
    return {(name, *row["labels"]): row["amounts"] for name, series in found.items() for row in series}


def counted(services):
    """The same of what one process has not added yet."""
    return {(name, *labels): amounts for (name, labels), amounts in services.counters.fresh().items()}


def test_what_several_processes_count_at_once_is_added_up_exactly(database, settings):
    databases = [Database(settings.database_url, application="tests", pool_size=1) for _ in range(6)]
    names = [f"c{number}" for number in range(40)]

    def process(place):
        counters = Counters()
        for turn in range(10):
            for name in names if (place + turn) % 2 else reversed(names):
                counters.count(name, "a", "b").add()
                counters.durations("duration", name).observe(0.25)
            counters.store(databases[place])

    threads = [threading.Thread(target=process, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in databases:
        one.close()

    found = read(database)
    assert {key: amounts for key, amounts in found.items() if key[0] != "duration"} == {
        (name, "a", "b"): [60] for name in names
    }
    expected = [60 * (bound == 0.25) for bound in BUCKETS_S] + [0, 15]
    assert [found["duration", name] for name in names] == [expected] * 40


@pytest.mark.parametrize(
    ("seconds", "place"), [(0, 0), (0.005, 0), (0.0051, 1), (25, len(BUCKETS_S) - 1), (25.1, len(BUCKETS_S))]
)
def test_a_duration_is_counted_in_the_bucket_that_holds_it(seconds, place):
    counters = Counters()
    counters.durations("duration").observe(seconds)

    (amounts,) = counters.fresh().values()
    assert [at for at, many in enumerate(amounts[:-1]) if many] == [place]
    assert amounts[-1] == seconds


def test_whoever_counts_many_at_once_loses_none(database):
    counters, turns = Counters(), 2000

    def count():
        for _ in range(turns):
            counters.count("many").add()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counters.store(database)
    counters.store(database)

    assert read(database)["many",] == [4 * turns]


def test_while_postgresql_is_away_a_process_goes_on_counting_and_adds_it_later(database):
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", application="tests")
    counters = Counters()
    counters.count("calls").add(2)
    counters.durations("duration").observe(0.004)
    counters.store(away)
    counters.count("calls").add()
    counters.durations("duration").observe(0.004)
    counters.store(away)
    away.close()

    counters.store(database)

    assert read(database) == {("calls",): [3], ("duration",): [2, *[0] * len(BUCKETS_S), 0.008]}


def test_what_was_counted_while_the_addition_failed_is_kept_too(database, monkeypatch):
    counters = Counters()
    counters.count("calls").add()

    def fail(*_):
        counters.count("calls").add()
        counters.count("others").add()
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(rows, "add", fail)
        counters.store(database)
    counters.store(database)

    assert read(database) == {("calls",): [2], ("others",): [1]}


def test_a_process_adds_every_few_seconds_and_what_is_left_when_it_ends(database, monkeypatch):
    monkeypatch.setattr(module, "_EVERY_S", 0.01)
    counters = Counters()
    counters.begin(database)
    counters.count("calls").add()
    until(lambda: read(database).get(("calls",)) == [1])

    monkeypatch.setattr(module, "_EVERY_S", 60)
    counters.count("calls").add()
    counters.end()

    assert read(database)["calls",] == [2]


def test_a_version_that_counts_more_of_a_series_adds_to_what_is_there(database):
    for amounts in ([1.0, 2.0], [1.0, 2.0, 3.0], [1.0]):
        with database.statement() as connection:
            rows.add(connection, {("x", ("a",)): amounts})

    assert read(database)["x", "a"] == [3, 4, 3]


# Of the ingress


@pytest.fixture
def front(database, settings):
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir, metrics_token=TOKEN) as front:
        yield front


def requests_of(front):
    """Route, method and class of status -> how many."""
    return {key[1:]: sum(amounts[:-1]) for key, amounts in counted(front.services).items() if key[0] == "requests"}


def test_requests_are_counted_by_route_and_never_by_what_a_sender_made_up(front):
    front.make_call(call())
    front.make_call({"messageId": "x"})
    front.http.get("/v1/messages/msg_1", headers=front.customer.headers)
    front.http.get("/v1/messages/msg_2", headers=front.customer.headers)
    for number in range(5):
        front.http.get(f"/made-up/{number}")
        front.http.open("/healthz", method=f"MADE{number}")

    assert requests_of(front) == {
        ("/api/make-call", "POST", "2xx"): 1,
        ("/api/make-call", "POST", "4xx"): 1,
        ("/v1/messages/<message:id_>", "GET", "4xx"): 2,
        ("unrouted", "GET", "4xx"): 5,
        ("unrouted", "other", "4xx"): 5,
    }


def test_a_wait_that_the_request_asked_for_is_not_its_duration(front):
    began = time.perf_counter()
    front.http.post(
        "/api/make-call",
        json=call(),
        headers=front.customer.headers | {"Prefer": "wait=1"},
        environ_overrides={BEGAN: began},
    )
    front.http.get("/v1/events?wait=1", headers=front.customer.headers, environ_overrides={BEGAN: time.perf_counter()})
    took = time.perf_counter() - began

    seconds = {key[1]: amounts[-1] for key, amounts in counted(front.services).items() if key[0] == "requests"}
    assert took > 2
    assert sum(seconds.values()) < took - 1.8


def test_the_secret_in_the_webhooks_address_is_in_no_series(database, settings):
    secret = "a-path-secret-of-24-chars"
    with ingress(
        settings.database_url, settings.redis_url, settings.ringpost_data_dir, webhook_path_secret=secret
    ) as front:
        front.http.post(f"/api/webhooks/{secret}/vss", data=b"{}", headers={"Authorization": "test-webhook-token"})
        front.http.post(f"/api/webhooks/{secret}x/vss", data=b"{}")

        assert secret not in str(counted(front.services))
        assert ("/api/webhooks/<secret>/vss", "POST", "2xx") in requests_of(front)


def test_an_answer_for_which_the_database_is_away_counts_as_the_service_s_fault(front, monkeypatch):
    from shared.db.database import DatabaseAway

    def away(*_, **__):
        raise DatabaseAway("gone")

    monkeypatch.setattr(front.services.database, "run", away)
    front.http.get("/v1/limits", headers=front.customer.headers)

    assert requests_of(front)["/v1/limits", "GET", "5xx"] == 1


# Of workers


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def test_what_8x8_answers_is_counted_by_its_code(stage):
    stage.keep(), stage.keep(), stage.keep("+6581234567")
    stage.simulator.set_fault("refused", destination="+6581234567", code=-1017)
    stage.dial()

    found = {key[1:]: sum(amounts[:-1]) for key, amounts in counted(stage.services).items() if key[0] == "dial_answers"}
    assert found == {("created", "1"): 2, ("refused", "-1017"): 1}


def test_tries_of_callbacks_are_counted_by_the_class_of_their_answers(database, settings):
    with stages(settings) as stage:
        stage.receiver.set_mode("/refuses", Mode(kind=ModeKind.STATUS, status=503))
        stage.callbacks(stage.endpoint(), 2)
        stage.callbacks(stage.endpoint("/refuses"))
        stage.callbacks(stage.endpoint(url="http://127.0.0.1:1/nobody"))
        stage.deliver()

        found = counted(stage.services)
    tries = {key[1]: sum(amounts[:-1]) for key, amounts in found.items() if key[0] == "callback_posts"}
    assert tries == {"2xx": 2, "5xx": 1, "none": 1}


def test_a_lapsed_lease_is_a_finding_of_the_sweeper(stage):
    lost, late = stage.keep(), stage.keep()
    stage.place(lost)
    stage.execute("UPDATE messages SET status = 'dialing', due_at = now() - interval '1 s' WHERE id = :id", id=lost)
    stage.execute("UPDATE messages SET deadline = now() - interval '1 s' WHERE id = :id", id=late)
    stage.sweep()

    found = {key[1]: amounts for key, amounts in counted(stage.services).items() if key[0] == "sweeper_findings"}
    assert found == {"lease_lapsed": [1], "deadline_passed": [1]}


def test_waits_for_a_connection_are_counted_and_only_those(database, settings):
    waits = []
    pooled = Database(settings.database_url, application="tests", pool_size=1, waited=waits.append)  # 2 at most
    with pooled.statement(), pooled.statement():
        pass
    assert waits == []

    with pooled.statement():
        holding = threading.Event()
        freed = threading.Event()

        def hold():
            with pooled.statement():
                holding.set()
                freed.wait(10)

        holder = threading.Thread(target=hold)
        holder.start()
        assert holding.wait(10)
        waiter = threading.Thread(target=lambda: pooled.run(lambda _: None, alone=True))
        waiter.start()
        until(lambda: pooled._autocommit.pool._pool.not_empty._waiters)
        freed.set()
        waiter.join()
        holder.join()
    pooled.close()

    assert len(waits) == 1
    assert 0 < waits[0] < 2


# Of real processes


def is_there(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def test_a_scrape_of_one_process_tells_of_all_also_of_those_that_ended(front, settings):
    customer = Customer(front.services.database)
    asked = 0
    for _ in "12":
        known = {"HOST": "127.0.0.1", "PORT": str(free_port()), "WEB_CONCURRENCY": "2"}
        url = f"http://127.0.0.1:{known['PORT']}"
        with running(settings, [Template(part).substitute(known) for part in arguments("web")], **known) as process:
            until(lambda url=url: is_there(f"{url}/healthz"), 60)
            for _ in range(20):  # each by a connection of its own, so that both processes get some
                assert requests.get(f"{url}/v1/limits", headers=customer.headers, timeout=5).ok
                asked += 1
            process.terminate()
            process.wait(30)

    reply = front.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    found = samples(reply.text)
    assert found["ringpost_requests_total", "GET", "/v1/limits", "2xx"] == asked == 40
    assert found["ringpost_request_seconds_count", "GET", "/v1/limits"] == 40


def test_a_scrape_tells_of_workers_and_sweepers_too(stage, settings):
    called, late = stage.keep(), stage.keep()
    stage.execute("UPDATE messages SET deadline = now() - interval '1 s' WHERE id = :id", id=late)
    environment = {"CALL_LEASE_SECONDS": "30"}
    with (
        running(stage.settings, arguments("calls-otp"), **environment) as worker,
        running(stage.settings, arguments("sweeper"), **environment) as sweeper,
    ):
        until(lambda: stage.state(called)[0] == "placed" and stage.state(late)[0] == "expired", 60)
        for process in (worker, sweeper):
            process.terminate()
        assert (worker.wait(30), sweeper.wait(30)) == (0, 0)
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir, metrics_token=TOKEN) as front:
        found = samples(front.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text)

    assert found["ringpost_dial_answers_total", "1", "created"] == 1
    assert found["ringpost_dial_answer_seconds_count", "created"] == 1
    assert found["ringpost_sweeper_findings_total", "deadline_passed"] == 1
