#!/usr/bin/python3
"""Holds all dependencies, as cargo resolves them from Cargo.lock, against deny.toml, without network.

Licences, banned crates, two versions of one crate, wildcard requirements, and where crates come from: what
`cargo deny check licenses bans sources` checks, by the same file. A key of deny.toml that is not known here is a
fault, so that nobody believes in a rule that is not applied. An exception or licence that nothing needs is one too.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

KNOWN = {
    "graph": {"targets"},
    "licenses": {"allow"},
    "bans": {"wildcards", "allow-wildcard-paths", "multiple-versions", "multiple-versions-include-dev", "skip", "deny"},
    "sources": {"unknown-registry", "unknown-git", "allow-registry"},
    "advisories": {"yanked"},  # advisories.sh
}
# These are not switches here: the one setting that is applied.
SETTINGS = {
    ("bans", "wildcards"): "deny",
    ("bans", "allow-wildcard-paths"): True,
    ("bans", "multiple-versions"): "deny",
    ("bans", "multiple-versions-include-dev"): True,
    ("sources", "unknown-registry"): "deny",
    ("sources", "unknown-git"): "deny",
}


def resolved(targets):
    """All packages that a build or test for one of the targets takes part in."""
    packages = {}
    for target in targets:
        command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
        metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        used = {node["id"] for node in metadata["resolve"]["nodes"]}
        packages |= {package["id"]: package for package in metadata["packages"] if package["id"] in used}
    return list(packages.values())


def check_rules(rules):
    for table, keys in rules.items():
        for key in sorted(set(keys) - KNOWN.get(table, set())):
            yield f"deny.toml: {table}.{key} is not known to {Path(__file__).name}"
    for (table, key), wanted in SETTINGS.items():
        if rules[table].get(key) != wanted:
            yield f"deny.toml: {table}.{key} must be {wanted}"


def check_licences(packages, allowed):
    used = set()
    for package in packages:
        expression = (package["license"] or "").replace("/", " OR ")
        chosen = licences_of(expression, allowed)
        if chosen is None:
            yield f"{label(package)}: licence {expression or 'not given'}"
        used |= chosen or set()
    for licence in sorted(allowed - used):
        yield f"deny.toml: no crate needs the licence {licence}"


def licences_of(expression, allowed):
    """The licences of an SPDX expression under which it can be used, or None.

    `A WITH e` counts as A: an exception only adds permissions.
    """
    words = re.findall(r"\(|\)|[^\s()]+", expression)

    def any_of():
        found = all_of()
        while words and words[0] == "OR":
            words.pop(0)
            other = all_of()
            found = other if found is None else found | (other or set())
        return found

    def all_of():
        found = one()
        while words and words[0] == "AND":
            words.pop(0)
            other = one()
            found = None if found is None or other is None else found | other
        return found

    def one():
        word = words.pop(0) if words else ""
        if word == "(":
            found = any_of()
            words.pop(0)
            return found
        if words[:1] == ["WITH"]:
            del words[:2]
        return {word} if word in allowed else None

    return any_of()


def check_bans(packages, rules):
    for ban in rules["deny"]:
        for package in packages:
            if package["name"] == ban["crate"]:
                yield f"{label(package)}: banned: {ban['reason']}"


def check_versions(packages, rules):
    """One version of each crate; `skip` names a version that may stand beside another one."""
    versions, needed = defaultdict(list), set()
    skips = [skip["crate"].split("@") for skip in rules["skip"]]
    for package in packages:
        versions[package["name"]].append(package["version"])
    for name, found in versions.items():
        if len(found) == 1:
            continue
        skipped = {version for version in found for crate, start in skips if crate == name and starts(version, start)}
        needed |= {(crate, start) for crate, start in skips if crate == name}
        if len(set(found) - skipped) > 1:
            yield f"{name}: versions {', '.join(sorted(found))}"
    for crate, start in skips:
        if (crate, start) not in needed:
            yield f"deny.toml: nothing needs the exception for {crate}@{start}"


def starts(version, start):
    return version == start or version.startswith(f"{start}.")


def check_wildcards(packages):
    for package in packages:
        # Our own packages: crates.io takes none with a wildcard.
        if package["source"] is None:
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and not dependency.get("path"):
                    yield f"{label(package)}: any version of {dependency['name']}"


def check_sources(packages, rules):
    allowed = {f"registry+{address}" for address in rules["allow-registry"]}
    for package in packages:
        if package["source"] is not None and package["source"] not in allowed:
            yield f"{label(package)}: from {package['source']}"


def label(package):
    return f"{package['name']} {package['version']}"


def main():
    rules = tomllib.loads(Path("deny.toml").read_text(encoding="utf-8"))
    faults = list(check_rules(rules))
    packages = resolved(rules["graph"]["targets"])
    faults += check_licences(packages, set(rules["licenses"]["allow"]))
    faults += check_bans(packages, rules["bans"])
    faults += check_versions(packages, rules["bans"])
    faults += check_wildcards(packages)
    faults += check_sources(packages, rules["sources"])
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"dependencies: {len(packages)} crates, {len(faults) or 'no'} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
