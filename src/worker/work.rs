//! The worker: a process of its own that does what hooks have asked for, tells of it in the journal, and asks Juju for
//! a hook when there is news. One lives at a time; one that dies is replaced by the next hook.

use std::path::PathBuf;
use std::time::Duration;

use super::check::Checks;
use super::error::WorkerError;
use super::preparation::prepare;
use super::process::start_worker;
use super::record::{Record, signer};
use super::reporter::{News, Reporter, Standing};
use super::shared_journal::SharedJournal;
use super::take_over::{Announced, take_over};
use crate::builder::{
    BuilderSetupError, Connections, RunContext, Sweep, clean_up, deliver_chosen, former_names,
    install_dependencies, prune_all, read_clouds_yaml, remove_old_binaries, run, search, wanted_format,
};
use crate::host::{Exclusive, Host};
use crate::model::{Cause, Deadline, redact_from_now_on, retries};
use crate::record::{
    Announcement, BuildMode, BuildSecrets, BuilderRunConfig, Failure, History, Job, JobId, Journal, Known,
    Levers, Manifest, PastJob, Peers, Pruned, Remedy, Request, Task, Told, prune_provenance,
    put_aside_locked, worker_lock,
};

/// How often a newer request is looked for while Juju is told of the last one.
const LOOK: Duration = Duration::from_millis(200);

/// The same while Juju cannot be reached, for half a day perhaps.
const RARE_LOOK: Duration = Duration::from_secs(2);

/// How long the other units may take to follow what is announced, before pruning is left to the next job.
const FOLLOW: Duration = Duration::from_secs(10 * 60);

/// Does every request there is, then ends. Ends at once when another worker lives.
pub fn work(host: &Host) -> Result<(), WorkerError> {
    work_in(host, |_| true)
}

/// The same for a worker whose memory is limited: requests to build on this machine are left to another, which it starts.
pub fn work_externally(host: &Host) -> Result<(), WorkerError> {
    work_in(host, |request| request.config.build_mode == BuildMode::External)
}

/// Does the requests that are `ours`, until there is another or none.
fn work_in(host: &Host, ours: fn(&Request) -> bool) -> Result<(), WorkerError> {
    loop {
        let Some(mut lock) = Exclusive::acquire(&worker_lock(host))? else { return Ok(()) };
        // For whoever must stop us.
        let _ = lock.note(&std::process::id().to_string());
        put_aside_locked(host)?;
        host.remove_beginning(&host.run_dir(), &RUN_FILES)?;
        if let Some(request) = Request::load(host)? {
            catch_up(host, &Journal::load(host)?, &request);
        }
        let reporter = Reporter::default();
        let checks = Checks::new(host, &reporter);
        std::thread::scope(|scope| {
            scope.spawn(|| reporter.serve());
            scope.spawn(|| checks.serve());
            let result = do_all(host, &reporter, &checks, ours);
            checks.end();
            reporter.end();
            result
        })?;
        let _ = remove_old_binaries(host, std::env::current_exe().ok().as_deref());
        drop(lock);
        // A hook that came between the last look and the release has found the lock taken and started nobody.
        match next_request(host)? {
            Some(request) if ours(&request) => (),
            Some(_) => return Ok(start_worker(host)?),
            None if checks.has_order() => (),
            None => return Ok(()),
        }
    }
}

/// What builds put into the run folder, and what a worker that was killed has left there.
const RUN_FILES: [&str; 3] = ["key-", "ssh-", "sums-"];

/// Does requests until there is none and Juju has heard of all that came of them; then prunes, and prepares the builds to
/// come. While Juju cannot be reached, it prunes what it may already.
fn do_all(
    host: &Host,
    reporter: &Reporter,
    checks: &Checks<'_>,
    ours: fn(&Request) -> bool,
) -> Result<(), WorkerError> {
    let (mut last, mut of_job): (Option<(Request, BuildSecrets, Connections)>, _) = (None, None);
    let mut has_pruned = false;
    let mut patience = Deadline::after(FOLLOW);
    loop {
        let standing = reporter.standing();
        if let Some(request) = next_request(host)? {
            if !ours(&request) {
                return Ok(());
            }
            let connections = Connections::default();
            let secrets = do_request(host, reporter, &request, &connections)?;
            of_job.clone_from(&secrets);
            let secrets = secrets.filter(|_| request.task == Task::Build);
            last = secrets.map(|secrets| (request, secrets, connections));
            (patience, has_pruned) = (Deadline::after(FOLLOW), false);
        } else if checks.take_turn(of_job.as_ref()) {
            // Its order may have come with a request.
        } else if standing == Standing::Reporting {
            // The unit's turn may be held by an action that waits for a newer request: that must not wait for the turn.
            reporter.rest(LOOK);
        } else if standing == Standing::Unheard {
            // Units that follow hear of it later, too.
            patience = Deadline::after(FOLLOW);
            match last.as_ref().filter(|_| !has_pruned) {
                None => reporter.rest(RARE_LOOK),
                Some((request, secrets, connections)) => {
                    // What relations still name stays, and goes once they have heard.
                    prune(host, request, secrets, connections)?;
                    has_pruned = true;
                }
            }
        } else if last.is_some() && others_follow(host)? && !patience.passed() {
            reporter.rest(LOOK);
        } else if let Some((request, secrets, connections)) = last.take() {
            prune(host, &request, &secrets, &connections)?;
            prepare(host, reporter, checks, &request, (&secrets, &connections))?;
        } else if checks.end_if_idle() {
            return Ok(());
        } else {
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether other units have yet to follow what this one announces.
fn others_follow(host: &Host) -> Result<bool, WorkerError> {
    let peers = Peers::load(host)?;
    Ok(peers.leads && !peers.behind().is_empty())
}

/// Prunes, when that is ours to do and no unit may name an image that we do not know of, unless nothing has changed since.
fn prune(
    host: &Host,
    request: &Request,
    secrets: &BuildSecrets,
    connections: &Connections,
) -> Result<(), WorkerError> {
    let peers = Peers::load(host)?;
    let behind = peers.behind();
    if !peers.leads {
        log::info!("not pruning: only the leader prunes");
    } else if !behind.is_empty() {
        log::warn!(
            "old images are kept until the next job: {} did not publish the new ones in time",
            behind.join(", ")
        );
    } else {
        // Published first; what relations name now, and what they named before, both stay. Nothing is pruned while it
        // is not known what they name.
        let told = Told::load(host)?;
        if told.is_known() {
            let mut journal = Journal::load(host)?;
            let config = &request.config;
            let told = told.with(Levers::load(host)?.held(&journal, config));
            if !journal.retries_pruning() && Pruned::load(host)?.is_as(&Pruned::now(config, &told, &journal))
            {
                log::info!("nothing is to be pruned: nothing has changed since");
            } else {
                let whole = prune_all(host, secrets, config, (&told, connections), &mut journal);
                journal.save(host)?;
                if whole {
                    Pruned::now(config, &told, &journal).save(host)?;
                }
            }
            Manifest::prune(host, &journal)?;
            prune_provenance(host, &journal)?;
        }
    }
    Ok(())
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
    connections: &Connections,
) -> Result<Option<BuildSecrets>, WorkerError> {
    let began = retries();
    log::info!("job {} started: {request}", request.id);
    let mut journal = Journal::load(host)?;
    catch_up(host, &journal, request);
    let announced = Peers::load(host)?.announcement();
    if matches!(request.task, Task::Build | Task::Serve) {
        announced.iter().for_each(|announced| journal.inherit(announced));
    }
    if let Ok(clouds) = read_clouds_yaml(host) {
        former_names(&clouds, &request.config).renew(&mut journal);
    }
    if journal.running().is_some_and(|job| job.id != request.id) {
        // Its worker died, or was stopped.
        note(host, &journal, request, 0);
    }
    journal.begin(Job::new(request));
    journal.leaves_clouds(&request.config);
    let former = journal.clouds_to_leave(&request.config);
    let levers = Levers::load(host)?;
    let known = Known::of_job(&journal, &levers, request);
    let sweep = if journal.sweep_is_due() { Sweep::Due } else { Sweep::NotDue };
    journal.save(host)?;
    reporter.unit(&request.unit_name);
    let whole = |message: String, remedy| {
        vec![Failure { cause: Cause::Unit, remedy, ..Failure::of(&message, false) }]
    };
    let Some(secrets) = request.take_secrets(host)? else {
        let failures =
            whole("the secrets of the build were lost when an earlier worker ended".into(), Remedy::Hook);
        journal.end(request, failures);
        journal.save(host)?;
        note(host, &journal, request, 0);
        reporter.tell(News::Important);
        return Ok(None);
    };
    secrets_stay_out_of_logs(&secrets);
    let (signer, journal) = (signer(&secrets), SharedJournal::new(host, journal));
    let record = Record { host, job: &request.id, levers, signer, journal, reporter };
    let context = RunContext {
        host,
        job: &request.id,
        secrets: &secrets,
        rebuild: request.rebuild,
        continues: &request.continues,
        sweep,
        former: &former,
        known: &known,
        bases: &request.bases,
        progress: &record,
        connections,
    };
    let failures = match &request.task {
        Task::TakeOver(images) => {
            let revisions = announced.iter().flat_map(Announcement::revisions).cloned().collect::<Vec<_>>();
            let announced = Announced { owner: &request.config.owner, images, revisions: &revisions };
            take_over(host, &secrets, &announced, &record)
        }
        Task::CleanUp => clean_up(&context, &request.config),
        Task::Serve => deliver_chosen(&context, &request.config),
        Task::Search(ids) => search(&context, &request.config, &told(host, request)?, ids),
        Task::Build => match dependencies(request, &known) {
            Ok(()) => run(&context, &request.config).err().map(|error| error.failures).unwrap_or_default(),
            Err(error) => whole(error.to_string(), Remedy::Retry),
        },
    };
    record.sign_all();
    let mut journal = record.journal.into_inner();
    // What a cloud has that nobody is related to any more may be gone when somebody is again.
    journal.images.retain(|image| request.config.clouds.contains(&image.result.config.cloud_name));
    let BuilderRunConfig { build_cloud, clouds, .. } = &request.config;
    journal.in_use.retain(|known| known.cloud == *build_cloud || clouds.contains(&known.cloud));
    for build in &mut journal.revisions {
        build.copies.retain(|copy| clouds.contains(&copy.cloud));
    }
    if matches!(request.task, Task::TakeOver(_)) {
        // Who builds prunes; who follows keeps what is announced.
        let known: Vec<_> =
            announced.iter().flat_map(Announcement::revisions).map(|known| &known.id).collect();
        journal.forget_revisions(|revision| known.contains(&&revision.id));
    }
    journal.end(request, failures);
    journal.save(host)?;
    for build in journal.job.iter().flat_map(|job| &job.builds).filter(|build| !build.took.is_empty()) {
        let (target, phase, total) = (build.target, build.phase.word(), build.total().as_secs());
        log::info!("job {}: {target}: {phase} after {total} s: {}", request.id, build.times());
    }
    note(host, &journal, request, retries().saturating_sub(began));
    tell_changes(host, &journal, &request.id);
    reporter.tell(News::Important);
    Ok(Some(secrets))
}

/// Installs what the build stands on. Who builds by hand has done so, and may not be root.
fn dependencies(request: &Request, known: &Known) -> Result<(), BuilderSetupError> {
    if request.unit_name.is_empty() {
        return Ok(());
    }
    let BuilderRunConfig { build_mode, image_format, .. } = request.config;
    install_dependencies(build_mode, wanted_format(image_format, &known.revisions))
}

/// What relations may name, and what operators have chosen.
fn told(host: &Host, request: &Request) -> Result<Told, WorkerError> {
    let held = Levers::load(host)?.held(&Journal::load(host)?, &request.config);
    Ok(Told::load(host)?.with(held))
}

/// Logs how the journal's job has ended, and has people find it in the history. `request` is of the present configuration.
fn note(host: &Host, journal: &Journal, request: &Request, retries: u64) {
    match History::note(host, journal, &request.config, retries) {
        Ok(ended) => ended.iter().for_each(PastJob::log),
        Err(error) => log::warn!("{error}; the action history will not show this job"),
    }
}

/// The same for a job whose worker was killed right after its end.
fn catch_up(host: &Host, journal: &Journal, request: &Request) {
    match History::catch_up(host, journal, &request.config) {
        Ok(ended) => ended.iter().for_each(PastJob::log),
        Err(error) => log::warn!("{error}; action history will not know of the last job"),
    }
}

/// Logs what has changed in what a job has built.
fn tell_changes(host: &Host, journal: &Journal, job: &JobId) {
    for build in journal.revisions.iter().filter(|build| build.job == *job) {
        if let Ok(Some(changes)) = Manifest::changes(host, journal, build) {
            log::info!("job {job}: {}: changed since the last build: {changes}", build.target);
        }
    }
}

/// From now on no log line has a secret of the build.
pub(super) fn secrets_stay_out_of_logs(secrets: &BuildSecrets) {
    let proxies = [&secrets.proxies.http, &secrets.proxies.https];
    let whole = proxies.into_iter().chain([&secrets.github_token, &secrets.signing_key]).flatten();
    secrets.script.values().chain(whole).for_each(redact_from_now_on);
}

/// Where the worker logs.
pub fn worker_log(host: &Host) -> PathBuf {
    host.log_dir().join("worker.log")
}
