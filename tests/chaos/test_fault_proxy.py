"""Each fault does to a connection what it says, to those that it says, and the proxy ends with its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import psycopg2
import pytest
import redis

from deploy.chaos.faults import Fault, FaultError, Kind, Way
from deploy.chaos.proxy import FaultProxy, upstream_of, url_through
from deploy.engines import Engines


@pytest.fixture(scope="module")
def echo():
    """An upstream that answers each piece with itself; ``heard`` has what came in."""

    def answer(connection):
        try:
            with connection:
                while piece := connection.recv(65536):
                    heard.append(piece)
                    connection.sendall(piece)
        except OSError:
            pass

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    heard = []
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}", heard
    server.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    with FaultProxy(7, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture
def dial(request, proxy, echo):
    """Connect to a front of the test's own; its name is the test's."""
    host, port = proxy.front(request.node.name, echo[0]).split(":")
    opened = []

    def connect():
        opened.append(socket.create_connection((host, int(port)), timeout=3))
        return opened[-1]

    connect.name = request.node.name
    yield connect
    for one in opened:
        one.close()


def asked(connection, what=b"hello"):
    connection.sendall(what)
    return connection.recv(65536)


def is_reset(connection, what=b"hello"):
    try:
        return asked(connection, what) == b"?"
    except ConnectionResetError:
        return True


def test_without_a_fault_everything_passes(dial):
    assert asked(dial()) == b"hello"


def test_latency_takes_its_time_each_way(proxy, dial):
    connection = dial()
    proxy.set(dial.name, Fault(kind=Kind.LATENCY, seconds=0.1, jitter_s=0.05))
    started = time.monotonic()

    assert asked(connection) == b"hello"
    assert time.monotonic() - started >= 0.2


def test_a_throttle_lets_so_many_bytes_pass_a_second(proxy, dial):
    connection = dial()
    proxy.set(dial.name, Fault(kind=Kind.THROTTLE, bytes=10_000))
    started, left = time.monotonic(), 2000
    connection.sendall(bytes(left))
    while left:
        left -= len(connection.recv(left))

    assert time.monotonic() - started >= 0.2


def test_a_closed_door_refuses_until_it_is_cleared(proxy, dial):
    proxy.set(dial.name, Fault(kind=Kind.REFUSE))
    with pytest.raises(ConnectionRefusedError):
        dial()
    proxy.clear(dial.name)

    assert asked(dial()) == b"hello"


def test_so_many_connections_are_reset_at_once(proxy, dial):
    proxy.set(dial.name, Fault(kind=Kind.REFUSE, count=2))

    def is_refused():
        try:
            return is_reset(dial())
        except ConnectionResetError:  # as early as that
            return True

    assert [is_refused() for _ in range(3)] == [True, True, False]


def test_a_black_hole_takes_connections_old_and_new_and_lets_go_when_cleared(proxy, dial, echo):
    old = dial()
    assert asked(old) == b"hello"
    proxy.set(dial.name, Fault(kind=Kind.BLACK_HOLE))
    new = dial()
    for one, what in ((old, b"old"), (new, b"new")):
        one.sendall(what)
        one.settimeout(0.15)
        with pytest.raises(TimeoutError):
            one.recv(10)
        one.settimeout(3)

    assert not {b"old", b"new"} & set(echo[1])
    proxy.clear(dial.name)
    assert (old.recv(10), new.recv(10)) == (b"old", b"new")


@pytest.mark.parametrize("way", Way)
def test_a_reset_comes_after_so_many_bytes_of_one_direction(proxy, dial, echo, way):
    connection = dial()
    proxy.set(dial.name, Fault(kind=Kind.RESET, bytes=15, way=way))

    assert asked(connection, b"0123456789") == b"0123456789"
    assert is_reset(connection, b"abcdefghij") or is_reset(connection)
    assert (b"abcdefghij" in echo[1]) is (way is Way.DOWN)
    echo[1].clear()


def test_a_cut_reply_leaves_the_whole_request_with_the_upstream(proxy, dial, echo):
    connection = dial()
    proxy.set(dial.name, Fault(kind=Kind.CUT_REPLY, count=1))

    assert is_reset(connection, b"pay once")
    assert b"pay once" in echo[1]
    assert asked(dial()) == b"hello"


def test_replies_of_a_handshake_are_left_alone(proxy, dial):
    proxy.set(dial.name, Fault(kind=Kind.CUT_REPLY, skip_replies=2))
    connection = dial()

    assert [asked(connection), asked(connection)] == [b"hello", b"hello"]
    assert is_reset(connection)


def test_a_reply_is_held_back(proxy, dial, echo):
    connection = dial()
    proxy.set(dial.name, Fault(kind=Kind.DELAY_REPLY, seconds=0.2))
    started = time.monotonic()

    assert asked(connection, b"slow") == b"slow"
    assert time.monotonic() - started >= 0.2


def test_the_seed_says_which_connections_a_share_strikes(tmp_path, echo):
    def struck(seed, folder):
        with FaultProxy(seed, folder) as proxy:
            host, port = proxy.front("share", echo[0]).split(":")
            proxy.set("share", Fault(kind=Kind.CUT_REPLY, share=0.5))
            told = []
            for _ in range(20):
                with socket.create_connection((host, int(port)), timeout=3) as connection:
                    told.append(is_reset(connection))
            return told

    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    first, again, other = struck(1, folders[0]), struck(1, folders[1]), struck(2, folders[2])

    assert first == again != other
    assert 3 < sum(first) < 17


def test_what_happens_is_counted_and_on_the_timeline(proxy, dial):
    proxy.set(dial.name, Fault(kind=Kind.CUT_REPLY))
    is_reset(dial())
    counts = proxy.counts()[dial.name]
    lines = [json.loads(line) for line in proxy.timeline.read_text().splitlines()]

    assert (counts["connections"], counts["cut_reply"], counts["bytes_up"]) == (1, 1, 5)
    assert [one["event"] for one in lines if one["front"] == dial.name] == ["set", "strike"]


def test_what_cannot_be_had_is_refused(proxy):
    with pytest.raises(FaultError, match="there is no front"):
        proxy.set("nobody", Fault(kind=Kind.REFUSE))
    with pytest.raises(FaultError, match="throttle"):
        Fault(kind=Kind.THROTTLE)
    with pytest.raises(FaultError, match="share"):
        Fault(kind=Kind.REFUSE, share=2)


def test_the_engines_unix_sockets_are_reached_over_tcp(proxy, tmp_path):
    with Engines(tmp_path / "data", fast=True) as engines:
        database = url_through(engines.database_url, proxy.front("postgres", upstream_of(engines.database_url)))
        broker = url_through(engines.redis_url, proxy.front("redis", upstream_of(engines.redis_url)))
        connection = psycopg2.connect(database)
        with redis.Redis.from_url(broker) as client, connection.cursor() as cursor:
            cursor.execute("SELECT 41 + 1")
            assert cursor.fetchone() == (42,)
            assert client.ping()
        proxy.set("postgres", Fault(kind=Kind.CUT_REPLY))
        with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.close()


def test_the_proxy_ends_with_its_parent(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from deploy.chaos.proxy import FaultProxy\n"
        "with FaultProxy(1, Path(sys.argv[1])) as proxy: print(proxy.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    proxy = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()

    psutil.wait_procs([proxy], timeout=5)
    assert not proxy.is_running() or proxy.status() == psutil.STATUS_ZOMBIE
