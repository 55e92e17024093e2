#!/bin/bash
# boot.sh [TARGET [OPTION=VALUE...]]: what it is worth that the default recipe masks units. Builds the image of TARGET (noble-x64)
# twice on this machine, with the default recipe and with one that masks apt's units alone, boots both in turn with QEMU, and
# prints the medians and their ratio. Options are those of `dispatch local-build`.
#
#   DISPATCH=target/charm/dispatch ROUNDS=5
#
# Needs root, loop devices, a way to Ubuntu's archive, and the packages qemu-system-x86, qemu-utils, genisoimage, python3-yaml.
# With KVM a round takes seconds, without minutes.
set -euo pipefail
dispatch=$(readlink -e "${DISPATCH:-target/charm/dispatch}")
target=${1:-noble-x64} rounds=${ROUNDS:-5}
shift || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
accelerator=tcg
[ ! -w /dev/kvm ] || accelerator=kvm

"$dispatch" recipe >"$work/after.yaml"
/usr/bin/python3 -Ic '
import sys, yaml
recipe = yaml.safe_load(sys.stdin)
recipe["masked_units"] = [unit for unit in recipe["masked_units"] if unit.startswith("apt-daily")]
yaml.safe_dump(recipe, sys.stdout)' <"$work/after.yaml" >"$work/before.yaml"

# The machine tells when the boot is over, by itself, and goes. A simple unit is no part of the boot that it waits for.
mkdir "$work/seed"
echo 'instance-id: boot' >"$work/seed/meta-data"
cat >"$work/seed/user-data" <<'X'
#cloud-config
write_files:
  - path: /run/systemd/system/tell.service
    content: |
      [Service]
      ExecStart=/bin/bash -c 'systemctl is-system-running --wait; systemctl show --property=UserspaceTimestampMonotonic --property=FinishTimestampMonotonic >/dev/ttyS0; systemctl poweroff'
runcmd:
  - systemctl daemon-reload
  - systemctl start tell.service
X
genisoimage -quiet -volid cidata -joliet -rock -output "$work/seed.iso" "$work/seed"/*

for name in before after; do
  "$dispatch" local-build "$target" "$work/$name.qcow2" recipe="$(cat "$work/$name.yaml")" "$@" >&2
done
# boot NAME: the milliseconds from the start of the kernel to the end of the boot.
boot() {
  qemu-img create -q -f qcow2 -b "$work/$1.qcow2" -F qcow2 "$work/disk.qcow2"
  timeout 1800 qemu-system-x86_64 -machine "accel=$accelerator" -cpu max -m 2048 -smp 2 -display none -monitor none \
    -drive "file=$work/disk.qcow2,if=virtio,cache=unsafe" -cdrom "$work/seed.iso" -nic user,model=virtio \
    -serial "file:$work/console" </dev/null
  sed -n 's/^FinishTimestampMonotonic=\([0-9]*\)[0-9]\{3\}.*/\1/p' "$work/console" | tail -n 1
}
for _ in $(seq "$rounds"); do
  for name in before after; do boot $name >>"$work/$name.times"; done
done
median() { sort -n "$work/$1.times" | sed -n "$(((rounds + 1) / 2))p"; }
before=$(median before) after=$(median after)
echo "$target, $accelerator, the median of $rounds boots, kernel and userspace:"
echo "before $before ms, after $after ms, ratio $(awk "BEGIN {printf \"%.2f\", $after / $before}")"
