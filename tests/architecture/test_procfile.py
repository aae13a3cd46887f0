"""The Procfile's numbers fit the code's."""

from deploy.procfile import parse_procfile
from tests.architecture.source import ROOT

COMMANDS = parse_procfile((ROOT / "Procfile").read_text())
WEB = COMMANDS["web"].split()


def option(name):
    return int(WEB[WEB.index(name) + 1])


def test_idle_connections_do_not_keep_others_out():
    # Granian's "backpressure" counts open connections, idle ones too, and lets the next ones hang.
    assert option("--backpressure") >= 4096


def test_all_but_the_web_s_processes_do_the_work_themselves():
    # A master between the supervisor and a worker may see its death a second late.
    assert [name for name, command in COMMANDS.items() if not command.startswith("python -m workers")] == ["web"]
