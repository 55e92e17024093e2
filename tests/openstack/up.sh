#!/bin/bash
# Starts a small real OpenStack (Debian bookworm's packages: Zed) without systemd, wholly inside one network namespace:
# Keystone, Glance, Placement, Nova with libvirt, Neutron with linuxbridge and DHCP, on MariaDB and RabbitMQ.
# Idempotent: what runs is left alone, what is missing is started. METADATA=1 adds Nova's metadata service for the VMs.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"
. "$HERE/config.sh"
need_root
lock_state
mkdir -p "$ETC" "$VAR" "$RUN" "$LOG"

"$HERE/install.sh" >>"$LOG/install.log" 2>&1 9>&- || die "cannot install the packages" "$LOG/install.log"
say "packages are installed"
forget_proxies

# ---------------------------------------------------------------- namespaces
[ -e "/run/netns/$NS" ] || ip netns add "$NS"
ip -n "$NS" link set lo up
if ! alive holder; then
  mkdir -p "$VAR"/libvirt/{lib,run,cache,log} /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
  [ -d "$VAR/libvirt/etc" ] || cp -a /etc/libvirt "$VAR/libvirt/etc"
  rm -rf "${VAR:?}"/libvirt/run/*
  # Every `ip netns exec` has a mount namespace of its own, but the namespaces that Neutron makes must be seen by its agents,
  # by nova-compute and by us. So one process holds a common one, which all services enter. In it libvirt's folders are
  # private, and /run/netns is a fresh tmpfs: Neutron's qdhcp-* appear only there, and vanish with the last process.
  rm -f "$RUN/holder.ready"
  # shellcheck disable=SC2016   # the inner shell expands them
  spawn holder ip netns exec "$NS" bash -ec '
    for d in etc:/etc lib:/var/lib run:/run cache:/var/cache log:/var/log; do mount --bind "$0/libvirt/${d%%:*}" "${d#*:}/libvirt"; done
    mount -t tmpfs "$2" /run/netns
    touch "$1/holder.ready"
    exec sleep infinity' "$VAR" "$RUN" "$MARK"
  for _ in {1..100}; do [ -e "$RUN/holder.ready" ] && break; sleep 0.1; done
  [ -e "$RUN/holder.ready" ] || die "the namespaces cannot be made" "$LOG/holder.log"
  # entering a mount namespace leads out of a chroot, and then it would be another state folder of the same name
  [ "$(in_cloud stat -c %d:%i "$RUN/holder.ready")" = "$(stat -c %d:%i "$RUN/holder.ready")" ] || die "this does not work in a chroot"
fi
if ! in_cloud ip link show br-runner >/dev/null 2>&1; then
  # Neutron plugs VMs into a bridge of its own, made around its physical interface. So that we ourselves are on that
  # network, its physical interface is one end of a veth pair, whose other end is in our bridge.
  in_cloud ip link add br-runner type bridge
  in_cloud ip addr add "$HOST_IP/24" dev br-runner
  in_cloud ip link add run-h type veth peer name run-p
  in_cloud ip link set run-h master br-runner
  for link in br-runner run-h run-p; do in_cloud ip link set $link up; done
fi

write_configuration
say "configured (virt_type $VIRT_TYPE)"

# ---------------------------------------------------------------- database and message queue
if [ ! -d "$VAR/mysql/mysql" ]; then
  mariadb-install-db --no-defaults --user=root --datadir="$VAR/mysql" --auth-root-authentication-method=normal \
    --skip-test-db >>"$LOG/mariadb.log" 2>&1 9>&- || die "cannot make the database" "$LOG/mariadb.log"
fi
# nothing in it must survive a power failure
start mariadb mariadbd --no-defaults --user=root --datadir="$VAR/mysql" --socket="$RUN/mysql.sock" --pid-file="$RUN/mariadbd-own" \
  --bind-address=127.0.0.1 --port=3306 --skip-name-resolve --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync \
  --innodb-doublewrite=0 --sync-frm=0 --innodb-buffer-pool-size=128M --performance-schema=OFF --max-connections=400 \
  --character-set-server=utf8mb3 --collation-server=utf8mb3_general_ci
start epmd epmd -address 127.0.0.1
# no message or queue is worth keeping, and what a killed broker left could keep the next one from starting
if ! alive rabbitmq; then rm -rf "${VAR:?}/rabbit"; mkdir -p "$VAR/rabbit"; fi
start rabbitmq env -i PATH="$PATH" LANG=C.UTF-8 HOME="$VAR/rabbit" RABBITMQ_NODENAME=rabbit@localhost \
  RABBITMQ_MNESIA_BASE="$VAR/rabbit/mnesia" RABBITMQ_LOG_BASE="$LOG" RABBITMQ_CONFIG_FILE="$ETC/rabbitmq" \
  RABBITMQ_ENABLED_PLUGINS_FILE="$ETC/rabbit-plugins" RABBITMQ_PID_FILE="$RUN/rabbit-own" \
  "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none" \
  /usr/lib/rabbitmq/bin/rabbitmq-server
wait_for mariadb 120 mariadb-admin --no-defaults -uroot -S "$RUN/mysql.sock" ping
sql() { mariadb --no-defaults -uroot -S "$RUN/mysql.sock" "$@"; }
keystone_manage() { in_cloud keystone-manage --config-file "$ETC/keystone/keystone.conf" "$@"; }
nova_manage() { in_cloud nova-manage --config-file "$ETC/nova/nova.conf" "$@"; }

make_schemas() {
  sync_keystone() { keystone_manage db_sync; }
  sync_nova() { nova_manage api_db sync && nova_manage cell_v2 map_cell0 && nova_manage db sync; }
  sync_neutron() { in_cloud neutron-db-manage --config-file "$ETC/neutron/neutron.conf" --config-file "$ETC/neutron/ml2_conf.ini" upgrade heads; }
  sync_glance() { in_cloud glance-manage --config-file "$ETC/glance/glance-api.conf" db_sync; }
  sync_placement() { in_cloud placement-manage --config-file "$ETC/placement/placement.conf" db sync; }
  local service pid pids=()
  for service in nova neutron keystone glance placement; do
    "sync_$service" >>"$LOG/init-$service.log" 2>&1 9>&- & pids+=("$service:$!")
  done
  for pid in "${pids[@]}"; do wait "${pid#*:}" || die "cannot make the schema of ${pid%:*}" "$LOG/init-${pid%:*}.log"; done
}
if [ ! -e "$VAR/.databases-ready" ]; then
  databases="keystone glance placement nova_api nova_cell0 nova neutron"
  for name in $databases; do echo "CREATE DATABASE IF NOT EXISTS $name CHARACTER SET utf8mb3;"; done | sql
  sql <<<"CREATE USER IF NOT EXISTS os@'%' IDENTIFIED BY '$DB'; GRANT ALL ON *.* TO os@'%'; FLUSH PRIVILEGES;"
  # Hundreds of migrations make the empty schemas; a dump of them, kept for these package versions, makes the next
  # fresh start faster (down.sh --purge leaves it).
  # shellcheck disable=SC2016
  versions=$(dpkg-query -W -f '${Package}=${Version} ' python3-keystone python3-glance python3-placement python3-nova python3-neutron)
  if [ -s "$STATE/schema.sql.gz" ] && [ "$(cat "$STATE/schema.versions" 2>/dev/null)" = "$versions" ]; then
    zcat "$STATE/schema.sql.gz" | sql
  else
    make_schemas
    sql -e "DELETE FROM nova_api.cell_mappings"      # it holds this state folder's database password
    # shellcheck disable=SC2086
    mariadb-dump --no-defaults -uroot -S "$RUN/mysql.sock" --databases $databases | gzip -9 >"$STATE/schema.sql.gz"
    echo "$versions" >"$STATE/schema.versions"
  fi
  say "the schemas are ready"
  mkdir -p "$VAR"/keystone/{fernet,credential}-keys; chmod 0700 "$VAR"/keystone/*-keys
  { keystone_manage fernet_setup --keystone-user root --keystone-group root &&
    keystone_manage credential_setup --keystone-user root --keystone-group root &&
    OS_BOOTSTRAP_PASSWORD=$ADMIN keystone_manage bootstrap --bootstrap-region-id RegionOne --bootstrap-admin-url http://127.0.0.1:5000/v3 \
      --bootstrap-internal-url http://127.0.0.1:5000/v3 --bootstrap-public-url http://127.0.0.1:5000/v3
  } >>"$LOG/init-keystone.log" 2>&1 9>&- & bootstrap=$!
  { nova_manage cell_v2 map_cell0 && { nova_manage cell_v2 list_cells | grep -q cell1 || nova_manage cell_v2 create_cell --name cell1; }
  } >>"$LOG/init-nova.log" 2>&1 9>&- || die "cannot map nova's cells" "$LOG/init-nova.log"
  wait $bootstrap || die "cannot bootstrap keystone" "$LOG/init-keystone.log"
  say "keystone is bootstrapped, nova's cells are mapped"
  touch "$VAR/.databases-ready"
fi

# ---------------------------------------------------------------- services
wsgi() { # NAME PORT FILE
  start "$1" env OS_KEYSTONE_CONFIG_DIR="$ETC/keystone" OS_PLACEMENT_CONFIG_DIR="$ETC/placement" uwsgi_python3 --plugins python3 \
    --http-socket "127.0.0.1:$2" --wsgi-file "$3" --master --die-on-term --processes 1 --threads 8 --enable-threads --lazy-apps \
    --buffer-size 65535 --no-orphans --rem-header Content-Length --procname-prefix "$1-" --listen 100 --disable-logging
}
answers() { in_cloud curl -s -o /dev/null --max-time 10 "$1"; }
setup() { # PART
  in_cloud env OS_CLIENT_CONFIG_FILE="$STATE/clouds.yaml" SVC="$SVC" BUILDER="$BUILDER" UPLOAD="$UPLOAD" UPLOAD2="$UPLOAD2" \
    /usr/bin/python3 "$HERE/setup.py" "$1" >>"$LOG/setup.log" 2>&1 9>&- || die "setup.py $1" "$LOG/setup.log"
}
wsgi keystone 5000 /usr/bin/keystone-wsgi-public
wsgi placement 8778 /usr/bin/placement-api
start libvirtd libvirtd --config /etc/libvirt/libvirtd.conf --pid-file "$RUN/libvirtd-own"
start glance-api glance-api --config-file "$ETC/glance/glance-api.conf"
neutron=(--config-file "$ETC/neutron/neutron.conf")
start neutron-server neutron-server "${neutron[@]}" --config-file "$ETC/neutron/ml2_conf.ini"
wait_for keystone 180 answers http://127.0.0.1:5000/v3
# the users come before what logs in when it starts
if [ "$(cat "$VAR/.identity-ready" 2>/dev/null)" != "$(sha256sum <"$HERE/setup.py")" ]; then
  setup identity
  sha256sum <"$HERE/setup.py" >"$VAR/.identity-ready"
  say "projects, users, endpoints exist"
fi
wait_for rabbitmq 180 listens 127.0.0.1 5672
start nova-api nova-api --config-file "$ETC/nova/nova.conf"
start nova-conductor nova-conductor --config-file "$ETC/nova/nova.conf"
start nova-scheduler nova-scheduler --config-file "$ETC/nova/nova.conf"
wait_for libvirtd 120 in_cloud virsh -c qemu:///system version
start nova-compute nova-compute --config-file "$ETC/nova/nova-compute.conf"
wait_for placement 180 answers http://127.0.0.1:8778/
wait_for glance-api 180 answers http://127.0.0.1:9292/versions
wait_for neutron-server 180 answers http://127.0.0.1:9696/
# The network comes before the agents: they find it when they start, while news of it can get lost on an agent that is just
# starting. For the same reason the agents come after the server: what one asks too early costs it a minute.
setup network
start neutron-linuxbridge-agent neutron-linuxbridge-agent "${neutron[@]}" --config-file "$ETC/neutron/ml2_conf.ini"
start neutron-dhcp-agent neutron-dhcp-agent "${neutron[@]}" --config-file "$ETC/neutron/dhcp_agent.ini"
if [ -n "${METADATA:-}" ]; then
  start neutron-metadata-agent neutron-metadata-agent "${neutron[@]}" --config-file "$ETC/neutron/metadata_agent.ini"
fi
wait_for nova-api 180 answers http://127.0.0.1:8774/
setup compute
say "network and flavors exist, agents and compute are up"
if [ ! -e "$VAR/.compute-mapped" ]; then
  nova_manage cell_v2 discover_hosts --verbose >>"$LOG/init-nova.log" 2>&1 9>&- || die "cannot map the compute host" "$LOG/init-nova.log"
  touch "$VAR/.compute-mapped"
fi
for file in "$RUN"/*.pid; do name=$(basename "$file" .pid); alive "$name" || die "$name has died" "$LOG/$name.log"; done
say "OpenStack is up: OS_CLIENT_CONFIG_FILE=$STATE/clouds.yaml ip netns exec $NS openstack --os-cloud builder ..."
