#!/usr/bin/python3
"""Holds the alerts against their runbook: alerts.py FOLDER.

The charm sends each alert with its section of docs/how-to/alerts.md, which has the alert's name as its heading, begins with its
severity and says more than that.
"""

import re
import sys
from pathlib import Path

import faults
import yaml_files

RULES = "observability/alert_rules.yaml"
PAGE = "docs/how-to/alerts.md"
SECTION = re.compile(r"^## (\S+)\n+(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
# A section that is shorter says what is the matter, and not what to do.
SHORTEST = 80


def check(folder):
    """All faults, one line each."""
    sections = dict(SECTION.findall((folder / PAGE).read_text(encoding="utf-8")))
    rules = [rule for group in yaml_files.load(folder / RULES)["groups"] for rule in group["rules"]]
    severities = {rule["alert"]: rule["labels"]["severity"].capitalize() for rule in rules if "alert" in rule}
    for name in sorted(severities.keys() - sections.keys()):
        yield f"{PAGE}: no section {name}, which is an alert"
    for name in sorted(sections.keys() - severities.keys()):
        yield f"{PAGE}: the section {name} is about no alert"
    for name in sorted(severities.keys() & sections.keys()):
        beginning = f"{severities[name]}: "
        if not sections[name].startswith(beginning):
            yield f"{PAGE}: the section {name} does not begin with {beginning!r}"
        if len(sections[name]) < SHORTEST:
            yield f"{PAGE}: the section {name} does not say what to do"


if __name__ == "__main__":
    faults.end("alerts", check(Path(sys.argv[1])))
