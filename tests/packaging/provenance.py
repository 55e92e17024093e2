#!/usr/bin/python3
"""Holds an in-toto statement with a SLSA v1 provenance against both definitions, by in-toto-attestation from PyPI, which knows no
field that they do not have.

usage: provenance.py STATEMENT
"""

import json
import sys

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement


def check(said):
    """Raises what is wrong with a statement."""
    Statement.copy_from_pb(json_format.ParseDict(said, statement_pb2.Statement())).validate()
    provenance = json_format.ParseDict(said["predicate"], provenance_pb2.Provenance())
    for material in provenance.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(material).validate()
    assert provenance.build_definition.build_type and provenance.run_details.builder.id


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        statement = json.load(file)
    check(statement)
    try:
        check(statement | {"subject": [{"name": "an image"}]})
    except ValueError:
        pass
    else:
        sys.exit("the validator takes a subject without a digest")
