#!/bin/bash
# Installs the Debian packages that building, testing and packaging need, those only that are missing. No service
# is started by it. Without root it prints the command instead, and fails if something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    # building: ring compiles C, and libFuzzer is C++
    gcc g++ libc6-dev ca-certificates bsdextrautils
    # the charm's archive and its test
    zip unzip binutils python3 python3-apt python3-venv python3-yaml
    # what the charm calls on a unit
    cron gpgv logrotate openssh-client
    # what tests call besides
    curl gnupg iproute2 openssh-server openssl procps python3-openstackclient squid strace util-linux
)

missing=()
for package in "${packages[@]}"; do
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
        missing+=("$package")
done

if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or later" \
        "(https://rustup.rs), with clippy and rustfmt" >&2
    exit 1
fi
if ((${#missing[@]} == 0)); then
    exit 0
fi
if ((EUID != 0)); then
    echo "missing packages, run as root: apt-get update && apt-get install ${missing[*]}" >&2
    exit 1
fi

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
trap former_policy EXIT
trap 'exit 1' INT TERM HUP
own_policy

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}
echo "installing ${missing[*]}"
if ! apt install --no-install-recommends "${missing[@]}"; then
    # The lists are missing or old. One unreachable repository among several does not matter here.
    apt update || true
    apt install --no-install-recommends "${missing[@]}"
fi
# Nor does one start at the machine's next boot.
for service in squid:squid openssh-server:ssh; do
    if [[ " ${missing[*]} " == *" ${service%:*} "* ]] && command -v systemctl >/dev/null; then
        systemctl --quiet disable "${service#*:}" 2>/dev/null || true
    fi
done
