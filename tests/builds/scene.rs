//! A cloud, the web around it, and the charm on a machine of its own, configured for them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rehearsal::agent::{Application, JujuVersion, Relation, Secret, Unit};
use rehearsal::cloud::CloudSetup;
use rehearsal::instance::archive::{Content, Entry};
use rehearsal::scene;
use rehearsal::servers::SiteSetup;
use runner_image_builder::builder::{Job, Journal, worker_lives};
use runner_image_builder::host::Host;

pub use rehearsal::scene::APPLICATION;

/// How long anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The script's secret.
pub const SCRIPT_SECRET: &str = "planted-script-secret-7b1f0c5e";

pub struct Scene {
    pub app: Application,
    pub script_secret: Secret,
    around: scene::Scene,
}

impl Deref for Scene {
    type Target = scene::Scene;

    fn deref(&self) -> &scene::Scene {
        &self.around
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for unit in self.app.units() {
                let log = fs::read_to_string(self.host(&unit).log_dir().join("worker.log"));
                let log = log.unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(40).collect();
                tail.iter().rev().for_each(|line| eprintln!("{}: worker: {line}", unit.name()));
            }
            self.model.debug_log().iter().rev().take(12).rev().for_each(|line| eprintln!("{line:?}"));
        }
    }
}

impl Scene {
    /// A charm that is configured for its cloud and has no relation yet; `options` on top of what it needs.
    pub fn set(options: &[(&str, &str)]) -> Self {
        Self::of_units(1, options)
    }

    /// The same with so many units.
    pub fn of_units(units: u32, options: &[(&str, &str)]) -> Self {
        let site = SiteSetup { image_size: 64 << 10, ..SiteSetup::default() };
        let around = scene::Scene::set(JujuVersion::V3_6, CloudSetup::default(), site).unwrap();
        let charm = around.directory().join("charm");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        scene::assemble(&charm, sources, Path::new(env!("CARGO_BIN_EXE_dispatch"))).unwrap();
        let app = around.deploy(&charm).unwrap();
        (1..units).for_each(|_| drop(app.add_unit(&charm).unwrap()));
        let password = around.model.add_secret(&[("password", "builder-password")]).unwrap();
        let script_secret = around.model.add_secret(&[("rib-test-secret", SCRIPT_SECRET)]).unwrap();
        password.grant(&app).unwrap();
        script_secret.grant(&app).unwrap();
        let needed = around.options(&password);
        let mut config: Vec<(&str, &str)> =
            needed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        config.extend(options);
        app.set_config(&config).unwrap();
        Self { app, script_secret, around }
    }

    /// The scene without the charm.
    pub fn around(&self) -> &scene::Scene {
        &self.around
    }

    pub fn unit(&self) -> Unit {
        self.app.unit(0)
    }

    /// Integrates with a consumer that wants its images in `NAME-project`.
    pub fn integrate(&self, name: &str) -> Relation {
        self.around.integrate(&self.app, name).unwrap()
    }

    pub fn status(&self) -> String {
        status(&self.unit())
    }

    /// The folder that the charm was deployed from.
    pub fn charm(&self) -> PathBuf {
        self.directory().join("charm")
    }

    /// Changes the journal of a worker that has ended.
    pub fn edit_journal(&self, change: impl FnOnce(&mut Journal)) {
        let mut journal = self.journal();
        change(&mut journal);
        journal.save(&self.host(&self.unit())).unwrap();
    }

    /// A file of the first unit's state.
    pub fn state_file(&self, name: &str) -> PathBuf {
        self.host(&self.unit()).state_dir().join(name)
    }

    /// The machine of a unit.
    pub fn host(&self, unit: &Unit) -> Host {
        let name = unit.name();
        Host::below(self.root(name.rsplit('/').next().unwrap().parse().unwrap()))
    }

    pub fn journal(&self) -> Journal {
        Journal::load(&self.host(&self.unit())).unwrap()
    }

    /// What a databag of ours says under `key`.
    pub fn told(&self, relation: &Relation, key: &str) -> Option<String> {
        self.around.told(relation, &self.unit(), key)
    }

    /// Waits until no worker lives on the first unit and returns the last job.
    pub fn job_ended(&self) -> Job {
        self.job_of(&self.unit())
    }

    /// Waits until no worker lives on `unit` and returns its last job.
    pub fn job_of(&self, unit: &Unit) -> Job {
        let host = self.host(unit);
        wait_for("the end of the worker", || {
            let ended = Journal::load(&host).unwrap().job.filter(|job| job.finished.is_some());
            (!worker_lives(&host).unwrap()).then_some(ended).flatten()
        })
    }

    /// The files of the first image that is published, by path; its build must succeed.
    pub fn first_image(&self) -> BTreeMap<String, Vec<u8>> {
        let relation = self.integrate("upload");
        assert_eq!(self.job_ended().failures, []);
        let id = self.told(&relation, "id").expect("an id in the relation");
        let tree = self.cloud.project("upload-project").image_tree(&id).unwrap();
        let file = |(path, entry): (String, Entry)| match entry.content {
            Content::File(bytes) => Some((path, bytes)),
            Content::Directory | Content::Link(_) => None,
        };
        tree.0.into_iter().filter_map(file).collect()
    }

    /// Runs action `run` to its end.
    pub fn build_again(&self) -> Job {
        let action = self.unit().run_action("run", serde_json::json!({"force": true, "wait": true})).unwrap();
        assert!(action.results.contains_key("job"), "{action:?}");
        self.job_ended()
    }

    /// The worker's process.
    pub fn worker(&self) -> Option<i32> {
        let note = fs::read_to_string(self.root(0).join("var/lib/runner-image-builder/worker.lock")).ok()?;
        let lives = worker_lives(&self.host(&self.unit())).unwrap();
        lives.then(|| note.trim().parse().ok()).flatten()
    }

    /// Kills the worker, as the kernel does when memory is short, and waits for its death.
    pub fn kill_worker(&self) {
        let worker = self.worker().expect("a worker");
        std::process::Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap();
        wait_for("the worker's death", || self.worker().is_none().then_some(()));
    }

    /// A hook after whatever has happened.
    pub fn next_hook(&self) {
        let run = self.unit().update_status().unwrap();
        assert!(run.succeeded(), "{run:?}");
    }

    /// What `dispatch jobs` prints on the unit.
    pub fn jobs(&self) -> String {
        let output = self.unit().exec("./dispatch jobs").unwrap();
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout
    }

    /// How many requests of this kind the cloud has got.
    pub fn requests(&self, method: &str, url_end: &str) -> usize {
        let log = self.cloud.log();
        log.iter().filter(|entry| entry.method == method && entry.url.ends_with(url_end)).count()
    }

    /// The ids of a project's images whose stage label is `stage`.
    pub fn images_of_stage(&self, project: &str, stage: &str) -> Vec<String> {
        let label = |image: &rehearsal::cloud::Image| {
            image.status == "active"
                && image.properties.get("runner_image_builder_stage").is_some_and(|known| known == stage)
        };
        let images = self.cloud.project(project).images();
        images.iter().filter(|image| label(image)).map(|image| image.id.clone()).collect()
    }
}

/// `active: noble-x64 3 h old`
pub fn status(unit: &Unit) -> String {
    let status = unit.status().unwrap();
    format!("{}: {}", status.state, status.message)
}

/// What a unit's databag says under `key`.
pub fn told_by(unit: &Unit, relation: &Relation, key: &str) -> Option<String> {
    relation.written_by(unit).unwrap().get(key).cloned()
}

/// Waits until `condition` gives something, and says what was waited for when it does not.
#[track_caller]
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    let found = scene::wait_for(PATIENCE, condition);
    found.unwrap_or_else(|| panic!("{what} did not happen in {} s", PATIENCE.as_secs()))
}
