"""Failpoints: what they are told, that each fires once, and that unarmed they are nothing."""

import inspect
import os
import signal
import subprocess
import sys
import time

import pytest

from shared import failpoints
from shared.failpoints import NAMES, Action, Armed, FailpointError, FailpointHit, fired, parse

PLACE = "dial.after_post"
PASS_IT = f"from shared import failpoints; [failpoints.hit({PLACE!r}) for _ in range(3)]; print('went on')"


def armed(folder, text):
    return Armed(text, folder / failpoints.FILE_NAME)


def run(code, folder, text):
    environment = os.environ | {failpoints.VARIABLE: text, "RINGPOST_DATA_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_an_arming_names_place_action_seconds_and_count():
    (one,) = parse(f"{PLACE}=pause:2.5@3#second-round")

    assert (one.name, one.action, one.seconds, one.count) == (PLACE, Action.PAUSE, 2.5, 3)


def test_what_is_left_out_of_an_arming_is_forty_seconds_and_the_first_time():
    (one,) = parse(f"{PLACE}=pause")

    assert (one.seconds, one.count) == (40, 1)


def test_several_places_are_armed_at_once():
    assert [one.name for one in parse("dial.at_post=kill@1; accept.before_commit=raise@2;")] == [
        "dial.at_post",
        "accept.before_commit",
    ]


def test_nothing_is_armed_by_nothing():
    assert parse("") == ()


def test_an_unknown_place_is_refused_with_the_list_of_all():
    with pytest.raises(FailpointError) as refusal:
        parse("dial.after_lunch=kill@1")

    assert all(name in str(refusal.value) for name in ("dial.after_lunch", *NAMES))


@pytest.mark.parametrize("text", [PLACE, f"{PLACE}=sulk", f"{PLACE}=kill@", f"{PLACE}=kill@x", f"{PLACE}=pause:1.2.3"])
def test_what_is_no_arming_is_refused(text):
    with pytest.raises(FailpointError):
        parse(text)


def test_a_place_is_passed_until_the_count_is_reached(tmp_path):
    one = armed(tmp_path, f"{PLACE}=raise@2")
    one.hit(PLACE)
    one.hit("dial.at_post")

    with pytest.raises(FailpointHit, match=PLACE):
        one.hit(PLACE)


def test_a_place_is_not_passed_with_empty_hands(tmp_path):
    armed(tmp_path, f"{PLACE}=raise@1").hit(PLACE, [])

    assert fired(tmp_path) == []


def test_an_arming_fires_once_whatever_process_passes_next(tmp_path):
    with pytest.raises(FailpointHit):
        armed(tmp_path, f"{PLACE}=raise@1").hit(PLACE)

    armed(tmp_path, f"{PLACE}=raise@1").hit(PLACE)

    assert [one["arming"] for one in fired(tmp_path)] == [f"{PLACE}=raise@1"]


def test_a_word_at_its_end_makes_an_arming_a_new_one(tmp_path):
    for text in (f"{PLACE}=raise@1#a", f"{PLACE}=raise@1#b"):
        with pytest.raises(FailpointHit):
            armed(tmp_path, text).hit(PLACE)

    assert [one["name"] for one in fired(tmp_path)] == [PLACE, PLACE]


def test_a_running_process_is_armed_and_armed_anew_by_a_file(tmp_path):
    orders = tmp_path / "orders"
    one = armed(tmp_path, f"@{orders}")
    one.hit(PLACE)
    failpoints.arm(orders, [f"{PLACE}=raise@2#a"])
    one.hit(PLACE)  # counted from now on

    with pytest.raises(FailpointHit):
        one.hit(PLACE)
    one.hit(PLACE)
    failpoints.arm(orders, ["dial.at_post=raise@1#a", f"{PLACE}=raise@1#b"])
    with pytest.raises(FailpointHit):
        one.hit(PLACE)
    failpoints.arm(orders, [])
    one.hit("dial.at_post")

    assert [one["arming"] for one in fired(tmp_path)] == [f"{PLACE}=raise@2#a", f"{PLACE}=raise@1#b"]


def test_nothing_is_armed_by_a_file_with_what_is_no_arming(tmp_path):
    orders = tmp_path / "orders"
    failpoints.arm(orders, [f"{PLACE}=raise@1"])

    with pytest.raises(FailpointError, match="after_lunch"):
        failpoints.arm(orders, ["dial.after_lunch=kill@1"])

    assert orders.read_text() == f"{PLACE}=raise@1"


def test_what_fired_is_on_disk_before_it_happens(tmp_path):
    started = time.monotonic()
    armed(tmp_path, f"{PLACE}=pause:0.05@1").hit(PLACE)
    (one,) = fired(tmp_path)

    assert time.monotonic() - started >= 0.05
    assert (one["name"], one["action"], one["pid"]) == (PLACE, "pause", os.getpid())


def test_a_record_cut_short_hides_no_other(tmp_path):
    with pytest.raises(FailpointHit):
        armed(tmp_path, f"{PLACE}=raise@1").hit(PLACE)
    with (tmp_path / failpoints.FILE_NAME).open("a") as file:
        file.write('{"at": "2026-')

    assert len(fired(tmp_path)) == 1


def test_a_killed_process_dies_at_the_place_and_its_successor_goes_on(tmp_path):
    first = run(PASS_IT, tmp_path, f"{PLACE}=kill@2")
    second = run(PASS_IT, tmp_path, f"{PLACE}=kill@2")

    assert (first.returncode, first.stdout) == (-signal.SIGKILL, "")
    assert (second.returncode, second.stdout) == (0, "went on\n")


def test_a_process_with_an_unknown_place_does_not_start(tmp_path):
    refused = run("from shared import failpoints", tmp_path, "dial.after_lunch=kill@1")

    assert refused.returncode != 0
    assert "there is no failpoint 'dial.after_lunch'" in refused.stderr


REFUSED = ["https://voice.8x8.com", "http://10.0.0.1:80", "nonsense", "http://localhost.example"]
TAKEN = ["http://127.0.0.1:5688", "http://localhost:1/x", "http://[::1]:1"]
START = f"""
from shared import failpoints
for url in {REFUSED + TAKEN}:
    try:
        failpoints.refuse_real_calls(url)
    except failpoints.FailpointError as error:
        print(url, error)
    else:
        print(url, "starts")
"""


def test_an_armed_process_starts_only_before_a_simulated_8x8_and_says_so(tmp_path):
    said = run(START, tmp_path, f"{PLACE}=kill@1").stdout.splitlines()

    assert all(f"{url} {failpoints.VARIABLE} is for drills" in "\n".join(said) for url in REFUSED)
    assert [line for line in said if line.endswith(" starts")] == [f"{url} starts" for url in TAKEN]
    assert sum("failpoints_armed" in line for line in said) == len(TAKEN)


def test_an_unarmed_process_starts_before_any_8x8(tmp_path):
    assert run(START, tmp_path, "").stdout.splitlines() == [f"{url} starts" for url in REFUSED + TAKEN]


def test_unarmed_a_failpoint_is_an_empty_function():
    body = inspect.getsource(failpoints.hit).strip().splitlines()

    assert failpoints.hit is failpoints._nothing
    assert len(body) == 2
