# systemd, cloud-init and the rest of a booted machine.

want() { printf '/etc/systemd/system/%s.wants/%s\n' "$1" "$2"; }

unit_name() {
    case $1 in
        *.service | *.socket | *.timer | *.target | *.mount | *.path | *.slice) printf '%s\n' "$1" ;;
        *) printf '%s.service\n' "$1" ;;
    esac
}

unit_exists() {
    local template=${1/@*./@.}
    [ -e "/etc/systemd/system/$1" ] || [ -L "/etc/systemd/system/$1" ] || [ -e "/etc/systemd/system/$template" ] \
        || has_line /.rehearsal/units "$1" || has_line /.rehearsal/units "$template" || package_unit "$1"
}

package_unit() {
    case $1 in
        docker.service | docker.socket) has_line /var/lib/dpkg/status 'Package: docker.io' ;;
        containerd.service) has_line /var/lib/dpkg/status 'Package: docker.io' || has_line /var/lib/dpkg/status 'Package: containerd' ;;
        libvirtd.service) has_line /var/lib/dpkg/status 'Package: libvirt-daemon-system' ;;
        snap.*) [ -d "/snap/$(printf '%s' "$1" | cut -d. -f2)" ] ;;
        *) return 1 ;;
    esac
}

# Units that start with the machine and cannot: what they run is not there.
failed_units() {
    local link unit file program
    for link in /etc/systemd/system/*.wants/*; do
        unit=${link##*/} file=/etc/systemd/system/${link##*/}
        [ -f "$file" ] || continue
        program=$(sed -n 's/^ExecStart=[-@:+!]*//p' "$file" | head -n 1)
        [ -z "$program" ] || [ -x "${program%% *}" ] || printf '%s loaded failed failed %s\n' "$unit" "$unit"
    done
}

# boot_times: what the manager remembers of the boot, in microseconds. A unit that sleeps holds it up.
boot_times() {
    local link file seconds slept=0
    for link in /etc/systemd/system/*.wants/*; do
        file=/etc/systemd/system/${link##*/}
        [ -f "$file" ] || continue
        seconds=$(sed -n 's/^ExecStart=[-@:+!]*\(.*\/\)\?sleep \([0-9]\{1,4\}\)$/\2/p' "$file" | head -n 1)
        slept=$((slept + ${seconds:-0}))
    done
    printf 'UserspaceTimestampMonotonic=1873006\nFinishTimestampMonotonic=%d\n' $((9120447 + slept * 1000000))
}

masked() { [ "/etc/systemd/system/$1" -ef /dev/null ]; }

standin_systemctl() {
    local verb= units=() now= unit code=0 quiet= user= only_failed=
    while [ $# -gt 0 ]; do
        case $1 in
            --now) now=1 ;;
            -q | --quiet) quiet=1 ;;
            --no-reload | --no-block | --no-pager | --no-ask-password | --force | -f | --wait | --plain | --no-legend | --all | -a) ;;
            --failed | --state=failed) only_failed=1 ;;
            --type=* | --state=* | -p | --property=* | --value) ;;
            --user | --machine=*) user=1 ;;
            -*) unknown "$1" ;;
            *) if [ -z "$verb" ]; then verb=$1; else units+=("$(unit_name "$1")"); fi ;;
        esac
        shift
    done
    case $verb in
        is-system-running)
            [ -z "$(failed_units)" ] || { printf 'degraded\n'; return 1; }
            printf 'running\n'; return 0 ;;
        daemon-reload | daemon-reexec | reset-failed) need_root; return 0 ;;
        '' | list-units) [ -n "$only_failed" ] && { failed_units; return 0; } ;;&
        list-units | list-unit-files | list-timers) cat /.rehearsal/units; return 0 ;;
        reboot | poweroff | halt) power "$verb"; return ;;
        '') unknown "no verb" ;;
        show) [ "${#units[@]}" -gt 0 ] || { boot_times; return 0; } ;;
    esac
    case $verb in
        enable | disable | mask | unmask | start | stop | restart | reload | try-restart | reload-or-restart | kill)
            [ -n "$user" ] || need_root "Failed to $verb unit: Interactive authentication required." ;;
        is-active | is-enabled | is-failed | status | show | cat) ;;
        *) unknown "$verb" ;;
    esac
    for unit in "${units[@]}"; do
        if ! unit_exists "$unit" && [ "$verb" != mask ]; then
            case $verb in
                enable | disable) die 1 "Failed to $verb unit: Unit file $unit does not exist." ;;
                is-active | is-failed) [ -n "$quiet" ] || printf 'inactive\n'; code=3; continue ;;
                is-enabled) [ -n "$quiet" ] || printf 'Failed to get unit file state for %s: No such file or directory\n' "$unit" >&2; code=1; continue ;;
                status | show | cat) die 4 "Unit $unit could not be found." ;;
                *) die 5 "Failed to $verb $unit: Unit $unit not found." ;;
            esac
        fi
        case $verb in
            enable)
                masked "$unit" && die 1 "Failed to enable unit: Unit file /etc/systemd/system/$unit is masked."
                mkdir -p /etc/systemd/system/multi-user.target.wants "$state/disabled"
                rm -f "$state/disabled/$unit"
                ln -sfn "/usr/lib/systemd/system/$unit" "$(want multi-user.target "$unit")"
                [ -n "$now" ] && : > "/run/systemd/rehearsal/$unit.active" ;;
            disable)
                mkdir -p "$state/disabled"; : > "$state/disabled/$unit"
                rm -f /etc/systemd/system/*.wants/"$unit"
                [ -n "$now" ] && rm -f "/run/systemd/rehearsal/$unit.active" ;;
            mask)
                [ -e "/etc/systemd/system/$unit" ] && ! masked "$unit" && die 1 "Failed to mask unit: File '/etc/systemd/system/$unit' already exists."
                ln -sfn /dev/null "/etc/systemd/system/$unit"
                [ -n "$now" ] && rm -f "/run/systemd/rehearsal/$unit.active" ;;
            unmask) masked "$unit" && rm -f "/etc/systemd/system/$unit" ;;
            start | restart | reload | try-restart | reload-or-restart)
                masked "$unit" && die 1 "Failed to $verb $unit: Unit $unit is masked."
                : > "/run/systemd/rehearsal/$unit.active" ;;
            stop | kill) rm -f "/run/systemd/rehearsal/$unit.active"; : > "/run/systemd/rehearsal/$unit.stopped" ;;
            is-active)
                if [ -e "/run/systemd/rehearsal/$unit.active" ] || { has_line /.rehearsal/units "$unit" && [ ! -e "/run/systemd/rehearsal/$unit.stopped" ]; }; then
                    [ -n "$quiet" ] || printf 'active\n'
                else
                    [ -n "$quiet" ] || printf 'inactive\n'
                    code=3
                fi ;;
            is-failed) [ -n "$quiet" ] || printf 'active\n'; code=1 ;;
            is-enabled)
                local word=enabled
                masked "$unit" && word=masked
                [ -e "$state/disabled/$unit" ] && word=disabled
                [ -n "$quiet" ] || printf '%s\n' "$word"
                [ "$word" = enabled ] || code=1 ;;
            status | show | cat) printf '* %s\n' "$unit" ;;
        esac
    done
    return $code
}

# power reboot|poweroff: told to the machine through its first process.
power() {
    need_root "Failed to set wall message, ignoring: Interactive authentication required."
    case $1 in
        reboot) printf 'reboot\n' > /proc/1/fd/1 ;;
        *) printf 'poweroff\n' > /proc/1/fd/1 ;;
    esac
}

standin_reboot() { power reboot; }
standin_poweroff() { power poweroff; }
standin_halt() { power poweroff; }
standin_shutdown() {
    case ${1:-} in
        -r | --reboot) power reboot ;;
        *) power poweroff ;;
    esac
}

standin_loginctl() {
    local file=/var/lib/systemd/linger
    case ${1:-} in
        enable-linger) need_root; mkdir -p $file; has_user "${2:-$me}" || die 1 "Failed to look up user $2"; touch "$file/${2:-$me}" ;;
        disable-linger) need_root; rm -f "$file/${2:-$me}" ;;
        list-sessions | list-users | show-user | terminate-user | kill-user) ;;
        *) unknown "$@" ;;
    esac
}

standin_cloud-init() {
    local verb=${1:-} result=/run/cloud-init/result.json status=/run/cloud-init/status
    shift
    case $verb in
        status)
            local wait= long=
            while [ $# -gt 0 ]; do
                case $1 in
                    --wait | -w) wait=1 ;;
                    --long | -l) long=1 ;;
                    --format=* ) ;;
                    --format) shift ;;
                    *) unknown "$1" ;;
                esac
                shift
            done
            [ -n "$wait" ] && while [ ! -e "$result" ]; do sleep 0.02; done
            local word=running code=0
            [ -e "$result" ] && read -r word code < "$status"
            printf 'status: %s\n' "$word"
            [ -n "$long" ] && [ -e /var/log/cloud-init-output.log ] && cat /var/log/cloud-init-output.log
            return "$code" ;;
        clean)
            case ${1:-} in
                -h | --help) printf 'usage: cloud-init clean [-h] [-l] [--machine-id] [-r] [-s] [-c CONFIG]\n  -c, --configs {all,ssh_config,network,datasource}\n'; return ;;
            esac
            need_root "Error: 'cloud-init clean' must be run as root"
            rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem
            while [ $# -gt 0 ]; do
                case $1 in
                    -l | --logs) rm -f /var/log/cloud-init.log /var/log/cloud-init-output.log ;;
                    # As 22.4 and before do; later ones write "uninitialized".
                    --machine-id) rm -f /etc/machine-id ;;
                    -s | --seed) rm -rf /var/lib/cloud/seed ;;
                    -c | --configs)
                        shift
                        case ${1:-} in all | ssh_config | network | datasource) ;; *) unknown "--configs ${1:-}" ;; esac ;;
                    -r | --reboot) power reboot ;;
                    *) unknown "$1" ;;
                esac
                shift
            done ;;
        --version | -v) printf '/usr/bin/cloud-init 24.4\n' ;;
        query) printf 'openstack\n' ;;
        *) unknown "$verb" ;;
    esac
}

standin_cloud-id() { printf 'openstack\n'; }

standin_sysctl() {
    local write= quiet= name file
    need=
    while [ $# -gt 0 ]; do
        case $1 in
            -w | --write) write=1 ;;
            -q | --quiet) quiet=1 ;;
            -n | --values | -e | --ignore) ;;
            --system) return 0 ;;
            -p | --load) file=${2:-/etc/sysctl.conf}; [ -r "$file" ] || die 255 "sysctl: cannot open \"$file\": No such file or directory"; return 0 ;;
            --load=* | -p?*) return 0 ;;
            -*) unknown "$1" ;;
            *.*=*)
                need_root "sysctl: permission denied on key \"${1%%=*}\""
                mkdir -p "$state"; printf '%s\n' "$1" >> "$state/sysctl"
                [ -n "$quiet" ] || printf '%s = %s\n' "${1%%=*}" "${1#*=}" ;;
            *.*)
                # What is set by hand goes before what the boot has set.
                cat /etc/sysctl.d/*.conf "$state/sysctl" 2> /dev/null | sed -n "s/^$1 *= *//p" | tail -n 1 ;;
            *) die 255 "sysctl: cannot stat /proc/sys/$1: No such file or directory" ;;
        esac
        shift
    done
}

standin_timedatectl() {
    case ${1:-} in
        set-timezone) need_root; [ -e "/usr/share/zoneinfo/$2" ] || die 1 "Failed to set time zone: Invalid time zone '$2'"; printf '%s\n' "$2" > /etc/timezone; ln -sfn "/usr/share/zoneinfo/$2" /etc/localtime ;;
        set-ntp) need_root ;;
        show | status | '') printf 'Timezone=%s\nNTPSynchronized=yes\n' "$(cat /etc/timezone 2> /dev/null || echo Etc/UTC)" ;;
        *) unknown "$@" ;;
    esac
}

standin_hostnamectl() {
    case ${1:-} in
        set-hostname | hostname) [ $# -eq 1 ] && { cat /etc/hostname; return; }; need_root; printf '%s\n' "$2" > /etc/hostname; /.host/usr/bin/hostname "$2" ;;
        '' | status) printf ' Static hostname: %s\n' "$(cat /etc/hostname)" ;;
        --static) cat /etc/hostname ;;
        *) unknown "$@" ;;
    esac
}

standin_uname() {
    local out=
    [ $# -eq 0 ] && set -- -s
    for option in "$@"; do
        case $option in
            -m | -p | -i | --machine) out="$out $(machine)" ;;
            -s | --kernel-name) out="$out Linux" ;;
            -r | --kernel-release) out="$out 6.8.0-31-generic" ;;
            -n | --nodename) out="$out $(hostname)" ;;
            -a | --all) out="$out Linux $(hostname) 6.8.0-31-generic #31-Ubuntu SMP $(machine) GNU/Linux" ;;
            -o) out="$out GNU/Linux" ;;
            -v) out="$out #31-Ubuntu SMP" ;;
            *) unknown "$option" ;;
        esac
    done
    printf '%s\n' "${out# }"
}

machine() {
    case $(cat /var/lib/dpkg/arch 2> /dev/null) in
        arm64) printf 'aarch64\n' ;;
        s390x) printf 's390x\n' ;;
        ppc64el) printf 'ppc64le\n' ;;
        armhf) printf 'armv7l\n' ;;
        *) printf 'x86_64\n' ;;
    esac
}

standin_arch() { machine; }
standin_sync() { return 0; }
standin_fstrim() {
    need_root
    for argument in "$@"; do
        case $argument in -a | --all | -v | --verbose | -av | -va | /*) ;; *) unknown "$argument" ;; esac
    done
}
standin_udevadm() { case ${1:-} in control | trigger | settle | info) ;; *) unknown "$@" ;; esac; }
standin_netplan() { case ${1:-} in apply | generate | get) ;; *) unknown "$@" ;; esac; }
standin_update-grub() { need_root; }
standin_update-initramfs() { need_root; }
standin_update-ca-certificates() { need_root; mkdir -p /etc/ssl/certs; printf '0 added, 0 removed; done.\n'; }
standin_locale-gen() { need_root; }
standin_update-locale() { need_root; }
standin_depmod() { need_root; }
standin_modprobe() { need_root; }
standin_ldconfig() { return 0; }
standin_ufw() { need_root; }
standin_iptables() { need_root; }
standin_nft() { need_root; }
standin_visudo() {
    local file=/etc/sudoers
    while [ $# -gt 0 ]; do
        case $1 in
            -c | -q | -cq | -s) ;;
            -f | -cf | -qcf | -cqf) file=$2; shift ;;
            *) unknown "$1" ;;
        esac
        shift
    done
    [ -r "$file" ] || die 1 "visudo: unable to open $file: No such file or directory"
    if grep -vE '^[[:space:]]*(#|@include|Defaults|$)' "$file" | grep -qvE '^[^[:space:]]+[[:space:]]+[^=]+=|^(User|Runas|Host|Cmnd)_Alias'; then
        die 1 "$file: syntax error"
    fi
    printf '%s: parsed OK\n' "$file"
}
standin_docker() {
    case ${1:-} in
        --version | -v) printf 'Docker version 27.5.1, build 27.5.1-0ubuntu3\n'; return ;;
        version | info) ;;
        *) unknown "$@" ;;
    esac
    local socket=/var/run/docker.sock
    masked docker.service \
        && die 1 "Cannot connect to the Docker daemon at unix://$socket. Is the docker daemon running?"
    has_group docker
    [ "$me" = root ] || [[ ",${fields[3]-}," == *",$me,"* ]] \
        || die 1 "permission denied while trying to connect to the Docker daemon socket at unix://$socket"
    printf 'Server: 27.5.1\n'
}
standin_systemd-machine-id-setup() { need_root; [ -s /etc/machine-id ] || tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id; }
standin_systemd-detect-virt() { printf 'kvm\n'; }
standin_systemd-run() { while [ $# -gt 0 ]; do case $1 in -*) shift ;; *) break ;; esac; done; exec "$@"; }
standin_journalctl() { case " $* " in *' --rotate '* | *' --vacuum'* | *' --flush '*) rm -rf /var/log/journal/* ;; esac; }
standin_crontab() { unknown "$@"; }
standin_lsb_release() {
    . /etc/os-release
    case ${*} in
        -cs | '-c -s' | --codename\ --short) printf '%s\n' "$VERSION_CODENAME" ;;
        -rs) printf '%s\n' "$VERSION_ID" ;;
        -is) printf 'Ubuntu\n' ;;
        -ds) printf '%s\n' "$PRETTY_NAME" ;;
        *) unknown "$@" ;;
    esac
}
