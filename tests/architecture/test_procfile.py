"""The Procfile's numbers fit the code's."""

from deploy.procfile import parse_procfile
from ingress.placements import MAX_WAITING
from ingress.turns import MAX_HELD
from tests.architecture.source import ROOT

WEB = parse_procfile((ROOT / "Procfile").read_text())["web"].split()


def option(name):
    return int(WEB[WEB.index(name) + 1])


def test_a_refusal_a_webhook_or_a_status_read_always_finds_a_thread():
    assert option("--blocking-threads") >= MAX_HELD + MAX_WAITING + 64


def test_idle_connections_do_not_keep_others_out():
    # Granian's "backpressure" counts open connections, idle ones too, and lets the next ones hang.
    assert option("--backpressure") >= 4096
