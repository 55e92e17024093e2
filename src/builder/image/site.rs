//! Where builder VMs are put: flavor, network and security group, chosen once for a job and before anything is started.

use crate::builder::ownership::labels;
use crate::model::Deadline;
use crate::openstack_cloud::{
    Cloud, Deletion, EtherType, Flavor, FlavorId, Need, NetworkId, NewRule, OpenStackError, PlacementError,
    Protocol, SecurityGroup, SecurityGroupId, Wish, choose_network, find_flavor,
};
use crate::record::{BuilderVm, Owner};

/// What the builder needs at least, as the Python charm has it.
const NEED: Need = Need { vcpus: 2, ram_mb: 1024, disk_gb: 20 };

/// Where builder VMs of one job are put: chosen once, before anything is started.
#[derive(Clone, Debug)]
pub struct Site {
    /// The size of the VM.
    pub flavor: FlavorId,
    /// Its network.
    pub network: NetworkId,
    /// What it lets in.
    pub security_group: SecurityGroupId,
}

impl Site {
    /// Chooses flavor and network, and makes the unit's security group.
    pub fn choose(
        cloud: &Cloud,
        owner: &Owner,
        vm: &BuilderVm,
        deadline: Deadline,
    ) -> Result<Self, PlacementError> {
        let flavor = Self::find_flavor(cloud, vm, deadline)?.id;
        let network = Self::find_network(cloud, vm, deadline)?;
        let security_group = security_group(cloud, owner, vm, deadline)?;
        Ok(Self { flavor, network, security_group })
    }

    /// The flavor of builder VMs.
    pub fn find_flavor(cloud: &Cloud, vm: &BuilderVm, deadline: Deadline) -> Result<Flavor, PlacementError> {
        let wish = Wish { option: "build-flavor", value: vm.flavor.as_deref() };
        find_flavor(cloud, wish, NEED, deadline)
    }

    /// The network of builder VMs.
    pub fn find_network(
        cloud: &Cloud,
        vm: &BuilderVm,
        deadline: Deadline,
    ) -> Result<NetworkId, PlacementError> {
        choose_network(cloud, Wish { option: "build-network", value: vm.network.as_deref() }, deadline)
    }
}

/// The name of a unit's security group: of its own, so that no unit removes what another is about to use.
fn security_group_name(owner: &Owner) -> String {
    let model: String = owner.model_uuid.chars().take(8).collect();
    format!("{}-image-builder-{model}-{}", owner.application, owner.unit)
}

fn security_group(
    cloud: &Cloud,
    owner: &Owner,
    vm: &BuilderVm,
    deadline: Deadline,
) -> Result<SecurityGroupId, PlacementError> {
    let (name, description) = (security_group_name(owner), labels::owner_label(owner));
    let network = cloud.network();
    let present = network.security_groups(Some(&name), deadline)?;
    let remote = vm.ssh_ingress.parse::<ipnet::IpNet>().ok();
    let ethertype = match remote {
        Some(ipnet::IpNet::V6(_)) => EtherType::IPv6,
        _ => EtherType::IPv4,
    };
    let has_rules = |group: &&SecurityGroup| {
        let ssh =
            group.rules.iter().find(|rule| rule.direction == "ingress" && rule.port_range_min == Some(22));
        let icmp =
            group.rules.iter().any(|rule| rule.direction == "ingress" && is_icmp(rule.protocol.as_deref()));
        let reach = ssh.map(|rule| rule.remote_ip_prefix.clone().unwrap_or_else(|| "0.0.0.0/0".into()));
        group.description == description && icmp && reach == Some(vm.ssh_ingress.clone())
    };
    if let Some(group) = present.iter().find(has_rules) {
        return Ok(group.id.clone());
    }
    // One with other rules is of another configuration, or half made.
    for group in present.iter().filter(|group| group.description == description) {
        network.delete_security_group(&group.id, deadline)?;
    }
    let group = network.create_security_group(&name, &description, deadline)?;
    for protocol in [Protocol::Icmp, Protocol::Tcp(22)] {
        network.create_security_group_rule(&group.id, &NewRule { protocol, ethertype, remote }, deadline)?;
    }
    Ok(group.id)
}

fn is_icmp(protocol: Option<&str>) -> bool {
    matches!(protocol, Some("icmp" | "ipv6-icmp" | "icmpv6"))
}

/// Removes the unit's security group. Returns what had to stay, and why.
pub fn remove_security_group(cloud: &Cloud, owner: &Owner, deadline: Deadline) -> Vec<String> {
    remove_groups(cloud, owner, Some(&security_group_name(owner)), deadline)
}

/// Removes the security groups of all units of the application. Returns what had to stay, and why.
pub fn remove_security_groups(cloud: &Cloud, owner: &Owner, deadline: Deadline) -> Vec<String> {
    remove_groups(cloud, owner, None, deadline)
}

fn remove_groups(cloud: &Cloud, owner: &Owner, name: Option<&str>, deadline: Deadline) -> Vec<String> {
    let network = cloud.network();
    let present = || {
        let mut groups = network.security_groups(name, deadline)?;
        groups.retain(|group| group.description == labels::owner_label(owner));
        Ok::<_, OpenStackError>(groups)
    };
    let groups = match present() {
        Ok(groups) => groups,
        Err(error) => return vec![format!("security groups: {error}")],
    };
    let is_there =
        |gone: &SecurityGroup| present().map(|groups| groups.iter().any(|group| group.id == gone.id));
    let stays = groups.iter().filter_map(|group| {
        let why = match network.delete_security_group(&group.id, deadline) {
            Ok(Deletion::Deleted) => return None,
            // It was listed a moment ago. An answer that was lost explains it, or a server that is wrong.
            Ok(Deletion::Absent) => match is_there(group) {
                Ok(false) => return None,
                Ok(true) => "it is said to be gone and is still there".to_owned(),
                Err(error) => error.to_string(),
            },
            Ok(Deletion::InUse(why)) => format!("it is in use: {why}"),
            Err(error) => error.to_string(),
        };
        Some(format!("security group {}: {why}", group.name))
    });
    stays.collect()
}
