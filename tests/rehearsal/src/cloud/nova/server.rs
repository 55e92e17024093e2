//! A server's record and how it is shown at each microversion.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::identity::Token;
use super::super::neutron::Subnet;
use super::super::time::Stamp;
use super::{Call, Flavor};
use crate::instance::Instance;

/// A server.
#[derive(Clone)]
pub struct Server {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The owning project.
    pub project: String,
    /// Who made it.
    pub user: Token,
    /// The image it was made from.
    pub image: String,
    /// Its flavor, as it was then.
    pub flavor: Flavor,
    /// What people noted on it.
    pub metadata: BTreeMap<String, String>,
    /// `building`, `active`, `stopped`, `error`.
    pub vm_state: String,
    /// What is being done to it.
    pub task: Option<String>,
    /// Why it is in error.
    pub fault: Option<(String, Stamp)>,
    /// When it was asked for.
    pub created: Stamp,
    /// When something last changed.
    pub updated: Stamp,
    /// When it first became active.
    pub launched: Option<Stamp>,
    /// Its port on a network.
    pub nic: Nic,
    /// Whether it has a config drive.
    pub config_drive: bool,
    /// The name of the key pair.
    pub key_name: Option<String>,
    /// Names of its security groups.
    pub groups: Vec<String>,
    /// Description.
    pub description: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// The decoded user-data.
    pub user_data: Option<Vec<u8>>,
    /// The machine, once it runs.
    pub(in super::super) machine: Option<Arc<Instance>>,
}

/// A network card.
#[derive(Clone, Debug)]
pub struct Nic {
    /// The network's id.
    pub network: String,
    /// The network's name.
    pub network_name: String,
    /// The network's subnets.
    pub subnets: Vec<Subnet>,
    /// Whether the network's ports have security groups.
    pub port_security: bool,
    /// The port's id.
    pub port: String,
    /// The machine's address, once Nova knows it.
    pub address: Option<Ipv4Addr>,
    /// The MAC address.
    pub mac: String,
}

impl Server {
    /// The status that clients know.
    pub fn status(&self) -> &'static str {
        match (self.vm_state.as_str(), self.task.as_deref()) {
            ("active", Some("rebooting")) => "REBOOT",
            ("active", Some("reboot_started_hard")) => "HARD_REBOOT",
            ("active", _) => "ACTIVE",
            ("stopped", _) => "SHUTOFF",
            ("error", _) => "ERROR",
            _ => "BUILD",
        }
    }

    fn power_state(&self) -> u8 {
        match self.vm_state.as_str() {
            "active" => 1,
            "stopped" => 4,
            _ => 0,
        }
    }

    /// The host name that the guest gets.
    pub fn hostname(&self) -> String {
        let plain: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let plain = plain.trim_matches('-');
        if plain.is_empty() { format!("server-{}", self.id) } else { plain.chars().take(63).collect() }
    }

    /// `self` and `bookmark`.
    pub(super) fn links(&self, nova: &str) -> Value {
        links(nova, "servers", &self.id)
    }

    /// The short form of listings.
    pub(super) fn render_brief(&self, nova: &str) -> Value {
        json!({"id": self.id, "name": self.name, "links": self.links(nova)})
    }

    /// The whole record.
    pub(super) fn render(&self, call: &Call<'_, '_>, view: View) -> Value {
        let nova = &call.region.url("nova");
        let minor = call.minor;
        let flavor = &self.flavor;
        let mut document = json!({
            "id": self.id, "name": self.name, "status": self.status(), "tenant_id": self.project,
            "user_id": self.user.user.id, "metadata": self.metadata, "hostId": self.host_id(),
            "image": {"id": self.image, "links": [bookmark(nova, "images", &self.image)]},
            "flavor": {"id": flavor.id, "links": [bookmark(nova, "flavors", &flavor.id)]},
            "created": self.created.iso(), "updated": self.updated.iso(), "addresses": self.addresses(),
            "accessIPv4": "", "accessIPv6": "", "links": self.links(nova), "OS-DCF:diskConfig": "MANUAL",
            "OS-EXT-AZ:availability_zone": if self.launched.is_some() { "nova" } else { "" },
            "config_drive": if self.config_drive { "True" } else { "" }, "key_name": self.key_name,
            "OS-SRV-USG:launched_at": self.launched.map(Stamp::micros), "OS-SRV-USG:terminated_at": null,
            "OS-EXT-STS:task_state": self.task, "OS-EXT-STS:vm_state": self.vm_state,
            "OS-EXT-STS:power_state": self.power_state(), "os-extended-volumes:volumes_attached": [],
        });
        if matches!(self.status(), "ACTIVE" | "BUILD" | "REBOOT" | "HARD_REBOOT") {
            document["progress"] = json!(0);
        }
        if self.launched.is_some() {
            let groups: Vec<Value> = self.groups.iter().map(|name| json!({"name": name})).collect();
            document["security_groups"] = json!(groups);
        }
        if let Some((message, at)) = &self.fault {
            let code = 500;
            document["fault"] = json!({"code": code, "created": at.iso(), "message": message});
        }
        if minor >= 47 {
            document["flavor"] = json!({"vcpus": flavor.vcpus, "ram": flavor.ram, "disk": flavor.disk,
                "ephemeral": 0, "swap": 0, "original_name": flavor.name, "extra_specs": flavor.extra_specs});
        }
        let since: [(u32, &str, Value); 7] = [
            (9, "locked", json!(false)),
            (73, "locked_reason", Value::Null),
            (19, "description", json!(self.description)),
            (26, "tags", json!(self.tags)),
            (63, "trusted_image_certificates", Value::Null),
            (90, "OS-EXT-SRV-ATTR:hostname", json!(self.hostname())),
            (71, "server_groups", json!([])),
        ];
        for (from, key, value) in since {
            if minor >= from && (key != "server_groups" || view == View::Alone) {
                document[key] = value;
            }
        }
        document
    }

    fn host_id(&self) -> String {
        if self.launched.is_some() { format!("{:0<56}", self.project) } else { String::new() }
    }

    fn addresses(&self) -> Value {
        let Some(address) = self.nic.address else { return json!({}) };
        let in_subnet = |subnet: &Subnet| {
            let address = subnet.address(address);
            json!({"version": if address.is_ipv4() { 4 } else { 6 }, "addr": address.to_string(),
                "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": self.nic.mac})
        };
        let addresses: Vec<Value> = self.nic.subnets.iter().map(in_subnet).collect();
        json!({&self.nic.network_name: addresses})
    }
}

/// Where a record is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// By itself.
    Alone,
    /// Among others.
    Listed,
}

/// `self` and `bookmark` of a resource.
pub(super) fn links(nova: &str, kind: &str, id: &str) -> Value {
    json!([{"rel": "self", "href": format!("{nova}/v2.1/{kind}/{id}")}, bookmark(nova, kind, id)])
}

/// The versionless link.
pub(super) fn bookmark(nova: &str, kind: &str, id: &str) -> Value {
    json!({"rel": "bookmark", "href": format!("{nova}/{kind}/{id}")})
}
