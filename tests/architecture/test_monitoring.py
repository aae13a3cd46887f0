"""Alerts, dashboard and runbook ask for what is told, and name what exists."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess

import click
import pytest
import yaml

from deploy.cli import main
from shared.alarms import ALARMS
from shared.metrics import METRICS, Kind
from tests.architecture.promql import Expression, Malformed, mistakes
from tests.architecture.source import ROOT

ALERTS = ROOT / "deploy/grafana/alerts.yml"
GROUPS = yaml.safe_load(ALERTS.read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RUNBOOK = (ROOT / "deploy/runbook.md").read_text()
SECTIONS = dict(re.findall(r"(?ms)^### ([^\n]+)\n(.*?)(?=^##|\Z)", RUNBOOK))
HEADINGS = list(SECTIONS)
SAMPLES = {
    sample: frozenset(metric.labels) | ({"le"} if sample.endswith("_bucket") else frozenset())
    for metric in METRICS
    for sample in metric.samples
}
DURATION = re.compile(r"\d+[smh]")


def ids(rule):
    return rule["alert"]


def queries(panel):
    """Grafana's own words filled in."""
    return [target["expr"].replace("$__rate_interval", "1m") for target in panel["targets"]]


def anchor(heading):
    """As GitHub makes one of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# The alerts


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_is_one_as_prometheus_reads_it(rule):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Ringpost[A-Z]\w+", rule["alert"])
    assert DURATION.fullmatch(rule["for"])
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "command", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_asks_for_what_is_told(rule):
    assert list(mistakes(rule["expr"], SAMPLES)) == []


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_the_labels_in_a_rules_words_are_those_that_it_ends_with(rule):
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    grouped = [set(labels) for how, labels, _ in Expression(rule["expr"]).groupings if how == "by"]

    assert not named or any(named <= labels for labels in grouped)


def test_names_are_given_once():
    names = [rule["alert"] for rule in RULES]

    assert len(names) == len(set(names))
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_an_alarm_has_one_rule_and_its_heading(alarm):
    about = [rule for rule in RULES if f'alarm="{alarm.name}"' in rule["expr"]]

    (rule,) = about
    assert rule["expr"] == f'max(ringpost_alarm{{alarm="{alarm.name}"}}) == 1'
    assert rule["alert"] == "Ringpost" + "".join(word.capitalize() for word in alarm.name.split("_"))
    assert rule["annotations"]["runbook_url"] == alarm.runbook


def test_what_no_alarm_knows_has_rules_too():
    expressions = {rule["alert"]: rule["expr"] for rule in RULES if "ringpost_alarm" not in rule["expr"]}

    assert "absent(" in expressions["RingpostMetricsAbsent"]
    assert "ringpost_deadline_hit_share" in expressions["RingpostDeadlinesMissed"]
    assert "[1h]" in expressions["RingpostDeadlinesSlipping"]
    assert 'status="5xx"' in expressions["RingpostRequestsFailing"]
    assert "histogram_quantile(" in expressions["RingpostRequestsSlow"]


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_leads_to_a_heading_and_names_a_command_of_it(rule):
    document, _, place = rule["annotations"]["runbook_url"].partition("#")
    by_anchor = {anchor(heading): heading for heading in HEADINGS}

    assert (ROOT / document) == ROOT / "deploy/runbook.md"
    assert place in by_anchor
    assert f"`{rule['annotations']['command']}" in SECTIONS[by_anchor[place]]
    check_command(rule["annotations"]["command"])


LANE = '{lane="otp"}'
BUCKET = 'ringpost_request_seconds_bucket{{method="POST",route="/api/make-call",le="{}"}}'
CREATED, RETRIED = '{disposition="created",code="1"}', '{disposition="retry",code="429"}'
#: By rule of figures: what is told while all is well, what while it is not, each by one sample every 15 seconds; and
#: the labels and the value that the alert then has.
ILL_AND_WELL = {
    "RingpostMetricsAbsent": ({'ringpost_known{part="redis"}': "1x140"}, {}, {}, ""),
    "RingpostDeadlinesMissed": (
        {f"ringpost_deadline_hit_share{LANE}": "0.95x140", f"ringpost_recent_messages{LANE}": "20x140"},
        {f"ringpost_deadline_hit_share{LANE}": "0.85x140", f"ringpost_recent_messages{LANE}": "20x140"},
        {"lane": "otp"},
        "",
    ),
    "RingpostDeadlinesSlipping": (
        {f"ringpost_deadline_hit_share{LANE}": "0.99x140", f"ringpost_recent_messages{LANE}": "20x140"},
        {f"ringpost_deadline_hit_share{LANE}": "0.97x140", f"ringpost_recent_messages{LANE}": "20x140"},
        {"lane": "otp"},
        "",
    ),
    "RingpostRequestsFailing": (
        {'ringpost_requests_total{status="2xx"}': "0+99x140", 'ringpost_requests_total{status="5xx"}': "0+1x140"},
        {'ringpost_requests_total{status="2xx"}': "0+90x140", 'ringpost_requests_total{status="5xx"}': "0+10x140"},
        {},
        "10%",
    ),
    "RingpostRequestsSlow": (
        {BUCKET.format("0.5"): "0+99x140", BUCKET.format("1.0"): "0+100x140", BUCKET.format("+Inf"): "0+100x140"},
        {BUCKET.format("0.5"): "0+90x140", BUCKET.format("1.0"): "0+100x140", BUCKET.format("+Inf"): "0+100x140"},
        {},
        "750ms",
    ),
    "RingpostCallsRefused": (
        {f"ringpost_dial_answers_total{CREATED}": "0+90x140", f"ringpost_dial_answers_total{RETRIED}": "0+10x140"},
        {f"ringpost_dial_answers_total{CREATED}": "0+70x140", f"ringpost_dial_answers_total{RETRIED}": "0+30x140"},
        {},
        "",
    ),
    "RingpostLeasesLapsing": (
        {'ringpost_sweeper_findings_total{found="lease_lapsed"}': "5x140"},
        {'ringpost_sweeper_findings_total{found="lease_lapsed"}': "0+1x140"},
        {},
        "60",
    ),
    "RingpostConnectionsScarce": (
        {'ringpost_pool_wait_seconds_total{process="web"}': "0+1x140"},
        {'ringpost_pool_wait_seconds_total{process="web"}': "0+15x140"},
        {"process": "web"},
        "",
    ),
}


def test_every_rule_of_figures_has_an_example():
    assert set(ILL_AND_WELL) == {rule["alert"] for rule in RULES if "ringpost_alarm" not in rule["expr"]}


def promtool_cases():
    """All is well, and it is not, told by two processes: of all rules at once, but of one that others disturb."""
    alone = [rule for rule in RULES if rule["alert"] == "RingpostDeadlinesSlipping"]
    for rules in (alone, [rule for rule in RULES if rule not in alone]):
        examples = [_example(rule) for rule in rules]
        for ill in (False, True):
            told = {name: values for series in (one[ill] for one in examples) for name, values in series.items()}
            yield {
                "interval": "15s",
                "input_series": [
                    {"series": name.replace("}", f',instance="{one}"}}'), "values": values}
                    for name, values in told.items()
                    for one in ("a", "b")
                ],
                "alert_rule_test": [
                    {"eval_time": "30m", "alertname": rule["alert"], "exp_alerts": [alert] if ill else []}
                    for rule, (*_, alert) in zip(rules, examples, strict=True)
                ],
            }


def _example(rule):
    """Its samples while all is well, those while it is not, and the alert that is told then."""
    alarm = re.fullmatch(r"max\((ringpost_alarm{.*})\) == 1", rule["expr"])
    examples = ({alarm[1]: "0x140"}, {alarm[1]: "1x140"}, {}, "") if alarm else ILL_AND_WELL[rule["alert"]]
    well, ill, labels, value = examples
    words = {name: _filled(text, labels, value) for name, text in rule["annotations"].items()}
    return well, ill, {"exp_labels": rule["labels"] | labels, "exp_annotations": words}


def _filled(words, labels, value):
    """An annotation as it is told."""
    words = re.sub(r"\{\{ \$value \| \w+ \}\}", value, words)
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], words)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_promtool_takes_the_rules_and_each_fires_when_it_should_and_only_then(tmp_path):
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    cases = list(promtool_cases())
    written = tmp_path / "cases.yml"
    written.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": cases}))
    tested = subprocess.run(["promtool", "test", "rules", written], capture_output=True, text=True, check=False)

    assert sorted(test["alertname"] for case in cases for test in case["alert_rule_test"]) == sorted(
        2 * [rule["alert"] for rule in RULES]
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


# The dashboard


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_is_told(panel):
    assert [mistake for query in queries(panel) for mistake in mistakes(query, SAMPLES)] == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_names_its_lines_by_labels_that_they_have(panel):
    for target, query in zip(panel["targets"], queries(panel), strict=True):
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = [set(labels) for how, labels, _ in Expression(query).groupings if how == "by"]

        assert not named or any(named <= labels for labels in grouped), target["legendFormat"]


def test_the_dashboard_is_one_as_grafana_reads_it():
    assert DASHBOARD["schemaVersion"] == 39  # Grafana 11
    assert DASHBOARD["uid"] == "ringpost"
    assert [(one["type"], one["query"]) for one in DASHBOARD["templating"]["list"]] == [("datasource", "prometheus")]
    assert {panel["type"] for panel in PANELS} <= {"timeseries", "stat", "table"}
    sources = {json.dumps(part["datasource"]) for panel in PANELS for part in (panel, *panel["targets"])}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_no_panel_lies_over_another_or_beyond_the_edge():
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_every_metric_is_on_the_dashboard():
    shown = {one.name for panel in PANELS for query in queries(panel) for one in Expression(query).selectors}

    assert [metric.name for metric in METRICS if not shown & set(metric.samples)] == []


# The parser


@pytest.mark.parametrize(
    "text",
    [
        "sum(", "rate(ringpost_dials_total)", "rate(ringpost_dials_total[5m]", "max by lane (ringpost_alarm)",
        "ringpost_alarm{alarm=x}", "ringpost_alarm{alarm='x'}", "ringpost_alarm == ", "ringpost_alarm[5m] > 1",
        "nothing(ringpost_alarm)", "ringpost_alarm ringpost_known", "1 and 2", 'ringpost_alarm{alarm="x"', "max(1)",
        "histogram_quantile(ringpost_alarm, 0.5)", "sum(rate(ringpost_dials_total[5])) > 1", "ringpost-alarm}", "",
    ],
)  # fmt: skip
def test_what_is_no_promql_is_found_out(text):
    with pytest.raises(Malformed):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("max(ringpost_alarms) == 1", "there is no ringpost_alarms"),
        ("ringpost_requests > 1", "there is no ringpost_requests"),
        ('ringpost_alarm{alert="x"}', "ringpost_alarm has no label alert"),
        ('ringpost_alarm{alarm=~"("}', "'(' is no pattern"),
        ("max by (alert) (ringpost_alarm)", "by alert: ringpost_alarm has none"),
        ("sum by (le) (rate(ringpost_request_seconds_count[5m]))", "by le: ringpost_request_seconds_count has none"),
    ],
)
def test_what_asks_for_what_is_not_told_is_found_out(text, mistake):
    assert list(mistakes(text, SAMPLES)) == [mistake]


# The runbook


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_an_alarm_has_a_heading_of_its_name(alarm):
    assert alarm.name in HEADINGS
    assert alarm.runbook == f"deploy/runbook.md#{anchor(alarm.name)}"


def test_headings_are_told_apart():
    anchors = [anchor(heading) for heading in re.findall(r"(?m)^##+ (.+)$", RUNBOOK)]

    assert len(anchors) == len(set(anchors))


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_heading_says_what_it_means_whom_it_hurts_what_to_look_at_and_do_and_when_it_is_over(heading):
    said = re.findall(r"(?m)^\* \*\*(\w+(?: \w+)*)\*\*", SECTIONS[heading])

    assert said == ["Means", "Hurts", "Look", "Do", "Over"]


#: Where, and the numbers of its faults.
FAULTS = {"I": 7, "C": 8, "E": 4, "V": 5, "S": 2, "K": 7, "D": 1, "R": 1, "G": 3, "X": 3}


def test_every_fault_that_is_provided_for_has_a_heading():
    known = {f"{where}{number}" for where, numbers in FAULTS.items() for number in range(1, numbers + 1)}
    named = [
        fault
        for heading in HEADINGS
        for listed in re.findall(r"\(([A-Z]\d[^)]*)\)$", heading)
        for fault in spelled_out(listed)
    ]

    assert sorted(named) == sorted(known)


def spelled_out(listed):
    """``I1 to I3, C2``: each of them."""
    for part in listed.split(", "):
        first, _, last = part.partition(" to ")
        yield from (f"{first[0]}{number}" for number in range(int(first[1:]), int((last or first)[1:]) + 1))


def commands():
    """Each ``ringpost …`` of the runbook, in backticks or behind a prompt."""
    flat = RUNBOOK.replace("\n  ", " ")
    return sorted({*re.findall(r"`(ringpost [^`]+)`", flat), *re.findall(r"(?m)^\$ (ringpost .+?) *#", RUNBOOK)})


@pytest.mark.parametrize("words", commands())
def test_every_command_of_the_runbook_exists_with_its_options(words):
    check_command(words)


def check_command(words):
    command = main
    for word in shlex.split(words)[1:]:
        if word.startswith("-"):
            options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
            assert word.partition("=")[0] in options, f"{words}: no {word}"
        elif isinstance(command, click.Group) and (found := command.get_command(click.Context(command), word)):
            command = found
        else:
            takes = [one for one in command.params if isinstance(one, click.Argument) or not getattr(one, "is_flag", 1)]
            assert takes, f"{words}: what is {word}?"
    assert not isinstance(command, click.Group) or command.invoke_without_command, f"{words}: which of them?"


def test_the_links_of_the_runbook_lead_somewhere():
    anchors = {anchor(heading) for heading in re.findall(r"(?m)^##+ (.+)$", RUNBOOK)}

    for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        path, _, place = target.partition("#")
        assert not path or (ROOT / "deploy" / path).exists(), target
        assert path or place in anchors, target


def test_counters_and_histograms_are_what_processes_count():
    assert [one.name for one in METRICS if one.series is None and one.kind is not Kind.GAUGE] == ["ringpost_dials"]
