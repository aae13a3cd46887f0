"""``python -m deploy.prometheus_rule``: the alerts of deploy/grafana/alerts.yml, for the Prometheus operator."""

from __future__ import annotations

import textwrap
from typing import Final

from deploy.fleet import PROJECT

SOURCE: Final = PROJECT / "deploy/grafana/alerts.yml"
PATH: Final = PROJECT / "deploy/kubernetes/components/monitoring/prometheus-rule.yaml"

_HEAD: Final = """\
# Written by `python -m deploy.prometheus_rule` from deploy/grafana/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ringpost
  labels: {app.kubernetes.io/name: ringpost}
spec:
"""


def render(alerts: str) -> str:
    """The file's text, for that of a file of rules."""
    return _HEAD + textwrap.indent(alerts.rstrip(), "  ") + "\n"


if __name__ == "__main__":
    PATH.write_text(render(SOURCE.read_text()))
