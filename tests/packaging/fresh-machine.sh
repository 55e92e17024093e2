#!/bin/bash
# fresh-machine.sh [--suite SUITE] [--mirror URL] [--keyring FILE] [--keep] [TARGET...]
#
# Runs `make TARGET...` (deps, unless said) in a clone of HEAD on a machine that has only what CONTRIBUTING.md asks for: a
# minimal Debian 12, git, make and Rust. Root; needs debootstrap, and tens of minutes for large targets.
#
# Twice, each time on a machine of its own: as root, where make does all the set-up itself; and as an ordinary user, who must
# be told one line that root runs, and needs nothing more afterwards. The machines are chroots in a mount and process
# namespace that ends with this script, whatever ends it, so that no mount and no process is left.
#
# Rust is this machine's own toolchain, read-only; packages come from MIRROR (this machine's, unless said), crates from
# crates.io. Of this machine's environment, proxies and certificate authorities are taken over.
#
# Ubuntu: --suite noble --mirror http://archive.ubuntu.com/ubuntu, with --keyring where Debian has no ubuntu-archive-keyring.gpg
# (the package ubuntu-keyring of Ubuntu's own archive has it).
set -euo pipefail

sources=$(cd "$(dirname "$0")/../.." && pwd)
suite=bookworm mirror= keyring= keep= targets=()
while (($# > 0)); do
    case $1 in
        --suite) suite=$2 && shift ;;
        --mirror) mirror=$2 && shift ;;
        --keyring) keyring=$(realpath "$2") && shift ;;
        --keep) keep=1 ;;
        --*) echo "fresh-machine.sh [--suite SUITE] [--mirror URL] [--keyring FILE] [--keep] [TARGET...]" >&2 && exit 2 ;;
        *) targets+=("$1") ;;
    esac
    shift
done
((${#targets[@]} > 0)) || targets=(deps)
((EUID == 0)) || { echo "fresh-machine.sh: only root can make a chroot" >&2 && exit 1; }
command -v debootstrap >/dev/null || { echo "fresh-machine.sh: apt-get install debootstrap" >&2 && exit 1; }

say() { printf '\n==== %s\n' "$*"; }

# The script again, in namespaces of its own.
if [[ -z ${FRESH_MACHINE-} ]]; then
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/fresh-machine-XXXXXX")
    child=
    finish() {
        [[ -z $child ]] || { kill -KILL "$child" && wait "$child"; } 2>/dev/null || true
        [[ -z $keep ]] || { echo "kept: $work" && return; }
        rm -rf --one-file-system "$work"
    }
    trap finish EXIT
    trap 'exit 1' INT TERM HUP
    FRESH_MACHINE=$work unshare --mount --propagation private --pid --fork --kill-child=KILL \
        bash "$0" --suite "$suite" ${mirror:+--mirror "$mirror"} ${keyring:+--keyring "$keyring"} "${targets[@]}" &
    child=$!
    wait "$child" && child= && exit
    child=
    exit 1
fi
work=$FRESH_MACHINE

# The mirror of the first source of packages that is Debian's.
if [[ -z $mirror ]]; then
    mirror=$(sed -n 's/^URIs: *\(\S*debian\)\/*\( .*\)\?$/\1/p; s/^deb \(\[[^]]*\] \)\?\(\S*debian\)\/* .*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) || true
    mirror=${mirror:-http://deb.debian.org/debian}
fi
rust=$(rustc --print sysroot)

say "a minimal $suite from $mirror, with git and make"
components=main
[[ $mirror != *ubuntu* ]] || components=main,universe
# A suite that is younger than this debootstrap is made like the youngest that it knows.
scripts=/usr/share/debootstrap/scripts
like=()
[[ -e $scripts/$suite ]] || like=("$scripts/$([[ $mirror == *ubuntu* ]] && echo jammy || echo bookworm)")
debootstrap --force-check-gpg --variant=minbase --include=git,make,ca-certificates --components="$components" \
    ${keyring:+--keyring="$keyring"} "$suite" "$work/base" "$mirror" "${like[@]}" | sed -n '/^[EW]:/p;$p'
cp -a /usr/local/share/ca-certificates/. "$work/base/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$work/base" update-ca-certificates >/dev/null 2>&1
cp -L /etc/resolv.conf /etc/hosts "$work/base/etc/"
chroot "$work/base" useradd --create-home --shell /bin/bash builder
git clone --quiet --no-hardlinks "$sources" "$work/base/root/project"
cp -a "$work/base/root/project" "$work/base/home/builder/project"
chroot "$work/base" chown -R builder:builder /home/builder
install -d "$work/base/opt/rust"

# enter MACHINE USER COMMAND...: runs it there, with an environment of its own.
enter() {
    local machine=$1 user=$2 home=/root
    shift 2
    [[ $user == root ]] || home=/home/$user
    env --ignore-environment HOME="$home" LANG=C.UTF-8 USER="$user" PATH=/opt/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        ${no_proxy:+no_proxy="$no_proxy"} ${CARGO_BUILD_JOBS:+CARGO_BUILD_JOBS="$CARGO_BUILD_JOBS"} \
        chroot --userspec="$user:$user" --groups="$user" "$machine" \
        bash -c 'cd ~/project && exec "$@"' bash "$@"
}

# A machine that nobody has used.
fresh() {
    cp -a --reflink=auto "$work/base" "$work/$1"
    mount -t proc proc "$work/$1/proc"
    mount --rbind /sys "$work/$1/sys"
    mount --rbind /dev "$work/$1/dev"
    mount --bind "$rust" "$work/$1/opt/rust"
    mount -o remount,bind,ro "$work/$1/opt/rust"
}

say "as root: make ${targets[*]}"
fresh root
enter "$work/root" root make "${targets[@]}"

say "as an ordinary user, before root has done anything: make ${targets[*]}"
fresh user
if enter "$work/user" builder make "${targets[@]}" 2>"$work/said"; then
    echo "FAILED: it went on without its packages" >&2
    exit 1
fi
cat "$work/said"
line=$(sed -n "s/^    \(su --command '[^']*'\|sudo .*\)$/\1/p" "$work/said" | head -n 1)
[[ -n $line ]] || { echo "FAILED: no line says what root has to run" >&2 && exit 1; }

say "as root, what the user was told: $line"
enter "$work/user" root bash -c "$line"

say "as the user again: make ${targets[*]}"
enter "$work/user" builder make "${targets[@]}"

say "passed on $suite: make ${targets[*]}, as root and as an ordinary user"
