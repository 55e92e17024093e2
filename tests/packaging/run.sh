#!/bin/bash
# Builds the charm twice, checks it, packs it with the real charmcraft and checks that too.
# Everything lies below target/packaging, also what charmcraft and pip would put into a home.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=/usr/bin/python3 # the one that Debian's python3-apt and python3-yaml belong to
scratch=$PWD/target/packaging
name=$(sed -n 's/^name: *//p' metadata.yaml)
archive=target/${name}_$(dpkg --print-architecture).charm
# The same charm under the name of the Python charm, whose place it takes.
replacement=target/github-runner-image-builder_$(dpkg --print-architecture).charm
sbom=target/${name}_$(dpkg --print-architecture).spdx.json
export PYTHONDONTWRITEBYTECODE=1

say() { printf '\n== %s\n' "$*"; }

# Every file of a folder with its mode and digest.
inventory() { (cd "$1" && find . -type f -printf '%m %p\n' -exec sha256sum {} + | LC_ALL=C sort); }

say "the checks find what they are there to find"
"$python" tests/packaging/self_test.py

say "two builds give the same bytes"
mkdir -p "$scratch"
make --no-print-directory charm
cp "$archive" "$scratch/first.charm"
cp "$replacement" "$scratch/first-replacement.charm"
cp "$sbom" "$scratch/first.spdx.json"
inventory target/charm >"$scratch/first.inventory"
# Another umask and other modification times must not show.
(umask 0077 && make --no-print-directory charm)
cmp "$scratch/first.charm" "$archive"
cmp "$scratch/first-replacement.charm" "$replacement"
cmp "$scratch/first.spdx.json" "$sbom"
inventory target/charm | diff "$scratch/first.inventory" -

say "the charm's folder and archive"
"$python" tests/packaging/charm_archive.py "$archive" . target/charm
"$python" tests/packaging/charm_archive.py "$replacement" . target/replacement
for file in dispatch hooks/upgrade-charm config.yaml; do
    cmp "target/replacement/$file" "target/charm/$file"
done

say "SBOM and provenance are what they say, by public validators"
"$PWD/tests/packaging/image-sbom.sh" target/charm/dispatch "$scratch/image-sbom"

say "packed by charmcraft"
venv=$scratch/venv
requirements=tests/packaging/charmcraft-requirements.txt
if ! cmp --silent "$requirements" "$venv/requirements.txt"; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    # python3-apt is not on PyPI. The system's other modules stay out: they are of another age.
    ln -s /usr/lib/python3/dist-packages/apt{,_pkg.*.so,_inst.*.so} "$venv"/lib/python3*/site-packages/
    cp "$requirements" "$venv/requirements.txt"
fi

work=$scratch/charmcraft
project=$work/project
rm -rf "$work"
mkdir -p "$project/target" "$work/home" "$work/etc"
chmod 0700 "$work/home" # else it is no XDG_RUNTIME_DIR, and another is made below /tmp
cp charmcraft.yaml metadata.yaml config.yaml actions.yaml "$project/"
cp -a target/charm "$project/target/"
# charmcraft packs on the charm's base only; it learns from this file where it is.
cat >"$work/etc/os-release" <<'OS'
NAME="Ubuntu"
ID=ubuntu
ID_LIKE=debian
VERSION_ID="24.04"
VERSION_CODENAME=noble
PRETTY_NAME="Ubuntu 24.04 LTS"
OS
charmcraft() {
    # The yaml files that it writes get the modes that the umask leaves.
    (umask 0022 && cd "$project" && env HOME="$work/home" XDG_CACHE_HOME="$work/home/.cache" \
        XDG_STATE_HOME="$work/home/.state" XDG_CONFIG_HOME="$work/home/.config" \
        XDG_DATA_HOME="$work/home/.data" XDG_RUNTIME_DIR="$work/home" UNIXCONFDIR="$work/etc" \
        CRAFT_VERBOSITY_LEVEL=brief "$venv/bin/charmcraft" "$@" </dev/null)
}
charmcraft --version
charmcraft clean --destructive-mode
charmcraft pack --destructive-mode
packed=$(ls "$project"/*.charm)
"$python" tests/packaging/charm_archive.py "$packed" .
# Its linters over the packed charm: what does not apply to a charm without Python is not counted.
charmcraft analyse --format json "$(basename "$packed")" >"$scratch/analysis.json"
"$python" - "$scratch/analysis.json" <<'PYTHON'
import json, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
bad = [check for check in found if check["check_type"] == "lint" and check["result"] not in ("ok", "nonapplicable")]
sys.exit("\n".join(f"{check['name']}: {check['result']}: {check['text']}" for check in bad) or 0)
PYTHON
# What Juju runs is the same, whoever packed it.
for file in dispatch LICENSE icon.svg hooks/install scripts/build-openstack-image.sh; do
    unzip -p "$packed" "$file" | cmp - "target/charm/$file"
done

rm -rf "$work"
say "packaging: all checks passed"
