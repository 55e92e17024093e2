//! The checks of one project: credentials, catalog, clock, and what builder VMs or new images need there.

use std::time::Duration;

use super::trouble;
use crate::builder::clouds::connect::ConnectError;
use crate::builder::image::site::Site;
use crate::builder::ownership::labels;
use crate::host::{Host, random_uuid};
use crate::model::{Deadline, Timestamp};
use crate::openstack_cloud::{Cloud, ImageId, NewImage, OpenStackError, PlacementError, Servers};
use crate::record::{Check, CheckOrder, CloudName, Finding, Journal, ResourceKind, Scope, Verdict};

/// Clocks that differ by more make signatures and certificates fail, and ages wrong.
const SKEW: Duration = Duration::from_secs(300);

/// How long it may take to remove what a check has created.
const REMOVAL: Duration = Duration::from_secs(20);

/// One project to be checked.
pub struct ProjectCheck<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// What is asked for.
    pub order: &'a CheckOrder,
    /// The project's name in clouds.yaml.
    pub name: &'a CloudName,
    /// When it must be over.
    pub deadline: Deadline,
}

impl ProjectCheck<'_> {
    /// Checks the project; `connection` is what came of connecting to it.
    pub fn run(&self, connection: Result<Cloud, ConnectError>) -> Vec<Finding> {
        let found = match connection {
            Ok(cloud) => self.checks(&cloud),
            Err(error) => vec![trouble(Check::Credentials, &error, error.operator_must_act())],
        };
        found.into_iter().map(|finding| finding.in_cloud(self.name)).collect()
    }

    fn checks(&self, cloud: &Cloud) -> Vec<Finding> {
        let config = &self.order.config;
        let launches = *self.name == config.build_cloud && config.launches_vms();
        let mut found = vec![Finding::new(Check::Credentials, Verdict::Ok, "accepted by Keystone")];
        let servers = if launches { Servers::Builders } else { Servers::None };
        found.push(match cloud.has_services(servers) {
            Ok(()) => Finding::new(Check::Catalog, Verdict::Ok, "has an endpoint of each service"),
            Err(error) => trouble(Check::Catalog, &error, error.operator_must_act()),
        });
        found.extend(clock(cloud));
        if launches {
            found.extend(self.placement(cloud));
        }
        if self.order.scope >= Scope::Full {
            found.push(self.image_rights(cloud));
        }
        found
    }

    /// Flavor, network and quota for a builder VM.
    fn placement(&self, cloud: &Cloud) -> Vec<Finding> {
        let vm = &self.order.config.vm;
        let of = |check, error: PlacementError| trouble(check, &error, error.operator_must_act());
        let mut found = Vec::new();
        match Site::find_flavor(cloud, vm, self.deadline) {
            Ok(flavor) => {
                let text =
                    format!("{} ({} vCPU, {} MB, {} GB)", flavor.name, flavor.vcpus, flavor.ram, flavor.disk);
                found.push(Finding::new(Check::Flavor, Verdict::Ok, text));
                found.push(self.quota(
                    cloud.compute().limits(self.deadline).map(|limits| limits.lacks_room_for(&flavor)),
                ));
            }
            Err(error) => found.push(of(Check::Flavor, error)),
        }
        found.push(match Site::find_network(cloud, vm, self.deadline) {
            Ok(network) => {
                Finding::new(Check::Network, Verdict::Ok, format!("{} ({})", network.name, network.id))
            }
            Err(error) => of(Check::Network, error),
        });
        found
    }

    fn quota(&self, lacks: Result<Vec<String>, OpenStackError>) -> Finding {
        match lacks {
            Ok(lacks) if lacks.is_empty() => {
                Finding::new(Check::Quota, Verdict::Ok, "has room for a builder VM")
            }
            // The VMs of a build that runs use it up themselves.
            Ok(_) if self.a_build_has_vms() => {
                Finding::new(Check::Quota, Verdict::Ok, "is used by the builder VMs that run")
            }
            Ok(lacks) => {
                let text = format!(
                    "no room for a builder VM: {}; raise the quota of the project, or delete what it does not need",
                    lacks.join(", ")
                );
                Finding::new(Check::Quota, Verdict::Failure, text)
            }
            // Not every cloud lets its users read it; a build that lacks it says so.
            Err(error) => trouble(Check::Quota, &error, false),
        }
    }

    fn a_build_has_vms(&self) -> bool {
        let is_vm = |kind| matches!(kind, ResourceKind::BuilderVm | ResourceKind::VerificationVm);
        Journal::load(self.host).is_ok_and(|journal| journal.resources().any(|resource| is_vm(resource.kind)))
    }

    /// Creates an image without data and deletes it. Should it stay, a sweep finds it by its labels.
    fn image_rights(&self, cloud: &Cloud) -> Finding {
        let CheckOrder { id: order, config, .. } = self.order;
        let images = cloud.images();
        let Ok(id) = random_uuid().parse::<ImageId>() else {
            return Finding::new(Check::ImageRights, Verdict::Warning, "no random ID for an image");
        };
        let image = NewImage {
            name: format!("{}-check-{order}", config.owner.application),
            disk_format: "qcow2".into(),
            container_format: "bare".into(),
            min_disk: 0,
            min_ram: 0,
            properties: labels::of_copy(&config.owner, order, &id, ""),
            id: Some(id.clone()),
        };
        let created = images.create(&image, self.deadline);
        // The answer may have been lost after the image was created.
        let removed = images.delete(&id, Deadline::after(REMOVAL));
        match (created, removed) {
            (Ok(_), Ok(deletion)) if deletion.is_gone() => {
                Finding::new(Check::ImageRights, Verdict::Ok, "images can be created and deleted")
            }
            (Ok(_), Err(error)) => trouble(Check::ImageRights, &error, error.operator_must_act()),
            (Ok(_), Ok(_)) => Finding::new(
                Check::ImageRights,
                Verdict::Warning,
                format!("image {id} could not be deleted; a later job deletes it"),
            ),
            (Err(error), _) => trouble(Check::ImageRights, &error, error.operator_must_act()),
        }
    }
}

/// Whether the cloud's clock and ours agree, where the cloud tells the time.
fn clock(cloud: &Cloud) -> Option<Finding> {
    let (theirs, ours) = cloud.clocks()?;
    Some(compared(theirs, ours))
}

fn compared(theirs: Timestamp, ours: Timestamp) -> Finding {
    let skew = theirs.0.abs_diff(ours.0);
    if skew <= SKEW.as_secs() {
        return Finding::new(Check::Clock, Verdict::Ok, "agrees with the cloud's");
    }
    let text = format!(
        "the unit's clock is at {ours}, the cloud's at {theirs}, {} min apart; correct the wrong clock (timedatectl)",
        skew / 60
    );
    Finding::new(Check::Clock, Verdict::Warning, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_minutes() {
        let ours = Timestamp::now();
        assert_eq!(compared(Timestamp(ours.0 - 300), ours).verdict, Verdict::Ok);
        let ahead = compared(Timestamp(ours.0 + 3600), ours);
        assert_eq!(ahead.verdict, Verdict::Warning);
        assert!(ahead.text.contains("60 min apart; correct the wrong clock"), "{ahead}");
    }
}
