#!/usr/bin/python3
"""Holds all dependencies, as cargo resolves them from Cargo.lock, against deny.toml, without network.

Licences, banned crates, two versions of one crate, wildcard requirements, and where crates come from: what
`cargo deny check licenses bans sources` checks, by the same file; and that docs/reference/dependencies.md has a reason for each
direct dependency. A key of deny.toml that is not known here is a fault, so that nobody believes in a rule that is not
applied. An exception or licence that nothing needs is noted.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import faults

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
    """All packages that a build or test for one of the targets takes part in, each with the names of those it uses."""
    packages = {}
    for target in targets:
        command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
        metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        known = {package["id"]: package for package in metadata["packages"]}
        for node in metadata["resolve"]["nodes"]:
            package = packages.setdefault(node["id"], known[node["id"]] | {"uses": set()})
            package["uses"] |= {known[used]["name"] for used in node["dependencies"]}
    return list(packages.values())


def check_rules(rules):
    for table, keys in rules.items():
        for key in sorted(set(keys) - KNOWN.get(table, set())):
            yield f"deny.toml: {table}.{key} is not known to {Path(__file__).name}"
    for (table, key), wanted in SETTINGS.items():
        if rules[table].get(key) != wanted:
            yield f"deny.toml: {table}.{key} must be {wanted}"


def check_licences(packages, allowed):
    for package in packages:
        if usable_licences(package, allowed) is None:
            yield f"{label(package)}: licence {package['license'] or 'not given'}"


def unused_licences(packages, allowed):
    used = set().union(*(usable_licences(package, allowed) or set() for package in packages))
    for licence in sorted(allowed - used):
        yield f"no crate needs the licence {licence}"


def usable_licences(package, allowed):
    return licences_of((package["license"] or "").replace("/", " OR "), allowed)


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
    """No banned crate is used; where a ban names wrappers, by nobody else."""
    for ban in rules["deny"]:
        wrappers = set(ban.get("wrappers", []))
        for package in packages:
            if ban["crate"] in package["uses"] and package["name"] not in wrappers:
                yield f"{label(package)}: uses {ban['crate']}, banned: {ban['reason']}"


def check_versions(packages, rules):
    """One version of each crate; `skip` names a version that may stand beside another one."""
    for name, versions in several_versions(packages).items():
        counted = [version for version in versions if not any(skips(rule, name, version) for rule in rules["skip"])]
        if len(counted) > 1:
            yield f"{name}: versions {', '.join(versions)}"


def unused_skips(packages, rules):
    several = several_versions(packages)
    for rule in rules["skip"]:
        if not any(skips(rule, name, version) for name, versions in several.items() for version in versions):
            yield f"nothing needs the exception for {rule['crate']}"


def several_versions(packages):
    versions = defaultdict(set)
    for package in packages:
        versions[package["name"]].add(package["version"])
    return {name: sorted(found) for name, found in versions.items() if len(found) > 1}


def skips(rule, name, version):
    crate, start = rule["crate"].split("@")
    return crate == name and starts(version, start)


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


def check_reasons(packages, page):
    """Each direct dependency of our own crates has a line in the section of its crate."""
    for package in packages:
        if package["source"] is None:
            section = page.partition(f"\n## {package['name']}\n")[2].partition("\n## ")[0]
            for dependency in package["dependencies"]:
                name = dependency["rename"] or dependency["name"]
                if f"\n| `{name}`" not in section:
                    yield f"docs/reference/dependencies.md: no reason for {name} of {package['name']}"


def label(package):
    return f"{package['name']} {package['version']}"


def main():
    rules = tomllib.loads(Path("deny.toml").read_text(encoding="utf-8"))
    found = list(check_rules(rules))
    packages = resolved(rules["graph"]["targets"])
    found += check_licences(packages, set(rules["licenses"]["allow"]))
    found += check_bans(packages, rules["bans"])
    found += check_versions(packages, rules["bans"])
    found += check_wildcards(packages)
    found += check_sources(packages, rules["sources"])
    found += check_reasons(packages, Path("docs/reference/dependencies.md").read_text(encoding="utf-8"))
    for note in [*unused_licences(packages, set(rules["licenses"]["allow"])), *unused_skips(packages, rules["bans"])]:
        print(f"deny.toml: {note}")
    faults.end(f"dependencies: {len(packages)} crates", found)


if __name__ == "__main__":
    main()
