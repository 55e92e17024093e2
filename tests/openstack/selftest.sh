#!/bin/bash
# selftest.sh [CLOUD]: tries all that this folder offers in one go, with Debian's own clients only: boots a VM, installs every
# stand-in package in it, downloads directly and through squid, runs the scripts, takes a snapshot and inspects it, and compares
# the project before and after. It works in the project of CLOUD (default upload2, where it disturbs nobody), brings up what is
# down, and leaves the stack up.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
need_root
NAME=testbed-selftest
URL=http://$HOST_IP:$SITE_PORT
"$HERE/up.sh" | tail -n 1
"$HERE/site.sh" up | tail -n 1
"$HERE/squid.sh" up | tail -n 1
forget_proxies
export OS_CLIENT_CONFIG_FILE=$STATE/clouds.yaml OS_CLOUD=${1:-upload2} PYTHONWARNINGS=ignore
WORK=$(mktemp -d "$STATE/tmp/selftest.XXXXXX")
os() { ip netns exec "$NS" timeout 300 openstack "$@"; }
check() { # WHAT COMMAND...
  if "${@:2}" >"$WORK/out" 2>&1; then say "ok: $1"; else die "$1" "$WORK/out"; fi
}
within() { # SECONDS COMMAND...
  local end=$((SECONDS + $1)); shift
  until "$@"; do if [ $SECONDS -ge $end ]; then return 1; fi; sleep 2; done
}
remove() {
  os server delete --wait $NAME; os image delete $NAME-base; os image delete $NAME-snapshot
  os security group delete $NAME; os keypair delete $NAME
} >/dev/null 2>&1
finish() { set +e; remove; rm -rf "$WORK"; }
trap finish EXIT
remove || true

# ---------------------------------------------------------------- the site, from outside a VM
keyring=$STATE/site-keys/cloudimage-keyring.gpg
fetch() { ip netns exec "$NS" curl -fsS --max-time 300 "$@"; }
fetch -o "$WORK/SHA256SUMS" $URL/cloud-images/noble/current/SHA256SUMS
fetch -o "$WORK/SHA256SUMS.gpg" $URL/cloud-images/noble/current/SHA256SUMS.gpg
fetch -o "$WORK/noble-server-cloudimg-amd64.img" $URL/cloud-images/noble/current/noble-server-cloudimg-amd64.img
check "the signature of SHA256SUMS" gpgv --keyring "$keyring" "$WORK/SHA256SUMS.gpg" "$WORK/SHA256SUMS"
check "the digest of the base image" bash -c "cd '$WORK' && sha256sum --check --ignore-missing SHA256SUMS"
head -c 1000 "$WORK/noble-server-cloudimg-amd64.img" | tail -c 900 >"$WORK/part"
fetch -r 100-999 -o "$WORK/part2" $URL/cloud-images/noble/current/noble-server-cloudimg-amd64.img
check "a range of the base image" cmp "$WORK/part" "$WORK/part2"
check "404 for an unknown release" test "$(ip netns exec "$NS" curl -s -o /dev/null -w '%{http_code}' $URL/api/repos/actions/runner/releases/tags/v0.0.1)" = 404

# ---------------------------------------------------------------- a VM
"$HERE/inventory.sh" "$OS_CLOUD" >"$WORK/before"
ssh-keygen -q -t ed25519 -N '' -f "$WORK/key"
os keypair create --public-key "$WORK/key.pub" $NAME >/dev/null
os security group create $NAME >/dev/null
os security group rule create --protocol tcp --dst-port 22 $NAME >/dev/null
start=$SECONDS
os image create --disk-format qcow2 --container-format bare --file "$WORK/noble-server-cloudimg-amd64.img" $NAME-base >/dev/null
say "ok: base image uploaded ($((SECONDS - start)) s)"; start=$SECONDS
os server create --flavor builder --image $NAME-base --network runner-net --security-group $NAME --key-name $NAME $NAME >/dev/null
port_is_noticed() { ! status_is port "$port" ACTIVE; }
status_is() { [ "$(os "$1" show -f value -c status "$2")" = "$3" ]; }
check "server is ACTIVE" within 300 status_is server $NAME ACTIVE
say "    ($((SECONDS - start)) s)"
address=$(os server show -f json $NAME | /usr/bin/python3 -Ic 'import json, sys; print(json.load(sys.stdin)["addresses"]["runner-net"][0])')
vm() {
  ip netns exec "$NS" timeout 900 ssh -q -i "$WORK/key" -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    "ubuntu@$address" "$@"
}
check "ssh" within 600 vm true
say "    ($((SECONDS - start)) s after create)"
check "cloud-init is done" vm cloud-init status --wait
say "    ($((SECONDS - start)) s after create)"
port=$(os port list --server $NAME -f value -c ID)
os port set --security-group default "$port"
# The port is ACTIVE until the agent has noticed, which looks every 2 s; a look that has come and gone is as good.
within 30 port_is_noticed || true
check "a change of its port is carried out while it runs (bin/ebtables)" within 60 status_is port "$port" ACTIVE
check "an address is closed that no rule opens" bash -c "! ip netns exec $NS timeout 5 ping -c 1 -W 3 $address"

start=$SECONDS
check "apt-get update and install of all stand-ins" vm sudo bash -s "$URL" <<'X'
set -euo pipefail
. /etc/os-release; [ "$ID $VERSION_CODENAME" = "ubuntu noble" ]
mv /etc/apt/sources.list.d/ubuntu.sources /root/
cat >/etc/apt/sources.list.d/testbed.sources <<S
Types: deb
URIs: $1/ubuntu
Suites: noble noble-updates noble-security
Components: main restricted universe multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
S
export DEBIAN_FRONTEND=noninteractive
apt-get -o APT::Update::Error-Mode=any update
apt-get install -y --no-install-recommends build-essential cargo docker.io gh jq npm pkg-config python-is-python3 python3-dev python3-pip \
  rustc shellcheck socat tar time unzip wget docker-buildx yarn
apt-get -y dist-upgrade
getent group docker
for c in cargo docker gh jq npm pip3 pkg-config rustc shellcheck socat unzip wget yarn python tar; do $c --version | head -n 1; done
jq --version | grep -q standin2
test -s /usr/share/doc/build-essential/stand-in
npm install --global yarn && /usr/local/bin/yarn --version
X
say "    ($((SECONDS - start)) s)"
check "the runner, directly and through squid, with its digest" vm bash -s "$URL" "http://$HOST_IP:$SQUID_PORT" <<'X'
set -euo pipefail
release=$(curl -fsS "$1/api/repos/actions/runner/releases/latest")
read -r url digest < <(python3 -c 'import json,sys; a=[a for a in json.loads(sys.argv[1])["assets"] if "linux-x64" in a["name"]][0]; print(a["browser_download_url"], a["digest"][7:])' "$release")
curl -fsS -o direct.tar.gz "$url"
curl -fsS --proxy "$2" -o proxied.tar.gz "$url"
for f in direct proxied; do echo "$digest  $f.tar.gz"; done | sha256sum --check
sudo install -d -o ubuntu -g ubuntu /home/ubuntu/actions-runner
tar -xzf proxied.tar.gz -C /home/ubuntu/actions-runner
cd /home/ubuntu/actions-runner
[ "$(bin/Runner.Listener --version)" = 2.337.1 ]
sudo bin/installdependencies.sh
./config.sh --unattended --name x && diff config.args <(printf '%s\n' --unattended --name x)
X
check "squid has logged the VM" grep -q "$address .*actions-runner-linux-x64" "$LOG/squid-access.log"

secret=s3cret-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n'); deleted=d3leted-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
absent=n0where-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
check "setup.sh with its secret in the environment" vm "curl -fsS -o setup.sh $URL/script/setup.sh; IFS= read -r RIB_TEST_SECRET; export RIB_TEST_SECRET; sudo --preserve-env=RIB_TEST_SECRET sh setup.sh" <<<"$secret"
check "its trace" vm "grep -qx $(printf %s "$secret" | sha256sum | cut -d' ' -f1) /opt/external-script.ok"
check "setup.sh refuses a secret among arguments" vm "IFS= read -r RIB_TEST_SECRET; export RIB_TEST_SECRET; ! sudo --preserve-env=RIB_TEST_SECRET sh setup.sh \"\$RIB_TEST_SECRET\"" <<<"$secret"
check "broken.sh fails with 3" vm "curl -fsS $URL/script/broken.sh | sh; [ \$? = 3 ]"

# ---------------------------------------------------------------- a snapshot
check "one file with a secret, and one deleted" vm "IFS= read -r a; IFS= read -r b; echo \"\$a\" | sudo tee /etc/kept >/dev/null; echo \"\$b\" >gone; sync; rm gone; sync; sudo apt-get clean" <<<"$secret"$'\n'"$deleted"
start=$SECONDS
os server stop $NAME
check "server is SHUTOFF" within 300 status_is server $NAME SHUTOFF
say "    ($((SECONDS - start)) s)"; start=$SECONDS
os server image create --name $NAME-snapshot $NAME >/dev/null
check "snapshot is active" within 600 status_is image $NAME-snapshot active
say "    ($((SECONDS - start)) s)"; start=$SECONDS
os image save --file "$WORK/snapshot.qcow2" $NAME-snapshot
say "ok: snapshot downloaded, $(stat -c %s "$WORK/snapshot.qcow2") bytes ($((SECONDS - start)) s)"; start=$SECONDS
printf '%s\n' "$secret" >"$WORK/kept"; printf '%s\n' "$deleted" >"$WORK/deleted"; printf '%s\n' "$absent" >"$WORK/absent"
status=0; "$HERE/inspect-image.sh" "$WORK/snapshot.qcow2" "$WORK/kept" "$WORK/deleted" >"$WORK/found" || status=$?
say "    (inspected in $((SECONDS - start)) s)"
check "inspect-image.sh says 1" test $status = 1
check "... finds the file" grep -q "in the file '/etc/kept'" "$WORK/found"
check "... finds the deleted file on the disk" grep -q "^disk: .*d3le" "$WORK/found"
check "... but not in a file" bash -c "! grep '^root.*d3le' '$WORK/found'"
check "... and nothing where nothing is" "$HERE/inspect-image.sh" "$WORK/snapshot.qcow2" "$WORK/absent"
check "no loop device is left" test -z "$(losetup -nlO BACK-FILE | grep -F -e inspect-image. -e "$STATE" || true)"

remove
"$HERE/inventory.sh" "$OS_CLOUD" >"$WORK/after"
check "the project is as before" diff "$WORK/before" "$WORK/after"
say "all is well"
