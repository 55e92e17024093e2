//! How large a new server is: the flavor that somebody named, else the one that suits best. For the network see
//! [`choose_network`](crate::openstack_cloud::choose_network).

use super::Flavor;
use crate::model::{Cause, Classified, Deadline};
use crate::openstack_cloud::error::OpenStackError;
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

impl Classified for PlacementError {
    fn cause(&self) -> Cause {
        match self {
            Self::Cloud(error) => error.cause(),
            Self::Flavor(_) | Self::Network(_) => Cause::Placement,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Cloud(error) => error.summary(),
            Self::Flavor(_) | Self::Network(_) => self.to_string(),
        }
    }
}

/// The flavor that was wished for, by its id or name, else the one with the smallest disk of those that are large enough: an
/// image that is made of the server fits no smaller disk.
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
        match flavors.iter().position(|flavor| flavor.id.as_str() == name) {
            Some(of_this_id) => flavors = vec![flavors.swap_remove(of_this_id)],
            None => flavors.retain(|flavor| flavor.name == name),
        }
        if flavors.len() > 1 {
            let ids: Vec<&str> = flavors.iter().map(|flavor| flavor.id.as_str()).collect();
            return refuse(format!(
                "{option} {name:?} is the name of several flavors; use an id: {}",
                ids.join(", ")
            ));
        }
        let Some(flavor) = flavors.pop() else {
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
        flavors.into_iter().min_by_key(|flavor| (flavor.disk, flavor.vcpus, flavor.ram, flavor.name.clone()));
    smallest.map_or_else(|| refuse(format!("no flavor of project {project} has {need}; set {option}")), Ok)
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
    fn a_smaller_disk_is_preferred_to_fewer_processors() {
        let flavors =
            vec![size("narrow", 2, 1024, 80), size("wide", 8, 16_384, 20), size("flat", 2, 1024, 10)];
        assert_eq!(choose(flavors, None).unwrap().name, "wide");
    }

    #[test]
    fn an_id_comes_before_a_name_and_a_name_that_two_have_is_refused_with_their_ids() {
        let named = |id: &str, name: &str| Flavor { id: id.parse().unwrap(), ..size(name, 2, 2048, 20) };
        let flavors =
            || vec![named("1", "big"), named("2", "big"), named("big-id", "other"), named("4", "big-id")];
        assert_eq!(choose(flavors(), Some("2")).unwrap().id.as_str(), "2");
        assert_eq!(choose(flavors(), Some("big-id")).unwrap().name, "other");
        let refusal = choose(flavors(), Some("big")).unwrap_err().to_string();
        assert_eq!(refusal, "build-flavor \"big\" is the name of several flavors; use an id: 1, 2");
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
