# apt, dpkg, snap, npm and rustup, upon the instance's own dpkg status and a list of packages that exist.

status=/var/lib/dpkg/status
known=/.rehearsal/packages
series=$(. /etc/os-release; printf '%s\n' "${VERSION_CODENAME:-noble}")
candidate=1.1-$series
architecture=amd64
[ ! -r /var/lib/dpkg/arch ] || read -r architecture < /var/lib/dpkg/arch

installed() { has_line "$status" "Package: $1"; }
version_of() { awk -v name="$1" '$1 == "Package:" {here = $2 == name} here && $1 == "Version:" {print $2; exit}' "$status"; }
# exists NAME: whether there is such a package; `commands` is what it brings.
exists() {
    local name
    while read -r name commands; do
        [ "$name" != "$1" ] || return 0
    done < "$known"
    return 1
}

apt_options=()
apt_words=()
apt_simulates=
apt_parse() {
    apt_options=() apt_words=() apt_simulates=
    while [ $# -gt 0 ]; do
        case $1 in
            -o | --option | -c) shift ;;
            -o* | --option=*) ;;
            -s | --simulate | --dry-run) apt_simulates=1 ;;
            -y | --yes | --assume-yes | -q | -qq | --quiet | -qy | -yq | -qqy | -yqq | -V | -f | --fix-broken) ;;
            --no-install-recommends | --no-install-suggests | --install-recommends) ;;
            --allow-downgrades | --allow-change-held-packages | --allow-releaseinfo-change | --fix-missing) ;;
            --purge | --auto-remove | --autoremove | --only-upgrade | --no-remove | --with-new-pkgs) ;;
            --error-on=any | --no-upgrade | --reinstall | --quiet=*) ;;
            -*) unknown "$1" ;;
            *) apt_words+=("$1") ;;
        esac
        shift
    done
}

# Makes the commands that a package brings; `made` is their files, which are no programs yet.
provide_commands() {
    local name=$1 command
    exists "$name" || return 0
    for command in $commands; do
        [ -e "/usr/bin/$command" ] || [ -L "/usr/bin/$command" ] && continue
        made+=("/usr/bin/$command")
        # A script, not a link: it is part of the image.
        if [ -e "/.rehearsal/bin/$command" ]; then
            printf '#!/bin/sh\nexec /.rehearsal/bin/%s "$@"\n' "$command" > "/usr/bin/$command"
        elif has_line /.rehearsal/host-commands "$command" && [ -x "/.host/usr/bin/$command" ]; then
            printf '#!/bin/sh\nexec /.host/usr/bin/%s "$@"\n' "$command" > "/usr/bin/$command"
        else
            printf '%s\n' '#!/bin/sh' "# What the package $name brings in the rehearsal." 'case "${1:-}" in' \
                "    --version | -v | -V | version) echo \"$command 1.0 (rehearsal)\" ;;" \
                "    *) echo \"$command: the rehearsal only knows --version\" >&2; exit 127 ;;" 'esac' > "/usr/bin/$command"
        fi
    done
}

put() {
    local name of made=()
    [ $# -gt 0 ] || return 0
    for name in "$@"; do
        of=$architecture
        case $name in *:*) of=${name#*:} name=${name%:*} ;; esac
        mkdir -p "/usr/share/doc/$name"
        printf 'Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\n\n' \
            "$name" "$of" "$candidate" >> "$status"
        printf 'installed by the rehearsal\n' > "/usr/share/doc/$name/copyright"
        provide_commands "$name"
        case $name in
            docker.io) provide_group docker ;;
            lxd | incus) provide_group "$name" ;;
            libvirt-daemon-system | libvirt-daemon | qemu-kvm) provide_group kvm; provide_group libvirt ;;
        esac
        printf 'Setting up %s (%s) ...\n' "$name" "$candidate"
    done
    [ ${#made[@]} -eq 0 ] || chmod 0755 "${made[@]}"
}

# Gives what is installed the versions of security pockets, by the lists that were fetched.
take_fixes() {
    local list lists=()
    for list in /var/lib/apt/lists/*-security_main_binary-"$architecture"_Packages; do
        ! grep -q '^Package: ' "$list" 2> /dev/null || lists+=("$list")
    done
    [ ${#lists[@]} -gt 0 ] || return 0
    awk '
        FILENAME != status {if ($1 == "Package:") name = $2; if ($1 == "Version:") fixed[name] = $2; next}
        $1 == "Package:" {name = $2}
        $1 == "Version:" && name in fixed {$0 = "Version: " fixed[name]}
        {print}' status="$status" "${lists[@]}" "$status" > "$status.new"
    mv "$status.new" "$status"
}

provide_group() { has_group "$1" || printf '%s:x:%s:\n' "$1" "$(next_id /etc/group 110)" >> /etc/group; }

drop() {
    awk -v name="$1" 'BEGIN {RS = ""; ORS = "\n\n"} $0 !~ "^Package: " name "\n"' "$status" > "$status.new"
    mv "$status.new" "$status"
    rm -rf "/usr/share/doc/$1"
    exists "$1" && [ -n "$commands" ] && (cd /usr/bin && rm -f $commands)
    printf 'Removing %s ...\n' "$1"
}

standin_apt-get() {
    apt_parse "$@"
    local verb=${apt_words[0]:-} name rest new=() errors=() chosen=
    set -- "${apt_words[@]:1}"
    [ -n "$verb" ] || die 1 "apt-get: no command"
    if [ "$me" != root ]; then
        die 100 "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)"
    fi
    case $verb in
        update)
            mkdir -p /var/lib/apt/lists
            rm -f /var/lib/apt/lists/*_Packages
            sources | while read -r name rest; do fetch_lists "$name" $rest; done || exit
            printf 'Reading package lists...\n' ;;
        install)
            for name in "$@"; do
                case $name in
                    */*.deb | ./*.deb)
                        [ -f "$name" ] || die 100 "E: Unsupported file $name given on commandline"
                        name=${name##*/}; name=${name%%_*}; name=${name%.deb}
                        installed "$name" || new+=("$name")
                        continue ;;
                esac
                name=${name%%=*}; name=${name%%/*}; name=${name%+}
                choose "$name" || continue
                installed "${chosen%:*}" && continue
                [[ " ${new[*]} " = *" $chosen "* ]] || new+=("$chosen")
            done
            [ ${#errors[@]} -eq 0 ] || { printf '%s\n' "${errors[@]}" >&2; exit 100; }
            if [ -n "$apt_simulates" ]; then
                [ ${#new[@]} -eq 0 ] || printf 'Inst %s\n' "${new[@]}"
            else
                put "${new[@]}"
                take_fixes
            fi ;;
        remove | purge)
            for name in "$@"; do
                if installed "$name"; then drop "$name"
                elif exists "$name"; then printf "Package '%s' is not installed, so not removed\n" "$name"
                else die 100 "E: Unable to locate package $name"; fi
            done ;;
        upgrade | dist-upgrade | full-upgrade)
            [ $# -eq 0 ] || unknown "$@"
            sed -i "s/^Version: .*/Version: $candidate/" "$status"
            take_fixes
            printf '0 newly installed, 0 to remove and 0 not upgraded.\n' ;;
        autoremove | autopurge | check) printf '0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n' ;;
        clean | autoclean) rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin ;;
        *) die 100 "E: Invalid operation $verb" ;;
    esac
}

standin_apt() { standin_apt-get "$@"; }

standin_apt-cache() {
    local verb=${1:-} name version
    shift
    case $verb in
        policy)
            for name in "$@"; do
                exists "$name" || installed "$name" || continue
                version=$(version_of "$name" | grep . || echo '(none)')
                printf '%s:\n  Installed: %s\n' "$name" "$version"
                ! offered "$name" "$architecture" || version=$candidate
                printf '  Candidate: %s\n' "$version"
            done ;;
        show | madison)
            for name in "$@"; do
                offered "$name" "$architecture" || die 100 "E: No packages found"
                printf 'Package: %s\nVersion: %s\n\n' "$name" "$candidate"
            done ;;
        *) unknown "$verb" ;;
    esac
}

standin_apt-mark() {
    case ${1:-} in
        hold | unhold | auto | manual | showhold | showmanual) ;;
        *) unknown "$@" ;;
    esac
}

standin_apt-config() { [ "${1:-}" = dump ] || [ "${1:-}" = shell ] || unknown "$@"; }

standin_add-apt-repository() {
    local name=
    need_root
    while [ $# -gt 0 ]; do
        case $1 in
            -y | --yes | -n | --no-update) ;;
            -*) unknown "$1" ;;
            *) name=$1 ;;
        esac
        shift
    done
    printf '# %s\n' "$name" > "/etc/apt/sources.list.d/$(printf '%s' "$name" | tr -c 'a-zA-Z0-9\n' -).sources"
}

standin_dpkg() {
    local name
    case ${1:-} in
        --print-architecture) printf '%s\n' "$architecture" ;;
        --print-foreign-architectures) cat "$state/foreign-architectures" 2> /dev/null || true ;;
        --add-architecture)
            need_root "dpkg: error: requested operation requires superuser privilege" 2
            case ${2:-} in
                amd64 | arm64 | armhf | i386 | ppc64el | s390x) ;;
                *) die 2 "dpkg: error: architecture '${2:-}' is illegal" ;;
            esac
            [ "$2" != "$architecture" ] || return 0
            mkdir -p "$state"
            has_line "$state/foreign-architectures" "$2" || printf '%s\n' "$2" >> "$state/foreign-architectures" ;;
        --configure) [ "${2:-}" = -a ] || unknown "$@" ;;
        --audit) ;;
        -s | --status)
            shift
            for name in "$@"; do
                installed "$name" || die 1 "dpkg-query: package '$name' is not installed and no information is available"
                awk -v name="$name" 'BEGIN {RS = ""} $0 ~ "^Package: " name "\n" {print; print ""}' "$status"
            done ;;
        -l | --list)
            shift
            awk -v wanted="${1:-}" '/^Package:/ {name = $2} /^Version:/ {if (wanted == "" || wanted == name) {printf "ii  %s  %s\n", name, $2; found = 1}} END {exit !found}' "$status" ;;
        *) unknown "$@" ;;
    esac
}

standin_dpkg-query() {
    local format='${Package}\t${Version}\n' names=() name show= code=0
    while [ $# -gt 0 ]; do
        case $1 in
            -W | --show) show=1 ;;
            -f | --showformat) format=$2; shift ;;
            -f=* | --showformat=*) format=${1#*=} ;;
            -f*) format=${1#-f} ;;
            -s | --status | -l | --list) standin_dpkg "$@"; return ;;
            --) ;;
            -*) unknown "$1" ;;
            *) names+=("$1") ;;
        esac
        shift
    done
    [ -n "$show" ] || unknown "no action"
    # Read once, without a process for each package: a build asks for all of them.
    local key value package= all=()
    declare -A versions=() architectures=()
    while IFS=': ' read -r key value; do
        case $key in
            Package) package=$value all+=("$value") ;;
            Version) versions[$package]=$value ;;
            Architecture) architectures[$package]=$value ;;
        esac
    done < "$status"
    [ ${#names[@]} -gt 0 ] || names=("${all[@]}")
    for name in "${names[@]}"; do
        if [ -z "${versions[$name]-}" ]; then
            printf 'dpkg-query: no packages found matching %s\n' "$name" >&2
            code=1
            continue
        fi
        local line=$format
        line=${line//'${Package}'/$name}
        line=${line//'${binary:Package}'/$name}
        line=${line//'${Version}'/${versions[$name]}}
        line=${line//'${Architecture}'/${architectures[$name]}}
        line=${line//'${Status}'/install ok installed}
        line=${line//'${db:Status-Status}'/installed}
        line=${line//'${db:Status-Abbrev}'/ii }
        case $line in *'${'*) unknown "$format" ;; esac
        printf "${line//%/%%}"
    done
    return $code
}

standin_dpkg-reconfigure() { need_root; }

snap_command() {
    printf '#!/bin/sh\necho "%s 1.0 (rehearsal)"\n' "$1" > "/snap/bin/$1"
    chmod 0755 "/snap/bin/$1"
}

standin_snap() {
    local verb=${1:-} name names=() channel=latest/stable
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --channel) channel=$2; shift ;;
            --channel=*) channel=${1#*=} ;;
            --edge | --beta | --candidate | --stable) channel=latest/${1#--} ;;
            --classic | --dangerous | --devmode | --hold | --hold=* | --last=* | --purge | --no-wait) ;;
            --color=* | --unicode=*) ;;
            -*) unknown "$1" ;;
            *) names+=("$1") ;;
        esac
        shift
    done
    installed snapd || die 127 "bash: snap: command not found"
    case $verb in
        install)
            need_root "error: access denied (try with sudo)"
            for name in "${names[@]}"; do
                has_line /.rehearsal/snaps "$name" || die 1 "error: snap \"$name\" not found"
                mkdir -p "/snap/$name/current/meta" /snap/bin /var/lib/snapd/snaps
                printf 'name: %s\nversion: "1.0"\n' "$name" > "/snap/$name/current/meta/snap.yaml"
                printf '%s\n' "$channel" > "/var/lib/snapd/snaps/${name}_1.snap"
                snap_command "$name"
                printf '%s 1.0 from the rehearsal installed\n' "$name"
            done ;;
        refresh)
            [ ${#names[@]} -gt 0 ] || return 0
            need_root "error: access denied (try with sudo)"
            for name in "${names[@]}"; do
                [ -d "/snap/$name" ] || die 1 "error: snap \"$name\" is not installed"
                [ -e "/snap/bin/$name" ] || die 1 "error: cannot refresh disabled snap \"$name\""
                printf '%s\n' "$channel" > "/var/lib/snapd/snaps/${name}_1.snap"
                printf 'snap "%s" has no updates available\n' "$name"
            done ;;
        enable | disable)
            need_root "error: access denied (try with sudo)"
            for name in "${names[@]}"; do
                [ -d "/snap/$name" ] || die 1 "error: snap \"$name\" is not installed"
                if [ $verb = enable ]; then
                    [ ! -e "/snap/bin/$name" ] || die 1 "error: snap \"$name\" already enabled"
                    snap_command "$name"
                else
                    [ -e "/snap/bin/$name" ] || die 1 "error: snap \"$name\" already disabled"
                    rm "/snap/bin/$name"
                fi
                printf '%s %sd\n' "$name" "$verb"
            done ;;
        remove)
            need_root "error: access denied (try with sudo)"
            for name in "${names[@]}"; do
                rm -rf "/snap/$name" "/snap/bin/$name" "/var/lib/snapd/snaps/${name}_1.snap"
                printf '%s removed\n' "$name"
            done ;;
        list)
            printf 'Name  Version  Rev  Tracking  Publisher  Notes\n'
            local file notes
            if [ ${#names[@]} -gt 0 ]; then
                for name in "${names[@]}"; do
                    [ -d "/snap/$name" ] || die 1 "error: no matching snaps installed"
                done
            fi
            for file in /var/lib/snapd/snaps/*_1.snap; do
                [ -e "$file" ] || continue
                name=${file##*/}; name=${name%_1.snap}
                [ ${#names[@]} -eq 0 ] || [[ " ${names[*]} " = *" $name "* ]] || continue
                [ -e "/snap/bin/$name" ] && notes=- || notes=disabled
                printf '%s  1.0  1  %s  rehearsal  %s\n' "$name" "$(cat "$file")" "$notes"
            done ;;
        set) need_root; mkdir -p "$state"; printf '%s\n' "${names[*]}" >> "$state/snap-set" ;;
        unset) need_root ;;
        get) ;;
        wait | watch | version | ack | connect | alias | warnings) ;;
        *) unknown "$verb" ;;
    esac
}

standin_npm() {
    local verb=${1:-} name names=() global= json= version file
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            -g | --global | --location=global) global=1 ;;
            --depth=0) ;;
            --json) json=1 ;;
            --no-fund | --no-audit | --silent | --quiet | --loglevel=* | --prefix=* | --registry=* | -s) ;;
            -*) unknown "$1" ;;
            *) names+=("$1") ;;
        esac
        shift
    done
    case $verb in
        --version | -v) printf '9.2.0\n' ;;
        install | i | add)
            [ -n "$global" ] || unknown "install without --global"
            for name in "${names[@]}"; do
                version=1.0.0
                # The first character may be that of a scope.
                case ${name:1} in *@*) version=${name##*@} name=${name%@*} ;; esac
                mkdir -p "/usr/local/lib/node_modules/$name" || exit 1
                printf '{"name": "%s", "version": "%s"}\n' "$name" "$version" > "/usr/local/lib/node_modules/$name/package.json"
                printf '#!/bin/sh\necho %s\n' "$version" > "/usr/local/bin/${name##*/}"
                chmod 0755 "/usr/local/bin/${name##*/}"
            done
            printf 'added %s packages\n' "${#names[@]}" ;;
        cache) ;;
        config) ;;
        list | ls)
            [ -n "$global$json" ] || unknown "list without --global --json"
            printf '{\n  "name": "lib",\n  "dependencies": {'
            version=
            for file in /usr/local/lib/node_modules/*/package.json /usr/local/lib/node_modules/@*/*/package.json; do
                [ -e "$file" ] || continue
                name=${file#/usr/local/lib/node_modules/}
                printf '%s\n    "%s": %s' "$version" "${name%/package.json}" "$(cat "$file")"
                version=,
            done
            printf '\n  }\n}\n' ;;
        *) unknown "$verb" ;;
    esac
}

# Ubuntu's package has rustup and no toolchain: each user chooses one.
standin_rustup() {
    case ${1:-} in
        --version | -V) printf 'rustup 1.26.0 (rehearsal)\n' ;;
        default)
            [ $# -eq 2 ] || unknown "$@"
            mkdir -p "$HOME/.rustup/toolchains/$2" 2> /dev/null || die 1 "error: could not create $HOME/.rustup"
            printf 'default_toolchain = "%s"\n' "$2" > "$HOME/.rustup/settings.toml" ;;
        *) unknown "$@" ;;
    esac
}
