#!/usr/bin/python3
"""Holds the alert rules against their runbooks: runbooks.py FOLDER.

Each alert of observability/alert_rules.yaml has a section in docs/how-to/alerts.md that has its name, begins with its severity
and says more than that; its `runbook_url` leads there. Each section has an alert.
"""

import re
import sys
from pathlib import Path

import yaml_files

RULES = "observability/alert_rules.yaml"
PAGE = "docs/how-to/alerts.md"
SECTION = re.compile(r"^## (\S+)\n+(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
# A runbook that is shorter says what is the matter, and not what to do.
SHORTEST = 80


def check(folder):
    """All faults, one line each."""
    sections = dict(SECTION.findall((folder / PAGE).read_text(encoding="utf-8")))
    rules = [rule for group in yaml_files.load(folder / RULES)["groups"] for rule in group["rules"]]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    for name, rule in alerts.items():
        url = f"{PAGE}#{name.lower()}"
        if rule["annotations"].get("runbook_url") != url:
            yield f"{name}: runbook_url is not {url}"
        if name not in sections:
            yield f"{name}: {PAGE} has no section of this name"
            continue
        severity = f"{rule['labels']['severity'].capitalize()}: "
        if not sections[name].startswith(severity):
            yield f"{name}: its section in {PAGE} does not begin with {severity!r}"
        if len(sections[name]) < SHORTEST:
            yield f"{name}: its section in {PAGE} does not say what to do"
    for name in sections.keys() - alerts.keys():
        yield f"{name}: {PAGE} has a section, and {RULES} no such alert"


def main():
    faults = list(check(Path(sys.argv[1])))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"runbooks: {len(faults) or 'no'} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
