//! The worker: a process of its own that does what hooks have asked for, tells of it in the journal, and asks Juju for
//! a hook when there is news. One lives at a time; one that dies is replaced by the next hook.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::config::BuildSecrets;
use super::job::{Request, worker_lock};
use super::journal::{Failure, Image, Job, Journal, JournalError, Phase, Remedy, Timestamp};
use super::published::Published;
use super::reporter::{News, Reporter};
use super::run::{Progress, RunContext, prune_all, run};
use super::setup::{install_dependencies, remove_old_binaries};
use crate::host::{Exclusive, FileError, Host};
use crate::secret::redact_from_now_on;
use crate::target::Target;

/// How often a newer request is looked for while Juju is told of the last one.
const LOOK: Duration = Duration::from_millis(200);

/// The worker cannot work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The journal or a request could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Does every request there is, then ends. Ends at once when another worker lives.
pub fn work(host: &Host) -> Result<(), WorkerError> {
    loop {
        let Some(mut lock) = Exclusive::try_acquire(&worker_lock(host))? else { return Ok(()) };
        // For whoever must stop us.
        let _ = lock.note(&std::process::id().to_string());
        let reporter = Reporter::default();
        std::thread::scope(|scope| {
            scope.spawn(|| reporter.serve());
            let result = do_all(host, &reporter);
            reporter.end();
            result
        })?;
        let _ = remove_old_binaries(host, std::env::current_exe().ok().as_deref());
        drop(lock);
        // A hook that came between the last look and the release has found the lock taken and started nobody.
        if next_request(host)?.is_none() {
            return Ok(());
        }
    }
}

/// Does requests until there is none and Juju has heard of all that came of them; then prunes.
fn do_all(host: &Host, reporter: &Reporter) -> Result<(), WorkerError> {
    let mut last = None;
    loop {
        if let Some(request) = next_request(host)? {
            let secrets = do_request(host, reporter, &request)?;
            last = Some((request, secrets));
        } else if !reporter.is_idle() {
            // The unit's turn may be held by an action that waits for a newer request: that must not wait for the turn.
            std::thread::sleep(LOOK);
        } else if let Some((request, Some(secrets))) = last.take() {
            // Published first; what relations name now, and what they named before, both stay.
            let named = Published::load(host)?.named_images();
            prune_all(host, &secrets, &request.config, &named);
        } else {
            return Ok(());
        }
    }
}

/// The request that no worker has ended yet.
fn next_request(host: &Host) -> Result<Option<Request>, WorkerError> {
    let Some(request) = Request::load(host)? else { return Ok(None) };
    let journal = Journal::load(host)?;
    let ended = journal.job.is_some_and(|job| job.id == request.id && job.finished.is_some());
    Ok(Some(request).filter(|_| !ended))
}

/// Does one request and notes its end; returns its secrets, unless they were lost.
fn do_request(
    host: &Host,
    reporter: &Reporter,
    request: &Request,
) -> Result<Option<BuildSecrets>, WorkerError> {
    log::info!("job {}: {:?}, {:?}", request.id, request.reason, request.rebuild);
    let mut journal = Journal::load(host)?;
    journal.job = Some(Job {
        id: request.id.clone(),
        config_digest: request.config.digest(),
        owner: request.config.owner.clone(),
        started: Timestamp::now(),
        finished: None,
        builds: Vec::new(),
        failures: Vec::new(),
    });
    journal.save(host)?;
    reporter.unit(&request.unit_name);
    let whole = |message: String, remedy| vec![Failure { target: None, cloud: None, message, remedy }];
    let Some(secrets) = request.take_secrets(host)? else {
        log::warn!("job {}: its secrets are lost; the next hook brings them again", request.id);
        let failures =
            whole("the secrets of the build were lost with an earlier worker".into(), Remedy::Hook);
        finish(host, &mut journal, failures)?;
        reporter.tell(News::Important);
        return Ok(None);
    };
    secrets_stay_out_of_logs(&secrets);
    let record = Record { host, journal: Mutex::new(journal), reporter };
    let context = RunContext {
        host,
        job: &request.id,
        secrets: &secrets,
        rebuild: request.rebuild,
        bases: &request.bases,
        progress: &record,
    };
    let failures = match install_dependencies(request.config.build_mode) {
        Ok(()) => run(&context, &request.config).err().map(|error| error.failures).unwrap_or_default(),
        Err(error) => {
            log::error!("{error}");
            whole(error.to_string(), Remedy::Retry)
        }
    };
    let mut journal = record.journal.into_inner().unwrap_or_else(PoisonError::into_inner);
    finish(host, &mut journal, failures)?;
    reporter.tell(News::Important);
    log::info!("job {}: ended", request.id);
    Ok(Some(secrets))
}

fn finish(host: &Host, journal: &mut Journal, failures: Vec<Failure>) -> Result<(), JournalError> {
    if failures.is_empty() {
        journal.failures_in_row = 0;
        journal.last_success = Some(Timestamp::now());
    } else {
        journal.failures_in_row = journal.failures_in_row.saturating_add(1);
    }
    if let Some(job) = &mut journal.job {
        job.failures = failures;
        job.finished = Some(Timestamp::now());
    }
    journal.save(host)
}

fn secrets_stay_out_of_logs(secrets: &BuildSecrets) {
    let proxies = [&secrets.proxies.http, &secrets.proxies.https];
    secrets.script.values().chain(proxies.into_iter().flatten()).for_each(redact_from_now_on);
}

/// Writes progress into the journal, and passes the news on.
struct Record<'a> {
    host: &'a Host,
    journal: Mutex<Journal>,
    reporter: &'a Reporter,
}

impl Record<'_> {
    fn change(&self, news: News, change: impl FnOnce(&mut Journal)) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut journal);
        // A disk that is full now may have room when the job ends; the build goes on.
        if let Err(error) = journal.save(self.host) {
            log::error!("{error}");
        }
        self.reporter.tell(news);
    }
}

impl Progress for Record<'_> {
    fn phase(&self, target: Target, phase: Phase) {
        self.change(News::Progress, |journal| {
            if let Some(job) = &mut journal.job {
                let build = job.build(target);
                if matches!(build.phase, Phase::Waiting) {
                    build.since = Timestamp::now();
                }
                build.phase = phase;
            }
        });
    }

    fn published(&self, image: Image) {
        self.change(News::Important, |journal| journal.publish(image));
    }
}

/// Where the worker logs.
pub fn worker_log(host: &Host) -> PathBuf {
    host.log_dir().join("worker.log")
}
