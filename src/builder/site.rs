//! Where builder VMs are put: flavor, network and security group, chosen once for a job and before anything is started.

use super::config::{BuilderVm, Owner};
use super::labels;
use crate::deadline::Deadline;
use crate::openstack_cloud::{
    Cloud, Deletion, EtherType, Flavor, FlavorId, NetworkId, NewRule, OpenStackError, Protocol,
    SecurityGroup, SecurityGroupId,
};

/// What the builder needs at least, as the Python charm has it.
const MIN_VCPUS: u64 = 2;
const MIN_RAM_MB: u64 = 1024;
const MIN_DISK_GB: u64 = 20;

/// There is no place for a builder VM.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// A call of the build cloud failed.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The flavor will not do.
    #[error("{0}")]
    Flavor(String),
    /// The network will not do.
    #[error("{0}")]
    Network(String),
}

impl SiteError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Cloud(error) => error.operator_must_act(),
            Self::Flavor(_) | Self::Network(_) => true,
        }
    }
}

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
    ) -> Result<Self, SiteError> {
        let flavor = choose_flavor(cloud.compute().flavors(deadline)?, vm.flavor.as_deref())?;
        let network = choose_network(cloud, vm.network.as_deref(), deadline)?;
        let security_group = security_group(cloud, owner, vm, deadline)?;
        Ok(Self { flavor: flavor.id, network, security_group })
    }
}

fn choose_flavor(mut flavors: Vec<Flavor>, wanted: Option<&str>) -> Result<Flavor, SiteError> {
    let need = format!("at least {MIN_VCPUS} vCPU, {MIN_RAM_MB} MB memory, {MIN_DISK_GB} GB disk");
    let is_enough = |flavor: &Flavor| {
        flavor.vcpus >= MIN_VCPUS
            && flavor.ram >= MIN_RAM_MB
            && flavor.disk >= MIN_DISK_GB
            && !flavor.disabled
    };
    let refuse = |text: String| Err(SiteError::Flavor(text));
    if let Some(name) = wanted {
        let Some(flavor) =
            flavors.into_iter().find(|flavor| flavor.name == name || flavor.id.as_str() == name)
        else {
            return refuse(format!("build-flavor {name:?} does not exist in the build project"));
        };
        return match flavor.disk {
            0 => {
                refuse(format!("build-flavor {name:?} has no disk of its own (0 GB); choose one with {need}"))
            }
            _ if !is_enough(&flavor) => {
                refuse(format!("build-flavor {name:?} is too small; choose one with {need}"))
            }
            _ => Ok(flavor),
        };
    }
    flavors.retain(is_enough);
    let smallest =
        flavors.into_iter().min_by_key(|flavor| (flavor.vcpus, flavor.ram, flavor.disk, flavor.name.clone()));
    smallest
        .map_or_else(|| refuse(format!("no flavor of the build project has {need}; set build-flavor")), Ok)
}

fn choose_network(cloud: &Cloud, wanted: Option<&str>, deadline: Deadline) -> Result<NetworkId, SiteError> {
    let network = cloud.network();
    if let Some(name) = wanted {
        let found = network.networks(Some(name), deadline)?.into_iter().next();
        let refusal =
            || SiteError::Network(format!("build-network {name:?} does not exist in the build project"));
        return Ok(found.ok_or_else(refusal)?.id);
    }
    // Networks that lead outside take no servers as a rule.
    let inner: Vec<NetworkId> = network
        .networks(None, deadline)?
        .into_iter()
        .filter(|network| !network.external)
        .map(|network| network.id)
        .collect();
    let subnets = network.subnets(deadline)?;
    let found = subnets.into_iter().map(|subnet| subnet.network_id).find(|id| inner.contains(id));
    found.ok_or_else(|| {
        SiteError::Network("no network of the build project has a subnet; set build-network".into())
    })
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
) -> Result<SecurityGroupId, SiteError> {
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
    let mut groups = match network.security_groups(name, deadline) {
        Ok(groups) => groups,
        Err(error) => return vec![format!("security groups: {error}")],
    };
    groups.retain(|group| group.description == labels::owner_label(owner));
    let stays = groups.iter().filter_map(|group| {
        let why = match network.delete_security_group(&group.id, deadline) {
            Ok(Deletion::Deleted | Deletion::Absent) => return None,
            Ok(Deletion::InUse(why)) => format!("it is in use: {why}"),
            Err(error) => error.to_string(),
        };
        Some(format!("security group {}: {why}", group.name))
    });
    stays.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flavor(name: &str, vcpus: u64, ram: u64, disk: u64) -> Flavor {
        Flavor {
            id: name.parse().unwrap(),
            name: name.into(),
            vcpus,
            ram,
            disk,
            disabled: false,
            public: true,
        }
    }

    #[test]
    fn the_smallest_flavor_that_is_large_enough_is_chosen() {
        let flavors =
            vec![flavor("big", 8, 8192, 80), flavor("fits", 2, 1024, 20), flavor("tiny", 1, 512, 1)];
        assert_eq!(choose_flavor(flavors, None).unwrap().name, "fits");
    }

    #[test]
    fn flavors_without_disk_too_small_or_unknown_are_refused_with_a_remedy() {
        let flavors = || vec![flavor("None", 2, 2048, 0), flavor("tiny", 1, 512, 20)];
        for (name, word) in [("None", "0 GB"), ("tiny", "too small"), ("none", "does not exist")] {
            let error = choose_flavor(flavors(), Some(name)).unwrap_err();
            assert!(error.operator_must_act() && error.to_string().contains(word), "{error}");
        }
        assert!(choose_flavor(flavors(), None).unwrap_err().to_string().contains("build-flavor"));
    }
}
