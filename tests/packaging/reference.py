#!/usr/bin/python3
"""Makes docs/reference/options.md from config.yaml and actions.md from actions.yaml: reference.py FOLDER [--write].

Without --write, a page that is not in step with its source is a fault.
"""

import sys
from pathlib import Path

import faults
import yaml_files

OPTIONS = """# Options

Set an option with `juju config APP OPTION=VALUE`, and reset it with `juju config APP --reset OPTION`. A change takes effect in the
hook that follows it, also during a build. An invalid value blocks the unit; the status names the option.

This page is generated from `config.yaml` by `make reference`.

| option | type | default |
|---|---|---|
"""
ACTIONS = """# Actions

Run an action with `juju run UNIT ACTION PARAMETER=VALUE`, for example `juju run APP/leader run force=true`. Juju's client waits 60
seconds, unless `--wait` sets another limit. An action that fails reports why.

This page is generated from `actions.yaml` by `make reference`.

| action | required parameters |
|---|---|
"""


def code(value):
    """A value as it is written on the command line."""
    if value is None or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def one_line(text):
    return " ".join(str(text).split()).replace("|", "\\|")


def options_page(options):
    rows, sections = [], []
    for name, option in sorted(options.items()):
        default = code(option.get("default"))
        rows.append(f"| [`{name}`](#{name}) | {option['type']} | {default} |\n")
        kind = f"Type {option['type']}" + (f", default {default}" if default else ", no default")
        sections.append(f"\n## {name}\n\n{kind}.\n\n{option['description'].strip()}\n")
    return OPTIONS + "".join(rows) + "".join(sections)


def actions_page(actions):
    rows, sections = [], []
    for name, action in sorted(actions.items()):
        required = action.get("required", [])
        rows.append(f"| [`{name}`](#{name}) | {', '.join(code(word) for word in required)} |\n")
        section = f"\n## {name}\n\n{action['description'].strip()}\n"
        if action.get("params"):
            section += "\n| parameter | type | default | |\n|---|---|---|---|\n"
        for parameter, schema in action.get("params", {}).items():
            default = "required" if parameter in required else code(schema.get("default"))
            section += f"| `{parameter}` | {schema['type']} | {default} | {one_line(schema['description'])} |\n"
        sections.append(section)
    return ACTIONS + "".join(rows) + "".join(sections)


def pages(folder):
    """Path -> text of each page."""
    reference = folder / "docs/reference"
    return {
        reference / "options.md": options_page(yaml_files.load(folder / "config.yaml")["options"]),
        reference / "actions.md": actions_page(yaml_files.load(folder / "actions.yaml")),
    }


def check(folder):
    """The pages that are not in step with their source, one line each."""
    for path, text in pages(folder).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(folder)} is not in step with its source: run `make reference`"


def main():
    folder = Path(sys.argv[1])
    if sys.argv[2:] == ["--write"]:
        for path, text in pages(folder).items():
            path.write_text(text, encoding="utf-8")
    faults.end("reference pages", check(folder))


if __name__ == "__main__":
    main()
