//! What Neutron knows of one region, and how it is shown.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::super::identity::{Identity, Token, hex_id, uuid};
use super::super::setup::{CloudSetup, Family, NetworkOwner};
use super::super::time::Stamp;

/// A network with its subnets.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The owning project, empty when it belongs to none.
    pub project: String,
    /// Whether every project may use it.
    pub shared: bool,
    /// Whether it leads outside.
    pub external: bool,
    /// Whether its ports have security groups.
    pub port_security: bool,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was made.
    pub created: Stamp,
}

/// A subnet.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// Its id.
    pub id: String,
    /// Its version of IP.
    pub family: Family,
}

impl Subnet {
    /// The address that a machine has in it.
    pub fn address(&self, machine: Ipv4Addr) -> IpAddr {
        match self.family {
            Family::V4 => machine.into(),
            Family::V6 => machine.to_ipv6_mapped().into(),
        }
    }
}

/// A port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The owning project.
    pub project: String,
    /// The network's id.
    pub network: String,
    /// The subnets.
    pub subnets: Vec<Subnet>,
    /// The server that it belongs to.
    pub device: String,
    /// The address of its machine, once known.
    pub address: Option<Ipv4Addr>,
    /// Its MAC address.
    pub mac: String,
    /// Ids of its security groups.
    pub groups: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was made.
    pub created: Stamp,
}

/// A security group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// The owning project.
    pub project: String,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was made.
    pub created: Stamp,
    /// When it changed.
    pub updated: Stamp,
    /// How often it changed.
    pub revision: u64,
}

/// A rule of a security group.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// `IPv4` or `IPv6`.
    pub ethertype: String,
    /// tcp, udp, ...
    pub protocol: Option<String>,
    /// The first port.
    pub port_min: Option<u64>,
    /// The last port.
    pub port_max: Option<u64>,
    /// From or to these addresses.
    pub remote_prefix: Option<String>,
    /// From or to members of this group.
    pub remote_group: Option<String>,
    /// Its description; the rules that come with a group have none.
    pub description: Option<String>,
    /// When it was made.
    pub created: Stamp,
}

/// All of it.
pub struct Networking {
    /// The networks.
    pub networks: Vec<Network>,
    /// The ports.
    pub ports: Vec<Port>,
    /// The security groups.
    pub groups: Vec<Group>,
}

impl Networking {
    pub(in super::super) fn new(setup: &CloudSetup, identity: &Identity) -> Self {
        let owner = hex_id();
        let id_of = |name: &str| identity.projects.iter().find(|p| p.name == name).map(|p| p.id.clone());
        let networks = setup.networks.iter().map(|network| Network {
            id: uuid(),
            name: network.name.clone(),
            project: match &network.owner {
                NetworkOwner::Everybody => owner.clone(),
                NetworkOwner::Project(name) => id_of(name).unwrap_or_else(hex_id),
                NetworkOwner::Routers => String::new(),
            },
            shared: network.owner == NetworkOwner::Everybody,
            external: network.external,
            port_security: network.port_security,
            subnets: network.families.iter().map(|family| Subnet { id: uuid(), family: *family }).collect(),
            tags: Vec::new(),
            created: Stamp::now(),
        });
        Self { networks: networks.collect(), ports: Vec::new(), groups: Vec::new() }
    }

    /// Every project has a group `default` from its first request on.
    pub(in super::super) fn ensure_default_group(&mut self, project: &str) {
        if self.groups.iter().any(|group| group.project == project && group.name == "default") {
            return;
        }
        let mut group = Group::new("default", "Default security group", project);
        for ethertype in ["IPv4", "IPv6"] {
            let mut rule = Rule::plain("ingress", ethertype);
            rule.remote_group = Some(group.id.clone());
            group.rules.push(rule);
        }
        self.groups.push(group);
    }
}

impl Group {
    /// A group with the rules that every group is born with.
    pub(super) fn new(name: &str, description: &str, project: &str) -> Self {
        let now = Stamp::now();
        Self {
            id: uuid(),
            name: name.to_owned(),
            description: description.to_owned(),
            project: project.to_owned(),
            rules: vec![Rule::plain("egress", "IPv4"), Rule::plain("egress", "IPv6")],
            tags: Vec::new(),
            created: now,
            updated: now,
            revision: 1,
        }
    }

    /// Notes a change.
    pub(super) fn touch(&mut self) {
        self.revision += 1;
        self.updated = Stamp::now();
    }

    pub(super) fn render(&self) -> Value {
        let rules: Vec<Value> = self
            .rules
            .iter()
            .enumerate()
            .map(|(at, rule)| {
                let mut document = rule.render(self);
                document["standard_attr_id"] = json!(at + 11);
                document["tags"] = json!([]);
                document
            })
            .collect();
        json!({"id": self.id, "name": self.name, "stateful": true, "tenant_id": self.project,
            "description": self.description, "shared": false, "security_group_rules": rules, "tags": self.tags,
            "created_at": self.created.iso(), "updated_at": self.updated.iso(),
            "revision_number": self.revision, "project_id": self.project})
    }
}

impl Rule {
    fn plain(direction: &str, ethertype: &str) -> Self {
        Self {
            id: uuid(),
            direction: direction.to_owned(),
            ethertype: ethertype.to_owned(),
            protocol: None,
            port_min: None,
            port_max: None,
            remote_prefix: None,
            remote_group: None,
            description: None,
            created: Stamp::now(),
        }
    }

    pub(super) fn render(&self, group: &Group) -> Value {
        json!({"id": self.id, "tenant_id": group.project, "security_group_id": group.id,
            "ethertype": self.ethertype, "direction": self.direction, "protocol": self.protocol,
            "port_range_min": self.port_min, "port_range_max": self.port_max,
            "remote_ip_prefix": self.remote_prefix, "remote_address_group_id": null,
            "normalized_cidr": self.remote_prefix, "remote_group_id": self.remote_group,
            "description": self.description, "created_at": self.created.iso(), "updated_at": self.created.iso(),
            "revision_number": 0, "project_id": group.project})
    }
}

impl Network {
    /// Whether a project may see it.
    pub(super) fn is_visible_to(&self, caller: &Token) -> bool {
        self.external || self.takes_servers_of(caller)
    }

    /// Whether a project may have servers on it.
    pub(super) fn takes_servers_of(&self, caller: &Token) -> bool {
        self.shared || self.project == caller.project_id() || caller.is_admin()
    }

    pub(super) fn render(&self) -> Value {
        let subnets: Vec<&str> = self.subnets.iter().map(|subnet| subnet.id.as_str()).collect();
        json!({"id": self.id, "name": self.name, "tenant_id": self.project, "admin_state_up": true, "mtu": 1500,
            "status": "ACTIVE", "subnets": subnets, "shared": self.shared, "availability_zone_hints": [],
            "availability_zones": ["nova"], "ipv4_address_scope": null, "ipv6_address_scope": null,
            "router:external": self.external, "description": "", "port_security_enabled": self.port_security,
            "tags": self.tags,
            "created_at": self.created.iso(), "updated_at": self.created.iso(), "revision_number": 2,
            "project_id": self.project})
    }

    pub(super) fn render_subnets(&self) -> impl Iterator<Item = Value> {
        self.subnets.iter().map(|subnet| self.render_subnet(subnet))
    }

    pub(super) fn render_subnet(&self, subnet: &Subnet) -> Value {
        let (version, mode, gateway, cidr, pool) = match subnet.family {
            Family::V4 => (4, Value::Null, "127.0.0.1", "127.0.0.0/8", ["127.16.0.2", "127.255.255.254"]),
            Family::V6 => {
                let pool = ["::ffff:127.16.0.2", "::ffff:127.255.255.254"];
                (6, json!("slaac"), "::ffff:127.0.0.1", "::ffff:127.0.0.0/104", pool)
            }
        };
        json!({"id": subnet.id, "name": format!("{}-subnet", self.name), "tenant_id": self.project,
            "network_id": self.id, "ip_version": version, "subnetpool_id": null, "enable_dhcp": true,
            "ipv6_ra_mode": mode, "ipv6_address_mode": mode, "gateway_ip": gateway, "cidr": cidr,
            "allocation_pools": [{"start": pool[0], "end": pool[1]}], "host_routes": [],
            "dns_nameservers": [], "description": "", "service_types": [], "tags": [],
            "created_at": self.created.iso(), "updated_at": self.created.iso(), "revision_number": 0,
            "project_id": self.project})
    }
}

/// The addresses of a machine, as ports show them.
pub(in super::super) fn fixed_ips(subnets: &[Subnet], machine: Option<Ipv4Addr>) -> Vec<Value> {
    let in_each = |machine| {
        subnets.iter().map(
            move |subnet| json!({"subnet_id": subnet.id, "ip_address": subnet.address(machine).to_string()}),
        )
    };
    machine.into_iter().flat_map(in_each).collect()
}

impl Port {
    pub(super) fn render(&self) -> Value {
        let addresses = fixed_ips(&self.subnets, self.address);
        let (owner, status) = match (self.device.is_empty(), self.address) {
            (true, _) => ("", "DOWN"),
            (false, None) => ("compute:nova", "DOWN"),
            (false, Some(_)) => ("compute:nova", "ACTIVE"),
        };
        json!({"id": self.id, "name": self.name, "network_id": self.network, "tenant_id": self.project,
            "mac_address": self.mac, "admin_state_up": true, "status": status, "device_id": self.device,
            "device_owner": owner, "fixed_ips": addresses, "project_id": self.project,
            "port_security_enabled": true, "security_groups": self.groups, "binding:vnic_type": "normal",
            "allowed_address_pairs": [], "extra_dhcp_opts": [], "description": "", "tags": self.tags,
            "created_at": self.created.iso(), "updated_at": self.created.iso(), "revision_number": 1})
    }
}
