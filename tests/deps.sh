#!/bin/bash
# deps.sh [build|charm|rehearse|all]: installs the packages of Debian or Ubuntu, which have the same names there, that this
# needs (all, unless said), those only that are missing. No service is started by it. Without root it prints the line that
# installs them, and fails. It fails, too, when Rust is missing or too old, and says how to get it.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(gcc libc6-dev ca-certificates) # ring compiles C
charm=("${build[@]}" zip python3)
rehearse=("${build[@]}" curl gnupg gpgv openssh-client util-linux)
all=(
    "${charm[@]}" "${rehearse[@]}"
    # libFuzzer is C++
    g++
    # promtool tries the alert rules
    prometheus
    # the test of the charm's archive
    unzip binutils python3 python3-apt python3-venv python3-yaml
    # what the charm calls on a unit
    cron logrotate
    # what tests call besides
    iproute2 openssh-server openssl procps python3-openstackclient qemu-utils squid strace
)
purpose=${1:-all}
case $purpose in
    build) packages=("${build[@]}") ;;
    charm) packages=("${charm[@]}") ;;
    rehearse) packages=("${rehearse[@]}") ;;
    all) packages=("${all[@]}") ;;
    *)
        echo "deps.sh [build|charm|rehearse|all]" >&2
        exit 2
        ;;
esac

missing=()
for package in $(printf '%s\n' "${packages[@]}" | awk '!seen[$0]++'); do
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
        missing+=("$package")
done

# Says what is wrong with Rust, and how it is mended.
check_rust() {
    local wanted found problem=
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null; then
        problem="cargo is missing"
    else
        # A rustup without a toolchain says so itself.
        found=$(rustc --version | cut -d ' ' -f 2) || true
        if [[ -z $found ]]; then
            problem="rustc does not run"
        elif [[ $(printf '%s\n' "$wanted" "${found%%-*}" | sort --version-sort | head -n 1) != "$wanted" ]]; then
            problem="Rust $found is too old"
        fi
    fi
    [[ -n $problem ]] || return 0
    echo "$problem: install Rust $wanted or later, with clippy and rustfmt (https://rustup.rs):" >&2
    echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\"" >&2
    return 1
}

# Says which line installs the packages.
ask_for_root() {
    echo "missing packages: ${missing[*]}. This installs them, and starts no service:" >&2
    if command -v sudo >/dev/null; then
        echo "    sudo $PWD/tests/deps.sh $purpose" >&2
    else
        echo "    su --command '$PWD/tests/deps.sh $purpose'" >&2
    fi
}

# Packages ask /usr/sbin/policy-rc.d before they start their service; ours says no while they are installed.
policy=/usr/sbin/policy-rc.d
own_policy() {
    [[ ! -e $policy ]] || [[ -e $policy.before-tests ]] || mv "$policy" "$policy.before-tests"
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
}
former_policy() {
    rm -f "$policy"
    [[ ! -e $policy.before-tests ]] || mv "$policy.before-tests" "$policy"
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Installs what is missing, with our policy until this script ends.
install_missing() {
    trap former_policy EXIT
    trap 'exit 1' INT TERM HUP
    own_policy
    echo "installing ${missing[*]}"
    if ! apt install --no-install-recommends "${missing[@]}"; then
        # The lists are missing or old. One unreachable repository among several does not matter here.
        apt update || true
        apt install --no-install-recommends "${missing[@]}"
    fi
    # Nor does one start at the machine's next boot. On Ubuntu, ssh is started by its socket.
    for service in squid:squid openssh-server:ssh openssh-server:ssh.socket prometheus:prometheus; do
        if [[ " ${missing[*]} " == *" ${service%:*} "* ]] && command -v systemctl >/dev/null; then
            systemctl --quiet disable "${service#*:}" 2>/dev/null || true
        fi
    done
}

# What is needed is said at once, so that nobody comes back for it. Whoever calls this script by hand as root has cargo in a
# PATH that root does not have.
failed=0
if ((${#missing[@]} > 0 && EUID != 0)); then
    ask_for_root
    failed=1
elif ((${#missing[@]} > 0)); then
    install_missing
fi
if ((EUID != 0)) || [[ -n ${MAKELEVEL-} ]]; then
    check_rust || failed=1
fi
exit "$failed"
