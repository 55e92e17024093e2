//! The operators' decisions about builds: `pin`, `unpin`, `revoke`. As actions they are told to relations at once; on the
//! unit, as commands, they ask Juju for the hook that does so.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::host::{FileError, Host, ProcessError};
use crate::model::{Deadline, Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::{Acceptance, Image, Journal, Levers, RecordError, Request, Revision, Upstream};
use crate::worker;

/// The shortest part of an id that is looked for.
const SHORTEST: usize = 4;
/// How long the unit's turn is waited for.
const TELL: Duration = Duration::from_secs(60);

/// Juju could not be asked for a hook.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// Nothing was asked for yet.
    #[error("no job has been requested on this unit yet")]
    NoUnit,
    /// The last request could not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Juju did not run it.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// A decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LeverError {
    /// No build has the id.
    #[error("no kept build or image has the ID {0}; see list-images")]
    Unknown(String),
    /// Several have it.
    #[error("the IDs of several builds begin with {0}; give more characters")]
    Ambiguous(String),
    /// The image is one of which no build is kept.
    #[error("image {0} does not belong to a kept build, and only kept builds can be pinned; see list-images")]
    NotKept(ImageId),
    /// The same, for who only asks what is in it.
    #[error("image {0} does not belong to a kept build; see list-images")]
    OfNoBuild(ImageId),
    /// The build was revoked.
    #[error("build {build} was revoked {since}: {reason}; pin another")]
    Revoked {
        /// The build.
        build: ImageId,
        /// When.
        since: Timestamp,
        /// Why.
        reason: String,
    },
    /// GitHub gives no jobs to its runner.
    #[error(
        "build {build} has runner {runner}, to which GitHub has assigned no jobs since {}; pin a newer build, or set force=true",
        since.date()
    )]
    Refused {
        /// The build.
        build: ImageId,
        /// Its runner.
        runner: String,
        /// Since when.
        since: Timestamp,
    },
    /// There is no word for the others to know why.
    #[error("a reason is required; set reason=TEXT, which the status and list-images show")]
    NoReason,
    /// Nothing is pinned.
    #[error("nothing to unpin: {0}")]
    NotPinned(String),
    /// A record could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Whether a pin is refused when GitHub gives no jobs to the runner of the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is refused.
    No,
    /// It is not.
    Yes,
}

/// Has relations told of the build of this id, or of the one that the image of this id is a copy of, whatever is newer.
pub fn pin(host: &Host, id: &str, force: Force) -> Result<Revision, LeverError> {
    let (journal, mut levers) = (Journal::load(host)?, Levers::load(host)?);
    let build = match find(&journal, id)? {
        Found::Build(build) => build,
        Found::Image(image) => return Err(LeverError::NotKept(image.result.id.clone())),
    };
    if let Some(revoked) = levers.revocation(&build.id) {
        let (build, since, reason) = (build.id.clone(), revoked.since, revoked.reason.clone());
        return Err(LeverError::Revoked { build, since, reason });
    }
    if force == Force::No {
        refused(&Upstream::load(host), build, Timestamp::now()).map_or(Ok(()), Err)?;
    }
    levers.pin(build);
    levers.save(host)?;
    log::info!("{}: build {} is pinned", build.target, build.id);
    Ok(build.clone())
}

/// Has relations told of the newest builds again: of `target`, or of all. Returns the builds that were pinned.
pub fn unpin(host: &Host, target: Option<Target>) -> Result<Vec<Revision>, LeverError> {
    let mut levers = Levers::load(host)?;
    let ended = levers.unpin(target);
    if ended.is_empty() {
        let of = target
            .map_or("no build is pinned".to_owned(), |target| format!("no build of {target} is pinned"));
        return Err(LeverError::NotPinned(of));
    }
    levers.save(host)?;
    let builds: Vec<Revision> = ended.into_iter().map(|pin| pin.build).collect();
    builds.iter().for_each(|build| log::info!("{}: build {} is no longer pinned", build.target, build.id));
    Ok(builds)
}

/// Has no relation told again of the build of this id, or of the one that the image of this id is a copy of. Returns what
/// it was built for, and its id.
pub fn revoke(host: &Host, id: &str, reason: &str) -> Result<(Target, ImageId), LeverError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(LeverError::NoReason);
    }
    let (journal, mut levers) = (Journal::load(host)?, Levers::load(host)?);
    let (target, build) = match find(&journal, id)? {
        Found::Build(build) => (build.target, build.id.clone()),
        Found::Image(image) => (image.target(), image.result.id.clone()),
    };
    let kept = journal.revision(&build).into_iter().flat_map(|build| &build.copies).map(|copy| &copy.id);
    let told = journal.images.iter().filter(|image| image.revision.as_ref() == Some(&build));
    let copies: BTreeSet<ImageId> = kept.chain(told.map(|image| &image.result.id)).cloned().collect();
    levers.revoke(target, build.clone(), copies, reason.to_owned());
    levers.save(host)?;
    log::warn!("{target}: build {build} is revoked: {reason}");
    Ok((target, build))
}

/// Asks Juju for a hook, which tells relations: for people on the unit, whose command is no hook.
pub fn tell_juju(host: &Host) -> Result<(), TellError> {
    let unit = Request::load(host)?.map(|request| request.unit_name).ok_or(TellError::NoUnit)?;
    Ok(worker::call_hook(&unit, Deadline::after(TELL))?)
}

/// The kept build of this id, or the one that the image of this id is a copy of.
pub(super) fn kept_build<'a>(journal: &'a Journal, id: &str) -> Result<&'a Revision, LeverError> {
    match find(journal, id)? {
        Found::Build(build) => Ok(build),
        Found::Image(image) => Err(LeverError::OfNoBuild(image.result.id.clone())),
    }
}

enum Found<'a> {
    Build(&'a Revision),
    /// Of an earlier version, which kept no evidence of its build.
    Image(&'a Image),
}

/// The build that an id, or the beginning of one, is meant to name.
fn find<'a>(journal: &'a Journal, id: &str) -> Result<Found<'a>, LeverError> {
    let is_meant =
        |known: &ImageId| known.as_str() == id || (id.len() >= SHORTEST && known.as_str().starts_with(id));
    let of_build = |build: &&Revision| {
        let copies = build.copies.iter().map(|copy| &copy.id);
        let told = journal.images.iter().filter(|image| image.revision.as_ref() == Some(&build.id));
        copies.chain(told.map(|image| &image.result.id)).chain([&build.id]).any(is_meant)
    };
    let mut builds = journal.revisions.iter().filter(of_build);
    match (builds.next(), builds.next()) {
        (Some(build), None) => return Ok(Found::Build(build)),
        (Some(_), Some(_)) => return Err(LeverError::Ambiguous(id.to_owned())),
        (None, _) => (),
    }
    let image = journal.images.iter().find(|image| is_meant(&image.result.id));
    image.map(Found::Image).ok_or_else(|| LeverError::Unknown(id.to_owned()))
}

/// Why a build is of no use at `now`: GitHub gives no jobs to its runner.
fn refused(upstream: &Upstream, build: &Revision, now: Timestamp) -> Option<LeverError> {
    let runner = &build.contents.as_ref()?.runner;
    let Acceptance::Refused(since) = upstream.acceptance(runner, now) else { return None };
    Some(LeverError::Refused { build: build.id.clone(), runner: runner.clone(), since })
}
