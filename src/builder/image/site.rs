//! Where builder VMs are put: flavor, network and security group, chosen once for a job and before anything is started.

use ipnet::IpNet;

use crate::builder::ownership::labels;
use crate::model::Deadline;
use crate::openstack_cloud::{
    Cloud, Deletion, EtherType, Flavor, Need, Network, NewRule, OpenStackError, PlacementError, Protocol,
    SecurityGroup, SecurityGroupId, SecurityGroupRule, Wish, choose_network, find_flavor,
};
use crate::record::{BuilderVm, Owner};

/// What the builder needs at least, as the Python charm has it.
const NEED: Need = Need { vcpus: 2, ram_mb: 1024, disk_gb: 20 };

/// Where builder VMs of one job are put: chosen once, before anything is started.
#[derive(Clone, Debug)]
pub struct Site {
    /// The size of the VM.
    pub flavor: Flavor,
    /// Its network.
    pub network: Network,
    /// The version of IP by which it is reached there.
    pub family: EtherType,
    /// What it lets in; none where the network has no security groups.
    pub security_group: Option<SecurityGroupId>,
}

impl Site {
    /// Chooses flavor and network, and makes the unit's security group.
    pub fn choose(
        cloud: &Cloud,
        owner: &Owner,
        vm: &BuilderVm,
        deadline: Deadline,
    ) -> Result<Self, PlacementError> {
        let flavor = Self::find_flavor(cloud, vm, deadline)?;
        let network = Self::find_network(cloud, vm, deadline)?;
        let subnets = cloud.network().subnets(&network.id, deadline)?;
        let families: Vec<EtherType> =
            subnets.iter().map(|subnet| EtherType::of(subnet.cidr.addr())).collect();
        let ingress = ingress(&vm.ssh_ingress, &families, &network)?;
        let security_group = if network.port_security == Some(false) {
            log::info!("network {} has no port security: no security group protects VMs there", network.name);
            None
        } else {
            Some(security_group(cloud, owner, ingress, deadline)?)
        };
        Ok(Self { flavor, network, family: EtherType::of(ingress.addr()), security_group })
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
    ) -> Result<Network, PlacementError> {
        choose_network(cloud, Wish { option: "build-network", value: vm.network.as_deref() }, deadline)
    }
}

/// Who may reach VMs on a network whose subnets are of these families, and so by which of them: the family that the operator
/// named; everybody of one family means everybody of the other where there is only that one.
fn ingress(wanted: &str, families: &[EtherType], network: &Network) -> Result<IpNet, PlacementError> {
    let ingress = wanted.parse::<IpNet>().unwrap_or_else(|_| EtherType::IPv4.everywhere());
    let family = EtherType::of(ingress.addr());
    match families.first() {
        // Subnets that one may not see are none to judge by.
        None => Ok(ingress),
        Some(_) if families.contains(&family) => Ok(ingress),
        Some(other) if ingress.prefix_len() == 0 => Ok(other.everywhere()),
        Some(other) => Err(PlacementError::Network(format!(
            "build-ssh-ingress {ingress} is {family}, and network {} has only {other} subnets; change build-ssh-ingress \
             or build-network",
            network.name
        ))),
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
    ingress: IpNet,
    deadline: Deadline,
) -> Result<SecurityGroupId, PlacementError> {
    let (name, description) = (security_group_name(owner), labels::owner_label(owner));
    let network = cloud.network();
    let present = network.security_groups(Some(&name), deadline)?;
    let ethertype = EtherType::of(ingress.addr());
    let has_rules = |group: &&SecurityGroup| {
        let is_ours = |rule: &&SecurityGroupRule| {
            rule.direction == "ingress" && rule.ethertype == ethertype.to_string()
        };
        let ssh = group.rules.iter().filter(is_ours).find(|rule| rule.port_range_min == Some(22));
        let icmp = group.rules.iter().filter(is_ours).any(|rule| is_icmp(rule.protocol.as_deref()));
        let anybody = || ethertype.everywhere().to_string();
        let reach = ssh.map(|rule| rule.remote_ip_prefix.clone().unwrap_or_else(anybody));
        group.description == description && icmp && reach == Some(ingress.to_string())
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
        let rule = NewRule { protocol, ethertype, remote: Some(ingress) };
        network.create_security_group_rule(&group.id, &rule, deadline)?;
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
        let why = match network.remove_security_group(&group.id, deadline) {
            Ok(Deletion::Deleted) => return None,
            // It was listed a moment ago. An answer that was lost explains it, or a server that is wrong.
            Ok(Deletion::Absent) => match is_there(group) {
                Ok(false) => return None,
                Ok(true) => "it was reported as deleted, but still exists".to_owned(),
                Err(error) => error.to_string(),
            },
            Ok(Deletion::InUse(why)) => format!("it is in use: {why}"),
            Err(error) => error.to_string(),
        };
        Some(format!("security group {}: {why}", group.name))
    });
    stays.collect()
}

#[cfg(test)]
mod tests {
    use EtherType::{IPv4, IPv6};

    use super::*;

    fn on(wanted: &str, families: &[EtherType]) -> Result<String, String> {
        let network = serde_json::from_value(serde_json::json!({"id": "n", "name": "net"})).unwrap();
        let ingress = ingress(wanted, families, &network);
        ingress.map(|ingress| ingress.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn everybody_is_everybody_of_the_family_that_the_network_has() {
        assert_eq!(on("0.0.0.0/0", &[IPv4, IPv6]).unwrap(), "0.0.0.0/0");
        assert_eq!(on("0.0.0.0/0", &[IPv6, IPv4]).unwrap(), "0.0.0.0/0");
        assert_eq!(on("0.0.0.0/0", &[IPv6]).unwrap(), "::/0");
        assert_eq!(on("::/0", &[IPv4]).unwrap(), "0.0.0.0/0");
        assert_eq!(on("0.0.0.0/0", &[]).unwrap(), "0.0.0.0/0");
    }

    #[test]
    fn addresses_of_one_family_pick_that_family_and_must_be_there() {
        assert_eq!(on("2001:db8::/32", &[IPv4, IPv6]).unwrap(), "2001:db8::/32");
        let refusal = on("2001:db8::/32", &[IPv4]).unwrap_err();
        assert!(
            refusal.starts_with("build-ssh-ingress 2001:db8::/32 is IPv6, and network net has only IPv4")
        );
    }
}
