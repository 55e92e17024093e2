//! One image built, or prepared, in a builder VM: launched, set up, stopped, snapshotted, deleted, whatever comes between.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::scope;
use std::time::{Duration, Instant};

use super::base_image::UpstreamImage;
use super::manifest::WithManifest;
use super::verify;
use super::vm::{Launcher, Purpose, Vm, VmError};
use crate::builder::ownership::description::Description;
use crate::builder::ownership::identity::{Identity, Origin};
use crate::builder::ownership::labels::{self, Stage};
use crate::instance::{Base, BaseError, CacheMount, RunnerBase, SshExecutor, Timeout, setup};
use crate::model::{Cause, Classified, Deadline, Elapsed};
use crate::openstack_cloud::{Image, ImageChange, ImageId, OpenStackError, ServerStatus};
use crate::record::{Phase, RecordError, Resource, ResourceKind};

/// Longest times.
const STOP: Duration = Duration::from_secs(600);
const SNAPSHOT: Duration = Duration::from_secs(3600);
const DELETE: Duration = Duration::from_secs(600);
/// How often it is looked whether somebody waits.
const LOOK: Duration = Duration::from_secs(1);

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
    /// A preparation has ended before its time.
    #[error("another job waits")]
    GaveWay,
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
            Self::Journal(_) | Self::GaveWay => false,
        }
    }

    /// Whether what failed is the operator's own: the recipe's commands, or the script.
    pub fn is_of_the_operator(&self) -> bool {
        matches!(self, Self::Base(error) if error.is_of_the_operator())
    }
}

impl Classified for ExternalBuildError {
    fn cause(&self) -> Cause {
        match self {
            Self::Vm(error) => error.cause(),
            Self::Base(error) => error.cause(),
            Self::VolumeBacked(_) => Cause::Placement,
            Self::Journal(_) | Self::GaveWay => Cause::Unit,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Vm(error) => error.summary(),
            Self::Base(error) => error.summary(),
            Self::VolumeBacked(_) | Self::Journal(_) | Self::GaveWay => self.to_string(),
        }
    }
}

/// What a build begins on.
#[derive(Clone, Copy)]
pub enum Begin<'a> {
    /// A base image.
    BaseImage(&'a ImageId),
    /// A prepared image.
    Prepared(&'a Image),
}

impl Begin<'_> {
    fn image(&self) -> &ImageId {
        match self {
            Self::BaseImage(id) => id,
            Self::Prepared(image) => &image.id,
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
    /// Builds on an image to a snapshot in the build cloud. The VM is gone when this returns.
    pub fn run(&self, begin: Begin<'_>, deadline: Deadline) -> Result<Image, ExternalBuildError> {
        (self.progress)(Phase::Launching);
        let build = |vm: &Vm<'_>| self.build_in(vm, begin, deadline);
        self.launcher.with_vm(Purpose::Build, begin.image(), deadline, build)
    }

    fn build_in(
        &self,
        vm: &Vm<'_>,
        begin: Begin<'_>,
        deadline: Deadline,
    ) -> Result<Image, ExternalBuildError> {
        let base = WithManifest::new(self.base, self.offer, self.fingerprint);
        let origin = {
            let executor = vm.connect(deadline)?;
            let identity = Identity::of(&executor, deadline).map_err(VmError::from)?;
            let failed_units = match begin {
                Begin::BaseImage(_) => verify::failed_units(&executor, deadline),
                // What fails now may be what was installed.
                Begin::Prepared(image) => labels::origin(image).failed_units,
            };
            self.set_up(&base, &executor, deadline)?;
            Origin { identity, failed_units }
        };
        (self.progress)(Phase::Snapshotting);
        let Launcher { host, owner, job, tracker, .. } = *self.launcher;
        let manifest = base.made();
        manifest.iter().try_for_each(|known| known.save(host))?;
        let mut labels = labels::of_snapshot(owner, job, vm.id(), tracker.target, self.fingerprint, &origin);
        labels.extend(manifest.iter().flat_map(|known| Description::of_manifest(known).labels()));
        self.snapshot(vm, &labels, &labels::seal, deadline)
    }

    /// Makes a prepared image of `base_image`, under this name and with this key. Gives way as soon as somebody waits: what
    /// runs in the VM is broken off, and only a snapshot that has begun comes to its end.
    pub fn prepare(
        &self,
        base_image: &ImageId,
        (name, key): (&str, &str),
        is_waited_for: &(dyn Fn() -> bool + Sync),
        deadline: Deadline,
    ) -> Result<Image, ExternalBuildError> {
        let prepare = |vm: &Vm<'_>| {
            let give_way = || if is_waited_for() { Err(ExternalBuildError::GaveWay) } else { Ok(()) };
            give_way()?;
            let executor = vm.connect(deadline)?;
            let done: Result<Origin, ExternalBuildError> =
                unless_waited_for(&executor, is_waited_for, || {
                    let identity = Identity::of(&executor, deadline).map_err(VmError::from)?;
                    let failed_units = verify::failed_units(&executor, deadline);
                    self.set_up(self.base, &executor, deadline)?;
                    Ok(Origin { identity, failed_units })
                });
            drop(executor);
            give_way()?;
            let origin = done?;
            let Launcher { owner, job, .. } = self.launcher;
            let labels = labels::of_preparation(owner, job, vm.id(), key, &origin);
            let keep = |snapshot: &Image| labels::keep_prepared(snapshot, name);
            let snapshot = self.snapshot(vm, &labels, &keep, deadline)?;
            // Sealed, it is no snapshot any more: there is nothing left to do for it.
            let id = Some(snapshot.id.to_string());
            self.launcher.tracker.settled(&Resource { id, ..self.noted(vm) });
            Ok(snapshot)
        };
        self.launcher.with_vm(Purpose::Preparation, base_image, deadline, prepare)
    }

    fn set_up(
        &self,
        base: &dyn Base,
        executor: &SshExecutor,
        deadline: Deadline,
    ) -> Result<(), ExternalBuildError> {
        let progress = |step: &'static str, number, of| {
            (self.progress)(Phase::Installing { step: step.to_owned(), number, of })
        };
        Ok(setup(base, executor, Timeout::Until(deadline), CacheMount::Leave, &progress)?)
    }

    /// Stops the VM and makes its disk an image with these labels, on which `changes` are made once it is complete.
    fn snapshot(
        &self,
        vm: &Vm<'_>,
        labels: &BTreeMap<String, String>,
        changes: &dyn Fn(&Image) -> Vec<ImageChange>,
        deadline: Deadline,
    ) -> Result<Image, ExternalBuildError> {
        let Launcher { cloud, tracker, .. } = *self.launcher;
        let compute = cloud.compute();
        compute.stop_server(vm.id(), deadline)?;
        compute.wait_for_server(vm.id(), &ServerStatus::ShutOff, deadline.at_most(STOP))?;
        let (name, mut noted) = (vm.name(), self.noted(vm));
        tracker.makes(&noted)?;
        let began = Instant::now();
        let snapshot = compute
            .create_server_image(vm.id(), name, labels, deadline)
            .map_err(ExternalBuildError::from)
            .and_then(|snapshot| {
                tracker.made(&mut noted, snapshot.as_str());
                self.settle(&snapshot, name, changes, deadline)
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

    /// The note of the VM's snapshot, as long as it has no id.
    fn noted(&self, vm: &Vm<'_>) -> Resource {
        Resource {
            kind: ResourceKind::Snapshot,
            cloud: self.launcher.cloud_name.clone(),
            name: vm.name().to_owned(),
            id: None,
            revision: None,
        }
    }

    /// Waits until the snapshot is complete, and lets it prove whose it is.
    fn settle(
        &self,
        snapshot: &ImageId,
        name: &str,
        changes: &dyn Fn(&Image) -> Vec<ImageChange>,
        deadline: Deadline,
    ) -> Result<Image, ExternalBuildError> {
        let images = self.launcher.cloud.images();
        let image = images.wait_until_active(snapshot, deadline.at_most(SNAPSHOT))?;
        if image.size.unwrap_or(0) == 0 {
            return Err(ExternalBuildError::VolumeBacked(name.to_owned()));
        }
        Ok(images.update(snapshot, &changes(&image), deadline)?)
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

/// Does `work` over the connection of `executor`, which ends as soon as somebody waits.
fn unless_waited_for<T>(
    executor: &SshExecutor,
    is_waited_for: &(dyn Fn() -> bool + Sync),
    work: impl FnOnce() -> T,
) -> T {
    let (done, ended) = mpsc::channel::<()>();
    scope(|scope| {
        scope.spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if is_waited_for() {
                    return executor.abandon();
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}
