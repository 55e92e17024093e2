# Becoming somebody else. All processes have one uid; what differs is the name they go under and what they may
# write: people see everything but /home and the temporary directories read-only, root writes everywhere.

# become USER COMMAND...: runs a command as somebody, with the environment as it is.
become() {
    local user=$1 namespace=1 here=$PWD
    shift
    export REHEARSAL_USER=$user
    [ "$user" = root ] || read -r namespace < /dev/.people
    [ -d "$here" ] || here=/
    exec /.host/usr/bin/nsenter --target "$namespace" --mount --wdns="$here" -- "$@"
}

# Takes the variables of /etc/environment over, as PAM does.
pam_environment() {
    local line
    [ -r /etc/environment ] || return 0
    while read -r line || [ -n "$line" ]; do
        line=${line#export }
        [[ ! $line =~ ^([A-Za-z_][A-Za-z_0-9]*)=[\"\']?([^\"\']*)[\"\']?$ ]] || export "${BASH_REMATCH[1]}=${BASH_REMATCH[2]}"
    done < /etc/environment
}

may_sudo() {
    [ "$me" = root ] && return
    # sudo asks who has the number: of users that share one, it knows the first. Groups are those of the process.
    local name members rights file names
    has_user "$me"
    names=" $(awk -F: -v uid="${fields[2]-}" '$3 == uid {print $1; exit}' /etc/passwd) "
    while IFS=: read -r name _ _ members; do
        [[ ",$members," != *",$me,"* ]] || names+="%$name "
    done < /etc/group
    for file in /etc/sudoers /etc/sudoers.d/*; do
        [ -r "$file" ] || continue
        while read -r name rights; do
            [[ $names != *" $name "* || $rights != *NOPASSWD* ]] || return 0
        done < "$file"
    done
    return 1
}

standin_sudo() {
    local user=root keep= login= set_home= assignments=() line shell=
    while [ $# -gt 0 ]; do
        case $1 in
            -n | --non-interactive | -k | -b) ;;
            -nE | -En) keep=1 ;;
            -nH | -Hn | -H | --set-home) set_home=1 ;;
            -E | --preserve-env) keep=1 ;;
            --preserve-env=*)
                for line in $(printf '%s' "${1#*=}" | tr , ' '); do
                    [ -n "${!line+x}" ] && assignments+=("$line=${!line}")
                done ;;
            -i | --login) login=1 ;;
            -s | --shell) shell=1 ;;
            -u | --user) user=$2; shift ;;
            --user=*) user=${1#*=} ;;
            -u?*) user=${1#-u} ;;
            -v | --validate) may_sudo || die 1 "sudo: a password is required"; return ;;
            -l | --list) may_sudo || die 1 "sudo: a password is required"; printf '    (ALL) NOPASSWD: ALL\n'; return ;;
            --) shift; break ;;
            -*) unknown "$1" ;;
            *) break ;;
        esac
        shift
    done
    while [ $# -gt 0 ]; do
        case $1 in
            [A-Za-z_]*=*) assignments+=("$1"); shift ;;
            *) break ;;
        esac
    done
    may_sudo || die 1 "sudo: a password is required"
    has_user "$user" || die 1 "sudo: unknown user $user"
    local home=${fields[5]}
    [ -n "$login" ] && { cd "$home" 2>/dev/null || cd /; }
    if [ -n "$login$shell" ]; then
        if [ $# -gt 0 ]; then set -- /bin/bash -c "$*"; else set -- /bin/bash; fi
    fi
    [ $# -gt 0 ] || die 1 "usage: sudo [-n] [-u user] command"
    local name
    if [ -z "$keep" ]; then
        local kept
        kept=" $(sed -n 's/^Defaults env_keep += "\(.*\)"$/\1/p' /etc/sudoers.d/* 2>/dev/null | tr '\n' ' ')"
        for name in $(compgen -e); do
            [[ $kept != *" $name "* ]] || continue
            case $name in LANG | LC_* | LANGUAGE | TERM | DISPLAY | COLORS | SHLVL | PWD | _ | REHEARSAL_*) ;; *) unset "$name" ;; esac
        done
    fi
    local secure=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin
    export PATH=$secure
    pam_environment
    export PATH=$secure
    export SUDO_USER=$me SUDO_UID=1000 SUDO_GID=1000 SUDO_COMMAND="$*"
    export HOME=$home LOGNAME=$user USER=$user SHELL=/bin/bash
    for line in "${assignments[@]+"${assignments[@]}"}"; do export "${line?}"; done
    command -v -- "$1" > /dev/null || die 1 "sudo: $1: command not found"
    become "$user" "$@"
}

standin_su() {
    local user=root command= login= shell=
    while [ $# -gt 0 ]; do
        case $1 in
            - | -l | --login) login=1 ;;
            -c | --command) command=$2; shift ;;
            -s | --shell) shell=$2; shift ;;
            -p | -m) ;;
            -*) unknown "$1" ;;
            *) user=$1 ;;
        esac
        shift
    done
    [ "$me" = root ] || die 1 "su: Authentication failure"
    has_user "$user" || die 1 "su: user $user does not exist or the user entry does not contain all the required fields"
    export HOME=${fields[5]} USER=$user LOGNAME=$user
    [ -n "$login" ] && cd "$HOME"
    if [ -n "$login" ] && [ -r "$HOME/.profile" ]; then
        command=". \"$HOME/.profile\"
${command:-true}"
    fi
    become "$user" "${shell:-/bin/bash}" -c "${command:-true}"
}

standin_runuser() {
    local user=
    case ${1:-} in
        -u | --user) user=$2; shift 2; [ "${1:-}" = -- ] && shift ;;
        --user=*) user=${1#*=}; shift; [ "${1:-}" = -- ] && shift ;;
        *) standin_su "$@"; return ;;
    esac
    has_user "$user" || die 1 "runuser: user $user does not exist"
    become "$user" "$@"
}
