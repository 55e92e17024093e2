#!/bin/sh
# An operator's script: it must run as root, get its secret in the environment, and find it in no process's arguments.
set -eu
secret=${RIB_TEST_SECRET:-${rib_test_secret:-}}    # Juju's secret keys are lower case, options are not
[ "$(id -u)" = 0 ] || { echo "setup.sh: not root" >&2; exit 10; }
[ -n "$secret" ] || { echo "setup.sh: RIB_TEST_SECRET is not set" >&2; exit 11; }
for file in /proc/[0-9]*/cmdline; do
  arguments=$({ tr '\0' '\n' <"$file"; } 2>/dev/null) || continue
  case $arguments in
    *"$secret"*) echo "setup.sh: the secret is among the arguments in $file" >&2; exit 12;;
  esac
done
printf %s "$secret" | sha256sum | cut -d ' ' -f 1 >/opt/external-script.ok
echo "setup.sh: done"
