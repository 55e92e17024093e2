#!/bin/bash
# site.sh up|down|status: the servers that stand around the charm, on http://10.77.0.1:8080 inside the namespace:
# cloud images, an apt repository, the runner's releases, GitHub's API, an operator's scripts. See README.md for the tree.
#
# BASES="noble jammy"   the Ubuntu releases to have (default: those of the last time, at first noble); each has a base image
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
need_root
BASES=${BASES:-$(cat "$STATE/site.bases" 2>/dev/null || echo noble)}
URL=http://$HOST_IP:$SITE_PORT
KEYS=$STATE/site-keys
site() { /usr/bin/python3 -I "$HERE/site.py" "$@" 9>&-; }

up() {
  need_stack
  need_packages dpkg-dev gnupg gpgv python3 curl
  lock_state
  site keys "$KEYS"
  # the key is in the images, the images are in the tree
  local base image images=()
  for base in $BASES; do
    case $base in
      focal) version=20.04;; jammy) version=22.04;; noble) version=24.04;; resolute) version=26.04;;
      *) die "BASES: $base is no Ubuntu that this knows";;
    esac
    image=$STATE/base-cloudimg-ubuntu-$version.qcow2
    AS_UBUNTU=$version ARCHIVE_KEYRING=$KEYS/archive-keyring.gpg "$HERE/make-base-image.sh" "$image" >/dev/null
    images+=("$base=$image")
  done
  site build "$STATE/site" "$KEYS" "$URL" "${images[@]}"
  echo "$BASES" >"$STATE/site.bases"
  say "the tree is made"

  # a server of another version of site.py goes
  if [ "$(cat "$RUN/site.version" 2>/dev/null)" != "$(sha256sum <"$HERE/site.py")" ]; then stop site 5; fi
  forget_proxies
  # on every address of the namespace, so that a process in it may also use 127.0.0.1 (some trust plain http only from there)
  start site /usr/bin/python3 -I "$HERE/site.py" serve "$STATE/site" 0.0.0.0 "$SITE_PORT" "$LOG/site-access.log"
  sha256sum <"$HERE/site.py" >"$RUN/site.version"
  wait_for site 60 in_cloud curl -fsS -o /dev/null --max-time 10 "$URL/api/repos/actions/runner/releases/latest"
  say "$URL serves $STATE/site; access log $LOG/site-access.log"
}

status() {
  if ! alive site; then echo "down"; return 1; fi
  echo "up: $URL (pid $(cat "$RUN/site.pid")), namespace $NS"
  cd "$STATE/site" && find . -mindepth 1 -maxdepth 2 -type d | sort
}

case ${1:-} in
  up) up;;
  down) lock_state; stop site 5; say "the site is down";;
  status) status;;
  *) echo "usage: site.sh up|down|status" >&2; exit 2;;
esac
