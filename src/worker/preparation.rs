//! What follows a job: prepared images for the builds to come. The job has ended by then, and all that came of it is told; whatever
//! else is to be done comes first.

use super::check::Checks;
use super::error::WorkerError;
use super::record::Record;
use super::reporter::Reporter;
use super::shared_journal::SharedJournal;
use crate::builder::{self, Connections, Preparation, RunContext, Sweep};
use crate::host::Host;
use crate::model::Target;
use crate::record::{
    BuildSecrets, BuiltOn, History, JobId, Journal, Known, Levers, Peers, Phase, Progress, Rebuild, Request,
};

/// Makes prepared images of the targets that the job of `request` has built on a base image and delivered. One that cannot be
/// made is noted, and not tried again before the next such build.
pub(super) fn prepare(
    host: &Host,
    reporter: &Reporter,
    checks: &Checks<'_>,
    request: &Request,
    (secrets, connections): (&BuildSecrets, &Connections),
) -> Result<(), WorkerError> {
    let journal = Journal::load(host)?;
    let job = journal.job.iter().filter(|job| job.id == request.id);
    let builds = job.flat_map(|job| &job.builds);
    let targets: Vec<Target> = builds
        .filter(|build| build.built_on == Some(BuiltOn::BaseImage) && build.phase == Phase::Done)
        .map(|build| build.target)
        .collect();
    if targets.is_empty() || !request.config.keeps_prepared_images() || !Peers::load(host)?.leads {
        return Ok(());
    }
    let (levers, known) = (Levers::load(host)?, Known::of(&journal));
    let journal = SharedJournal::new(host, journal);
    let record = Record { host, job: &request.id, levers, signer: None, journal, reporter };
    let context = RunContext {
        host,
        job: &request.id,
        secrets,
        connections,
        rebuild: Rebuild::Due,
        continues: &[],
        sweep: Sweep::NotDue,
        former: &[],
        known: &known,
        bases: &[],
        progress: &record,
    };
    let is_waited_for = || record.is_waited_for() || checks.is_waiting();
    let told = |target, preparation| tell(host, &request.id, target, preparation);
    let prepares =
        |whether| record.write(|journal| journal.job.iter_mut().for_each(|job| job.prepares = whether));
    prepares(true)?;
    builder::prepare(&context, &request.config, &targets, &is_waited_for, &told);
    Ok(prepares(false)?)
}

/// Logs what has come of a prepared image, and has people find it in the history.
fn tell(host: &Host, job: &JobId, target: Target, preparation: Preparation) {
    let what = match preparation {
        Preparation::Made(what) => what,
        Preparation::GaveWay => "not made: other work waited".to_owned(),
        Preparation::Failed(failure) => {
            log::warn!("job {job}: {target}: no prepared image: {failure}; builds go on without one");
            format!("not made: {failure}")
        }
    };
    log::info!("job {job}: {target}: prepared image: {what}");
    if let Err(error) = History::note_preparation(host, job, target, &what) {
        log::warn!("{error}; action history will not know of this prepared image");
    }
}
