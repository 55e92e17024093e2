#!/bin/bash
# machine-packages.sh: an apt repository of the packages that a charm's machine needs beyond those of the base image, from this
# machine's own apt sources. Prints its folder, which is kept.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
packages=(cron cron-daemon-common logrotate)
folder=$STATE/machine-packages
lock_state
if [ ! -s "$folder/Packages" ]; then
  rm -rf "$folder"; mkdir -p "$folder"
  cd "$folder"
  apt-get -q download "${packages[@]}" >&2 || { apt-get -q update; apt-get -q download "${packages[@]}"; } >&2
  for file in *.deb; do
    dpkg-deb --field "$file"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d ' ' -f 1)"
  done >Packages.partial
  mv Packages.partial Packages
fi
echo "$folder"
