#!/bin/bash
# run.sh [TEST-ARGUMENT...]: starts an empty cloud, its base image and the servers around it, runs the charm's scenario in it,
# and stops what it has started. KEEP=1 takes the cloud as the last run left it, with all that is in it, and leaves it
# running. RUNNER_IMAGE_BUILDER_CHARM names the unpacked charm (`make charm`).
set -euo pipefail
HERE=$(dirname "$(readlink -f "$0")")
ORIGINAL_PATH=$PATH          # lib.sh takes Debian's own programs only, and cargo is none of them
. "$HERE/lib.sh"
need_root
cargo=$(PATH=$ORIGINAL_PATH command -v cargo) || die "cargo is not on PATH"
TOP=$(readlink -f "$HERE/../..")
RUNNER_IMAGE_BUILDER_CHARM=$(readlink -m "${RUNNER_IMAGE_BUILDER_CHARM:-$TOP/target/charm}")
export RUNNER_IMAGE_BUILDER_CHARM
[ -x "$RUNNER_IMAGE_BUILDER_CHARM/dispatch" ] || die "no charm in $RUNNER_IMAGE_BUILDER_CHARM: run make charm"

# Whatever of the test still lives in the namespace when the test does not: a consumer's script, the charm's worker.
end_the_test() {
  local signal
  [ -e "/run/netns/$NS" ] || return 0
  others() { comm -23 <(ip netns pids "$NS" | sort) <(all_ours | sort); }
  for signal in TERM KILL; do
    # shellcheck disable=SC2046
    kill -$signal $(others) 2>/dev/null || true
    for _ in {1..60}; do
      [ -n "$(others)" ] || return 0
      sleep 1
    done
  done
}
# What the services have complained of, the latest of each.
show_errors() {
  local log
  for log in "$LOG"/*.log; do
    grep -E ' (ERROR|CRITICAL) ' "$log" | tail -n 8 | cut -c 1-400 | sed "s/^/$(basename "$log"): /"
  done || true
}
stop() {
  status=$?
  trap '' INT TERM
  end_the_test
  ((status == 0)) || show_errors
  if [ -z "${KEEP:-}" ]; then
    "$HERE/squid.sh" down || true
    "$HERE/site.sh" down || true
    "$HERE/down.sh" || true
  fi
  exit $status
}
trap stop EXIT
trap 'exit 130' INT TERM

# What a run that was cut short has left is not this run's: the charm would rightly remove its VMs from under it.
[ -n "${KEEP:-}" ] || { end_the_test; "$HERE/down.sh" --purge; }
# The service's start may be tried once more; an assertion never is.
"$HERE/up.sh" || { "$HERE/down.sh"; "$HERE/up.sh"; }
"$HERE/site.sh" up
"$HERE/squid.sh" up
# Only a test that is ignored otherwise has a machine that needs them.
[[ " $* " != *ignored* ]] || "$HERE/machine-packages.sh" >/dev/null
# Tests are built outside of the namespace, which has no way to a package registry.
cd "$TOP"
PATH=$ORIGINAL_PATH "$cargo" test --test openstack --no-run
PATH=$ORIGINAL_PATH "$cargo" build --package rehearsal --example contract
# In the background, so that a signal is heeded at once.
in_namespace() {
  PATH=$ORIGINAL_PATH ip netns exec "$NS" "$cargo" "$@" &
  wait $!
}
in_namespace test --offline --test openstack -- --nocapture --test-threads=1 "$@"
# Is the embedded cloud, on which all other tests stand, like this one?
if [ $# = 0 ]; then
  OS_CLIENT_CONFIG_FILE=$STATE/clouds.yaml in_namespace run --offline --package rehearsal --example contract
fi
