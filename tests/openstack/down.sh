#!/bin/bash
# down.sh [--purge]: stops all that up.sh, site.sh and squid.sh started, and checks that nothing is left: no process, mount,
# namespace or loop device. VMs are ended, data stay, and the next up.sh continues with them. --purge removes databases, images,
# configuration and logs as well; base images, the site and its keys stay even then (rm -rf the state folder for these).
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
need_root
lock_state

if alive holder; then
  # orderly for as long as there is somebody to ask; VMs first, or libvirtd leaves them running
  if alive libvirtd; then
    for domain in $(in_cloud virsh -c qemu:///system list --name 2>/dev/null || true); do
      in_cloud virsh -c qemu:///system destroy "$domain" >/dev/null 2>&1 || true
    done
  fi
  # OpenStack's services ignore TERM for a while when they are busy; 5 s are enough for those that listen
  for name in site squid nova-compute neutron-metadata-agent neutron-dhcp-agent neutron-linuxbridge-agent nova-scheduler \
    nova-conductor nova-api neutron-server glance-api placement keystone libvirtd; do
    stop $name 5 &
  done
  wait
  stop rabbitmq 20 & stop mariadb 60 & wait
  stop epmd 3
fi

# dnsmasq, VMs, and whatever else did not go with its parent
for _ in {1..50}; do
  left=$(all_ours)
  [ -n "$left" ] || break
  # shellcheck disable=SC2086
  kill -9 $left 2>/dev/null || true
  sleep 0.1
done
[ -z "$left" ] || { ps -o pid,stat,args -p "$(paste -sd, <<<"$left")"; die "these processes of the stack cannot be killed"; }
rm -rf "$RUN"

# The network namespace goes only when nobody else works in it (deleting it would take the network from under a running test).
if [ -e "/run/netns/$NS" ]; then
  others=$(ip netns pids "$NS")
  if [ -n "$others" ]; then
    ps -o pid,args -p "$(paste -sd, <<<"$others")"
    die "the stack is down, but these processes, which are not its own, still live in the namespace $NS"
  fi
  ip netns del "$NS"
fi
# `ip netns add` made /run/netns a mount of its own, the last one to leave switches off the light (it comes again when needed)
if mountpoint -q /run/netns && [ -z "$(ls -A /run/netns)" ]; then umount /run/netns || true; fi

# what a killed build of a base image left (a running one holds its lock)
for work in "$STATE"/tmp/*/; do
  lock=$STATE/$(basename "$work").lock
  if [ -e "$lock" ] && flock -n "$lock" true; then drop_loops_below "${work%/}"; rm -rf --one-file-system "$work"; fi
done

if [ "${1:-}" = --purge ]; then
  drop_loops_below "$STATE"
  rm -rf "$VAR" "$ETC" "$LOG" "$STATE/tmp" "$STATE/clouds.yaml"
fi
if grep -F " $STATE/" /proc/mounts; then die "these mounts are left"; fi
say "down"
