#!/bin/bash
# squid.sh up|down|status: Debian's squid with the rules that the package ships, on http://10.77.0.1:3128 inside the namespace,
# for the namespace itself and for the virtual machines. Its access log is log/squid-access.log in the state folder.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
need_root

# The package's own squid.conf and conf.d/debian.conf, with three changes: the address; the line `http_access allow localnet`,
# which Debian ships as a comment for the administrator to enable; and what a squid of our own needs to live in a folder of its own.
write_configuration() {
  mkdir -p "$ETC/squid/conf.d" "$VAR/squid"
  chown proxy:proxy "$VAR/squid"
  touch "$LOG/squid-access.log" "$LOG/squid-cache.log"
  chown proxy:proxy "$LOG"/squid-{access,cache}.log
  sed -e "s#^include /etc/squid/conf.d/#include $ETC/squid/conf.d/#" -e "s#^http_port 3128#http_port $HOST_IP:$SQUID_PORT#" \
    -e "s#^coredump_dir .*#coredump_dir $VAR/squid#" /etc/squid/squid.conf >"$ETC/squid/squid.conf"
  sed 's/^#http_access allow localnet/http_access allow localnet/' /etc/squid/conf.d/debian.conf >"$ETC/squid/conf.d/debian.conf"
  if ! grep -q "^http_port $HOST_IP:$SQUID_PORT" "$ETC/squid/squid.conf" || ! grep -q '^http_access allow' "$ETC/squid/conf.d/debian.conf"; then
    die "this squid's configuration does not look like Debian 12's"
  fi
  cat >"$ETC/squid/conf.d/testbed.conf" <<X
access_log stdio:$LOG/squid-access.log squid
cache_log $LOG/squid-cache.log
pid_filename $RUN/squid-own
netdb_filename none
pinger_enable off
visible_hostname testbed
shutdown_lifetime 1 seconds
cache_mem 32 MB
X
}

up() {
  need_stack
  need_packages squid
  lock_state
  if alive squid; then say "squid is up"; return; fi
  write_configuration
  forget_proxies
  start squid squid -N -f "$ETC/squid/squid.conf"
  wait_for squid 60 listens "$HOST_IP" "$SQUID_PORT"
  say "http://$HOST_IP:$SQUID_PORT; access log $LOG/squid-access.log"
}

case ${1:-} in
  up) up;;
  down) lock_state; stop squid 20; say "squid is down";;
  status) if alive squid; then echo "up: http://$HOST_IP:$SQUID_PORT (pid $(cat "$RUN/squid.pid")), namespace $NS"; else echo "down"; exit 1; fi;;
  *) echo "usage: squid.sh up|down|status" >&2; exit 2;;
esac
