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
me=${REHEARSAL_USER:-root}

need_root() {
    [ "$me" = root ] || die "${2:-1}" "${1:-$self: only root can do that}"
}

# What every command asks is answered without starting a process: a build asks it thousands of times.

# entry FILE NAME: puts the fields of the first line of NAME into `fields`.
entry() {
    while IFS=: read -r -a fields || [ -n "${fields[0]-}" ]; do
        [ "${fields[0]-}" != "$2" ] || return 0
    done < "$1"
    return 1
}
has_user() { entry /etc/passwd "$1"; }
has_group() { entry /etc/group "$1"; }

# has_line FILE LINE: whether a file that can be read has that line.
has_line() {
    local text=
    [ ! -r "$1" ] || IFS= read -r -d '' text < "$1"
    [[ $'\n'$text$'\n' == *$'\n'"$2"$'\n'* ]]
}

# next_id FILE FIRST: the lowest free id from FIRST on.
next_id() {
    local id=$2 taken=' ' number
    while IFS=: read -r _ _ number _; do taken+="$number "; done < "$1"
    while [[ $taken == *" $id "* ]]; do id=$((id + 1)); done
    printf '%s\n' "$id"
}

# own RECURSIVE UID GID PATH...: notes an ownership (- leaves a part as it is).
own() {
    local recursive=$1 uid=$2 gid=$3 path
    shift 3
    mkdir -p "$state" || exit 1
    for path in "$@"; do
        printf '%s %s %s %s\n' "$recursive" "$uid" "$gid" "$(realpath -sm -- "$path")" >> "$state/owners"
    done
}
