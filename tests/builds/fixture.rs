//! A cloud, the web around it, and the charm on a machine of its own, configured for them.

#[path = "../scenario/deployed.rs"]
pub mod deployed;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rehearsal::agent::{Application, JujuVersion, Model, Relation, Secret, Unit};
use rehearsal::cloud::CloudSetup;
use rehearsal::fixture;
use rehearsal::instance::archive::{Content, Entry};
use rehearsal::servers::SiteSetup;
use runner_image_builder::host::Host;
use runner_image_builder::record::{Job, Journal};

pub use self::deployed::{APPLICATION, Deployed, SCRIPT_SECRET, status};

/// How long anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub struct Fixture {
    pub app: Application,
    pub script_secret: Secret,
    password: Secret,
    around: fixture::Fixture,
}

impl Deref for Fixture {
    type Target = fixture::Fixture;

    fn deref(&self) -> &fixture::Fixture {
        &self.around
    }
}

impl Deployed for Fixture {
    fn model(&self) -> &Model {
        &self.around.model
    }

    fn app(&self) -> &Application {
        &self.app
    }

    fn machine(&self) -> PathBuf {
        self.root(0)
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

impl Drop for Fixture {
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

impl Fixture {
    /// A charm that is configured for its cloud and has no relation yet; `options` on top of what it needs.
    pub fn set(options: &[(&str, &str)]) -> Self {
        Self::of_units(1, options)
    }

    /// The same with so many units.
    pub fn of_units(units: u32, options: &[(&str, &str)]) -> Self {
        Self::deployed(units).configured(options)
    }

    /// One unit in another cloud than the default one.
    pub fn among(cloud: CloudSetup, options: &[(&str, &str)]) -> Self {
        Self::deployed_in(cloud, 1).configured(options)
    }

    fn configured(self, options: &[(&str, &str)]) -> Self {
        let needed = self.needed();
        let mut config: Vec<(&str, &str)> =
            needed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        config.extend(options);
        self.app.set_config(&config).unwrap();
        self
    }

    /// A charm of so many units without any configuration.
    pub fn deployed(units: u32) -> Self {
        Self::deployed_in(CloudSetup::default(), units)
    }

    fn deployed_in(cloud: CloudSetup, units: u32) -> Self {
        let around = around(cloud);
        let charm = around.directory().join("charm");
        assemble(&charm);
        Self::deployed_from(around, &charm, units)
    }

    /// Another charm, `make` of which writes its folder, that this one is to take the place of.
    pub fn of_another_charm(make: impl FnOnce(&fixture::Fixture, &Path)) -> Self {
        let around = around(CloudSetup::default());
        let charm = around.directory().join("another-charm");
        make(&around, &charm);
        Self::deployed_from(around, &charm, 1)
    }

    fn deployed_from(around: fixture::Fixture, charm: &Path, units: u32) -> Self {
        let app = around.deploy(charm).unwrap();
        (1..units).for_each(|_| drop(app.add_unit(charm).unwrap()));
        let password = around.model.add_secret(&[("password", "builder-password")]).unwrap();
        let script_secret = around.model.add_secret(&[("rib-test-secret", SCRIPT_SECRET)]).unwrap();
        password.grant(&app).unwrap();
        script_secret.grant(&app).unwrap();
        Self { app, password, script_secret, around }
    }

    /// What the charm has to be told of this fixture.
    pub fn needed(&self) -> Vec<(&'static str, String)> {
        self.around.options(&self.password)
    }

    /// Gives the secret of the build project's password another revision.
    pub fn set_password(&self, password: &str) {
        deployed::all_succeeded(&self.password.update(&[("password", password)]).unwrap());
    }

    /// The fixture without the charm.
    pub fn around(&self) -> &fixture::Fixture {
        &self.around
    }

    /// Integrates with a consumer that wants its images in `NAME-project`.
    pub fn integrate(&self, name: &str) -> Relation {
        self.around.integrate(&self.app, name).unwrap()
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

    /// Waits until no worker lives on `unit` and returns its last job.
    pub fn job_of(&self, unit: &Unit) -> Job {
        deployed::job_ended(self.host(unit).root(), PATIENCE)
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

    /// Waits until the status says `words`. Hooks ask for it: of mere progress the worker itself tells once a minute.
    pub fn await_status(&self, words: &str) {
        wait_for(words, || {
            self.next_hook();
            self.status().contains(words).then_some(())
        });
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

fn around(cloud: CloudSetup) -> fixture::Fixture {
    let site = SiteSetup { image_size: 64 << 10, ..SiteSetup::default() };
    fixture::Fixture::set(JujuVersion::V3_6, cloud, site).unwrap()
}

/// Makes `folder` the unpacked charm.
pub fn assemble(folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    fixture::assemble(folder, sources, Path::new(env!("CARGO_BIN_EXE_dispatch"))).unwrap();
}

/// What a unit's databag says under `key`.
pub fn told_by(unit: &Unit, relation: &Relation, key: &str) -> Option<String> {
    relation.written_by(unit).unwrap().get(key).cloned()
}

/// Waits until `condition` gives something, and says what was waited for when it does not.
#[track_caller]
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    deployed::wait_for(what, PATIENCE, condition)
}
