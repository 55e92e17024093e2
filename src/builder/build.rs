//! What is to be delivered of one target: the build that the build project has, or a new one, proven and kept there.

use std::time::{Duration, Instant};

use super::backend::{Backend, Built};
use super::ownership::description::Description;
use super::plan::{Plan, built};
use super::run::Run;
use super::run_context::RunContext;
use crate::builder::delivery::revisions::Revisions;
use crate::builder::delivery::source::Artifact;
use crate::builder::image::verify::VerificationError;
use crate::model::{Deadline, Elapsed, Target, Timestamp};
use crate::openstack_cloud::{Deletion, Image as CloudImage};
use crate::record::{Contents, Failure, Phase, Resource, ResourceKind, ResourceTracker};

/// How long one build may take, all in all.
const BUILD_LIMIT: Duration = Duration::from_secs(3 * 3600);
/// How long it may take to get ready for builds, and to remove an image.
const LIMIT: Duration = Duration::from_secs(900);

impl Run<'_> {
    /// What is delivered: a build that the build project has, or else a new one.
    pub(super) fn artifact(&self, plan: &Plan) -> Result<Artifact, Failure> {
        if let (Some(revision), Some(image)) = (&plan.current, &plan.source) {
            return Ok(Artifact::new(revision.clone(), image.clone()));
        }
        self.builds.take_one();
        // The wait for a turn is not the build's.
        let made = self.make(plan, Deadline::after(BUILD_LIMIT));
        self.builds.give(1);
        made
    }

    /// Builds the image, or goes on with a snapshot of an earlier run, and keeps it in the build project.
    fn make(&self, plan: &Plan, deadline: Deadline) -> Result<Artifact, Failure> {
        let target = plan.target();
        let (image, made) = match &plan.snapshot {
            Some(snapshot) => {
                log::info!("{target}: continuing with snapshot {} of an earlier run", snapshot.id);
                self.context.progress.made(target, &self.noted(snapshot));
                (Built::Snapshot(Box::new(snapshot.clone())), built(snapshot).min(Timestamp::now()))
            }
            None => {
                let Self { context, config, http, .. } = self;
                let inputs = &plan.inputs;
                let build =
                    self.backend()?.build(context, config, &self.build_cloud, http, inputs, deadline)?;
                (build, Timestamp::now())
            }
        };
        if self.config.verify_image
            && let Built::Snapshot(snapshot) = &image
        {
            self.verify(plan, self.backend()?, snapshot, deadline)?;
        }
        let described = match &image {
            Built::Snapshot(snapshot) => Description::of_image(snapshot),
            Built::File(file) => {
                let saved = file.manifest.iter().try_for_each(|known| known.save(self.context.host));
                saved.map_err(|error| Failure::of(&error, false))?;
                file.manifest.as_ref().map(Description::of_manifest).unwrap_or_default()
            }
        };
        let Description { base_serial, manifest } = described;
        let snapshot_format = match &image {
            Built::Snapshot(snapshot) => snapshot.disk_format.clone(),
            Built::File(_) => None,
        };
        let tracker = ResourceTracker { progress: self.context.progress, target };
        let revisions = Revisions {
            cloud: &self.build_cloud,
            cloud_name: &self.config.build_cloud,
            owner: &self.config.owner,
            job: self.context.job,
            contents: Contents { base_serial, manifest, snapshot_format, ..plan.inputs.contents() },
            tracker,
        };
        let fingerprint = &plan.inputs.fingerprint;
        let kept = match &image {
            Built::Snapshot(snapshot) => revisions
                .keep_snapshot(snapshot, fingerprint, made)
                .inspect(|_| tracker.settled(&self.noted(snapshot)))
                .inspect_err(|_| log::warn!("{target}: snapshot {} is kept for the next try", snapshot.id)),
            // Dropped, the file goes.
            Built::File(file) => revisions.keep_file(file, fingerprint, deadline),
        };
        let (revision, image) = kept.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let (id, project, bytes) = (&revision.id, &self.config.build_cloud, image.size.unwrap_or(0));
        log::info!("{target}: build {id} kept in build project {project}: {bytes} bytes");
        Ok(Artifact::new(revision, image))
    }

    /// Where images are built, made ready with the first that is.
    fn backend(&self) -> Result<&Backend, Failure> {
        let choose = || {
            let deadline = Deadline::after(LIMIT);
            let RunContext { host, known, .. } = *self.context;
            Backend::choose(host, &self.build_cloud, self.config, &known.revisions, deadline)
        };
        self.backend.get_or_init(choose).as_ref().map_err(Clone::clone)
    }

    /// Lets a snapshot prove itself. One that fails is no snapshot any more; one of which nothing was learnt stays.
    fn verify(
        &self,
        plan: &Plan,
        backend: &Backend,
        snapshot: &CloudImage,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let target = plan.target();
        self.context.progress.phase(target, Phase::Verifying);
        let began = Instant::now();
        let verified =
            backend.verify(self.context, self.config, &self.build_cloud, &plan.inputs, snapshot, deadline);
        let Err(error) = verified else {
            log::info!("{target}: snapshot {} verified after {}", snapshot.id, Elapsed::since(began));
            return Ok(());
        };
        match &error {
            VerificationError::Failed { kept_as: Some(_), .. } => {
                self.context.progress.settled(target, &self.noted(snapshot));
            }
            VerificationError::Failed { kept_as: None, .. } => self.remove_snapshot(target, snapshot),
            VerificationError::Vm(_) => {
                log::warn!("{target}: snapshot {} is kept for the next try", snapshot.id);
            }
        }
        Err(Failure::of(&error, error.operator_must_act()))
    }

    fn noted(&self, snapshot: &CloudImage) -> Resource {
        Resource {
            kind: ResourceKind::Snapshot,
            cloud: self.config.build_cloud.clone(),
            name: snapshot.name.clone(),
            id: Some(snapshot.id.to_string()),
            revision: None,
        }
    }

    /// Removes a snapshot that nobody waits for.
    pub(super) fn remove_snapshot(&self, target: Target, snapshot: &CloudImage) {
        match self.build_cloud.images().delete(&snapshot.id, Deadline::after(LIMIT)) {
            Ok(Deletion::Deleted | Deletion::Absent) => {
                log::info!("{target}: snapshot {} deleted: no build needs it", snapshot.id);
                self.context.progress.settled(target, &self.noted(snapshot));
            }
            Ok(Deletion::InUse(why)) => {
                log::warn!("snapshot {} is kept because it is in use: {why}", snapshot.id)
            }
            Err(error) => {
                log::warn!("snapshot {} could not be deleted; the next sweep retries: {error}", snapshot.id)
            }
        }
    }
}
