# shellcheck shell=bash disable=SC2034
# Shared by the scripts of this folder; source it, do not run it. Here live the paths, the messages, the processes with
# their pid files, and the installation of packages. Sourcing it starts nothing and writes nothing.

HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
STATE=$(readlink -m "${OPENSTACK_TESTBED_DIR:-/var/tmp/runner-image-builder-openstack}")   # everything that is written lies below it
ETC=$STATE/etc VAR=$STATE/var RUN=$STATE/run LOG=$STATE/log
NS=${OPENSTACK_TESTBED_NAMESPACE:-cloud}
HOST_IP=10.77.0.1 SUBNET=10.77.0.0/24                      # the namespace's own address on the virtual machines' network
SITE_PORT=8080 SQUID_PORT=3128
# Debian's own Python and tools, not another that a developer has in front of them
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 LC_ALL=C.UTF-8

# ---------------------------------------------------------------- messages
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
# die MESSAGE [LOGFILE]: the end of the log that explains it comes along
die() {
  say "FAILED: $1" >&2
  if [ -s "${2:-}" ]; then echo "--- the end of $2" >&2; tail -n 25 "$2" >&2; fi
  exit 1
}
need_root() { [ "$(id -u)" = 0 ] || die "this needs root"; }
# One script at a time changes a state folder. Nothing that stays running may inherit descriptor 9: see start.
lock_state() {
  mkdir -p "$STATE"
  exec 9>"$STATE/.lock"
  flock -w 1800 9 || die "another script has held $STATE/.lock for half an hour"
}
# The services and the namespace have no way out, so a proxy can only mislead them. (apt may need it: call this after need_packages.)
forget_proxies() { unset http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY REQUESTS_CA_BUNDLE; }

# ---------------------------------------------------------------- packages
installed() { # PACKAGE...: all of them?
  [ "$(dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>/dev/null | grep -cx installed)" = $# ]
}
# need_packages PACKAGE...: installs what is missing, and keeps the packages' services from starting
need_packages() {
  installed "$@" && return 0
  (
    exec 8>/run/lock/openstack-testbed-packages.lock; flock 8
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      printf '#!/bin/sh\nexit 101\n' >$policy; chmod 0755 $policy
      trap 'rm -f $policy' EXIT
    fi
    apt() {
      DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=1800 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" 8>&- 9>&-
    }
    try() {
      # qemu-utils and qemu-system must be of one version (newer tools Break the older emulator), and a machine may carry
      # qemu-utils from backports: ask for the version that the emulator has
      local version package list=()
      version=$(apt-cache policy qemu-system-x86 | awk '/Candidate:/ {print $2}')
      [ "$version" != "(none)" ] && [ -n "$version" ] || return 1
      for package; do
        if [ "$package" = qemu-utils ]; then package="qemu-utils=$version"; fi
        list+=("$package")
      done
      apt install -y --no-install-recommends --allow-downgrades "${list[@]}"
    }
    # without package lists, or with old ones, the first try fails
    try "$@" || { apt update && try "$@"; }
  )
}

# ---------------------------------------------------------------- processes
# Ours is exactly what lives in the mount namespace that up.sh made, or in one made from it (as `ip netns exec` does for
# Neutron's dnsmasq): its /run/netns carries our name. A child cannot leave it by accident, nobody else gets into it, and a
# stale pid file does no harm.
MARK=openstack-testbed:$STATE
ours() { grep -qsF " - tmpfs $MARK " "/proc/$1/mountinfo"; }
all_ours() { { grep -lsF " - tmpfs $MARK " /proc/[0-9]*/mountinfo || true; } | cut -d/ -f3; }
alive() { [ -s "$RUN/$1.pid" ] && ours "$(cat "$RUN/$1.pid")"; }
need_stack() { alive holder || die "the stack is down: run $HERE/up.sh first"; }
# in_cloud COMMAND...: run it in the services' network and mount namespaces
in_cloud() { nsenter -t "$(cat "$RUN/holder.pid")" -n -m -- "$@"; }
# spawn NAME COMMAND...: a process of its own session, with pid file and log; nothing if it already runs
spawn() {
  local name=$1 _; shift
  if alive "$name"; then return 0; fi
  rm -f "$RUN/$name.pid"
  # shellcheck disable=SC2016   # the inner shell expands them
  setsid -f bash -c 'echo $$ >"$0"; exec "$@"' "$RUN/$name.pid" "$@" >>"$LOG/$name.log" 2>&1 </dev/null 9>&-
  for _ in {1..100}; do if [ -s "$RUN/$name.pid" ]; then return 0; fi; sleep 0.05; done
  die "$name did not start" "$LOG/$name.log"
}
# start NAME COMMAND...: the same inside the stack's namespaces
start() { local name=$1; shift; spawn "$name" nsenter -t "$(cat "$RUN/holder.pid")" -n -m -- "$@"; }
# wait_for NAME SECONDS COMMAND...: until the command succeeds; ends at once when the process NAME has died
wait_for() {
  local name=$1 seconds=$2 begin=$SECONDS; shift 2
  until "$@" >/dev/null 2>&1; do
    alive "$name" || die "$name has died" "$LOG/$name.log"
    [ $((SECONDS - begin)) -lt "$seconds" ] || die "$name did not answer within $seconds s" "$LOG/$name.log"
    sleep 0.3
  done
  say "$name is up"
}
# stop_pidfile FILE SECONDS: TERM, then KILL for its whole process group
stop_pidfile() {
  local pid tenths
  [ -s "$1" ] || return 0
  pid=$(cat "$1")
  if ours "$pid"; then
    kill "$pid" 2>/dev/null || true
    for ((tenths = 0; tenths < $2 * 10; tenths++)); do ours "$pid" || break; sleep 0.1; done
    if ours "$pid"; then kill -9 -- "-$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$1"
}
stop() { stop_pidfile "$RUN/$1.pid" "$2"; }
listens() { in_cloud bash -c "exec 3<>/dev/tcp/$1/$2"; }

# Loop devices whose file lies below a folder (a killed image build leaves one behind)
drop_loops_below() {
  local device file
  while read -r device file; do
    case $file in "$1"/*) partx -d "$device" 2>/dev/null || true; losetup -d "$device";; esac
  done < <(losetup -nlO NAME,BACK-FILE)
}
