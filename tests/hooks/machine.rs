//! A deployed charm and its machines: what a test looks at, and how it plays the worker's part.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rehearsal::agent::{Application, HookRun, Model, Process, Secret, Unit, processes_below};
use runner_image_builder::host::Host;
use runner_image_builder::model::{Arch, BaseImage, Target, Timestamp};
use runner_image_builder::record::{
    BuildConfig, BuildResult, CheckOrder, CloudName, Failure, Findings, Image, Journal, Request, worker_lives,
};
use tempfile::TempDir;

use crate::deploy::root;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than a hook takes on a busy machine, and less than one that waits for a cloud: a connection is given up after
/// 10 seconds, an answer after 60.
pub const PROMPT: Duration = Duration::from_secs(9);

pub const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
pub const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::X64 };

/// A model with the application in it. When it is dropped, nothing of it must be left that runs.
pub struct Site {
    pub app: Application,
    pub model: Model,
    /// The secret that openstack-password-secret names.
    pub password: Secret,
    /// The folder that the charm was deployed from.
    pub charm: PathBuf,
    /// Holds the machines' roots.
    pub dir: TempDir,
}

impl Site {
    pub fn unit(&self) -> Unit {
        self.app.unit(0)
    }

    /// The first unit's machine.
    pub fn host(&self) -> Host {
        Host::below(root(self.dir.path(), 0))
    }

    /// A file of the charm's state.
    pub fn state_file(&self, name: &str) -> PathBuf {
        self.host().state_dir().join(name)
    }

    pub fn clouds_yaml(&self) -> String {
        fs::read_to_string(self.state_file("clouds.yaml")).unwrap()
    }

    /// `blocked: image integration required.`
    pub fn status(&self) -> String {
        self.unit().status().unwrap().to_string()
    }

    #[track_caller]
    pub fn assert_status(&self, beginning: &str) {
        let status = self.status();
        assert!(status.starts_with(beginning), "{status:?} does not begin with {beginning:?}");
    }

    /// update-status, which must succeed.
    #[track_caller]
    pub fn next_hook(&self) -> HookRun {
        succeeded(self.unit().update_status().unwrap())
    }

    /// What hooks ask of the worker.
    pub fn request(&self) -> Option<Request> {
        Request::load(&self.host()).unwrap()
    }

    pub fn journal(&self) -> Journal {
        Journal::load(&self.host()).unwrap()
    }

    pub fn worker_lives(&self) -> bool {
        worker_lives(&self.host()).unwrap()
    }

    /// The worker, once it has taken up what was asked last.
    #[track_caller]
    pub fn worker(&self) -> Process {
        let mut found = None;
        let wanted = self.request().expect("nothing was asked of the worker").id;
        let at_work = || {
            let at_work = self.journal().running().is_some_and(|job| job.id == wanted);
            found = self.workers().into_iter().next().filter(|_| at_work);
            found.is_some()
        };
        self.model.wait_until("the worker to take up its job", PATIENCE, at_work).unwrap();
        found.unwrap()
    }

    /// The processes of the worker's binary.
    pub fn workers(&self) -> Vec<Process> {
        let binaries = self.state_file("bin").display().to_string();
        let all = self.unit().processes().unwrap();
        all.into_iter().filter(|process| process.command.starts_with(&binaries)).collect()
    }

    /// Kills the worker, as the kernel does when memory is short.
    pub fn kill_worker(&self) {
        while self.unit().processes().unwrap().iter().map(Process::kill).count() > 0 || self.worker_lives() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the job that was asked for last, in the worker's place: nobody works, and nothing is due.
    pub fn settle(&self) {
        self.finish_job(Vec::new(), |_| ());
    }

    /// Ends the job that was asked for last, in the worker's place, with these images.
    pub fn deliver(&self, images: &[(&str, Target, &CloudName)]) {
        self.finish_job(Vec::new(), |journal| {
            for (id, target, cloud) in images {
                journal.publish(image(id, *target, cloud));
            }
        });
    }

    /// Ends the job that was asked for last, in the worker's place.
    pub fn finish_job(&self, failures: Vec<Failure>, change: impl FnOnce(&mut Journal)) {
        self.worker();
        // Hooks that other units have caused are none of those to be killed.
        self.unit().wait_idle(PATIENCE).unwrap();
        self.kill_worker();
        self.end_job(failures, change);
    }

    /// Lets the time come at which failures are tried again.
    pub fn time_has_come(&self) {
        let mut journal = self.journal();
        let open = journal.standings.iter_mut().filter_map(|standing| standing.open.as_mut());
        open.for_each(|open| open.next_try = Timestamp::now());
        journal.save(&self.host()).unwrap();
    }

    /// Writes the journal of a worker that has ended.
    pub fn end_job(&self, failures: Vec<Failure>, change: impl FnOnce(&mut Journal)) {
        let mut journal = self.journal();
        change(&mut journal);
        journal.end(&self.request().unwrap(), failures);
        journal.save(&self.host()).unwrap();
        self.end_check();
    }

    /// Ends the check that was ordered last, in the worker's place: it has found nothing.
    fn end_check(&self) {
        let Some(order) = CheckOrder::load(&self.host()) else { return };
        let (at, config_digest) = (Timestamp::now(), order.config.digest());
        Findings { order: order.id, at, config_digest, findings: Vec::new() }.save(&self.host()).unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for unit in self.app.units() {
            let _ = unit.power_cut();
        }
        let left = processes_below(self.dir.path());
        assert!(left.is_empty() || std::thread::panicking(), "still running: {left:?}");
    }
}

/// An image as the worker's journal has it, built just now.
pub fn image(id: &str, target: Target, cloud: &CloudName) -> Image {
    let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: cloud.clone() };
    Image {
        result: BuildResult { config, id: id.parse().unwrap() },
        fingerprint: "what it is made of".into(),
        hash: None,
        revision: None,
        built: Timestamp::now(),
    }
}

#[track_caller]
pub fn succeeded(run: HookRun) -> HookRun {
    assert!(run.succeeded(), "{} failed: {:?} {}", run.name, run.ending, run.stderr);
    run
}

/// All of them succeeded, and there was at least one.
#[track_caller]
pub fn all_succeeded(runs: Vec<HookRun>) {
    assert!(!runs.is_empty(), "no hook ran");
    runs.into_iter().for_each(|run| drop(succeeded(run)));
}
