//! One image built in a builder VM: launched, set up, stopped, snapshotted, deleted, whatever comes between.

use std::time::Duration;

use super::identity::Identity;
use super::journal::Phase;
use super::labels;
use super::user_data::HostKeyUse;
use super::vm::{Launcher, Vm, VmError};
use crate::deadline::Deadline;
use crate::instance::{BaseError, CacheMount, RunnerBase, Timeout, setup};
use crate::openstack_cloud::{Image, ImageChange, ImageId, OpenStackError, ServerStatus};

/// Longest times.
const STOP: Duration = Duration::from_secs(600);
const SNAPSHOT: Duration = Duration::from_secs(3600);
const DELETE: Duration = Duration::from_secs(600);

/// A build in a builder VM came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExternalBuildError {
    /// There is no VM to build in, or it could not be reached.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// A step of the recipe failed.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The snapshot has no bytes: the VM's disk is a volume.
    #[error(
        "the snapshot of builder VM {0} is empty: its disk is a volume; choose a build-flavor with a local disk"
    )]
    VolumeBacked(String),
}

impl From<OpenStackError> for ExternalBuildError {
    fn from(error: OpenStackError) -> Self {
        Self::Vm(error.into())
    }
}

impl ExternalBuildError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Vm(error) => error.operator_must_act(),
            Self::VolumeBacked(_) => true,
            Self::Base(_) => false,
        }
    }
}

/// One build.
pub struct ExternalBuild<'a> {
    /// What launches the builder VM.
    pub launcher: &'a Launcher<'a>,
    /// What goes into the image.
    pub base: &'a RunnerBase,
    /// Told of each phase.
    pub progress: &'a dyn Fn(Phase),
}

impl ExternalBuild<'_> {
    /// Builds from `base_image` to a snapshot in the build cloud; returns it and the identity of the machine that it was
    /// made of. The VM is gone when this returns.
    pub fn run(
        &self,
        base_image: &ImageId,
        deadline: Deadline,
    ) -> Result<(Image, Identity), ExternalBuildError> {
        (self.progress)(Phase::Launching);
        let build = |vm: &Vm<'_>| self.build_in(vm, deadline);
        self.launcher.with_vm(&self.name(), base_image, HostKeyUse::InPlace, deadline, build)
    }

    fn name(&self) -> String {
        let Launcher { owner, job, .. } = self.launcher;
        format!("{}-image-builder-{}-{job}", owner.application, self.base.target)
    }

    fn build_in(&self, vm: &Vm<'_>, deadline: Deadline) -> Result<(Image, Identity), ExternalBuildError> {
        let identity = {
            let executor = vm.connect(deadline)?;
            let identity = Identity::of(&executor, deadline).map_err(VmError::from)?;
            let progress = |step: &'static str, number, of| {
                (self.progress)(Phase::Installing { step: step.to_owned(), number, of })
            };
            setup(self.base, &executor, Timeout::Until(deadline), CacheMount::Leave, &progress)?;
            identity
        };
        (self.progress)(Phase::Snapshotting);
        let Launcher { cloud, owner, job, .. } = self.launcher;
        let compute = cloud.compute();
        compute.stop_server(vm.id(), deadline)?;
        compute.wait_for_server(vm.id(), &ServerStatus::ShutOff, deadline.at_most(STOP))?;
        let labels = labels::of_snapshot(owner, job);
        let snapshot = compute.create_server_image(vm.id(), &self.name(), &labels, deadline)?;
        let image = self.settle(&snapshot, deadline).inspect_err(|_| {
            let _ = cloud.images().delete(&snapshot, Deadline::after(DELETE));
        })?;
        Ok((image, identity))
    }

    fn settle(&self, snapshot: &ImageId, deadline: Deadline) -> Result<Image, ExternalBuildError> {
        let images = self.launcher.cloud.images();
        let image = images.wait_until_active(snapshot, deadline.at_most(SNAPSHOT))?;
        if image.size.unwrap_or(0) == 0 {
            return Err(ExternalBuildError::VolumeBacked(self.name()));
        }
        // The snapshot inherited the base image's properties; what says that it is a base image must not stay.
        if image.properties.contains_key(labels::DIGEST) {
            images.update(snapshot, &[ImageChange::Remove(labels::DIGEST.into())], deadline)?;
        }
        Ok(image)
    }
}
