#!/bin/bash
# Prints SBOM and provenance of a build that a unit has on record, and has public validators check them, and public
# implementations the signature:
# image-sbom.sh DISPATCH SCRATCH
set -euo pipefail
sources=$(cd "$(dirname "$0")" && pwd)
dispatch=$(realpath "$1")
scratch=$2

requirements=$sources/spdx-requirements.txt
if ! cmp --silent "$requirements" "$scratch/installed"; then
    rm -rf "$scratch"
    mkdir -p "$scratch"
    /usr/bin/python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$scratch/installed"
fi

# A unit's folder with a journal of one build, and its manifest under its digest.
unit=$scratch/unit
state=$unit/var/lib/runner-image-builder
rm -rf "$unit"
(umask 0077 && mkdir -p "$state/manifests")
digest=$(sha256sum "$sources/image-sbom/manifest.json" | cut -d' ' -f1)
install -m 0600 "$sources/image-sbom/manifest.json" "$state/manifests/$digest.json"
sed "s/DIGEST/$digest/" "$sources/image-sbom/journal.json" >"$state/journal.json"

show() { RUNNER_IMAGE_BUILDER_ROOT=$unit "$dispatch" show-image noble-x64 --format "$1"; }
show spdx >"$scratch/image.spdx.json"
show spdx | cmp - "$scratch/image.spdx.json" # the same each time
show slsa >"$scratch/image.slsa.json"
"$scratch/venv/bin/python" -B "$sources/spdx.py" "$scratch/image.spdx.json" "$sources/image-sbom/manifest.json"
"$scratch/venv/bin/python" -B "$sources/provenance.py" "$scratch/image.slsa.json"

cargo run --quiet --locked --example sign -- "$unit" >"$scratch/public-keys.pem"
show dsse >"$scratch/image.dsse.json"
"$scratch/venv/bin/python" -B "$sources/envelope.py" "$dispatch" "$scratch/image.dsse.json" "$scratch/public-keys.pem" \
    "$scratch/image.slsa.json" "$scratch"
