"""Every job that is rung has a process that runs it."""

from pathlib import Path

from deploy.procfile import parse_procfile
from shared import jobs

_PROCFILE = Path(__file__).parents[2] / "Procfile"


def test_every_queue_is_consumed_by_one_process_of_the_procfile():
    commands = parse_procfile(_PROCFILE.read_text()).values()
    workers = [command.split() for command in commands if command.startswith("python -m workers ")]

    consumed = [queue for words in workers for queue in words[words.index("--threads") + 2 :]]

    assert sorted(consumed) == sorted(job.queue for job in jobs.ALL)
