#!/bin/bash
# Tells the operator's story with jubilant (from PyPI, in a virtual environment below target/) and `juju` alone.
#
# JUJU_TEST_WORLD names the file that says where: see conftest.py. Without it a rehearsal is kept for the story, and ended
# after it; JUJU says of which version. Arguments are pytest's.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$PWD/target/juju
requirements=tests/juju/requirements.txt
if ! cmp -s "$requirements" "$work/installed"; then
    rm -rf "$work"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$work/installed"
fi
for charm in consumer collector; do
    rm -f "$work/$charm.charm"
    (cd "tests/juju/$charm" && zip -q -X -r "$work/$charm.charm" .)
done
export JUJU_TEST_CHARMS=$work

# The rehearsal says how it is reached in lines that a shell takes.
rehearse() {
    cargo build --quiet --locked --package rehearsal --bins
    coproc KEPT { exec "${CARGO_TARGET_DIR:-target}/debug/rehearsal" --keep --empty --juju "${JUJU:-3.6}"; }
    kept=$KEPT_PID
    trap 'kill -INT "$kept" 2>/dev/null; wait "$kept" || true' EXIT
    local line
    while IFS= read -r line <&"${KEPT[0]}"; do
        printf '%s\n' "$line"
        case $line in
            *"export PATH="*) PATH=${line#*export PATH=} && PATH=${PATH%:\$PATH}:$path ;;
            *"export REHEARSAL="*) export JUJU_TEST_WORLD=${line#*export REHEARSAL=}/world.yaml ;;
            *Ctrl-C*) return ;;
        esac
    done
    echo "the rehearsal has ended" >&2
    return 1
}

path=$PATH
[[ -n ${JUJU_TEST_WORLD-} ]] || rehearse
"$work/venv/bin/python" -B -m pytest -p no:cacheprovider --exitfirst --verbose --durations=0 "$@" tests/juju
