//! A charm that is deployed, wherever its cloud is: what Juju's agent and the unit's machine tell of it, and what can be
//! done to it there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rehearsal::agent::{Application, HookRun, Model, Relation, Unit};
use runner_image_builder::host::Host;
use runner_image_builder::record::{Job, Journal, Request, worker_lives};

/// The name of the application, and the beginning of all names that it gives.
pub const APPLICATION: &str = "image-builder";
/// The script's secret: nobody but the script may ever see it.
pub const SCRIPT_SECRET: &str = "planted-script-secret-7b1f0c5e";

/// One application; where nothing else is said, its first unit.
pub trait Deployed {
    fn model(&self) -> &Model;

    fn app(&self) -> &Application;

    /// The root of the unit's machine.
    fn machine(&self) -> PathBuf;

    /// How long a job may take there on a busy day.
    fn patience(&self) -> Duration;

    fn unit(&self) -> Unit {
        self.app().unit(0)
    }

    /// `active: noble-x64 3 h old`
    fn status(&self) -> String {
        status(&self.unit())
    }

    /// What a databag of ours says under `key`.
    fn told(&self, relation: &Relation, key: &str) -> Option<String> {
        relation.written_by(&self.unit()).expect("databag").get(key).cloned()
    }

    fn journal(&self) -> Journal {
        Journal::load(&Host::below(self.machine())).expect("journal")
    }

    /// Another one for each time that the journal is written.
    fn journal_version(&self) -> Option<(u64, i64, i64)> {
        let journal = Host::below(self.machine()).state_dir().join("journal.json");
        std::fs::metadata(journal).ok().map(|file| (file.ino(), file.mtime(), file.mtime_nsec()))
    }

    /// The living worker's process.
    fn worker(&self) -> Option<i32> {
        worker(&self.machine())
    }

    /// Kills the worker as the kernel does when memory is short, and waits for its death.
    fn kill_worker(&self) {
        let worker = self.worker().expect("a worker").to_string();
        assert!(Command::new("kill").args(["-KILL", &worker]).status().expect("kill").success());
        wait_for("the worker's death", self.patience(), || self.worker().is_none().then_some(()));
    }

    /// Waits until no worker lives and returns the last job.
    fn job_ended(&self) -> Job {
        job_ended(&self.machine(), self.patience())
    }

    /// A hook after whatever has happened.
    fn next_hook(&self) {
        let run = self.unit().update_status().expect("hook");
        assert!(run.succeeded(), "{run:?}");
    }

    /// What cron does: asks for a job if there may be work. Whoever waits for its end knows that it is over.
    fn look_for_work(&self) {
        let result = self.unit().exec("JUJU_DISPATCH_PATH=run ./dispatch").expect("exec");
        assert_eq!(result.code, 0, "{}", result.stderr);
    }

    /// Sets options, and every hook must succeed.
    fn set_options(&self, options: &[(&str, &str)]) {
        all_succeeded(&self.app().set_config(options).expect("config"));
    }

    /// What `dispatch jobs` prints on the unit.
    #[allow(dead_code, reason = "only some tests ask")]
    fn jobs(&self) -> String {
        let output = self.unit().exec("./dispatch jobs").expect("exec");
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout
    }

    /// What a build keeps on the machine while it runs, and what is there of it.
    fn run_files(&self) -> Vec<String> {
        let entries =
            std::fs::read_dir(Host::below(self.machine()).run_dir()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| ["key-", "ssh-", "sums-", "secrets-"].iter().any(|of| name.starts_with(of)))
            .collect()
    }
}

/// `active: noble-x64 3 h old`
pub fn status(unit: &Unit) -> String {
    let status = unit.status().expect("status");
    format!("{}: {}", status.state, status.message)
}

/// The process of the worker that lives on a machine. Its lock is left alone: a worker that begins just then would find
/// it taken when one looks as often as those who wait for a moment of a build.
pub fn worker(machine: &Path) -> Option<i32> {
    let note = std::fs::read_to_string(Host::below(machine).state_dir().join("worker.lock")).ok()?;
    let process = note.trim().parse().ok()?;
    let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
    command.contains("\0work\0").then_some(process)
}

/// Waits until no worker lives on a machine and returns its last job: the one that was asked for last.
pub fn job_ended(machine: &Path, patience: Duration) -> Job {
    let host = Host::below(machine);
    wait_for("the end of the worker", patience, || {
        let asked = Request::load(&host).expect("request").map(|request| request.id);
        let is_it = |job: &Job| job.finished.is_some() && asked.as_ref().is_none_or(|id| *id == job.id);
        let ended = Journal::load(&host).expect("journal").job.filter(is_it);
        (!worker_lives(&host).expect("worker.lock")).then_some(ended).flatten()
    })
}

/// Every hook must succeed.
pub fn all_succeeded(runs: &[HookRun]) {
    for run in runs {
        assert!(run.succeeded(), "{} ended with {}: {}", run.name, run.ending, run.stderr);
    }
}

/// Waits until `condition` gives something, and says what was waited for when it does not.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < limit, "{what} did not happen in {} s", limit.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
