#!/bin/bash
# Builds a small bootable amd64 cloud image (qcow2): Debian bookworm from this machine's own apt sources, with cloud-init,
# sshd and the user `ubuntu`. Prints its path.
#
#   [AS_UBUNTU=24.04] [ARCHIVE_KEYRING=FILE] make-base-image.sh [OUT.qcow2]
#
# AS_UBUNTU=20.04|22.04|24.04|26.04   the image says in /etc/os-release that it is that Ubuntu, and has an Ubuntu apt source (one
#                                     that leads nowhere); its packages stay Debian's. For tests of code that insists on Ubuntu.
# ARCHIVE_KEYRING                     goes in as /usr/share/keyrings/ubuntu-archive-keyring.gpg (default: the key of site.sh, if made)
# SIZE=3584M COMPRESSION=zlib MIRROR= SECURITY_MIRROR=
#
# The image is kept beside a digest of all that it was made from, and is only built anew when that has changed.
set -Eeuo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
need_root
AS_UBUNTU=${AS_UBUNTU:-}
OUT=$(readlink -m "${1:-$STATE/base-cloudimg${AS_UBUNTU:+-ubuntu-$AS_UBUNTU}.qcow2}")
SIZE=${SIZE:-3584M}
COMPRESSION=${COMPRESSION:-zlib}          # every qemu reads zlib; zstd needs 5.1
case $AS_UBUNTU in
  "") CODENAME=;; 20.04) CODENAME=focal;; 22.04) CODENAME=jammy;; 24.04) CODENAME=noble;; 26.04) CODENAME=resolute;;
  *) die "AS_UBUNTU=$AS_UBUNTU is no Ubuntu that this knows";;
esac
ARCHIVE_KEYRING=${ARCHIVE_KEYRING:-$STATE/site-keys/archive-keyring.gpg}
if [ ! -e "$ARCHIVE_KEYRING" ]; then ARCHIVE_KEYRING=/dev/null; fi

need_packages mmdebstrap qemu-utils fdisk e2fsprogs python3
# shellcheck disable=SC2016   # apt's own variable
apt_site() { apt-get indextargets --format '$(SITE)' "Codename: $1" 2>/dev/null | head -n 1 || true; }
find_mirrors() {
  MIRROR=${MIRROR:-$(apt_site bookworm)} SECURITY_MIRROR=${SECURITY_MIRROR:-$(apt_site bookworm-security)}
  MIRROR=${MIRROR%/} SECURITY_MIRROR=${SECURITY_MIRROR%/}
  [ -n "$MIRROR" ] && [ -n "$SECURITY_MIRROR" ]
}
find_mirrors || { apt-get -qq update && find_mirrors; } ||
  die "apt on this machine has no sources for bookworm and bookworm-security: set MIRROR and SECURITY_MIRROR"

# ---------------------------------------------------------------- once is enough
inputs=$({ cat "$0" "$ARCHIVE_KEYRING"; echo "$AS_UBUNTU|$SIZE|$COMPRESSION|$MIRROR|$SECURITY_MIRROR"; } | sha256sum | cut -d' ' -f1)
if [ -z "${BASE_IMAGE_UNSHARED:-}" ]; then
  mkdir -p "$(dirname "$OUT")" "$STATE/tmp"
  exec 9>"$OUT.lock"
  flock -w 1800 9 || die "another build has held $OUT.lock for half an hour"
  if [ -s "$OUT" ] && [ "$(cat "$OUT.inputs" 2>/dev/null)" = "$inputs" ]; then
    say "unchanged" >&2
    echo "$OUT"
    exit 0
  fi
  # Everything is mounted in a private mount namespace and runs in a PID namespace: however the build goes away, the kernel ends
  # its processes and then unmounts it all. Only a loop device outlives a killed build; the next one, which holds the lock,
  # takes it away.
  exec env BASE_IMAGE_UNSHARED=1 unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    bash "$HERE/make-base-image.sh" "$@"
fi
WORK=$STATE/tmp/$(basename "$OUT")
drop_loops_below "$WORK"; rm -rf --one-file-system "$WORK"; mkdir "$WORK"
LOG_FILE=$OUT.log
LOOP=
clean_up() {
  set +e; trap - ERR
  umount -R "$WORK/root" 2>/dev/null
  if [ -n "$LOOP" ]; then partx -d "$LOOP" 2>/dev/null; losetup -d "$LOOP"; fi
  rm -rf --one-file-system "$WORK"
}
trap clean_up EXIT
trap 'die "building the image at line $LINENO" "$LOG_FILE" 2>&3' ERR
trap 'exit 130' INT TERM HUP
exec 3>&2 4>&1 >"$LOG_FILE" 2>&1
step() { say "$@"; say "$@" >&3; }

step "disk: GPT with p14 bios_grub and p1 root last on the disk, as Ubuntu's own cloud images have it"
truncate -s "$SIZE" "$WORK/disk.raw"
sfdisk -q "$WORK/disk.raw" <<X
label: gpt
14 : start=2048, size=8192, type=21686148-6449-6E6F-744E-656564454649
1 : start=10240, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=root
X
LOOP=$(losetup -f --show "$WORK/disk.raw")
# Not losetup -P: a kernel without a GPT parser finds no partitions; partx has its own. Ones left by a killed build go first.
partx -d "$LOOP" 2>/dev/null || true
partx -a "$LOOP"
for _ in {1..50}; do [ -b "${LOOP}p1" ] && break; sleep 0.1; done
mkfs.ext4 -q -L cloudimg-rootfs -m 1 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard "${LOOP}p1"
R=$WORK/root
mkdir "$R"; mount -o noatime,nobarrier "${LOOP}p1" "$R"

step "mmdebstrap"
packages=linux-image-cloud-amd64,init,systemd,systemd-sysv,systemd-resolved,systemd-timesyncd,libpam-systemd,dbus,udev
packages+=,cloud-init,cloud-guest-utils,netplan.io,openssh-server,sudo,curl,ca-certificates,python3,gpgv
packages+=,grub-pc-bin,grub2-common,initramfs-tools,kmod,e2fsprogs,iproute2,iputils-ping,netbase,procps,less,locales
packages+=,tar,gzip,xz-utils,zstd,nftables
# It hands open file descriptors to a shell that knows only one digit: leave it the low ones.
# shellcheck disable=SC2016   # the hook's own shell expands it
mmdebstrap --mode=root --variant=minbase --architectures=amd64 --components=main --include="$packages" \
  --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' --aptopt='Acquire::Retries "3"' \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --dpkgopt='force-unsafe-io' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --setup-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; echo COMPRESS=zstd > "$1/etc/initramfs-tools/conf.d/zstd"' \
  --skip=cleanup/reproducible \
  bookworm "$R" \
  "deb $MIRROR bookworm main" "deb $MIRROR bookworm-updates main" "deb $SECURITY_MIRROR bookworm-security main" \
  3>&- 4>&- 9>&-

step "configure"
uuid=$(blkid -p -s UUID -o value "${LOOP}p1")
echo "UUID=$uuid / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1" >"$R/etc/fstab"
echo cloudimg >"$R/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 cloudimg\n::1 localhost ip6-localhost ip6-loopback\n' >"$R/etc/hosts"
echo 'LANG=C.UTF-8' >"$R/etc/default/locale"

# apt and dpkg as a distribution ships them: none of mmdebstrap's settings, none of this machine's mirrors
rm -f "$R/etc/apt/apt.conf.d/99mmdebstrap" "$R/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$R/etc/apt/sources.list.d/"*
echo "deb http://deb.debian.org/debian bookworm main" >"$R/etc/apt/sources.list"
if [ -n "$CODENAME" ]; then
  rm "$R/etc/os-release"
  cat >"$R/etc/os-release" <<X
PRETTY_NAME="Ubuntu $AS_UBUNTU LTS"
NAME="Ubuntu"
VERSION_ID="$AS_UBUNTU"
VERSION_CODENAME=$CODENAME
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=$CODENAME
X
  suites="$CODENAME $CODENAME-updates $CODENAME-security"
  components="main restricted universe multiverse"
  case $AS_UBUNTU in
    20.04 | 22.04)                                    # the old format
      for suite in $suites; do echo "deb http://archive.invalid/ubuntu $suite $components"; done >"$R/etc/apt/sources.list";;
    *)
      echo "# Ubuntu sources have moved to /etc/apt/sources.list.d/ubuntu.sources" >"$R/etc/apt/sources.list"
      cat >"$R/etc/apt/sources.list.d/ubuntu.sources" <<X
Types: deb
URIs: http://archive.invalid/ubuntu
Suites: $suites
Components: $components
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
X
  esac
fi
if [ -s "$ARCHIVE_KEYRING" ]; then
  install -m 0644 "$ARCHIVE_KEYRING" "$R/usr/share/keyrings/ubuntu-archive-keyring.gpg"
fi

mkdir -p "$R/etc/cloud/cloud.cfg.d"
# On plain QEMU ds-identify finds OpenStack only by its DMI product name, which Nova sets.
cat >"$R/etc/cloud/cloud.cfg.d/90-base.cfg" <<'X'
datasource_list: [ NoCloud, ConfigDrive, OpenStack, None ]
# the image carries its own apt sources; cloud-init must not rewrite them
apt: {preserve_sources_list: true}
apt_preserve_sources_list: true
manage_etc_hosts: true
disable_root: true
ssh_pwauth: false
growpart: {mode: auto, devices: ['/'], ignore_growroot_disabled: false}
resize_rootfs: true
system_info:
  default_user:
    name: ubuntu
    gecos: Ubuntu
    lock_passwd: true
    groups: [adm, sudo]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
X
mkdir -p "$R/etc/systemd/journald.conf.d" "$R/etc/systemd/system/systemd-networkd-wait-online.service.d"
printf '[Journal]\nSystemMaxUse=32M\n' >"$R/etc/systemd/journald.conf.d/base.conf"
# go on booting as soon as one network card is routable
cat >"$R/etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf" <<'X'
[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30
X
cat >"$R/etc/default/grub" <<'X'
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_TIMEOUT_STYLE=hidden
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="loglevel=4 systemd.show_status=auto"
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200 net.ifnames=0 biosdevname=0"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --speed=115200"
GRUB_DISABLE_OS_PROBER=true
GRUB_DISABLE_RECOVERY=true
X
mount --bind /dev "$R/dev"; mount -t proc proc "$R/proc"; mount -t sysfs sysfs "$R/sys"
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$R" "$@"; }
inside systemctl enable systemd-networkd systemd-resolved systemd-timesyncd ssh serial-getty@ttyS0.service \
  cloud-init-local cloud-init cloud-config cloud-final
inside systemctl mask apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service \
  e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer fstrim.timer systemd-firstboot.service systemd-homed.service

step "boot loader"
mkdir -p "$R/boot/grub"; echo "(hd0) $LOOP" >"$R/boot/grub/device.map"
inside grub-install --target=i386-pc --no-floppy --modules="part_gpt ext2" "$LOOP"
inside update-grub
rm -f "$R/boot/grub/device.map"
sed -i "s#root=${LOOP}p1#root=UUID=$uuid#" "$R/boot/grub/grub.cfg"
grep -q "root=UUID=$uuid" "$R/boot/grub/grub.cfg"

step "generalise"
rm -f "$R"/etc/ssh/ssh_host_* "$R/var/lib/dbus/machine-id"; : >"$R/etc/machine-id"
rm -rf "$R"/var/lib/cloud/* "$R"/var/log/*.log "$R"/var/log/apt/* "$R"/var/log/journal/* "$R"/var/cache/apt/*.bin \
  "$R"/var/cache/apt/archives/*.deb "$R"/var/lib/apt/lists/*_* "$R"/var/cache/debconf/*-old "$R"/tmp/* "$R"/var/tmp/*
find "$R/usr" -name __pycache__ -type d -path '*/test*' -prune -exec rm -rf {} +
ln -sf ../run/systemd/resolve/stub-resolv.conf "$R/etc/resolv.conf"
# shellcheck disable=SC2016   # dpkg-query's own
inside dpkg-query -W -f '${Package}\t${Version}\n' >"$OUT.manifest"
umount "$R/dev" "$R/proc" "$R/sys"
fstrim -v "$R"
umount "$R"
e2fsck -fp "${LOOP}p1" || [ $? -le 1 ]
partx -d "$LOOP"; losetup -d "$LOOP"; LOOP=

step "convert ($COMPRESSION)"
qemu-img convert -f raw -O qcow2 -c -m 8 -W -o "compression_type=$COMPRESSION" "$WORK/disk.raw" "$WORK/out.qcow2"
qemu-img check -q "$WORK/out.qcow2"
rm -f "$OUT.inputs"
mv -f "$WORK/out.qcow2" "$OUT.partial"   # in the normal case one file system, so that the next move is the atomic one anyway
mv -f "$OUT.partial" "$OUT"
echo "$inputs" >"$OUT.inputs"
step "built, $(stat -c %s "$OUT") bytes"
echo "$OUT" >&4
