import itertools

import pytest

from deploy.supervisor import FIRST_DELAY, HEALTHY_LIFE, LONGEST_DELAY, restart_delay


def test_a_process_that_dies_at_once_waits_twice_as_long_each_time_up_to_a_limit():
    delays = list(itertools.accumulate(range(9), lambda previous, _: restart_delay(previous, life=0.0), initial=0.0))

    assert delays[1:] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("life", "delay"),
    [
        (0.0, LONGEST_DELAY),
        (HEALTHY_LIFE - 0.1, LONGEST_DELAY),
        (HEALTHY_LIFE, 0),
        (1e6, 0),
    ],
)
def test_a_healthy_life_is_forgiven(life, delay):
    assert restart_delay(LONGEST_DELAY, life) == delay


def test_a_process_that_is_killed_every_now_and_then_never_waits():
    assert list(itertools.accumulate(range(5), lambda previous, _: restart_delay(previous, life=18.0)))[1:] == [0] * 4


def test_a_death_at_once_after_a_healthy_life_begins_the_waits_anew():
    after_a_life = restart_delay(LONGEST_DELAY, HEALTHY_LIFE)

    assert restart_delay(after_a_life, life=0.0) == FIRST_DELAY
