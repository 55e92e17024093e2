#!/bin/bash
# inspect-image.sh IMAGE PATTERN-FILE...: looks for secrets in a disk image (qcow2 or raw, for example a downloaded snapshot).
# A pattern file holds one fixed string a line; strings never go through a command line, and are printed shortened.
#
# It searches the image file itself, then every byte of the disk (deleted files and journals too), then each file of the root
# file system, mounted read-only in a private mount namespace.
#
# FILES_ONLY=1 looks at the files alone: what was deleted does not count.
#
# exit status: 0 nothing found, 1 something found, 2 it could not be inspected
set -Eeuo pipefail
trap 'exit 2' ERR
. "$(dirname "$(readlink -f "$0")")/lib.sh"
if [ $# -lt 2 ]; then echo "usage: inspect-image.sh IMAGE PATTERN-FILE..." >&2; exit 2; fi
if [ "$(id -u)" != 0 ]; then echo "inspect-image.sh: this needs root" >&2; exit 2; fi
need_packages qemu-utils fdisk python3 >/dev/null

# The mounts go with the namespace, and with the last mount its loop device, however this ends.
if [ -z "${INSPECT_IMAGE_UNSHARED:-}" ]; then
  exec env INSPECT_IMAGE_UNSHARED=1 unshare --mount --propagation private bash "$HERE/inspect-image.sh" "$@"
fi
IMAGE=$(readlink -e "$1"); shift
WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/inspect-image.XXXXXX")
trap 'umount "$WORK/root" 2>/dev/null || true; rm -rf --one-file-system "$WORK"' EXIT
trap 'exit 2' INT TERM HUP
search() { /usr/bin/python3 -I "$HERE/inspect-image.py" "$@"; }
found=0
note() { # STATUS of a search
  case $1 in 0) ;; 1) found=1;; *) exit 2;; esac
}

format=$(qemu-img info --output=json "$IMAGE" | /usr/bin/python3 -Ic 'import json, sys; print(json.load(sys.stdin)["format"])')
if [ "$format" = raw ]; then
  RAW=$IMAGE
else
  [ -n "${FILES_ONLY:-}" ] || { status=0; search bytes "image file" "$IMAGE" "$@" || status=$?; note $status; }
  RAW=$WORK/disk.raw
  qemu-img convert -f "$format" -O raw "$IMAGE" "$RAW"
fi
[ -n "${FILES_ONLY:-}" ] || { status=0; search bytes "disk" "$RAW" "$@" || status=$?; note $status; }

# the root file system: the largest partition, or all of it where there is no partition table
read -r offset size < <({ sfdisk -J "$RAW" 2>/dev/null || echo '{}'; } | /usr/bin/python3 -Ic '
import json, os, sys
table = json.load(sys.stdin).get("partitiontable")
if table:
    largest = max(table["partitions"], key=lambda part: part["size"])
    sector = table.get("sectorsize", 512)
    print(largest["start"] * sector, largest["size"] * sector)
else:
    print(0, os.stat(sys.argv[1]).st_size)' "$RAW")
mkdir "$WORK/root"
# noload: the disk must not be changed. What is only in the journal of an unclean file system was seen above.
mount -o "ro,noload,loop,offset=$offset,sizelimit=$size" "$RAW" "$WORK/root" 2>/dev/null ||
  mount -o "ro,loop,offset=$offset,sizelimit=$size" "$RAW" "$WORK/root"
status=0; search files "root file system" "$WORK/root" "$@" || status=$?; note $status
if [ $found = 0 ]; then echo "nothing found"; fi
exit $found
