#!/bin/bash
# Looks for known vulnerabilities of the dependencies, where that can be done: it needs cargo-deny and the network.
# Says so where it cannot; only a found vulnerability is a failure.
set -euo pipefail

database=https://github.com/rustsec/advisory-db
if ! command -v cargo-deny >/dev/null; then
    echo "advisories: NOT CHECKED, cargo-deny is not installed (cargo install --locked cargo-deny)"
elif ! GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --quiet --exit-code "$database" HEAD >/dev/null 2>&1; then
    echo "advisories: NOT CHECKED, $database cannot be reached"
else
    cargo deny --locked check advisories
fi
