"""The dashboard and the alerts in deploy/monitoring: they ask for what the tool prints, Prometheus' own promtool understands them, and
each alert comes when it should and not before."""

import json
import re
import shutil

from support.assertions import check
from support.deliveries import press
from support.laboratory import NOWHERE, ROOT, Lab
from support.runner import run_tests

MONITORING = ROOT / "deploy/monitoring"
ALERTS = MONITORING / "alerts.yml"


def questions():
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def they_ask_for_what_is_printed():
    with Lab() as lab:
        lab.receive(press(1), b"{}")
        lab.tool("forward", "--to", NOWHERE, "--once").fails()
        printed = lab.tool("stats", "--prometheus").ok().stdout
        names = set(re.findall(r"^(doorpost_\w+)", printed, re.MULTILINE))
        labels = set(re.findall(r"[{,](\w+)=", printed))
        text = "\n".join(questions()) + "".join(re.findall(r"expr: .*\n", ALERTS.read_text()))
        asked = set(re.findall(r"doorpost_\w+", text))
        check(asked and asked <= names, "not printed:", asked - names)
        check(set(re.findall(r"by \((\w+)\)", text)) <= labels | {"instance"} and "type" in labels, labels)
        unused = names - asked - {"doorpost_delivery_delay_seconds"}
        check(not unused, "printed, and shown nowhere:", unused)


def promtool(lab, *arguments, **options):
    return lab.run(["promtool", *arguments], **options)


def prometheus_understands_them():
    if not shutil.which("promtool"):
        return "no promtool here"
    with Lab() as lab:
        promtool(lab, "check", "rules", ALERTS).ok()
        rules = [{"record": f"panel:{number}", "expr": question} for number, question in enumerate(questions())]
        (lab.path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
        promtool(lab, "check", "rules", lab.path / "panels.yml").ok()
        lab.receive(press(1), b"{}")
        lab.tool("forward", "--to", "host=/nowhere", "--once").fails()
        printed = lab.tool("stats", "--prometheus").ok().stdout
        result = promtool(lab, "check", "metrics", input=printed)
        check(result.returncode in (0, 3) and "error while linting" not in result.stderr, result)  # 3: it would have chosen other names


def each_alert_comes_when_it_should():
    if not shutil.which("promtool"):
        return "no promtool here"
    hours = 60  # of one value a minute

    def series(name, values):
        return {"series": f'{name}{{instance="house"}}', "values": values}

    def alert(name, minute, expected):
        return {"alertname": name, "eval_time": f"{minute}m", "exp_alerts": [
            {"exp_labels": {"severity": "warning", "instance": "house"}}] if expected else []}
    with Lab() as lab:
        tests = [
            {"interval": "1m", "input_series": [series("doorpost_last_event_timestamp_seconds", f"0x{60 * hours}")],
             "alert_rule_test": [alert("DoorpostSilent", 40 * 60, False), alert("DoorpostSilent", 49 * 60, True)]},
            {"interval": "1m", "input_series": [series("doorpost_journal_bytes", "1000x300"), series("doorpost_rejected_total", "_x120 1x180")],
             "alert_rule_test": [alert("DoorpostRejected", 110, False), alert("DoorpostRejected", 150, True), alert("DoorpostRejected", 200, False)]},
            {"interval": "1m", "input_series": [series("doorpost_delivery_delay_seconds_sum", "0+1x100 100+120x100"),
                                                series("doorpost_delivery_delay_seconds_count", "0+1x100 101+1x100")],
             "alert_rule_test": [alert("DoorpostLate", 90, False), alert("DoorpostLate", 150, True)]},
            {"interval": "1m", "input_series": [series("doorpost_forward_lag_seconds", "0x60 0+60x60 0x60")],  # for an hour
             "alert_rule_test": [alert("DoorpostNotForwarded", 62, False), alert("DoorpostNotForwarded", 70, True),
                                 alert("DoorpostNotForwarded", 130, False)]},
            {"interval": "1m", "input_series": [series("doorpost_journal_bytes", "1000x30")],
             "alert_rule_test": [{"alertname": "DoorpostUnknown", "eval_time": "29m", "exp_alerts": []},
                                 {"alertname": "DoorpostUnknown", "eval_time": "59m", "exp_alerts": [{"exp_labels": {"severity": "critical"}}]}]}]
        # What an alert says is not looked at here.
        text = re.sub(r"        annotations:\n(          .*\n)+", "", ALERTS.read_text())
        (lab.path / "alerts.yml").write_text(text)
        (lab.path / "tests.yml").write_text(json.dumps({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}))
        promtool(lab, "test", "rules", lab.path / "tests.yml").ok()


run_tests(they_ask_for_what_is_printed, prometheus_understands_them, each_alert_comes_when_it_should)
