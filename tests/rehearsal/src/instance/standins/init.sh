#!/bin/bash
# The first process of an instance. First outside: builds the instance's file systems around its tree and makes
# that the root. Then inside: waits until whoever started it goes away; everything else ends with it.
set -eu

# protect PLACE: makes a mount read-only. The options that it has from the host must be named again.
protect() {
    local options
    for options in ro ro,nosuid ro,nosuid,nodev ro,nosuid,nodev,noatime ro,nosuid,nodev,relatime; do
        # Named twice, so that the instance's own fstab is not asked.
        mount -n -o "remount,bind,$options" "$1" "$1" 2> /dev/null && break
    done
    [ ! -w "$1" ] || { echo "cannot protect $1" >&2; exit 1; }
}

# The mounts that take one call together, as fstab(5) wants them.
further_mounts() {
    local part device
    for part in sys sysrq-trigger irq bus fs acpi; do
        [ ! -e "$1/proc/$part" ] || echo "$1/proc/$part $1/proc/$part none bind,ro,nosuid,nodev,noexec"
    done
    for device in null zero full random urandom tty; do echo "/dev/$device $1/dev/$device none bind"; done
}

case $1 in
outside)
    tree=$2 shared=$3 name=$4
    mount -n --bind "$tree" "$tree"
    cd "$tree"
    mount -n --rbind /usr .host/usr
    protect "$tree/.host/usr"
    mount -n --bind "$shared" .rehearsal
    protect "$tree/.rehearsal"
    mount -n -t proc -o nosuid,nodev,noexec proc proc
    mount -n -t tmpfs -o mode=755,nosuid,size=64m tmpfs dev
    cp -dR --preserve=mode "$shared/dev/." dev
    further_mounts "$tree" > dev/.fstab
    mount -n --all --fstab dev/.fstab
    hostname "$name"
    pivot_root . .old
    cd /
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
    exec /bin/bash /.rehearsal/init inside
    ;;
inside)
    /.host/usr/bin/umount -n -l /.old
    exec {people}< <(exec /.host/usr/bin/unshare --mount --propagation private /bin/bash /.rehearsal/init people)
    read -r pid <&"$people" || { echo "cannot keep people from writing to the file system of an instance" >&2; exit 1; }
    echo "$pid" > /dev/.people
    echo ready
    while read -r _; do :; done
    ;;
people)
    PATH=/.host/usr/bin
    for place in /home /tmp /var/tmp /opt/hostedtoolcache; do
        [ ! -d "$place" ] || mount -n --bind "$place" "$place"
    done
    protect /
    echo $$
    exec sleep infinity > /dev/null
    ;;
esac
