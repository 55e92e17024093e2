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

# entry FILE NAME: the first line of NAME. In bash alone: each command of a session asks for several.
entry() {
    local line
    while IFS= read -r line || [ -n "$line" ]; do
        [[ $line == "$2:"* ]] && printf '%s\n' "$line" && return
    done < "$1"
    return 1
}
has_user() { entry /etc/passwd "$1" > /dev/null; }
has_group() { entry /etc/group "$1" > /dev/null; }
# column NUMBER: that field of the line on stdin; nothing of none.
column() {
    local fields
    IFS=: read -r -a fields || [ -n "${fields[*]-}" ] || return 0
    printf '%s\n' "${fields[$1 - 1]-}"
}
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
