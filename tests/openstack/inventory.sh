#!/bin/bash
# inventory.sh CLOUD: what there is in the project of that cloud, as sorted lines, for comparing before and after. Read with
# Debian's `openstack` client, so that it does not depend on the code under test.
#
#   server          id name status
#   image           id name status visibility own|other [hidden]    (all that the project sees)
#   security-group  id name number-of-rules
#   keypair         name fingerprint
#   port            id name status addresses
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
[ $# = 1 ] || { echo "usage: inventory.sh CLOUD" >&2; exit 2; }
need_packages python3-openstackclient >/dev/null
forget_proxies
export OS_CLIENT_CONFIG_FILE=${OS_CLIENT_CONFIG_FILE:-$STATE/clouds.yaml} OS_CLOUD=$1 PYTHONWARNINGS=ignore

# into the namespace, unless we are in it or there is none
enter=()
if [ -e "/run/netns/$NS" ] && [ "$(stat -Lc %i /proc/self/ns/net)" != "$(stat -Lc %i "/run/netns/$NS")" ]; then
  need_root
  enter=(ip netns exec "$NS")
fi
# one process for all questions: starting the client is what takes time
errors=$(mktemp); trap 'rm -f "$errors"' EXIT
answers=$(timeout 180 "${enter[@]}" openstack 2>"$errors" <<'X'
token issue -f json
server list --long -f json
image list --long -f json
image list --long --hidden -f json
security group list -f json
security group rule list --long -f json
keypair list -f json
port list -f json
X
) || die "the openstack client for cloud $1" "$errors"

/usr/bin/python3 -Ic '
import json, sys

text, answers, position = sys.stdin.read(), [], 0
while position < len(text):
    answer, position = json.JSONDecoder().raw_decode(text, position)
    answers.append(answer)
    position += len(text[position:]) - len(text[position:].lstrip())
if len(answers) != 8:
    sys.exit(1)  # the client goes on after an error
token, servers, images, hidden, groups, rules, keypairs, ports = answers

lines = [("server", s["ID"], s["Name"], s["Status"]) for s in servers]
lines += [("image", i["ID"], i["Name"], i["Status"], i["Visibility"], "own" if i["Project"] == token["project_id"] else "other", *mark)
          for some, mark in ((images, ()), (hidden, ("hidden",))) for i in some]
lines += [("security-group", g["ID"], g["Name"], sum(r["Security Group"] == g["ID"] for r in rules)) for g in groups]
lines += [("keypair", k["Name"], k["Fingerprint"]) for k in keypairs]
lines += [("port", p["ID"], p["Name"] or "-", p["Status"], *sorted(a["ip_address"] for a in p["Fixed IP Addresses"])) for p in ports]
print("\n".join(sorted(" ".join(map(str, line)) for line in lines)))
' <<<"$answers" || die "the openstack client did not answer all questions about cloud $1" "$errors"
