#!/bin/bash
# Records what craft-providers' BuilddBase does (from PyPI, in a virtual environment below target/) and holds our own
# against it.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$PWD/target/craft-providers
requirements=tests/craft_providers/requirements.txt
if ! cmp -s "$requirements" "$work/installed"; then
    rm -rf "$work"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$work/installed"
fi
# The folder that cases.json names for the cache.
trap 'rm -rf /tmp/craft-providers-cache' EXIT
timeout 300 "$work/venv/bin/python" -B tests/craft_providers/record.py tests/craft_providers/cases.json "$work/record.json"
CRAFT_PROVIDERS_RECORD=$work/record.json cargo test --locked --test craft_providers
