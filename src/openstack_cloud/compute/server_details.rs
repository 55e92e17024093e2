//! What Nova says about a server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use crate::openstack_cloud::ids::ServerId;
use crate::openstack_cloud::outcome::or_default;

/// A server.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawServer")]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: ServerStatus,
    /// What is being done with it, for example `image_uploading`.
    pub task: Option<String>,
    /// Why it failed, in Nova's words.
    pub fault: Option<String>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Its labels.
    pub metadata: BTreeMap<String, String>,
    /// When it was made, as `2026-05-01T12:00:00Z`: text order is order in time.
    pub created: String,
}

/// The state of a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ServerStatus {
    /// Being made.
    Build,
    /// Running.
    Active,
    /// Stopped.
    ShutOff,
    /// Failed; [`Server::fault`] says why.
    Error,
    /// Deleted, though still listed for a moment.
    Deleted,
    /// Deleted for its project; the cloud keeps it for a while.
    SoftDeleted,
    /// Something else.
    Other(String),
}

/// One address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The name of the network.
    pub network: String,
    /// The address.
    pub address: IpAddr,
    /// Fixed or floating.
    pub kind: AddressKind,
    /// The MAC address of the port.
    pub mac: Option<String>,
}

/// How a server has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// On its own network.
    Fixed,
    /// On another network, mapped to a fixed one.
    Floating,
}

/// A server as Nova writes it.
#[derive(Deserialize)]
struct RawServer {
    id: ServerId,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    status: ServerStatus,
    #[serde(rename = "OS-EXT-STS:task_state")]
    task: Option<String>,
    fault: Option<RawFault>,
    #[serde(default, deserialize_with = "or_default")]
    addresses: BTreeMap<String, Vec<RawAddress>>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: BTreeMap<String, Option<String>>,
    #[serde(default, deserialize_with = "or_default")]
    created: String,
}

#[derive(Deserialize)]
struct RawFault {
    message: Option<String>,
}

#[derive(Deserialize)]
struct RawAddress {
    addr: IpAddr,
    #[serde(rename = "OS-EXT-IPS:type")]
    kind: Option<String>,
    #[serde(rename = "OS-EXT-IPS-MAC:mac_addr")]
    mac: Option<String>,
}

impl From<RawServer> for Server {
    fn from(raw: RawServer) -> Self {
        let addresses = raw
            .addresses
            .into_iter()
            .flat_map(|(network, addresses)| {
                addresses.into_iter().map(move |raw| Address {
                    network: network.clone(),
                    address: raw.addr,
                    kind: match raw.kind.as_deref() {
                        Some("floating") => AddressKind::Floating,
                        _ => AddressKind::Fixed,
                    },
                    mac: raw.mac,
                })
            })
            .collect();
        Self {
            id: raw.id,
            name: raw.name,
            status: raw.status,
            task: raw.task,
            fault: raw.fault.and_then(|fault| fault.message),
            addresses,
            metadata: raw.metadata.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
            created: raw.created,
        }
    }
}

impl From<String> for ServerStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "BUILD" => Self::Build,
            "ACTIVE" => Self::Active,
            "SHUTOFF" => Self::ShutOff,
            "ERROR" => Self::Error,
            "DELETED" => Self::Deleted,
            "SOFT_DELETED" => Self::SoftDeleted,
            _ => Self::Other(text),
        }
    }
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Build => "BUILD",
            Self::Active => "ACTIVE",
            Self::ShutOff => "SHUTOFF",
            Self::Error => "ERROR",
            Self::Deleted => "DELETED",
            Self::SoftDeleted => "SOFT_DELETED",
            Self::Other(text) => text,
        })
    }
}
