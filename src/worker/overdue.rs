//! A process beside the hooks that lives and gets nowhere: stopped, or stuck in the kernel. How long each phase may take is
//! one table; whoever takes longer without a word in the journal is ended, and the next one clears up after it.

use std::path::Path;
use std::time::Duration;

use super::process::stop_holder;
use crate::host::{Exclusive, FileError, Host};
use crate::record::{Job, Journal, Phase, worker_lock};

const MINUTE: Duration = Duration::from_secs(60);

/// The longest that a worker may go without a word in the journal. Each is well above the deadlines of what is done in it:
/// those end a phase that is merely slow.
fn limit(job: Option<&Job>) -> Duration {
    let Some(job) = job.filter(|job| job.finished.is_none()) else {
        // Juju is told, for hours where it cannot be reached; the other units follow, old images go.
        return 14 * 60 * MINUTE;
    };
    // Before a target's turn: packages, clouds, the sweep, the script. After all of them: the security group.
    job.builds.iter().map(|build| of_phase(&build.phase)).fold(90 * MINUTE, Duration::max)
}

fn of_phase(phase: &Phase) -> Duration {
    match phase {
        Phase::Waiting | Phase::Checking | Phase::Done | Phase::UpToDate | Phase::Failed => 90 * MINUTE,
        Phase::Snapshotting | Phase::Verifying => 150 * MINUTE,
        Phase::Preparing
        | Phase::Launching
        | Phase::Installing { .. }
        | Phase::Packing
        | Phase::Delivering => 210 * MINUTE,
    }
}

/// Whether a worker lives that gets on with `journal`'s job. One that is overdue is ended.
pub fn worker_gets_on(host: &Host, journal: &Journal) -> Result<bool, FileError> {
    let notes = [Journal::path(host)];
    gets_on(host, &worker_lock(host), &notes, limit(journal.job.as_ref()))
}

/// Whether a process holds `lock` that has written into it, or into one of `notes`, within `limit`. Another is ended.
pub(super) fn gets_on(
    host: &Host,
    lock: &Path,
    notes: &[impl AsRef<Path>],
    limit: Duration,
) -> Result<bool, FileError> {
    if !Exclusive::is_held(lock)? {
        return Ok(false);
    }
    let files = notes.iter().map(AsRef::as_ref).chain([lock]);
    // A file from the future was written by a clock that was wrong: just now, for all we know.
    let age =
        files.filter_map(|file| Some(file.metadata().ok()?.modified().ok()?.elapsed().unwrap_or_default()));
    let Some(age) = age.min().filter(|age| *age > limit) else { return Ok(true) };
    log::warn!(
        "the process that holds {} has made no progress for {} min, longer than any step takes; it is replaced",
        lock.display(),
        age.as_secs() / 60
    );
    stop_holder(host, lock);
    Exclusive::is_held(lock)
}
