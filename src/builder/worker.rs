//! The worker: a process of its own that does what hooks have asked for, tells of it in the journal, and asks Juju for
//! a hook when there is news. One lives at a time; one that dies is replaced by the next hook.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::BuildSecrets;
use super::job::{Request, worker_lock};
use super::journal::{Failure, Image, Job, Journal, JournalError, Phase, Remedy, Timestamp};
use super::published::Published;
use super::run::{Progress, RunContext, prune_all, run};
use super::setup::{install_dependencies, remove_old_binaries};
use crate::deadline::Deadline;
use crate::host::{Exclusive, FileError, Host, Program};
use crate::secret::redact_from_now_on;
use crate::target::Target;

/// Progress is told to Juju at most this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How long the unit's turn is waited for: an action may hold it for half an hour.
const TURN: Duration = Duration::from_secs(45 * 60);

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
        while let Some(request) = next_request(host)? {
            do_request(host, &request)?;
        }
        let _ = remove_old_binaries(host, std::env::current_exe().ok().as_deref());
        drop(lock);
        // A hook that came between the last look and the release has found the lock taken and started nobody.
        if next_request(host)?.is_none() {
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

fn do_request(host: &Host, request: &Request) -> Result<(), WorkerError> {
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
    let Some(secrets) = request.take_secrets(host)? else {
        log::warn!("job {}: its secrets are lost; the next hook brings them again", request.id);
        let message = "the secrets of the build were lost with an earlier worker".into();
        let failures = vec![Failure { target: None, cloud: None, message, remedy: Remedy::Hook }];
        finish(host, &mut journal, failures)?;
        call_hook(&request.unit_name);
        return Ok(());
    };
    secrets_stay_out_of_logs(&secrets);
    let (news, inbox) = mpsc::channel();
    let record = Record { host, journal: Mutex::new(journal), news };
    let context = RunContext {
        host,
        job: &request.id,
        secrets: &secrets,
        rebuild: request.rebuild,
        bases: &request.bases,
        progress: &record,
    };
    let failures = std::thread::scope(|scope| {
        let reporter = scope.spawn(move || report(&request.unit_name, &inbox));
        let failures = match install_dependencies() {
            Ok(()) => run(&context, &request.config).err().map(|error| error.failures).unwrap_or_default(),
            Err(error) => {
                log::error!("{error}");
                vec![Failure { target: None, cloud: None, message: error.to_string(), remedy: Remedy::Retry }]
            }
        };
        let _ = record.news.send(News::End);
        let _ = reporter.join();
        failures
    });
    let mut journal = record.journal.lock().unwrap_or_else(PoisonError::into_inner).clone();
    finish(host, &mut journal, failures)?;
    call_hook(&request.unit_name);
    // Published first; what relations name now, and what they named before, both stay.
    prune_all(&context, &request.config, &Published::load(host)?.named_images());
    log::info!("job {}: ended", request.id);
    Ok(())
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

/// Something to tell Juju.
enum News {
    /// A build has come further.
    Progress,
    /// An image can be published.
    Image,
    /// Nothing more will come.
    End,
}

/// Writes progress into the journal, and passes the news on.
struct Record<'a> {
    host: &'a Host,
    journal: Mutex<Journal>,
    news: Sender<News>,
}

impl Record<'_> {
    fn change(&self, news: News, change: impl FnOnce(&mut Journal)) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut journal);
        // A disk that is full now may have room when the job ends; the build goes on.
        if let Err(error) = journal.save(self.host) {
            log::error!("{error}");
        }
        let _ = self.news.send(news);
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
        self.change(News::Image, |journal| journal.publish(image));
    }
}

/// Calls a hook for news: at once for an image, for progress at most once a minute, and never two at a time.
fn report(unit_name: &str, inbox: &Receiver<News>) {
    let mut last: Option<Instant> = None;
    let mut due: Option<Instant> = None;
    loop {
        let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        let news = match due {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => inbox.recv_timeout(wait),
        };
        match news {
            Ok(News::Image) => due = Some(Instant::now()),
            Ok(News::Progress) => {
                due = due.or_else(|| Some(last.map_or_else(Instant::now, |last| last + REPORT_INTERVAL)));
            }
            Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                call_hook(unit_name);
                (last, due) = (Some(Instant::now()), None);
            }
        }
    }
}

/// Asks Juju to run our hook, and waits for it to end.
fn call_hook(unit_name: &str) {
    let command = "JUJU_DISPATCH_PATH=worker ./dispatch";
    let call = Program::new("juju-exec").args([unit_name, command]).run(Deadline::after(TURN));
    if let Err(error) = call {
        log::warn!("telling Juju of news failed, the next hook will see them: {error}");
    }
}

/// Where the worker logs.
pub fn worker_log(host: &Host) -> PathBuf {
    host.log_dir().join("worker.log")
}
