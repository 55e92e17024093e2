"""Whether a charm can take the place of the Python charm (`juju refresh --path`), as Juju sees it."""

from pathlib import Path

import yaml_files

RECORDED = Path(__file__).with_name("python_charm.yaml")


def check(folder):
    """All that Juju would refuse or lose, one line each."""
    recorded = yaml_files.load(RECORDED)
    metadata, manifest = yaml_files.load(folder / "metadata.yaml"), yaml_files.load(folder / "manifest.yaml")
    if metadata.get("name") != recorded["name"]:
        yield f"metadata.yaml: the name is {metadata.get('name')}; Juju refreshes only to {recorded['name']}"
    bases = [{key: base.get(key) for key in recorded["base"]} for base in manifest.get("bases", [])]
    if recorded["base"] not in bases:
        yield f"manifest.yaml: no base {recorded['base']['channel']}, on which the deployment is"
    for role, endpoints in recorded["endpoints"].items():
        for name, interface in endpoints.items():
            found = metadata.get(role, {}).get(name, {})
            if (found.get("interface"), found.get("scope", "global")) != (interface, "global"):
                yield f"metadata.yaml: {role} no {name} of interface {interface}"
    options = yaml_files.load(folder / "config.yaml")["options"]
    for name, kind in recorded["options"].items():
        found = options.get(name, {}).get("type")
        if found != kind:
            yield f"config.yaml: option {name} is {found or 'missing'}, and was {kind}"
    for name in set(recorded["actions"]) - set(yaml_files.load(folder / "actions.yaml")):
        yield f"actions.yaml: no action {name}"
