"""Makes what OpenStack's services do not make themselves, through their public APIs; idempotent. Run by up.sh.

identity    projects, users, services and endpoints in Keystone
network     the network that all projects share
compute     flavors; then waits until agents, compute and DHCP are up
"""
import os
import sys
import time

import openstack

ADDRESS = "http://127.0.0.1"
PROJECT_USERS = {  # the clouds of clouds.yaml: plain members of a project each
    "builder": os.environ.get("BUILDER"),
    "upload": os.environ.get("UPLOAD"),
    "upload2": os.environ.get("UPLOAD2"),
}
SERVICES = (
    ("glance", "image", ":9292"),
    ("placement", "placement", ":8778"),
    ("nova", "compute", ":8774/v2.1"),
    ("neutron", "network", ":9696"),
)
FLAVORS = (  # name, vCPUs, MiB of memory, GB of disk
    ("builder", 2, 1024, 20),
    ("m1.tiny-nope", 1, 512, 1),  # too small to build on
    ("zero-disk", 2, 1024, 0),  # as on clouds where the image or a volume decides about the disk
)
NETWORK, SUBNET, CIDR, GATEWAY = "runner-net", "runner-subnet", "10.77.0.0/24", "10.77.0.1"
POOL = {"start": "10.77.0.10", "end": "10.77.0.250"}
PATIENCE = 240

cloud = openstack.connect(cloud="admin")


def identity():
    keystone = cloud.identity
    domain = keystone.find_domain("Default").id
    roles = {name: keystone.find_role(name) or keystone.create_role(name=name) for name in ("admin", "member", "reader", "service")}
    projects = {p.name: p for p in keystone.projects(domain_id=domain)}
    users = {u.name: u for u in keystone.users(domain_id=domain)}

    def project(name):
        if name not in projects:
            projects[name] = keystone.create_project(name=name, domain_id=domain)
        return projects[name]

    def user(name, password, home, *grants):
        one = users.get(name) or keystone.create_user(
            name=name, password=password, domain_id=domain, default_project_id=home.id)
        for role in grants:
            keystone.assign_project_role_to_user(home, one, roles[role])

    for name, _, _ in SERVICES:
        user(name, os.environ["SVC"], project("service"), "admin", "service")
    for name, password in PROJECT_USERS.items():
        user(f"{name}-user", password, project(f"{name}-project"), "member")

    services = {s.type: s for s in keystone.services()}
    with_endpoint = {e.service_id for e in keystone.endpoints()}
    for name, kind, where in SERVICES:
        service = services.get(kind) or keystone.create_service(name=name, type=kind)
        if service.id not in with_endpoint:
            keystone.create_endpoint(service_id=service.id, interface="public", region_id="RegionOne", url=ADDRESS + where)


def network():
    net = cloud.network.find_network(NETWORK) or cloud.network.create_network(
        name=NETWORK, shared=True, provider_network_type="flat", provider_physical_network="physnet1")
    cloud.network.find_subnet(SUBNET) or cloud.network.create_subnet(
        name=SUBNET, network_id=net.id, ip_version=4, cidr=CIDR, gateway_ip=GATEWAY, allocation_pools=[POOL])


def compute():
    for name, vcpus, ram, disk in FLAVORS:
        cloud.compute.find_flavor(name) or cloud.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)

    net = cloud.network.find_network(NETWORK)
    wanted = {"neutron-linuxbridge-agent", "neutron-dhcp-agent"}
    end = time.monotonic() + PATIENCE
    while True:
        agents = {a.binary: a for a in cloud.network.agents() if a.is_alive}
        hosts = [s for s in cloud.compute.services() if s.binary == "nova-compute" and s.state == "up"]
        if "neutron-dhcp-agent" in agents and not list(cloud.network.network_hosting_dhcp_agents(net)):
            # Neutron gives a network to an agent when the network is made or when the agent starts; an agent that was
            # not yet known at its own start, on the first start of all, would wait for ever.
            cloud.network.add_dhcp_agent_to_network(agents["neutron-dhcp-agent"], net)
        dhcp = [p for p in cloud.network.ports(device_owner="network:dhcp") if p.status == "ACTIVE"]
        if wanted <= set(agents) and hosts and dhcp:
            return
        if time.monotonic() > end:
            sys.exit(f"not up after {PATIENCE} s: agents {set(agents)}, compute {hosts}, DHCP port {dhcp}")
        time.sleep(0.5)


{"identity": identity, "network": network, "compute": compute}[sys.argv[1]]()
