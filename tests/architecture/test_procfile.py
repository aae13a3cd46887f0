"""The Procfile's numbers fit the code's."""

import subprocess
import sys

from deploy.procfile import parse_procfile
from tests.architecture.source import ROOT

COMMANDS = parse_procfile((ROOT / "Procfile").read_text())
WEB = COMMANDS["web"].split()
_WHAT_LIVES = """
import psutil, ingress.server
process = psutil.Process()
print(process.num_threads(), process.net_connections(kind="all"), len(process.open_files()))
"""


def option(name):
    return int(WEB[WEB.index(name) + 1])


def test_idle_connections_do_not_keep_others_out():
    # Granian's "backpressure" counts open connections, idle ones too, and lets the next ones hang.
    assert option("--backpressure") >= 4096


def test_all_but_the_web_s_processes_do_the_work_themselves():
    # A master between the supervisor and a worker may see its death a second late.
    assert [name for name, command in COMMANDS.items() if not command.startswith("python -m workers")] == ["web"]


def test_what_the_web_s_master_imports_before_it_forks_starts_and_opens_nothing():
    # A thread would be missing in its children, and a connection would be shared by them.
    lives = subprocess.run([sys.executable, "-c", _WHAT_LIVES], cwd=ROOT, capture_output=True, text=True, check=True)

    assert lives.stdout.split() == ["1", "[]", "0"]
