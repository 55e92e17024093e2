//! The deep check: whether a VM boots in the build project and can be reached by ssh.

use std::time::Duration;

use crate::builder::clouds::connect::connect_to;
use crate::builder::clouds::names::Clouds;
use crate::builder::image::base_image::{self, BaseImages};
use crate::builder::image::site::{Site, remove_security_group};
use crate::builder::image::vm::{Launcher, Purpose, Vm, VmError};
use crate::host::Host;
use crate::http::HttpClient;
use crate::model::{Deadline, Target};
use crate::openstack_cloud::{Cloud, ProjectId};
use crate::record::{
    BuilderRunConfig, Check, CheckOrder, CloudName, Failure, Finding, Image, Phase, Progress, RecordError,
    Resource, ResourceTracker, Revision, Verdict,
};

/// How long the whole may take: a base image is copied if the project has none.
const LIMIT: Duration = Duration::from_secs(3600);

/// How long it may take to remove the security group.
const REMOVAL: Duration = Duration::from_secs(60);

/// What may stand between the unit and a VM.
const REACH: &str =
    "check build-network, build-ssh-ingress, ssh-options, and the routes from the unit to the VM's address";

/// Boots a VM of the first target's base image, connects to it, and deletes it.
pub fn check(host: &Host, http: &HttpClient, known: &Clouds, order: &CheckOrder) -> Finding {
    let config = &order.config;
    if !config.launches_vms() {
        return Finding::new(Check::Ssh, Verdict::Ok, "not needed: build-mode is local");
    }
    let Some(target) = config.targets.first() else {
        return Finding::new(Check::Ssh, Verdict::Ok, "not needed: no target is configured");
    };
    let found = match boot(host, http, known, order, *target) {
        Ok(()) => Finding::new(Check::Ssh, Verdict::Ok, "a VM booted and answered on ssh"),
        Err(failure) => {
            let (cause, _) = failure.cause_and_remedy();
            let told = |what: &str| format!("{what}; {REACH}");
            Finding::new(Check::Ssh, Verdict::Failure, told(&failure.message)).summed_up(told(cause))
        }
    };
    found.of_target(*target).in_cloud(&config.build_cloud)
}

fn boot(
    host: &Host,
    http: &HttpClient,
    known: &Clouds,
    order: &CheckOrder,
    target: Target,
) -> Result<(), Failure> {
    let CheckOrder { id: job, config, .. } = order;
    let BuilderRunConfig { owner, vm: settings, build_cloud: cloud_name, .. } = config;
    let deadline = Deadline::after(LIMIT);
    let cloud = &connect_to(known, cloud_name, http, deadline)
        .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
    let offer = base_image::look_up(host, http, &config.base_image, target, deadline)
        .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
    let tracker = ResourceTracker { progress: &Unnoted, target };
    // Any format boots.
    let (format, is_required, converter) = (None, false, None);
    let image = BaseImages { cloud, cloud_name, http, owner, job, tracker, format, is_required, converter }
        .ensure(&offer, deadline)
        .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
    let site = &Site::choose(cloud, owner, settings, deadline)
        .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
    let tracker = ResourceTracker { progress: &Unnoted, target };
    let launcher = Launcher { host, cloud, cloud_name, owner, job, site, settings, tracker };
    let reach = |vm: &Vm<'_>| vm.connect(deadline).map(drop);
    let reached: Result<(), VmError> = launcher.with_vm(Purpose::Build, &image, deadline, reach);
    close(cloud, config);
    reached.map_err(|error| Failure::of(&error, error.operator_must_act()))
}

fn close(cloud: &Cloud, config: &BuilderRunConfig) {
    for what in remove_security_group(cloud, &config.owner, Deadline::after(REMOVAL)) {
        log::warn!("left for the next job: {what}");
    }
}

/// Notes nothing: the journal is the jobs'. What a check leaves that was killed is found by its labels.
struct Unnoted;

impl Progress for Unnoted {
    fn phase(&self, _: Target, _: Phase) {}
    fn makes(&self, _: Target, _: &Resource) -> Result<(), RecordError> {
        Ok(())
    }
    fn made(&self, _: Target, _: &Resource) {}
    fn settled(&self, _: Target, _: &Resource) {}
    fn swept(&self, _: &CloudName) {}
    fn searched(&self) {}
    fn sweep_again(&self) {}
    fn works_in(&self, _: &CloudName, _: Vec<String>) -> Result<(), RecordError> {
        Ok(())
    }
    fn has_left(&self, _: &CloudName) {}
    fn could_not_leave(&self, _: &CloudName, _: Option<Vec<String>>, _: Option<String>) {}
    fn revision(&self, _: &Revision) {}
    fn is_waited_for(&self) -> bool {
        false
    }
    fn joins(&self, _: &CloudName, _: &ProjectId) -> Result<(), RecordError> {
        Ok(())
    }
    fn former_members_have_left(&self, _: &BuilderRunConfig) {}
    fn adopted(&self, _: Image) {}
    fn published(&self, _: Image) {}
}
