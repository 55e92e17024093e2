#!/usr/bin/python3
"""Checks the charm's yaml files and hooks as they lie in a folder: yaml_files.py FOLDER.

What charmcraft's own lint lets through is looked at here. Every fault is one line; any fault fails the check.
"""

import re
import sys
from pathlib import Path

import yaml

import faults

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*$")
TYPES = {"string": str, "int": int, "float": float, "boolean": bool, "secret": str}
ACTION_KEYS = {"description", "params", "required", "additionalProperties", "parallel", "execution-group"}
LIFECYCLE = ["install", "start", "config-changed", "leader-elected", "secret-changed", "update-status"]
LIFECYCLE += ["upgrade-charm", "stop", "remove"]
RELATION = ["created", "joined", "changed", "departed", "broken"]


class OnceLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, where YAML readers silently take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"twice: {', '.join(sorted(twice))} {node.start_mark}")
        return super().construct_mapping(node, deep)


def load(path):
    """The mapping in a yaml file; raises yaml.YAMLError or OSError."""
    document = yaml.load(path.read_text(encoding="utf-8"), OnceLoader)
    if not isinstance(document, dict):
        raise yaml.YAMLError(f"{path.name} is not a mapping")
    return document


def check_top_level(documents):
    """charmcraft refuses a key that stands in charmcraft.yaml and in another file too."""
    where = {}
    for name, document in documents.items():
        # These files hold one kind of thing; charmcraft knows the whole file by that word.
        keys = {"config.yaml": ["config"], "actions.yaml": ["actions"]}.get(name, document)
        for key in keys:
            if key in where:
                yield f"{key}: stands in {where[key]} and in {name}"
            where.setdefault(key, name)


def check_options(config):
    if list(config) != ["options"]:
        yield f"config.yaml: has {', '.join(config)}, wants options only"
    for name, option in config.get("options", {}).items():
        yield from check_name(f"option {name}", name)
        yield from check_described(f"option {name}", option)
        wanted = TYPES.get(option.get("type"))
        if wanted is None:
            yield f"option {name}: type {option.get('type')}"
        elif "default" in option and type(option["default"]) is not wanted:
            yield f"option {name}: the default is no {option['type']}"
        for key in set(option) - {"type", "default", "description"}:
            yield f"option {name}: Juju knows no {key}"


def check_actions(actions):
    for name, action in actions.items():
        yield from check_name(f"action {name}", name)
        yield from check_described(f"action {name}", action)
        if action.get("additionalProperties") is not False:
            yield f"action {name}: takes unknown parameters"
        for key in set(action) - ACTION_KEYS:
            yield f"action {name}: Juju knows no {key}"
        if type(action.get("parallel", False)) is not bool:
            yield f"action {name}: parallel is no boolean"
        for parameter, schema in action.get("params", {}).items():
            yield from check_name(f"action {name}, parameter {parameter}", parameter)
            yield from check_described(f"action {name}, parameter {parameter}", schema)


def check_name(what, name):
    if not NAME.match(name):
        yield f"{what}: write it in lower case with hyphens"


def check_described(what, thing):
    if not str(thing.get("description") or "").strip():
        yield f"{what}: no description"


def check_metadata(metadata):
    for key in ["name", "summary", "description"]:
        if not metadata.get(key):
            yield f"metadata.yaml: no {key}"


def check_hooks(folder, metadata):
    """A hook for every event, each an executable that tells `dispatch` its name."""
    # A unit that is removed hears of the end of its peer relation, too.
    relations = [name for role in ["provides", "requires", "peers"] for name in metadata.get(role, {})]
    wanted = LIFECYCLE + [f"{relation}-relation-{event}" for relation in relations for event in RELATION]
    found = sorted(path.name for path in (folder / "hooks").iterdir())
    for name in sorted(set(wanted) ^ set(found)):
        yield f"hooks/{name}: " + ("missing" if name in wanted else "no event has this name")
    for name in found:
        path = folder / "hooks" / name
        text = path.read_text(encoding="utf-8")
        if not text.startswith("#!/bin/sh\n") or f":-hooks/{name}}}" not in text:
            yield f"hooks/{name}: does not name its event"
        if not path.stat().st_mode & 0o100:
            yield f"hooks/{name}: not executable"


def check(folder):
    """All faults of a folder's yaml files and hooks, one line each. charmcraft.yaml may be absent."""
    documents, found = {}, []
    for name in ["charmcraft.yaml", "metadata.yaml", "config.yaml", "actions.yaml"]:
        try:
            documents[name] = load(folder / name)
        except FileNotFoundError:
            if name != "charmcraft.yaml":
                found.append(f"{name}: missing")
        except yaml.YAMLError as error:
            found.append(f"{name}: {error}")
    if found:
        return found
    found += check_top_level(documents)
    found += check_options(documents["config.yaml"])
    found += check_actions(documents["actions.yaml"])
    found += check_metadata(documents["metadata.yaml"])
    found += check_hooks(folder, documents["metadata.yaml"])
    return found


if __name__ == "__main__":
    faults.end("yaml files and hooks", check(Path(sys.argv[1])))
