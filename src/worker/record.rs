//! The record of a job: what its builds tell is written into the journal, and the unit hears of it.

use super::reporter::{News, Reporter};
use super::shared_journal::SharedJournal;
use crate::dsse::SigningKey;
use crate::host::Host;
use crate::model::{Elapsed, Target, Timestamp, redacted};
use crate::openstack_cloud::ProjectId;
use crate::record::{
    BuildSecrets, BuilderRunConfig, BuiltOn, CloudName, Image, JobId, Journal, Levers, Phase, Progress,
    RecordError, Request, Resource, Revision, Sent, Took, sign_provenance,
};

/// Writes progress into the journal, and passes the news on.
pub(super) struct Record<'a> {
    /// Whose journal it is.
    pub host: &'a Host,
    /// The job that is told of.
    pub job: &'a JobId,
    /// What operators have decided about images.
    pub levers: Levers,
    /// What signs where builds come from, where there is a key.
    pub signer: Option<SigningKey>,
    /// What is written.
    pub journal: SharedJournal<'a>,
    /// Who passes the news on.
    pub reporter: &'a Reporter,
}

impl Record<'_> {
    /// Changes the journal and writes it down.
    pub fn write(&self, change: impl FnOnce(&mut Journal)) -> Result<(), RecordError> {
        self.journal.write(change)
    }

    /// The same where nothing is made: a disk that is full now may have room when the job ends; the build goes on.
    pub fn change(&self, change: impl FnOnce(&mut Journal)) {
        if let Err(error) = self.write(change) {
            log::error!("{error}");
        }
    }

    /// Signs where `build` comes from, as far as that is known. What could not be signed now is signed by a later job.
    fn sign(&self, build: &Revision) {
        let Some(signer) = &self.signer else { return };
        match sign_provenance(self.host, build, signer) {
            Ok(true) => {
                log::info!("job {}: {}: provenance of build {} signed", self.job, build.target, build.id)
            }
            Ok(false) => (),
            Err(error) => {
                log::warn!("{error}; the provenance of build {} is signed by the next job", build.id)
            }
        }
    }

    /// The same of all builds that are kept: of some that was not possible when they were built.
    pub fn sign_all(&self) {
        let builds = self.journal.look(|journal| journal.revisions.clone());
        builds.iter().for_each(|build| self.sign(build));
    }
}

/// The key of `secrets`. One that makes no sense leaves builds unsigned, and fails none.
pub(super) fn signer(secrets: &BuildSecrets) -> Option<SigningKey> {
    let read = secrets.signing_key.as_ref().map(SigningKey::from_pem)?;
    read.inspect_err(|error| log::warn!("{error}; builds are not signed")).ok()
}

impl Progress for Record<'_> {
    fn phase(&self, target: Target, phase: Phase) {
        let (mut entered, mut ended) = (Ok(()), None);
        self.change(|journal| {
            if let Some(job) = &mut journal.job {
                let build = job.build(target);
                let before = build.took.len();
                entered = build.enter(phase.clone());
                ended = build.took.get(before).cloned();
            }
        });
        if let Some(Took { phase, seconds }) = ended {
            log::info!("job {}: {target}: {phase} ended after {}", self.job, Elapsed::seconds(seconds));
        }
        if let Err(error) = entered {
            debug_assert!(false, "{error}");
            log::warn!("job {}: {error}", self.job);
        }
        self.reporter.tell(News::Progress);
    }

    fn hampered(&self, target: Target, reason: &str) {
        let reason = redacted(reason);
        self.change(|journal| {
            let build = journal.job.as_mut().map(|job| job.build(target));
            // What follows a build that is over concerns nobody who waits for it.
            build.filter(|build| !build.phase.is_over()).into_iter().for_each(|build| {
                build.hampered = Some(reason.clone());
            });
        });
        self.reporter.tell(News::Progress);
    }

    fn built_on(&self, target: Target, built_on: BuiltOn) {
        self.change(|journal| {
            journal.job.iter_mut().for_each(|job| job.build(target).built_on = Some(built_on));
        });
    }

    fn makes(&self, target: Target, resource: &Resource) -> Result<(), RecordError> {
        let written = self.write(|journal| {
            journal.job.iter_mut().for_each(|job| job.build(target).note(resource));
        });
        written.inspect_err(|_| self.settled(target, resource))
    }

    fn made(&self, target: Target, resource: &Resource) {
        self.change(|journal| journal.job.iter_mut().for_each(|job| job.build(target).note(resource)));
    }

    fn settled(&self, target: Target, resource: &Resource) {
        self.change(|journal| journal.job.iter_mut().for_each(|job| job.build(target).forget(resource)));
    }

    fn swept(&self, cloud: &CloudName) {
        let is_in = |resource: &Resource| resource.cloud == *cloud;
        if self.journal.look(|journal| journal.resources().any(is_in)) {
            self.change(|journal| journal.job.iter_mut().for_each(|job| job.is_clean(cloud)));
        }
    }

    fn searched(&self) {
        self.change(|journal| journal.swept = Some(Timestamp::now()));
    }

    fn sweep_again(&self) {
        self.change(|journal| journal.swept = None);
    }

    fn works_in(&self, cloud: &CloudName, what: Vec<String>) -> Result<(), RecordError> {
        self.write(|journal| journal.works_in(cloud, what))
    }

    fn has_left(&self, cloud: &CloudName) {
        self.change(|journal| journal.has_left(cloud));
    }

    fn could_not_leave(&self, cloud: &CloudName, what: Option<Vec<String>>, why: Option<String>) {
        self.change(|journal| {
            if journal.could_not_leave(cloud, what, why) {
                log::error!("retries in {cloud} have ended: delete what is left there by hand");
            }
        });
    }

    fn revision(&self, revision: &Revision) {
        let mut noted = None;
        self.change(|journal| {
            journal.note_revision(revision.clone());
            noted = journal.revision(&revision.id).cloned();
        });
        noted.iter().for_each(|build| self.sign(build));
    }

    fn joins(&self, cloud: &CloudName, project: &ProjectId) -> Result<(), RecordError> {
        let is_known = self.journal.look(|journal| journal.member(cloud) == Some(project));
        if is_known { Ok(()) } else { self.write(|journal| journal.joins(cloud, project)) }
    }

    fn former_members_have_left(&self, config: &BuilderRunConfig) {
        self.change(|journal| journal.former_members_have_left(config));
    }

    fn is_waited_for(&self) -> bool {
        let newest = Request::load(self.host).ok().flatten();
        newest.is_some_and(|request| request.id != *self.job)
    }

    fn adopted(&self, image: Image) {
        self.change(|journal| journal.adopt(image));
        self.reporter.tell(News::Important);
    }

    fn sent(&self, image: &Image, bytes: u64) {
        let place = image.result.config.clone();
        // That it is published is written down next.
        self.journal.note(|journal| {
            journal.job.iter_mut().for_each(|job| job.sent.push(Sent { place: place.clone(), bytes }))
        });
    }

    fn published(&self, image: Image) {
        let cloud = &image.result.config.cloud_name;
        if self.journal.look(|journal| journal.image(image.target(), cloud) == Some(&image)) {
            // That it was found is told when the job ends.
            return self.journal.note(|journal| journal.publish_under(&self.levers, image));
        }
        self.change(|journal| journal.publish_under(&self.levers, image));
        self.reporter.tell(News::Important);
    }
}
