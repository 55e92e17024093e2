# What the stand-ins share. Sourced first, in bash, inside an instance.
set -u
self=${0##*/}
state=/var/lib/.rehearsal

# die CODE MESSAGE...: the message goes to stderr.
die() {
    local code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}

# unknown ARGUMENT: what the stand-in was never taught must not look like success.
unknown() {
    die 127 "$self: the rehearsal does not know this argument: $*"
}

# The name under which the calling process goes (all have the same uid here).
me() {
    printf '%s\n' "${REHEARSAL_USER:-root}"
}

need_root() {
    [ "$(me)" = root ] || die "${2:-1}" "${1:-$self: only root can do that}"
}


has_user() { grep -q "^$1:" /etc/passwd; }
has_group() { grep -q "^$1:" /etc/group; }
entry() { grep "^$2:" "$1" | head -n 1; }
column() { cut -d: -f"$1"; }
uid_of() { entry /etc/passwd "$1" | column 3; }
gid_of() { entry /etc/group "$1" | column 3; }
home_of() { entry /etc/passwd "$1" | column 6; }

# own RECURSIVE UID GID PATH...: notes an ownership (- leaves a part as it is).
own() {
    local recursive=$1 uid=$2 gid=$3 path
    shift 3
    mkdir -p "$state" || exit 1
    for path in "$@"; do
        printf '%s %s %s %s\n' "$recursive" "$uid" "$gid" "$(realpath -sm -- "$path")" >> "$state/owners"
    done
}
