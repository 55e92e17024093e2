#!/usr/bin/python3
"""Writes what a charm is made of as an SPDX 2.3 document: sbom.py ARCHIVE FILE.

The document describes ARCHIVE by its SHA-256. It names each crate with version, licence, source and the digest in Cargo.lock:
those that are compiled into `dispatch`, as cargo resolves them for this machine, and those that take part in the build only
(procedural macros, build scripts, and what these use). It also names the compilers, on which the archive's bytes depend.
The same sources, lock file and compilers give the same document.
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PACKAGE = "runner-image-builder"
LINE = re.compile(r"^(\d+)(\S+) v(\S+)( \(proc-macro\))?(?: \([^)]*\))?\t(.*)$")
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
# Nothing in the document depends on when it is made; the archive's files have the same time.
CREATED = "1980-01-01T00:00:00Z"


def tree(edges):
    """The lines of `cargo tree`: depth, (name, version), whether it is a procedural macro, licence."""
    command = ["cargo", "tree", "--locked", f"--package={PACKAGE}", f"--edges={edges}", "--prefix=depth", "--no-dedupe"]
    output = subprocess.run([*command, "--format={p}\t{l}"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        depth, name, version, macro, licence = LINE.match(line).groups()
        yield int(depth), (name, version), bool(macro), licence


def compiled_in(lines):
    """The crates below the charm itself, without procedural macros and what these use."""
    macro_depth = None
    for depth, crate, is_macro, _ in lines:
        if macro_depth is not None and depth > macro_depth:
            continue
        macro_depth = depth if is_macro else None
        if depth > 0 and not is_macro:
            yield crate


def locked(text):
    """(name, version) -> the entry in Cargo.lock."""
    return {(package["name"], package["version"]): package for package in tomllib.loads(text)["package"]}


def first_line(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]


def identifier(*words):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", "-".join(words))


def crate_package(crate, licence, lock):
    name, version = crate
    if lock.get("source") != CRATES_IO:
        raise SystemExit(f"sbom.py: {name} {version} is not from crates.io")
    return {
        "SPDXID": identifier("crate", name, version),
        "name": name,
        "versionInfo": version,
        "downloadLocation": f"https://static.crates.io/crates/{name}/{name}-{version}.crate",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": lock["checksum"]}],
        # Some crates still write MIT/Apache-2.0.
        "licenseDeclared": licence.replace("/", " OR ") or "NOASSERTION",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:cargo/{name}@{version}",
            }
        ],
    }


def tool_package(name, version):
    return {
        "SPDXID": identifier("tool", name),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
    }


def relation(subject, kind, related):
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": related}


def document(archive_name, archive_digest, version, lines_normal, lines_all, lock, tools):
    """The whole document; `lines_*` are those of tree(), `tools` pairs of name and version."""
    inside = set(compiled_in(lines_normal))
    licences = {crate: licence for depth, crate, _, licence in lines_all if depth > 0}
    charm = identifier("charm")
    packages = [
        {
            "SPDXID": charm,
            "name": PACKAGE,
            "versionInfo": version,
            "packageFileName": archive_name,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "checksums": [{"algorithm": "SHA256", "checksumValue": archive_digest}],
            "licenseDeclared": "Apache-2.0",
        }
    ]
    relations = [relation("SPDXRef-DOCUMENT", "DESCRIBES", charm)]
    for crate in sorted(licences):
        package = crate_package(crate, licences[crate], lock[crate])
        packages.append(package)
        if crate in inside:
            relations.append(relation(charm, "CONTAINS", package["SPDXID"]))
        else:
            relations.append(relation(package["SPDXID"], "BUILD_DEPENDENCY_OF", charm))
    for name, tool_version in tools:
        package = tool_package(name, tool_version)
        packages.append(package)
        relations.append(relation(package["SPDXID"], "BUILD_TOOL_OF", charm))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": archive_name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{PACKAGE}-{version}-{archive_digest}",
        "creationInfo": {"created": CREATED, "creators": [f"Tool: {PACKAGE}-sbom.py"]},
        "packages": packages,
        "relationships": relations,
    }


def main():
    archive = Path(sys.argv[1])
    lock = locked(Path("Cargo.lock").read_text(encoding="utf-8"))
    version = next(version for name, version in lock if name == PACKAGE)
    tools = [("rustc", first_line("rustc", "--version")), ("cc", first_line("cc", "--version"))]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    made = document(archive.name, digest, version, list(tree("normal")), list(tree("normal,build")), lock, tools)
    text = json.dumps(made, indent=2, sort_keys=True) + "\n"
    Path(sys.argv[2]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
