//! One image built in a builder VM: launched, set up, stopped, snapshotted, deleted, whatever comes between.

use std::time::{Duration, Instant};

use super::base_image::UpstreamImage;
use super::manifest::WithManifest;
use super::verify;
use super::vm::{Launcher, Purpose, Vm, VmError};
use crate::builder::ownership::description::Description;
use crate::builder::ownership::identity::{Identity, Origin};
use crate::builder::ownership::labels::{self, Stage};
use crate::instance::{BaseError, CacheMount, RunnerBase, Timeout, setup};
use crate::model::{Cause, Classified, Deadline, Elapsed};
use crate::openstack_cloud::{Image, ImageId, OpenStackError, ServerStatus};
use crate::record::{Phase, RecordError, Resource, ResourceKind};

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
    /// The snapshot could not be noted, and was not taken.
    #[error("{0}; the snapshot is not taken, because it cannot be recorded")]
    Journal(#[from] RecordError),
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
            Self::Base(error) => error.operator_must_act(),
            Self::VolumeBacked(_) => true,
            Self::Journal(_) => false,
        }
    }
}

impl Classified for ExternalBuildError {
    fn cause(&self) -> Cause {
        match self {
            Self::Vm(error) => error.cause(),
            Self::Base(error) => error.cause(),
            Self::VolumeBacked(_) => Cause::Placement,
            Self::Journal(_) => Cause::Unit,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Vm(error) => error.summary(),
            Self::Base(error) => error.summary(),
            Self::VolumeBacked(_) | Self::Journal(_) => self.to_string(),
        }
    }
}

/// One build.
pub struct ExternalBuild<'a> {
    /// What launches the builder VM.
    pub launcher: &'a Launcher<'a>,
    /// What goes into the image.
    pub base: &'a RunnerBase,
    /// What it is built on.
    pub offer: &'a UpstreamImage,
    /// Both as a digest.
    pub fingerprint: &'a str,
    /// Told of each phase.
    pub progress: &'a dyn Fn(Phase),
}

impl ExternalBuild<'_> {
    /// Builds from `base_image` to a snapshot in the build cloud. The VM is gone when this returns.
    pub fn run(&self, base_image: &ImageId, deadline: Deadline) -> Result<Image, ExternalBuildError> {
        (self.progress)(Phase::Launching);
        let build = |vm: &Vm<'_>| self.build_in(vm, deadline);
        self.launcher.with_vm(Purpose::Build, base_image, deadline, build)
    }

    fn build_in(&self, vm: &Vm<'_>, deadline: Deadline) -> Result<Image, ExternalBuildError> {
        let base = WithManifest::new(self.base, self.offer, self.fingerprint);
        let origin = {
            let executor = vm.connect(deadline)?;
            let identity = Identity::of(&executor, deadline).map_err(VmError::from)?;
            let failed_units = verify::failed_units(&executor, deadline);
            let progress = |step: &'static str, number, of| {
                (self.progress)(Phase::Installing { step: step.to_owned(), number, of })
            };
            setup(&base, &executor, Timeout::Until(deadline), CacheMount::Leave, &progress)?;
            Origin { identity, failed_units }
        };
        (self.progress)(Phase::Snapshotting);
        let Launcher { host, cloud, cloud_name, owner, job, tracker, .. } = *self.launcher;
        let manifest = base.made();
        manifest.iter().try_for_each(|known| known.save(host))?;
        let compute = cloud.compute();
        compute.stop_server(vm.id(), deadline)?;
        compute.wait_for_server(vm.id(), &ServerStatus::ShutOff, deadline.at_most(STOP))?;
        let name = vm.name();
        let mut noted = Resource {
            kind: ResourceKind::Snapshot,
            cloud: cloud_name.clone(),
            name: name.to_owned(),
            id: None,
            revision: None,
        };
        tracker.makes(&noted)?;
        let began = Instant::now();
        let mut labels = labels::of_snapshot(owner, job, vm.id(), tracker.target, self.fingerprint, &origin);
        labels.extend(manifest.iter().flat_map(|known| Description::of_manifest(known).labels()));
        let snapshot = compute
            .create_server_image(vm.id(), name, &labels, deadline)
            .map_err(ExternalBuildError::from)
            .and_then(|snapshot| {
                tracker.made(&mut noted, snapshot.as_str());
                self.settle(&snapshot, name, deadline)
            });
        if let Ok(Image { id, size, .. }) = &snapshot {
            let (target, bytes, after) = (tracker.target, size.unwrap_or(0), Elapsed::since(began));
            log::info!("{target}: snapshot {id} of server {} taken: {bytes} bytes after {after}", vm.id());
        }
        snapshot.inspect_err(|_| {
            if self.remove_snapshot(name) {
                tracker.settled(&noted);
            }
        })
    }

    /// Waits until the snapshot is complete, and lets it prove whose it is.
    fn settle(
        &self,
        snapshot: &ImageId,
        name: &str,
        deadline: Deadline,
    ) -> Result<Image, ExternalBuildError> {
        let images = self.launcher.cloud.images();
        let image = images.wait_until_active(snapshot, deadline.at_most(SNAPSHOT))?;
        if image.size.unwrap_or(0) == 0 {
            return Err(ExternalBuildError::VolumeBacked(name.to_owned()));
        }
        Ok(images.update(snapshot, &labels::seal(&image), deadline)?)
    }

    /// Removes what there is of the snapshot, by its name: the answer that has its id may have been lost. Returns
    /// whether it is gone.
    fn remove_snapshot(&self, name: &str) -> bool {
        let Launcher { cloud, owner, .. } = self.launcher;
        let deadline = Deadline::after(DELETE);
        let found = labels::images(cloud, owner, Stage::Snapshot, Some(name), deadline);
        found.is_ok_and(|found| {
            let mut removals = found.iter().map(|image| cloud.images().delete(&image.id, deadline));
            removals.all(|removal| removal.is_ok_and(|deletion| deletion.is_gone()))
        })
    }
}
