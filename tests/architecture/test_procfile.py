"""The Procfile's numbers fit the code's."""

from deploy.procfile import parse_procfile
from tests.architecture.source import ROOT

WEB = parse_procfile((ROOT / "Procfile").read_text())["web"].split()


def option(name):
    return int(WEB[WEB.index(name) + 1])


def test_idle_connections_do_not_keep_others_out():
    # Granian's "backpressure" counts open connections, idle ones too, and lets the next ones hang.
    assert option("--backpressure") >= 4096
