//! Networks and security groups: Neutron, version 2.0 of its API.

pub mod choice;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::catalog::Service;
use super::error::{ErrorKind, OpenStackError};
use super::ids::{NetworkId, SecurityGroupId, SubnetId};
use super::outcome::{Deletion, absent_as_none, deletion, or_default};
use super::session::{Call, Session};
use crate::http::Method;
use crate::model::{Backoff, Deadline, poll};

/// How long a security group may be in use after the servers that had it are gone.
const LINGER: Duration = Duration::from_secs(20);
const PAUSES: Backoff = Backoff::growing(Duration::from_millis(500), 2.0, Duration::from_secs(4)).jittered();

/// The network service of one cloud.
#[derive(Clone, Copy, Debug)]
pub struct NetworkService<'a> {
    session: &'a Session,
}

/// A network.
#[derive(Clone, Debug, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Its name, empty when it has none.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its subnets.
    #[serde(default, deserialize_with = "or_default")]
    pub subnets: Vec<SubnetId>,
    /// Whether it is one that leads out of the cloud.
    #[serde(rename = "router:external", default, deserialize_with = "or_default")]
    pub external: bool,
    /// Whether it is shared with the project that asks.
    #[serde(default, deserialize_with = "or_default")]
    pub shared: bool,
    /// The project that owns it; empty for what the cloud has made for itself, such as the networks of its routers.
    #[serde(rename = "project_id", default, deserialize_with = "or_default")]
    pub project: String,
    /// Whether security groups and address checks are there for its ports; none where the cloud has no such switch.
    #[serde(rename = "port_security_enabled")]
    pub port_security: Option<bool>,
}

/// A subnet.
#[derive(Clone, Debug, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its name, empty when it has none.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// The network that it is part of.
    pub network_id: NetworkId,
    /// Its addresses.
    pub cidr: IpNet,
}

/// A security group with its rules.
#[derive(Clone, Debug, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its name; several groups may have the same.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Its description.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// What it lets in and out.
    #[serde(rename = "security_group_rules", default, deserialize_with = "or_default")]
    pub rules: Vec<SecurityGroupRule>,
}

/// One rule of a security group.
#[derive(Clone, Debug, Deserialize)]
pub struct SecurityGroupRule {
    /// `ingress` or `egress`.
    pub direction: String,
    /// `IPv4` or `IPv6`.
    #[serde(default, deserialize_with = "or_default")]
    pub ethertype: String,
    /// The protocol, or none for all.
    pub protocol: Option<String>,
    /// The first port, or the ICMP type, or none for all.
    pub port_range_min: Option<u16>,
    /// The last port, or the ICMP code, or none for all.
    pub port_range_max: Option<u16>,
    /// The peers, or none for all.
    pub remote_ip_prefix: Option<String>,
}

/// A rule to be made: what may come in.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// The protocol.
    pub protocol: Protocol,
    /// The version of IP.
    pub ethertype: EtherType,
    /// The peers, or none for all.
    pub remote: Option<IpNet>,
}

/// What a rule lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ICMP.
    Icmp,
    /// TCP to one port.
    Tcp(u16),
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum EtherType {
    /// Version 4.
    IPv4,
    /// Version 6.
    IPv6,
}

impl EtherType {
    /// The version of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::IPv4 } else { Self::IPv6 }
    }

    /// All of its addresses.
    pub fn everywhere(self) -> IpNet {
        let zero = match self {
            Self::IPv4 => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            Self::IPv6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        // No prefix is longer than the address.
        IpNet::new_assert(zero, 0)
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        })
    }
}

impl<'a> NetworkService<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// All networks that the project may use, or those of this name ("List networks").
    pub fn networks(&self, name: Option<&str>, deadline: Deadline) -> Result<Vec<Network>, OpenStackError> {
        let call = || named(Call::new(Service::Network, Method::Get, "listing networks", "/networks"), name);
        self.session.list(call, "networks", "networks_links", &|_| true, deadline)
    }

    /// One network, or none when there is none with this id that the project sees ("Show network details").
    pub fn network(&self, id: &NetworkId, deadline: Deadline) -> Result<Option<Network>, OpenStackError> {
        let operation = format!("getting network {id}");
        let call = Call::new(Service::Network, Method::Get, operation, format!("/networks/{id}"));
        let answer: Option<OneNetwork> = absent_as_none(self.session.read(&call, deadline))?;
        Ok(answer.map(|answer| answer.network))
    }

    /// The subnets of a network that the project sees ("List subnets").
    pub fn subnets(&self, network: &NetworkId, deadline: Deadline) -> Result<Vec<Subnet>, OpenStackError> {
        let call = || {
            let call = Call::new(Service::Network, Method::Get, "listing subnets", "/subnets");
            call.query("network_id", network.as_str())
        };
        self.session.list(call, "subnets", "subnets_links", &|_| true, deadline)
    }

    /// The project's security groups, all or those of this name ("List security groups").
    pub fn security_groups(
        &self,
        name: Option<&str>,
        deadline: Deadline,
    ) -> Result<Vec<SecurityGroup>, OpenStackError> {
        let project = self.session.project();
        let call = || {
            let call =
                Call::new(Service::Network, Method::Get, "listing security groups", "/security-groups");
            named(call, name).query("project_id", project.as_str())
        };
        self.session.list(call, "security_groups", "security_groups_links", &|_| true, deadline)
    }

    /// Makes a security group that lets everything out and nothing in ("Create security group").
    pub fn create_security_group(
        &self,
        name: &str,
        description: &str,
        deadline: Deadline,
    ) -> Result<SecurityGroup, OpenStackError> {
        let operation = format!("creating security group {name}");
        let content = json!({"security_group": {"name": name, "description": description}});
        let call = Call::new(Service::Network, Method::Post, operation, "/security-groups").json(content);
        let answer: OneGroup = self.session.read(&call, deadline)?;
        self.session.has_made(answer.security_group.id.as_str());
        Ok(answer.security_group)
    }

    /// Adds a rule to a security group ("Create security group rule"). One that is there already is no error.
    pub fn create_security_group_rule(
        &self,
        group: &SecurityGroupId,
        rule: &NewRule,
        deadline: Deadline,
    ) -> Result<(), OpenStackError> {
        let (protocol, port) = match (rule.protocol, rule.ethertype) {
            (Protocol::Icmp, EtherType::IPv4) => ("icmp", None),
            (Protocol::Icmp, EtherType::IPv6) => ("ipv6-icmp", None),
            (Protocol::Tcp(port), _) => ("tcp", Some(port)),
        };
        let content = json!({"security_group_rule": {
            "security_group_id": group,
            "direction": "ingress",
            "ethertype": rule.ethertype,
            "protocol": protocol,
            "port_range_min": port,
            "port_range_max": port,
            "remote_ip_prefix": rule.remote,
        }});
        let operation = format!("adding a rule for {protocol} to security group {group}");
        let call = Call::new(Service::Network, Method::Post, operation, "/security-group-rules")
            .json(content)
            .about(group.as_str())
            .repeatable();
        match self.session.call(&call, deadline) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes a security group ("Delete security group"). One that a port still has is [`Deletion::InUse`].
    pub fn delete_security_group(
        &self,
        id: &SecurityGroupId,
        deadline: Deadline,
    ) -> Result<Deletion, OpenStackError> {
        let operation = format!("deleting security group {id}");
        let path = format!("/security-groups/{id}");
        let call = Call::new(Service::Network, Method::Delete, operation, path).repeatable();
        deletion(self.session.call(&call, deadline).map(drop))
    }

    /// Deletes a security group, asking again while it is in use: the port of a server that has gone lingers for a moment.
    pub fn remove_security_group(
        &self,
        id: &SecurityGroupId,
        deadline: Deadline,
    ) -> Result<Deletion, OpenStackError> {
        let mut in_use = String::new();
        let gone =
            poll(PAUSES, deadline.at_most(LINGER), || match self.delete_security_group(id, deadline)? {
                Deletion::InUse(why) => {
                    in_use = why;
                    Ok::<_, OpenStackError>(None)
                }
                gone => Ok(Some(gone)),
            })?;
        Ok(gone.unwrap_or(Deletion::InUse(in_use)))
    }
}

fn named(call: Call, name: Option<&str>) -> Call {
    match name {
        Some(name) => call.query("name", name),
        None => call,
    }
}

#[derive(Deserialize)]
struct OneNetwork {
    network: Network,
}

#[derive(Deserialize)]
struct OneGroup {
    security_group: SecurityGroup,
}
