#!/usr/bin/python3
"""Holds the alerts against their runbook: alerts.py FOLDER.

The charm sends each alert with its section of docs/how-to/alerts.md, by the name of the alert as the heading.
"""

import re
import sys
from pathlib import Path

import faults
import yaml_files

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def check(folder):
    """All faults, one line each."""
    groups = yaml_files.load(folder / "observability/alert_rules.yaml")["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    headings = SECTION.findall((folder / "docs/how-to/alerts.md").read_text(encoding="utf-8"))
    for name in sorted(set(alerts) - set(headings)):
        yield f"docs/how-to/alerts.md: no section {name}, which is an alert"
    for name in sorted(set(headings) - set(alerts)):
        yield f"docs/how-to/alerts.md: the section {name} is about no alert"


if __name__ == "__main__":
    faults.end("alerts", check(Path(sys.argv[1])))
