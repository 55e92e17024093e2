#!/bin/bash
# The first process of an instance. First outside: builds the instance's file systems around its tree and makes
# that the root. Then inside: waits until whoever started it goes away; everything else ends with it.
set -eu
case $1 in
outside)
    tree=$2 shared=$3 name=$4
    mount -n --bind "$tree" "$tree"
    cd "$tree"
    mkdir -p .host/usr .rehearsal proc dev sys run tmp .old
    mount -n --rbind /usr .host/usr
    for options in ro ro,nosuid ro,nosuid,nodev ro,nosuid,nodev,noatime ro,nosuid,nodev,relatime; do
        mount -n -o "remount,bind,$options" .host/usr 2> /dev/null && break
    done
    ! [ -w .host/usr ] || ! touch .host/usr/.rehearsal 2> /dev/null || { echo "cannot protect /usr" >&2; exit 1; }
    mount -n --bind "$shared" .rehearsal
    mount -n -o remount,bind,ro .rehearsal 2> /dev/null || mount -n -o remount,bind,ro,nosuid,nodev .rehearsal
    mount -n -t proc -o nosuid,nodev,noexec proc proc
    for part in sys sysrq-trigger irq bus fs acpi; do
        [ -e "proc/$part" ] || continue
        mount -n --bind "proc/$part" "proc/$part"
        mount -n -o remount,bind,ro,nosuid,nodev,noexec "proc/$part"
    done
    mount -n -t tmpfs -o mode=755,nosuid,size=64m tmpfs dev
    for device in null zero full random urandom tty; do
        touch "dev/$device"
        mount -n --bind "/dev/$device" "dev/$device"
    done
    ln -s /proc/self/fd dev/fd
    ln -s /proc/self/fd/0 dev/stdin
    ln -s /proc/self/fd/1 dev/stdout
    ln -s /proc/self/fd/2 dev/stderr
    mkdir -m 1777 dev/shm
    hostname "$name"
    pivot_root . .old
    cd /
    exec /.host/usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root \
        /bin/bash /.rehearsal/init inside
    ;;
inside)
    /.host/usr/bin/umount -n -l /.old
    rmdir /.old
    /.host/usr/bin/unshare --mount --propagation private /bin/bash /.rehearsal/init people < /dev/null > /dev/null &
    while [ ! -s /dev/.people ]; do
        kill -0 $! 2> /dev/null || { echo "cannot keep people from writing to the file system of an instance" >&2; exit 1; }
        sleep 0.005
    done
    echo ready
    while read -r _; do :; done
    ;;
people)
    for place in /home /tmp /var/tmp; do /.host/usr/bin/mount -n --bind "$place" "$place"; done
    for options in ro ro,nosuid ro,nosuid,nodev ro,nosuid,nodev,noatime ro,nosuid,nodev,relatime; do
        # Named twice, so that the instance's own fstab is not asked.
        /.host/usr/bin/mount -n -o "remount,bind,$options" / / 2> /dev/null && break
    done
    ! touch /etc 2> /dev/null || exit 1
    echo $$ > /dev/.people
    exec sleep infinity
    ;;
esac
