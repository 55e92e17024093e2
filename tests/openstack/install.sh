#!/bin/bash
# Installs the Debian packages of the stack, of the base image, of the site and of squid. Starts nothing; idempotent.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
need_root

STACK="keystone glance-api placement-api nova-api nova-conductor nova-scheduler nova-compute nova-compute-kvm
  neutron-server neutron-linuxbridge-agent neutron-dhcp-agent neutron-metadata-agent rabbitmq-server mariadb-server
  python3-openstackclient genisoimage qemu-utils uwsgi-plugin-python3 openssh-client iproute2 iptables curl sudo"
IMAGE="mmdebstrap fdisk e2fsprogs"            # make-base-image.sh, inspect-image.sh
SITE="dpkg-dev gnupg gpgv squid"              # site.sh, squid.sh

# shellcheck disable=SC2086
if installed $STACK $IMAGE $SITE; then echo "all installed"; exit 0; fi

# The packages would ask whether to set up databases and endpoints on this machine; up.sh does that in its own state folder.
installed debconf || die "this is not Debian"
for question in keystone/configure_db keystone/create-admin-tenant keystone/register-endpoint; do
  echo "keystone $question boolean false"
done | debconf-set-selections
for package in glance placement nova neutron; do
  echo "$package-common $package/configure_db boolean false"
  echo "$package-api $package/register-endpoint boolean false"
done | debconf-set-selections
echo "neutron-server neutron/register-endpoint boolean false" | debconf-set-selections

# shellcheck disable=SC2086
need_packages $STACK $IMAGE $SITE
