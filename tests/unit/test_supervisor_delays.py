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
        (HEALTHY_LIFE, FIRST_DELAY),
        (1e6, FIRST_DELAY),
    ],
)
def test_a_healthy_life_is_forgiven(life, delay):
    assert restart_delay(LONGEST_DELAY, life) == delay
