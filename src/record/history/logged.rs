//! Which jobs the unit's log has, in `logged.json`: each that has ended is told there once, by the next hook.

use serde::{Deserialize, Serialize};

use super::{FORMAT, History, PastJob};
use crate::host::Host;
use crate::record::file::{RecordError, write_json};
use crate::record::run_config::JobId;

const FILE: &str = "logged.json";

/// How many jobs one hook tells: more have ended only while Juju was away.
const MANY: usize = 10;

/// The last job that the unit's log has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Logged {
    /// The format of the version that wrote it.
    format: u32,
    /// The job; absent when none has ended yet.
    #[serde(default)]
    job: Option<JobId>,
}

/// The jobs that have ended since this was asked last, the oldest first. Nothing of what ended before it was asked for the
/// first time: a version that kept no such note may have told of it.
pub fn take_unlogged(host: &Host) -> Result<Vec<PastJob>, RecordError> {
    let path = host.state_dir().join(FILE);
    let read = host.read(&path)?.and_then(|bytes| serde_json::from_slice::<Logged>(&bytes).ok());
    let known = read.filter(|known| known.format == FORMAT);
    let mut jobs = History::load(host)?.jobs;
    let newest = jobs.last().map(|job| job.id.clone());
    if let Some(known) = &known
        && known.job == newest
    {
        return Ok(Vec::new());
    }
    write_json(host, FILE, &Logged { format: FORMAT, job: newest })?;
    let Some(known) = known else { return Ok(Vec::new()) };
    let place = jobs.iter().position(|job| Some(&job.id) == known.job.as_ref());
    jobs.drain(..place.map_or(0, |place| place + 1));
    if let Some(more) = jobs.len().checked_sub(MANY).filter(|more| *more > 0) {
        log::warn!("{more} earlier jobs have ended; `history` lists them");
        jobs.drain(..more);
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::journal::Journal;
    use crate::record::journal::build_state::Job;
    use crate::testing::{request, run_config};

    fn ended(host: &Host) -> JobId {
        let request = request(run_config());
        let mut journal = Journal::default();
        journal.begin(Job::new(&request));
        journal.end(&request, Vec::new());
        History::note(host, &journal, &request.config, 0).unwrap();
        request.id
    }

    fn taken(host: &Host) -> Vec<JobId> {
        take_unlogged(host).unwrap().into_iter().map(|job| job.id).collect()
    }

    #[test]
    fn each_job_is_taken_once_and_none_that_ended_before_the_first_look() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        ended(&host);
        assert_eq!(taken(&host), []);
        let jobs = [ended(&host), ended(&host)];
        assert_eq!(taken(&host), jobs);
        assert_eq!(taken(&host), []);
        let many: Vec<JobId> = (0..60).map(|_| ended(&host)).collect();
        assert_eq!(taken(&host), many[50..]);
    }

    #[test]
    fn the_first_job_of_a_new_unit_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert_eq!(taken(&host), []);
        let first = ended(&host);
        assert_eq!(taken(&host), [first]);
    }
}
