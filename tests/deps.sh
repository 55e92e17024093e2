#!/bin/bash
# deps.sh [build|charm|rehearse|all]: installs the Debian packages that this needs (all, unless said), those only that are
# missing. No service is started by it. Without root it says how it is called, and fails if something is missing.
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
    iproute2 openssh-server openssl procps python3-openstackclient squid strace
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
for package in "${packages[@]}"; do
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
        missing+=("$package")
done

# Whoever calls it by sudo has cargo in a PATH that sudo does not keep.
if [[ -z ${SUDO_USER-} || -n ${MAKELEVEL-} ]] && ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or later" \
        "(https://rustup.rs), with clippy and rustfmt" >&2
    exit 1
fi
if ((${#missing[@]} == 0)); then
    exit 0
fi
if ((EUID != 0)); then
    echo "missing packages: ${missing[*]}. This installs them, and starts no service:" >&2
    echo "    sudo $PWD/tests/deps.sh $purpose" >&2
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
for service in squid:squid openssh-server:ssh prometheus:prometheus; do
    if [[ " ${missing[*]} " == *" ${service%:*} "* ]] && command -v systemctl >/dev/null; then
        systemctl --quiet disable "${service#*:}" 2>/dev/null || true
    fi
done
