# shellcheck shell=bash disable=SC2034
# The configuration files of all services, as up.sh wants them; sourced by it. write_configuration writes them all anew.
# Passwords are random for each state folder.

write_configuration() {
  if [ ! -s "$ETC/secrets" ]; then
    local key
    (umask 077; for key in DB MQ ADMIN SVC BUILDER UPLOAD UPLOAD2 META; do echo "$key=$(od -An -N12 -tx1 /dev/urandom | tr -d ' ')"; done >"$ETC/secrets")
  fi
  # shellcheck disable=SC1091   # DB MQ ADMIN SVC BUILDER UPLOAD UPLOAD2 META
  . "$ETC/secrets"
  mkdir -p "$ETC"/{keystone,glance,placement,nova,neutron} "$VAR"/{keystone,glance/{images,staging,tasks,lock},nova/{instances,lock},neutron/lock,placement}
  choose_virtualisation
  write_keystone; write_glance; write_placement; write_nova; write_neutron; write_libvirt; write_rabbitmq; write_clouds_yaml
}

# KVM only on real hardware virtualisation: a software KVM (module kvm_pvm, no vmx or svm flag) starts a VM but dies in a stock guest kernel
choose_virtualisation() {
  VIRT_TYPE=qemu CPU_MODE=none
  if grep -qwE "vmx|svm" /proc/cpuinfo && [ ! -e /sys/module/kvm_pvm ] &&
    echo quit | timeout 30 qemu-system-x86_64 -accel kvm -S -display none -nodefaults -monitor stdio >/dev/null 2>&1; then
    VIRT_TYPE=kvm CPU_MODE=host-passthrough
  fi
}

# ---------------------------------------------------------------- parts that several files have
database() { # NAME
  cat <<X
connection = mysql+pymysql://os:$DB@127.0.0.1/$1?charset=utf8
max_pool_size = 5
max_overflow = 20
X
}
credentials() { # USER
  cat <<X
auth_type = password
auth_url = http://127.0.0.1:5000/v3
region_name = RegionOne
project_name = service
project_domain_name = Default
user_domain_name = Default
username = $1
password = $SVC
X
}
token_check() { # USER
  cat <<X
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:5000
interface = public
service_token_roles_required = true
$(credentials "$1")
X
}

# ---------------------------------------------------------------- one function for each service
write_keystone() {
  cat >"$ETC/keystone/keystone.conf" <<X
[DEFAULT]
use_stderr = true
[cache]
enabled = true
backend = dogpile.cache.memory
[database]
$(database keystone)
[fernet_tokens]
key_repository = $VAR/keystone/fernet-keys
[credential]
key_repository = $VAR/keystone/credential-keys
[token]
provider = fernet
expiration = 86400
X
}

write_glance() {
  cat >"$ETC/glance/glance-api.conf" <<X
[DEFAULT]
bind_host = 127.0.0.1
workers = 1
use_stderr = true
node_staging_uri = file://$VAR/glance/staging
enabled_import_methods = []
[database]
$(database glance)
[glance_store]
stores = file
default_store = file
filesystem_store_datadir = $VAR/glance/images
$(token_check glance)
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
[oslo_concurrency]
lock_path = $VAR/glance/lock
X
}

write_placement() {
  cat >"$ETC/placement/placement.conf" <<X
[DEFAULT]
use_stderr = true
[api]
auth_strategy = keystone
[placement_database]
$(database placement)
$(token_check placement)
X
}

write_nova() {
  cat >"$ETC/nova/nova.conf" <<X
[DEFAULT]
use_stderr = true
host = cloud1
my_ip = 127.0.0.1
transport_url = rabbit://os:$MQ@127.0.0.1:5672/
state_path = $VAR/nova
instances_path = $VAR/nova/instances
enabled_apis = osapi_compute${METADATA:+,metadata}
metadata_listen = 127.0.0.1
metadata_workers = 1
osapi_compute_listen = 127.0.0.1
osapi_compute_workers = 1
compute_driver = libvirt.LibvirtDriver
force_config_drive = true
force_raw_images = false
reserved_host_memory_mb = 512
initial_cpu_allocation_ratio = 16.0
initial_disk_allocation_ratio = 20.0
vif_plugging_timeout = 120
instance_build_timeout = 600
service_down_time = 120
[api]
auth_strategy = keystone
[api_database]
$(database nova_api)
[database]
$(database nova)
$(token_check nova)
[glance]
api_servers = http://127.0.0.1:9292
[vnc]
enabled = false
[spice]
enabled = false
[placement]
$(credentials placement)
[neutron]
$(credentials neutron)
service_metadata_proxy = true
metadata_proxy_shared_secret = $META
[conductor]
workers = 1
[scheduler]
workers = 1
[libvirt]
virt_type = $VIRT_TYPE
cpu_mode = $CPU_MODE
images_type = qcow2
disk_cachemodes = file=unsafe
rng_dev_path = /dev/urandom
inject_partition = -2
[oslo_concurrency]
lock_path = $VAR/nova/lock
[oslo_messaging_notifications]
driver = noop
X
  # nova-compute refuses a configuration that names the databases
  sed '/^\[api_database\]/,/^\[keystone_authtoken\]/{/^\[keystone_authtoken\]/!d}' "$ETC/nova/nova.conf" >"$ETC/nova/nova-compute.conf"
}

write_neutron() {
  cat >"$ETC/neutron/neutron.conf" <<X
[DEFAULT]
use_stderr = true
host = cloud1
bind_host = 127.0.0.1
transport_url = rabbit://os:$MQ@127.0.0.1:5672/
state_path = $VAR/neutron
core_plugin = ml2
service_plugins =
auth_strategy = keystone
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
dhcp_agents_per_network = 1
agent_down_time = 150
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
interface_driver = linuxbridge
[experimental]
linuxbridge = true
[agent]
root_helper =
report_interval = 30
[privsep]
helper_command = env "PATH=$HERE/bin:$PATH" privsep-helper --config-file "$ETC/neutron/neutron.conf"
[database]
$(database neutron)
$(token_check neutron)
[nova]
$(credentials nova)
[oslo_concurrency]
lock_path = $VAR/neutron/lock
[oslo_messaging_notifications]
driver = noop
X
  cat >"$ETC/neutron/ml2_conf.ini" <<X
[ml2]
type_drivers = flat,local
tenant_network_types =
mechanism_drivers = linuxbridge
extension_drivers = port_security
[ml2_type_flat]
flat_networks = physnet1
[securitygroup]
enable_security_group = true
enable_ipset = true
firewall_driver = iptables
[linux_bridge]
physical_interface_mappings = physnet1:run-p
[vxlan]
enable_vxlan = false
X
  cat >"$ETC/neutron/dhcp_agent.ini" <<X
[DEFAULT]
interface_driver = linuxbridge
dhcp_driver = neutron.agent.linux.dhcp.Dnsmasq
enable_isolated_metadata = $([ -n "${METADATA:-}" ] && echo true || echo false)
resync_interval = 30
dnsmasq_config_file = $ETC/neutron/dnsmasq.conf
X
  # VMs ask this name server, which knows no more. Whoever looks for a network looks for these.
  echo "address=/snapcraft.io/$HOST_IP" >"$ETC/neutron/dnsmasq.conf"
  cat >"$ETC/neutron/metadata_agent.ini" <<X
[DEFAULT]
nova_metadata_host = 127.0.0.1
metadata_proxy_shared_secret = $META
metadata_workers = 0
X
}

write_libvirt() {
  cat >"$VAR/libvirt/etc/qemu.conf" <<X
# no virtlogd, no cgroups, no security driver, no /dev namespaces; qemu runs as root (/dev/kvm is 0600 root)
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
remember_owner = 0
X
  cat >"$VAR/libvirt/etc/libvirtd.conf" <<X
auth_unix_ro = "none"
auth_unix_rw = "none"
X
}

write_rabbitmq() {
  cat >"$ETC/rabbitmq.conf" <<X
listeners.tcp.1 = 127.0.0.1:5672
default_user = os
default_pass = $MQ
loopback_users = none
log.console = false
X
  : >"$ETC/rabbit-plugins"
}

# The clouds as a client sees them. It holds passwords, and must never be seen half written.
write_clouds_yaml() {
  local name project user password
  (
    umask 077
    {
      echo "clouds:"
      while read -r name project user password; do
        cat <<X
  $name:
    region_name: RegionOne
    identity_api_version: 3
    auth:
      auth_url: http://127.0.0.1:5000/v3
      project_name: $project
      project_domain_name: Default
      user_domain_name: Default
      username: $user
      password: $password
X
      done <<X
admin admin admin $ADMIN
builder builder-project builder-user $BUILDER
upload upload-project upload-user $UPLOAD
upload2 upload2-project upload2-user $UPLOAD2
X
    } >"$STATE/clouds.yaml.new"
  )
  mv -f "$STATE/clouds.yaml.new" "$STATE/clouds.yaml"
}
