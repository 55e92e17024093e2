#!/usr/bin/python3
"""Holds an SPDX document against the specification, by spdx-tools, and its package URLs, by packageurl-python, both from PyPI.

usage: spdx.py DOCUMENT MANIFEST
"""

import json
import sys
import tempfile

from packageurl import PackageURL
from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def faults(path):
    """What is wrong with the document at `path`, a line each."""
    try:
        document = parse_file(path)
    except SPDXParsingError as error:
        return error.get_messages()
    return [fault.validation_message for fault in validate_full_spdx_document(document, "SPDX-2.3")]


def main(document, manifest):
    if found := faults(document):
        return "\n".join(found)
    with open(document, encoding="utf-8") as file:
        said = json.load(file)
    # A check that finds nothing in a broken document says nothing of a good one.
    with tempfile.NamedTemporaryFile("w", suffix=".spdx.json", encoding="utf-8") as broken:
        json.dump(said | {"packages": [package | {"SPDXID": "no id"} for package in said["packages"]]}, broken)
        broken.flush()
        if not faults(broken.name):
            return "the validator takes a document without identifiers"
    references = [ref for package in said["packages"] for ref in package.get("externalRefs", [])]
    found = [ref["referenceLocator"] for ref in references]
    if wrong := [purl for purl in found if PackageURL.from_string(purl).to_string() != purl]:
        return f"not as package URLs are written: {wrong}"
    with open(manifest, encoding="utf-8") as file:
        content = json.load(file)
    lists = sum(len(content[kind]) for kind in ("packages", "snaps", "npm", "tools"))
    others = 3  # base image, runner, script
    return None if len(set(found)) == lists + others else f"{lists + others} package URLs are missing some: {found}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
