//! Where a new server is put: the flavor and the network that somebody named, else the first that will do.

use super::Flavor;
use crate::model::Deadline;
use crate::openstack_cloud::error::OpenStackError;
use crate::openstack_cloud::ids::NetworkId;
use crate::openstack_cloud::{Cloud, FlavorId};

/// What a server needs at least.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory in MB.
    pub ram_mb: u64,
    /// Disk in GB.
    pub disk_gb: u64,
}

/// What somebody may have named, and in which words.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The option or parameter, for whoever has to mend it.
    pub option: &'static str,
    /// Its value, none to let us choose.
    pub value: Option<&'a str>,
}

/// There is no place for a server.
#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    /// A call of the cloud failed.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The flavor will not do.
    #[error("{0}")]
    Flavor(String),
    /// The network will not do.
    #[error("{0}")]
    Network(String),
}

impl PlacementError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Cloud(error) => error.operator_must_act(),
            Self::Flavor(_) | Self::Network(_) => true,
        }
    }
}

/// The flavor that was wished for, else the smallest that is large enough.
pub fn choose_flavor(
    cloud: &Cloud,
    wish: Wish<'_>,
    need: Need,
    deadline: Deadline,
) -> Result<FlavorId, PlacementError> {
    Ok(find_flavor(cloud, wish, need, deadline)?.id)
}

/// The same flavor with its sizes.
pub fn find_flavor(
    cloud: &Cloud,
    wish: Wish<'_>,
    need: Need,
    deadline: Deadline,
) -> Result<Flavor, PlacementError> {
    flavor(cloud.compute().flavors(deadline)?, wish, need, cloud.project_name())
}

fn flavor(
    mut flavors: Vec<Flavor>,
    Wish { option, value }: Wish<'_>,
    Need { vcpus, ram_mb, disk_gb }: Need,
    project: &str,
) -> Result<Flavor, PlacementError> {
    let need = format!("at least {vcpus} vCPU, {ram_mb} MB memory, {disk_gb} GB disk");
    let is_enough = |flavor: &Flavor| {
        flavor.vcpus >= vcpus && flavor.ram >= ram_mb && flavor.disk >= disk_gb && !flavor.disabled
    };
    let refuse = |text: String| Err(PlacementError::Flavor(text));
    if let Some(name) = value {
        let named = |flavor: &Flavor| flavor.name == name || flavor.id.as_str() == name;
        let Some(flavor) = flavors.into_iter().find(named) else {
            return refuse(format!("{option} {name:?} does not exist in project {project}"));
        };
        return match flavor.disk {
            0 => refuse(format!("{option} {name:?} has no disk of its own (0 GB); choose one with {need}")),
            _ if !is_enough(&flavor) => {
                refuse(format!("{option} {name:?} is too small; choose one with {need}"))
            }
            _ => Ok(flavor),
        };
    }
    flavors.retain(is_enough);
    let smallest =
        flavors.into_iter().min_by_key(|flavor| (flavor.vcpus, flavor.ram, flavor.disk, flavor.name.clone()));
    smallest.map_or_else(|| refuse(format!("no flavor of project {project} has {need}; set {option}")), Ok)
}

/// The network that was wished for, else the first inner one that has a subnet.
pub fn choose_network(
    cloud: &Cloud,
    Wish { option, value }: Wish<'_>,
    deadline: Deadline,
) -> Result<NetworkId, PlacementError> {
    let (network, project) = (cloud.network(), cloud.project_name());
    if let Some(name) = value {
        let found = network.networks(Some(name), deadline)?.into_iter().next();
        let refusal =
            || PlacementError::Network(format!("{option} {name:?} does not exist in project {project}"));
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
        PlacementError::Network(format!("no network of project {project} has a subnet; set {option}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Need = Need { vcpus: 2, ram_mb: 1024, disk_gb: 20 };

    fn size(name: &str, vcpus: u64, ram: u64, disk: u64) -> Flavor {
        let (id, name) = (name.parse().unwrap(), name.to_owned());
        Flavor { id, name, vcpus, ram, disk, disabled: false, public: true }
    }

    fn choose(flavors: Vec<Flavor>, value: Option<&str>) -> Result<Flavor, PlacementError> {
        flavor(flavors, Wish { option: "build-flavor", value }, NEED, "builder")
    }

    #[test]
    fn the_smallest_flavor_that_is_large_enough_is_chosen() {
        let flavors = vec![size("big", 8, 8192, 80), size("fits", 2, 1024, 20), size("tiny", 1, 512, 1)];
        assert_eq!(choose(flavors, None).unwrap().name, "fits");
    }

    #[test]
    fn flavors_without_disk_too_small_or_unknown_are_refused_with_a_remedy() {
        let flavors = || vec![size("None", 2, 2048, 0), size("tiny", 1, 512, 20)];
        for (name, word) in [("None", "0 GB"), ("tiny", "too small"), ("none", "does not exist")] {
            let error = choose(flavors(), Some(name)).unwrap_err();
            assert!(error.operator_must_act() && error.to_string().contains(word), "{error}");
        }
        assert!(choose(flavors(), None).unwrap_err().to_string().contains("set build-flavor"));
    }
}
