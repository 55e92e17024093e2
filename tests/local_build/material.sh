#!/bin/bash
# material.sh FOLDER: what local builds are tested with, made below FOLDER when it is not there: base.qcow2, a bootable
# image that calls itself Ubuntu 24.04, and site/ubuntu, an apt repository signed by the key that the image trusts.
set -euo pipefail
folder=$(readlink -m "$1")
tools=$(dirname "$(readlink -f "$0")")/../openstack
export OPENSTACK_TESTBED_DIR=$folder
mkdir -p "$folder"
exec 8>"$folder/.material"
flock -w 1800 8
/usr/bin/python3 -I "$tools/site.py" keys "$folder/site-keys"
AS_UBUNTU=24.04 ARCHIVE_KEYRING=$folder/site-keys/archive-keyring.gpg \
    "$tools/make-base-image.sh" "$folder/base.qcow2" 8>&-
/usr/bin/python3 -I "$tools/site.py" build "$folder/site" "$folder/site-keys" http://127.0.0.1 \
    "noble=$folder/base.qcow2"
