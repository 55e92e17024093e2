//! What is to be delivered of one target: the build that the build project has, or a new one, proven and kept there.

use std::time::{Duration, Instant};

use super::backend::{Backend, Built};
use super::ownership::description::Description;
use super::ownership::identity::Origin;
use super::ownership::labels;
use super::plan::{Plan, built};
use super::run::Run;
use super::run_context::RunContext;
use crate::builder::delivery::revisions::{RevisionError, Revisions};
use crate::builder::delivery::source::Artifact;
use crate::builder::image::prepared;
use crate::builder::image::verify::VerificationError;
use crate::model::{Deadline, Elapsed, Target, Timestamp};
use crate::openstack_cloud::{Deletion, Image as CloudImage};
use crate::record::{BootTimes, Contents, Failure, Phase, Resource, ResourceKind, ResourceTracker};

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
        let ((mut image, mut boot), made) = match &plan.snapshot {
            Some(snapshot) => {
                log::info!("{target}: continuing with snapshot {} of an earlier run", snapshot.id);
                self.context.progress.made(target, &self.noted(snapshot));
                let taken = Built::Snapshot(Box::new(snapshot.clone()));
                let verified = self.verified(plan, self.backend()?, taken, deadline).map_err(failure)?;
                (verified, built(snapshot).min(Timestamp::now()))
            }
            None => (self.build(plan, deadline)?, Timestamp::now()),
        };
        let described = match &image {
            Built::Snapshot(snapshot) => Description::of_image(snapshot),
            Built::File(file) => {
                let saved = file.manifest.iter().try_for_each(|known| known.save(self.context.host));
                saved.map_err(|error| Failure::of(&error, false))?;
                file.manifest.as_ref().map(Description::of_manifest).unwrap_or_default()
            }
        };
        let Description { base_serial, manifest } = described;
        // When an earlier run has begun to make its snapshot is not known.
        let begun = plan.inputs.contents().begun.filter(|_| plan.snapshot.is_none());
        let snapshot_format = match &image {
            // One that was uploaded to be verified has no machine that it was made of.
            Built::Snapshot(snapshot) if labels::origin(snapshot) != Origin::default() => {
                snapshot.disk_format.clone()
            }
            _ => None,
        };
        let tracker = ResourceTracker { progress: self.context.progress, target };
        let mut revisions = Revisions {
            cloud: &self.build_cloud,
            cloud_name: &self.config.build_cloud,
            owner: &self.config.owner,
            job: self.context.job,
            contents: Contents { base_serial, manifest, snapshot_format, begun, ..plan.inputs.contents() },
            tracker,
        };
        let fingerprint = &plan.inputs.fingerprint;
        let failed = |error: RevisionError| Failure::of(&error, error.operator_must_act());
        let mut proof = None;
        // From here on it is a snapshot like those of builder VMs.
        if let Built::File(file) = &image
            && self.config.launches_vms()
        {
            let (uploaded, read) =
                revisions.upload_unverified(file, fingerprint, deadline).map_err(failed)?;
            let uploaded = Built::Snapshot(Box::new(uploaded));
            (image, boot) = self.verified(plan, self.backend()?, uploaded, deadline).map_err(failure)?;
            proof = Some(read);
        }
        revisions.contents.boot = boot.if_any();
        let kept = match &image {
            Built::Snapshot(snapshot) => revisions
                .keep_snapshot(snapshot, fingerprint, made, proof)
                .inspect(|_| tracker.settled(&self.noted(snapshot)))
                .inspect_err(|_| log::warn!("{target}: snapshot {} is kept for the next try", snapshot.id)),
            // Dropped, the file goes.
            Built::File(file) => revisions.keep_file(file, fingerprint, deadline),
        };
        let (revision, image) = kept.map_err(failed)?;
        let (id, project, bytes) = (&revision.id, &self.config.build_cloud, image.size.unwrap_or(0));
        log::info!("{target}: build {id} kept in build project {project}: {bytes} bytes");
        Ok(Artifact::new(revision, image))
    }

    /// Builds the image and proves it: on a prepared image, if there is one and it is of use, and else on the base image.
    fn build(&self, plan: &Plan, deadline: Deadline) -> Result<(Built, BootTimes), Failure> {
        let (backend, target) = (self.backend()?, plan.target());
        let build = |prepared: Option<&CloudImage>, deadline| {
            let Self { context, config, build_cloud, http, .. } = self;
            backend.build(context, config, (build_cloud, prepared), http, &plan.inputs, deadline)
        };
        let prepared = self.prepared_image(plan);
        if let Some(prepared) = &prepared {
            log::info!("{target}: building on prepared image {}", prepared.id);
            let reason = match build(Some(prepared), deadline) {
                Ok(built) => match self.verified(plan, backend, built, deadline) {
                    Err(error @ VerificationError::Failed { .. }) => error.to_string(),
                    verified => return verified.map_err(failure),
                },
                // The base image would not change it.
                Err(error) if error.is_of_the_operator() => return Err(error.into()),
                Err(error) => Failure::from(error).message,
            };
            let id = &prepared.id;
            log::warn!(
                "{target}: building on prepared image {id}: {reason}; beginning anew on the base image"
            );
        }
        // An attempt in vain leaves it all of its time.
        let deadline = if prepared.is_some() { Deadline::after(BUILD_LIMIT) } else { deadline };
        let built = build(None, deadline).map_err(Failure::from)?;
        let verified = self.verified(plan, backend, built, deadline).map_err(failure)?;
        // Where the base image does not help either, something else is to blame.
        prepared.iter().for_each(|prepared| {
            self.prepared_images(target).remove(&prepared.id, Deadline::after(LIMIT));
        });
        Ok(verified)
    }

    /// The prepared image that the build of `plan` begins on.
    fn prepared_image(&self, plan: &Plan) -> Option<CloudImage> {
        if !self.config.keeps_prepared_images() {
            return None;
        }
        let key = plan.inputs.preparation_key();
        let found = self.prepared_images(plan.target()).find(&key, Deadline::after(LIMIT));
        found.unwrap_or_else(|error| {
            log::warn!("{}: prepared images are not known: {error}", plan.target());
            None
        })
    }

    pub(super) fn prepared_images(&self, target: Target) -> prepared::PreparedImages<'_> {
        prepared::PreparedImages { cloud: &self.build_cloud, config: self.config, target }
    }

    /// What was built, once it has proven itself where it has to, and how long its machine took to boot then.
    fn verified(
        &self,
        plan: &Plan,
        backend: &Backend,
        built: Built,
        deadline: Deadline,
    ) -> Result<(Built, BootTimes), VerificationError> {
        let boot = match &built {
            Built::Snapshot(snapshot) if self.config.verify_image => {
                self.verify(plan, backend, snapshot, deadline)?
            }
            _ => BootTimes::default(),
        };
        Ok((built, boot))
    }

    /// Where images are built, made ready with the first that is.
    pub(super) fn backend(&self) -> Result<&Backend, Failure> {
        let choose = || {
            let deadline = Deadline::after(LIMIT);
            let RunContext { host, known, .. } = *self.context;
            Backend::choose(host, &self.build_cloud, self.config, &known.revisions, deadline)
        };
        self.backend.get_or_init(choose).as_ref().map_err(Clone::clone)
    }

    /// Lets a snapshot prove itself, and tells how long its machine took to boot. One that fails is no snapshot any more; one of
    /// which nothing was learnt stays.
    fn verify(
        &self,
        plan: &Plan,
        backend: &Backend,
        snapshot: &CloudImage,
        deadline: Deadline,
    ) -> Result<BootTimes, VerificationError> {
        let target = plan.target();
        self.context.progress.phase(target, Phase::Verifying);
        let began = Instant::now();
        let verified =
            backend.verify(self.context, self.config, &self.build_cloud, &plan.inputs, snapshot, deadline);
        let error = match verified {
            Ok(times) => {
                let after = Elapsed::since(began);
                log::info!("{target}: snapshot {} verified after {after}; boot: {times}", snapshot.id);
                return Ok(times);
            }
            Err(error) => error,
        };
        if matches!(error, VerificationError::Failed { .. }) {
            backend.remove_prepared_disk(self.context.host, target);
        }
        match &error {
            VerificationError::Failed { kept_as: Some(_), .. } => {
                self.context.progress.settled(target, &self.noted(snapshot));
            }
            VerificationError::Failed { kept_as: None, .. } => self.remove_snapshot(target, snapshot),
            VerificationError::Vm(_) => {
                log::warn!("{target}: snapshot {} is kept for the next try", snapshot.id);
            }
        }
        Err(error)
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

fn failure(error: VerificationError) -> Failure {
    Failure::of(&error, error.operator_must_act())
}
