# Users, groups and ownership, upon the instance's own /etc/passwd and /etc/group. All processes of an instance
# have one uid, so ownership is noted (see own in common.sh) and shown in the snapshot.

add_to_group() {
    local user=$1 group=$2 members
    has_group "$group"
    members=${fields[3]-}
    case ",$members," in *",$user,"*) return ;; esac
    sed -i "s/^\($group:[^:]*:[^:]*\):.*/\1:${members:+$members,}$user/" /etc/group
}

standin_groupadd() {
    local force= first=1000 gid= name= shared=
    need_root "groupadd: Permission denied." 10
    while [ $# -gt 0 ]; do
        case $1 in
            -f | --force) force=1 ;;
            -r | --system) first=900 ;;
            -g | --gid) gid=$2; shift ;;
            -o | --non-unique) shared=1 ;;
            -*) unknown "$1" ;;
            *) name=$1 ;;
        esac
        shift
    done
    [ -n "$name" ] || die 2 "Usage: groupadd [options] GROUP"
    if has_group "$name"; then
        [ -n "$force" ] && return 0
        die 9 "groupadd: group '$name' already exists"
    fi
    [ -z "$gid" ] || [ -n "$shared" ] || ! cut -d: -f3 /etc/group | grep -qx "$gid" \
        || die 4 "groupadd: GID '$gid' already exists"
    printf '%s:x:%s:\n' "$name" "${gid:-$(next_id /etc/group $first)}" >> /etc/group
}

standin_useradd() {
    local make= shell=/bin/sh groups= gid= uid= home= comment= first=1000 name= group
    need_root "useradd: Permission denied." 1
    while [ $# -gt 0 ]; do
        case $1 in
            -m | --create-home) make=1 ;;
            -M | --no-create-home) make= ;;
            -U | --user-group) ;;
            -r | --system) first=900 ;;
            -o | --non-unique) ;;
            -s | --shell) shell=$2; shift ;;
            --shell=*) shell=${1#*=} ;;
            -G | --groups) groups=$2; shift ;;
            --groups=*) groups=${1#*=} ;;
            -g | --gid) gid=$2; shift ;;
            -u | --uid) uid=$2; shift ;;
            -d | --home | --home-dir) home=$2; shift ;;
            -c | --comment) comment=$2; shift ;;
            -p | --password) shift ;;
            -ms | -sm) make=1; shell=$2; shift ;;
            -*) unknown "$1" ;;
            *) name=$1 ;;
        esac
        shift
    done
    [ -n "$name" ] || die 2 "Usage: useradd [options] LOGIN"
    has_user "$name" && die 9 "useradd: user '$name' already exists"
    for group in ${groups//,/ }; do
        has_group "$group" || die 6 "useradd: group '$group' does not exist"
    done
    uid=${uid:-$(next_id /etc/passwd $first)}
    if [ -n "$gid" ]; then
        case $gid in
            *[!0-9]*) has_group "$gid" || die 6 "useradd: group '$gid' does not exist"; gid=${fields[2]} ;;
        esac
    else
        has_group "$name" && die 9 "useradd: group $name exists - if you want to add this user to that group, use -g."
        gid=$uid
        printf '%s:x:%s:\n' "$name" "$gid" >> /etc/group
    fi
    home=${home:-/home/$name}
    printf '%s:x:%s:%s:%s:%s:%s\n' "$name" "$uid" "$gid" "$comment" "$home" "$shell" >> /etc/passwd
    printf '%s:!:19000:0:99999:7:::\n' "$name" >> /etc/shadow
    for group in ${groups//,/ }; do add_to_group "$name" "$group"; done
    if [ -n "$make" ] && [ ! -d "$home" ]; then
        mkdir -p "$home" && chmod 0750 "$home"
        [ -d /etc/skel ] && cp -a /etc/skel/. "$home/"
        own R "$uid" "$gid" "$home"
    fi
}

standin_usermod() {
    local append= groups= shell= name= lock= home= group
    need_root "usermod: Permission denied." 1
    while [ $# -gt 0 ]; do
        case $1 in
            -a | --append) append=1 ;;
            -G | --groups) groups=$2; shift ;;
            -aG) append=1; groups=$2; shift ;;
            --groups=*) groups=${1#*=} ;;
            -s | --shell) shell=$2; shift ;;
            -d | --home) home=$2; shift ;;
            -L | --lock) lock='!' ;;
            -U | --unlock) lock=' ' ;;
            -*) unknown "$1" ;;
            *) name=$1 ;;
        esac
        shift
    done
    has_user "$name" || die 6 "usermod: user '$name' does not exist"
    for group in ${groups//,/ }; do
        has_group "$group" || die 6 "usermod: group '$group' does not exist"
    done
    if [ -n "$groups" ] && [ -z "$append" ]; then
        sed -i -E "/^$name:/! s/([:,])$name(,|\$)/\1/; s/,\$//" /etc/group
    fi
    for group in ${groups//,/ }; do add_to_group "$name" "$group"; done
    [ -n "$shell" ] && sed -i -E "s#^($name:.*:)[^:]*\$#\1$shell#" /etc/passwd
    [ -n "$home" ] && sed -i -E "s#^($name:.*:)[^:]*(:[^:]*)\$#\1$home\2#" /etc/passwd
    [ "$lock" = '!' ] && sed -i -E "s/^($name:)!*/\1!/" /etc/shadow
    [ "$lock" = ' ' ] && sed -i -E "s/^($name:)!*/\1/" /etc/shadow
    return 0
}

standin_userdel() {
    local remove= name=
    need_root "userdel: Permission denied." 1
    while [ $# -gt 0 ]; do
        case $1 in
            -r | --remove) remove=1 ;;
            -f | --force) ;;
            -*) unknown "$1" ;;
            *) name=$1 ;;
        esac
        shift
    done
    has_user "$name" || die 6 "userdel: user '$name' does not exist"
    [ -n "$remove" ] && rm -rf "${fields[5]}"
    sed -i "/^$name:/d" /etc/passwd /etc/shadow
    sed -i -E "/^$name:/d; s/([:,])$name(,|\$)/\1/; s/,\$//" /etc/group
}

standin_groupdel() {
    need_root
    has_group "${1:-}" || die 6 "groupdel: group '${1:-}' does not exist"
    sed -i "/^$1:/d" /etc/group
}

standin_adduser() {
    local args=(-m -s /bin/bash) names=()
    while [ $# -gt 0 ]; do
        case $1 in
            --disabled-password | --disabled-login | -q | --quiet) ;;
            --system) args+=(-r) ;;
            --gecos | --comment) args+=(-c "$2"); shift ;;
            --uid) args+=(-u "$2"); shift ;;
            --home) args+=(-d "$2"); shift ;;
            --shell) args+=(-s "$2"); shift ;;
            --no-create-home) args+=(-M) ;;
            --ingroup) args+=(-g "$2"); shift ;;
            -*) unknown "$1" ;;
            *) names+=("$1") ;;
        esac
        shift
    done
    case ${#names[@]} in
        1) standin_useradd "${args[@]}" "${names[0]}" ;;
        2) standin_usermod -aG "${names[1]}" "${names[0]}" ;;
        *) die 2 "adduser: one or two names are needed" ;;
    esac
}

standin_gpasswd() {
    need_root "gpasswd: Permission denied." 1
    case ${1:-} in
        -a | --add) standin_usermod -aG "$3" "$2" ;;
        -d | --delete) sed -i -E "/^$3:/ s/([:,])$2(,|\$)/\1/; s/,\$//" /etc/group ;;
        *) unknown "$@" ;;
    esac
}

standin_passwd() {
    need_root "passwd: Permission denied" 1
    case ${1:-} in
        -l | --lock) standin_usermod -L "$2" ;;
        -u | --unlock) standin_usermod -U "$2" ;;
        -d | --delete) has_user "$2" && sed -i -E "s/^($2:)[^:]*/\1/" /etc/shadow ;;
        *) unknown "$@" ;;
    esac
}

standin_chpasswd() {
    local name rest
    need_root
    while IFS=: read -r name rest; do
        has_user "$name" || die 1 "chpasswd: line 1: user '$name' does not exist"
        sed -i -E "s/^($name:)[^:]*/\1*set*/" /etc/shadow
    done
}

standin_getent() {
    local database=${1:-} key found=0
    shift
    case $database in
        passwd | group | shadow)
            [ $# -eq 0 ] && { cat "/etc/$database"; return; }
            for key in "$@"; do
                if ! awk -F: -v key="$key" '$1 == key || $3 == key {print; found = 1; exit} END {exit !found}' "/etc/$database"; then
                    found=2
                fi
            done
            return $found ;;
        hosts | ahosts | ahostsv4)
            for key in "$@"; do printf '127.0.0.1       %s\n' "$key"; done ;;
        *) unknown "$database" ;;
    esac
}

groups_of() {
    has_user "$1"
    awk -F: -v user="$1" -v gid="${fields[3]-}" '
        $3 == gid && first == "" {first = $1 ":" $3}
        $3 != gid {n = split($4, members, ","); for (i = 1; i <= n; i++) if (members[i] == user) rest = rest " " $1 ":" $3}
        END {print first rest}' /etc/group
}

standin_id() {
    local what= name= user pairs uid
    while [ $# -gt 0 ]; do
        case $1 in
            -u | --user) what=${what}u ;;
            -g | --group) what=${what}g ;;
            -G | --groups) what=${what}G ;;
            -n | --name) name=1 ;;
            -un | -nu) what=u; name=1 ;;
            -gn | -ng) what=g; name=1 ;;
            -Gn | -nG) what=G; name=1 ;;
            -*) unknown "$1" ;;
            *) user=$1 ;;
        esac
        shift
    done
    user=${user:-$me}
    case $user in *[!0-9]*) ;; *) user=$(awk -F: -v id="$user" '$3 == id {print $1}' /etc/passwd) ;; esac
    has_user "$user" || die 1 "id: '$user': no such user"
    uid=${fields[2]}
    pairs=$(groups_of "$user")
    case $what in
        u) [ -n "$name" ] && printf '%s\n' "$user" || printf '%s\n' "$uid" ;;
        g) set -- $pairs; [ -n "$name" ] && printf '%s\n' "${1%%:*}" || printf '%s\n' "${1##*:}" ;;
        G)
            set -- $pairs
            if [ -n "$name" ]; then set -- "${@%%:*}"; else set -- "${@##*:}"; fi
            printf '%s\n' "$*" ;;
        '')
            set -- $pairs
            printf 'uid=%s(%s) gid=%s(%s) groups=' "$uid" "$user" "${1##*:}" "${1%%:*}"
            for name in "$@"; do shift; printf '%s(%s)%s' "${name##*:}" "${name%%:*}" "${1:+,}"; done
            printf '\n' ;;
        *) die 1 "id: cannot print \"only\" of more than one choice" ;;
    esac
}

standin_whoami() { printf '%s\n' "$me"; }
standin_logname() { printf '%s\n' "$me"; }

standin_groups() { groups_of "${1:-$me}" | sed -E 's/:[0-9]+//g'; }

# Splits OWNER[:GROUP] into ids, - for what is left alone.
owner_ids() {
    local user=${1%%[:.]*} group=
    case $1 in *:*) group=${1#*:} ;; esac
    if [ -z "$user" ]; then user=-
    elif has_user "$user"; then
        case $1 in *:) group=${fields[3]} ;; esac
        user=${fields[2]}
    else case $user in *[!0-9]*) die 1 "$self: invalid user: '$1'" ;; esac; fi
    if [ -z "$group" ]; then group=-
    elif has_group "$group"; then group=${fields[2]}
    else case $group in *[!0-9]*) die 1 "$self: invalid group: '$1'" ;; esac; fi
    printf '%s %s\n' "$user" "$group"
}

standin_chown() {
    local how=F owner= ids path paths=()
    while [ $# -gt 0 ]; do
        case $1 in
            -R | --recursive | -hR | -Rh) how=R ;;
            -h | --no-dereference | -f | --silent | --quiet | -v | --verbose | -c) ;;
            --) ;;
            -*) unknown "$1" ;;
            *) if [ -z "$owner" ]; then owner=$1; else paths+=("$1"); fi ;;
        esac
        shift
    done
    [ ${#paths[@]} -gt 0 ] || die 1 "$self: missing operand"
    [ "$self" = chgrp ] && owner=:$owner
    ids=$(owner_ids "$owner") || exit 1
    for path in "${paths[@]}"; do
        [ -e "$path" ] || [ -L "$path" ] || die 1 "$self: cannot access '$path': No such file or directory"
    done
    has_user "$me"
    [ "$me" = root ] || [ "$ids" = "${fields[2]-} -" ] || [ -O "${paths[0]}" -a "$self" = chgrp ] \
        || die 1 "$self: changing ownership of '${paths[0]}': Operation not permitted"
    # shellcheck disable=SC2086
    own $how $ids "${paths[@]}"
}

standin_chgrp() { standin_chown "$@"; }

standin_install() {
    local user= group= directory= args=() paths=() target source
    while [ $# -gt 0 ]; do
        case $1 in
            -o | --owner) user=$2; shift ;;
            --owner=*) user=${1#*=} ;;
            -o*) user=${1#-o} ;;
            -g | --group) group=$2; shift ;;
            --group=*) group=${1#*=} ;;
            -m | --mode | -t | --target-directory) args+=("$1" "$2"); [ "${1#-t}" != "$1" ] && target=$2; shift ;;
            -d | --directory) directory=1; args+=("$1") ;;
            --) ;;
            -?*) args+=("$1") ;;
            *) paths+=("$1") ;;
        esac
        shift
    done
    /.host/usr/bin/install "${args[@]}" -- "${paths[@]}" || exit
    [ -n "$user$group" ] || return 0
    need_root "install: cannot change ownership of '${paths[-1]}': Operation not permitted"
    local ids
    ids=$(owner_ids "$user:$group") || exit 1
    [ -n "$group" ] || ids="${ids% *} -"
    if [ -n "$directory" ]; then
        # shellcheck disable=SC2086
        own F $ids "${paths[@]}"
        return
    fi
    target=${target:-${paths[-1]}}
    if [ -d "$target" ]; then
        for source in "${paths[@]}"; do
            # shellcheck disable=SC2086
            [ "$source" = "$target" ] || own F $ids "$target/${source##*/}"
        done
    else
        # shellcheck disable=SC2086
        own F $ids "$target"
    fi
}
