#!/usr/bin/python3
"""Verifies a DSSE envelope by securesystemslib from PyPI, and has `dispatch verify` verify what securesystemslib has signed.

usage: envelope.py DISPATCH ENVELOPE PUBLIC_KEY STATEMENT SCRATCH
"""

import json
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

TYPE = "application/vnd.in-toto+json"


def main(dispatch, envelope, public_key, statement, scratch):
    said = json.loads(Path(envelope).read_text(encoding="utf-8"))
    wanted = json.loads(Path(statement).read_text(encoding="utf-8"))
    key = serialization.load_pem_public_key(Path(public_key).read_bytes())
    ours = SSlibKey.from_crypto(key, keyid=said["signatures"][0]["keyid"])
    signed = Envelope.from_dict(said)
    assert list(signed.verify([ours], 1)) == [ours.keyid]
    assert signed.payload_type == TYPE and json.loads(signed.payload) == wanted
    # A verification that nothing fails says nothing of what passes it.
    for changed in (signed.payload + b" ", signed.payload.replace(b"noble", b"jammy")):
        try:
            Envelope(changed, TYPE, signed.signatures).verify([ours], 1)
        except VerificationError:
            continue
        return "securesystemslib takes another payload"

    # The other way round.
    signer = CryptoSigner.generate_ed25519()
    theirs = Envelope(signed.payload, TYPE, {})
    theirs.sign(signer)
    file = Path(scratch, "theirs.json")
    file.write_text(json.dumps(theirs.to_dict()), encoding="utf-8")
    pem = Path(scratch, "theirs.pem")
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_key.keyval["public"]))
    encoded = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem.write_bytes(encoded)
    digest = wanted["subject"][0]["digest"]["sha512"]

    def verify(statement, keys, sha512=digest):
        words = [dispatch, "verify", "--sha512", sha512, "--statement", statement, "--public-key", keys]
        return subprocess.run(words, capture_output=True, text=True, check=False, env={})

    for statement, keys in ((envelope, public_key), (file, pem)):
        if (done := verify(statement, keys)).returncode:
            return f"dispatch verify: {done.stderr}"
    for statement, keys, sha512 in ((envelope, pem, digest), (file, public_key, digest), (envelope, public_key, "17" * 64)):
        if (done := verify(statement, keys, sha512)).returncode != 1:
            return f"dispatch verify takes {statement} with {keys} for {sha512}: {done}"
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
