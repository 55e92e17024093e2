#!/bin/bash
# boot-image.sh CLOUD IMAGE-ID: boots a VM of the image as a consumer would, with that project's own credentials, and
# prints what it finds inside as name=value lines. Everything that it makes in the project is gone afterwards.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
cloud=$1 image=$2
name=consumer-$$
work=$(mktemp -d)
export OS_CLIENT_CONFIG_FILE=$STATE/clouds.yaml
os() { openstack --os-cloud "$cloud" "$@"; }
cleanup() {
  set +e
  os server delete --wait "$name" >/dev/null 2>&1
  os security group delete "$name" >/dev/null 2>&1
  os keypair delete "$name" >/dev/null 2>&1
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ssh-keygen -q -t ed25519 -N '' -f "$work/key"
os keypair create --public-key "$work/key.pub" "$name" >/dev/null
os security group create "$name" -f value -c id >/dev/null
os security group rule create --protocol tcp --dst-port 22 "$name" >/dev/null
os server create --image "$image" --flavor builder --network runner-net --security-group "$name" --key-name "$name" \
  --wait "$name" -f value -c status >/dev/null
address=$(os server show "$name" -f json | python3 -c 'import json,sys; print(list(json.load(sys.stdin)["addresses"].values())[0][0])')
inside() {
  ssh -F none -i "$work/key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile="$work/known" \
    -o GlobalKnownHostsFile=/dev/null -o ConnectTimeout=60 -o LogLevel=ERROR "ubuntu@$address" "$@"
}
for _ in $(seq 120); do inside true 2>/dev/null && break; sleep 2; done
inside 'cloud-init status --wait' >/dev/null || true
inside 'bash -s' <<'INSIDE'
echo "runner=$(/home/ubuntu/actions-runner/bin/Runner.Listener --version)"
missing=
for package in build-essential docker.io gh jq npm python3-pip shellcheck socat unzip cargo rustc; do
  dpkg-query -W -f '${db:Status-Status}' $package 2>/dev/null | grep -qx installed || missing="$missing $package"
done
echo "packages=${missing:-complete}"
echo "yarn=$(yarn --version)"
echo "yq=$(yq --version)"
echo "sysctl=$(sed -n 's/^net.ipv4.tcp_congestion_control = //p' /etc/sysctl.d/60-runner-image-builder.conf)"
echo "script=$(sudo cat /opt/external-script.ok)"
echo "docker=$(docker version | tail -n 1)"
echo "groups=$(id -nG | tr ' ' '\n' | grep -xE 'docker|microk8s|lxd|sudo' | sort | paste -sd' ')"
echo "runner-home=$(readlink /home/runner)"
echo "machine-id=$(cat /etc/machine-id)"
if [ -e /var/lib/runner-image-builder-sources ] || ls /etc/apt/sources.list.d | grep -q runner-image-builder; then
  echo "sources=left"
else
  echo "sources=restored"
fi
INSIDE
# What it says is installed in it: tests/scenario/inventory.rs holds it against the image's manifest.
inside 'bash -s' <<'INSIDE'
echo "kernel $(uname -r)"
echo "manifest $(sha256sum /usr/share/runner-image/manifest.json | cut -d ' ' -f 1)"
dpkg-query --show --showformat='package ${db:Status-Status} ${Package} ${Version} ${Architecture}\n' |
  sed -n 's/^package installed /package /p'
! command -v snap >/dev/null || snap list --color=never --unicode=never | awk 'NR > 1 {print "snap " $1 " " $3}'
INSIDE
# The builder's host key came with its user-data; a consumer's own machine must have made its own.
echo "host-keys=$(if grep -q ssh-ed25519 "$work/known" && ! grep -qF "${BUILDER_HOST_KEY:-none}" "$work/known"; then echo own; else echo shared; fi)"
echo "script-expected=$(printf %s "$SCRIPT_SECRET" | sha256sum | cut -d ' ' -f 1)"
