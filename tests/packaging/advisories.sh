#!/bin/bash
# Looks for known vulnerabilities of the dependencies, where that can be done: it needs cargo-deny and the network.
# Where it cannot, the last lines of the output say so; only a found vulnerability is a failure.
set -euo pipefail

database=https://github.com/rustsec/advisory-db

not_checked() {
    local line='##############################################################################'
    printf '\n%s\n# WARNING: known vulnerabilities of the dependencies were NOT CHECKED.\n' "$line" >&2
    printf '# %s\n' "$@" >&2
    printf '%s\n' "$line" >&2
}

if ! command -v cargo-deny >/dev/null; then
    not_checked "cargo-deny is not installed. Run: cargo install --locked cargo-deny"
elif ! GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --quiet --exit-code "$database" HEAD >/dev/null 2>&1; then
    not_checked "$database cannot be reached."
else
    cargo deny --locked check advisories
fi
