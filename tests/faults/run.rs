//! One run: a build of two bases for two projects, disturbed once, and what must have come of it.

#[path = "../builds/fixture.rs"]
#[allow(dead_code, unused_imports, reason = "the builds' tests use the rest")]
mod fixture;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rehearsal::agent::Relation;
use rehearsal::cloud::{Fault as Rule, FaultId, What};

use runner_image_builder::host::Host;
use runner_image_builder::record::worker_lives;

use crate::case::{Case, Fault};
use crate::disk::Disk;
use crate::files;
use crate::outcome::{self, Outcome};
use crate::site::{self, Answerer, Moment, Recipe, Site};
use crate::wrappers::Wrappers;
use fixture::{Deployed, Fixture, SCRIPT_SECRET};

/// How long until the worker has done what it can. A call that hangs is given up after a minute, and tried again.
const JOB: Duration = Duration::from_secs(900);
/// How many further events it may take.
const EVENTS: usize = 4;
/// How long a server that has ended stays away.
const RESTART: Duration = Duration::from_secs(2);
/// The worker's way to Juju: not a hook tool, but it fails like one.
const JUJU_EXEC: &str = "juju-exec";
const SMALL_RECIPE: &str = "
runner: [{github: actions/runner}]
tools: [{path: /usr/local/bin/yq, github: mikefarah/yq, version: v4.54.1, asset: yq_linux_amd64}]
";
/// What nobody may be told.
pub const SECRETS: [&str; 4] = [SCRIPT_SECRET, "builder-password", "upload-password", "upload2-password"];
/// The build project, and those that images go to.
pub const PROJECTS: [&str; 3] = ["builder-project", "upload-project", "upload2-project"];

/// What comes of a build that nothing disturbs.
pub struct Undisturbed {
    sites: Vec<Site>,
    outcome: Outcome,
}

/// All places of builds of all recipes, and what comes of them.
pub struct Recorded {
    default: Undisturbed,
    small: Undisturbed,
    shared: Undisturbed,
}

impl Recorded {
    /// Records all at once.
    pub fn record() -> Self {
        std::thread::scope(|scope| {
            let default = scope.spawn(|| Undisturbed::record(Recipe::Default));
            let shared = scope.spawn(|| Undisturbed::record(Recipe::Shared));
            let small = Undisturbed::record(Recipe::Small);
            Self { default: default.join().unwrap(), small, shared: shared.join().unwrap() }
        })
    }

    /// Each place once.
    pub fn sites(&self) -> Vec<Site> {
        let of = |recipe| self.of(recipe).sites.iter().filter(move |site| site.recipe() == recipe);
        of(Recipe::Small).chain(of(Recipe::Shared)).chain(of(Recipe::Default)).cloned().collect()
    }

    fn of(&self, recipe: Recipe) -> &Undisturbed {
        match recipe {
            Recipe::Default => &self.default,
            Recipe::Small => &self.small,
            Recipe::Shared => &self.shared,
        }
    }
}

impl Undisturbed {
    /// Builds once, under strace, and notes every place where something could have gone wrong, as seen from outside of
    /// the charm: by the front that all servers share, by a wrapper of ssh, by Juju, and by the kernel.
    fn record(recipe: Recipe) -> Self {
        let run = Run::set(recipe);
        run.wrappers.trace(&files::recording());
        run.integrate();
        run.settle(|_| Ok(())).expect("a build that nothing disturbs");
        let mut sites = site::calls(&run.fixture.cloud, &run.fixture.site);
        for (vm, commands) in run.wrappers.commands() {
            let vm = vm.to_owned();
            sites.push(Site::SshConnection { vm: vm.clone() });
            sites.extend((1..=commands).map(|nth| Site::SshCommand { vm: vm.clone(), nth }));
        }
        sites.extend(run.tools().into_iter().map(|name| Site::Tool { name }));
        sites.extend(files::sites(&run.wrappers.traces(), &run.root()));
        sites.extend([Moment::Before, Moment::During].map(|moment| Site::Disk { moment }));
        Self { sites, outcome: run.outcome() }
    }
}

/// Runs one case; the error says what is wrong with its outcome.
pub fn run(case: &Case, recorded: &Recorded) -> Result<(), String> {
    let run = Run::set(case.site.recipe());
    run.play(case, recorded.of(case.site.recipe())).map_err(|problem| {
        let log =
            fs::read_to_string(Host::below(run.root()).log_dir().join("worker.log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        format!("{problem}; the worker's last lines, the very last first: {last:#?}")
    })
}

struct Run {
    // Before the fixture, whose folder it is mounted in.
    disk: RefCell<Option<Disk>>,
    fixture: Fixture,
    wrappers: Wrappers,
    relations: RefCell<Vec<Relation>>,
    rule: Cell<Option<FaultId>>,
}

impl Run {
    /// A charm that is configured and has no relation yet.
    fn set(recipe: Recipe) -> Self {
        let mut options = vec![("base-image", "noble,jammy")];
        if recipe != Recipe::Default {
            options.push(("recipe", SMALL_RECIPE));
        }
        if recipe == Recipe::Shared {
            options.push(("delivery", "share"));
        }
        let fixture = Fixture::set(&options);
        let wrappers =
            Wrappers::install(&fixture.directory().join("tools"), &fixture.unit().charm_dir().unwrap());
        let url = fixture.site.serve_script("setup.sh", "#!/bin/bash\ntest -n \"$rib_test_secret\"\n");
        let secret = fixture.script_secret.uri();
        fixture.app.set_config(&[("script-url", &url), ("script-secret-id", &secret)]).unwrap();
        // Somebody has tidied up: the next hook has to write all of its files.
        let root = fixture.root(0);
        for path in ["etc/cron.d/build-runner-image", "etc/logrotate.d/runner-image-builder"] {
            fs::remove_file(root.join(path))
                .unwrap_or_else(|error| panic!("{path}: {error}; {}", fixture.status()));
        }
        let run = Self {
            disk: RefCell::default(),
            fixture,
            wrappers,
            relations: RefCell::default(),
            rule: Cell::default(),
        };
        // What is configured is checked before there is a relation: that is not the build.
        run.await_worker().expect("the end of the check");
        run
    }

    fn play(&self, case: &Case, undisturbed: &Undisturbed) -> Result<(), String> {
        self.disturb(case);
        self.integrate();
        self.strike(case)?;
        self.await_worker()?;
        if !self.was_struck(case) {
            return Err("the fault never came to pass".into());
        }
        self.heal();
        self.settle(|outcome| undisturbed.outcome.compare(outcome))?;
        outcome::tells_no_secret(&self.fixture.model, &self.fixture.unit(), &self.root())
    }

    fn root(&self) -> PathBuf {
        self.fixture.root(0)
    }

    fn integrate(&self) {
        for name in ["upload", "upload2"] {
            let relation = self.fixture.integrate(name);
            self.relations.borrow_mut().push(relation);
        }
    }

    fn disturb(&self, case: &Case) {
        let word = case.fault.word();
        match &case.site {
            Site::Http { answerer, method, path, action } => {
                let rule = Rule::new(method, &site::pattern(path), case.fault.what(*answerer)).unwrap();
                let rule = rule.times(1);
                let rule = match action {
                    Some(action) => rule.of_key(action),
                    None => rule,
                };
                self.rule.set(Some(self.inject(*answerer, rule)));
            }
            Site::SshConnection { vm } => self.wrappers.break_ssh(vm, None, word),
            Site::SshCommand { vm, nth } => self.wrappers.break_ssh(vm, Some(*nth), word),
            Site::Tool { name } if name == JUJU_EXEC => self.wrappers.break_juju_exec(word),
            Site::Tool { name } if case.fault == Fault::Fails => {
                self.fixture.model.fail_tool(name, 1, "ERROR the controller does not answer");
            }
            Site::Tool { name } => self.fixture.model.delay_tool(name, Duration::from_secs(2)),
            Site::File { path, beside, .. } => self.trace(case.fault, path, beside, 1),
            Site::Journal { nth } => {
                self.trace(case.fault, files::JOURNAL, files::JOURNAL_BESIDE, *nth);
            }
            Site::Disk { moment } => {
                let disk = Disk::below(&self.root());
                match (moment, case.fault) {
                    (Moment::During, _) => (),
                    (Moment::Before, Fault::ReadOnly) => disk.protect(),
                    (Moment::Before, _) => disk.fill(),
                }
                self.disk.replace(Some(disk));
            }
        }
    }

    fn inject(&self, answerer: Answerer, rule: Rule) -> FaultId {
        match answerer {
            Answerer::Web => self.fixture.site.inject(rule),
            _ => self.fixture.cloud.inject(rule),
        }
    }

    fn trace(&self, fault: Fault, path: &str, beside: &str, nth: u32) {
        let full = |path: &str| self.root().join(path).display().to_string();
        self.wrappers.trace(&fault.injection(&full(path), &full(beside), nth));
    }

    fn was_struck(&self, case: &Case) -> bool {
        match (&case.site, self.rule.get()) {
            (Site::Http { .. }, None) => true,
            (Site::Http { answerer: Answerer::Web, .. }, Some(id)) => self.fixture.site.struck(id) > 0,
            (Site::Http { .. }, Some(id)) => self.fixture.cloud.struck(id) > 0,
            (Site::Tool { name }, _) if name != JUJU_EXEC => self.tools().contains(name),
            (Site::Disk { .. }, _) => true,
            _ => self.wrappers.struck(),
        }
    }

    /// What has to be done to the world while the charm is at that place.
    fn strike(&self, case: &Case) -> Result<(), String> {
        match (&case.site, case.fault) {
            (Site::Http { .. } | Site::SshConnection { .. } | Site::SshCommand { .. }, fault)
                if fault.kills() =>
            {
                self.wait("the call", || self.was_struck(case))?;
                if let Some(worker) = self.worker() {
                    std::process::Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap();
                }
                self.wait("the worker's death", || self.worker().is_none())
            }
            (Site::Http { answerer, .. }, Fault::Refused) => {
                self.wait("the call", || self.was_struck(case))?;
                let base = self.base(*answerer);
                self.inject(*answerer, Rule::new("*", &format!("^{base}"), What::Refuse).unwrap());
                std::thread::sleep(RESTART);
                // It has come to pass.
                self.rule.set(None);
                self.fixture.cloud.heal();
                self.fixture.site.heal();
                Ok(())
            }
            (Site::Disk { moment: Moment::During }, _) => {
                let servers = || self.fixture.cloud.project(PROJECTS[0]).servers();
                self.wait("a VM", || !servers().is_empty())?;
                self.disk.borrow().iter().for_each(Disk::fill);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The address of the server that answers.
    fn base(&self, answerer: Answerer) -> String {
        let service = |name| self.fixture.cloud.service_url("RegionOne", name).unwrap();
        let url = match answerer {
            Answerer::Keystone => self.fixture.cloud.auth_url(),
            Answerer::Glance => service("glance"),
            Answerer::Nova => service("nova"),
            Answerer::Neutron => service("neutron"),
            Answerer::Web => self.fixture.site.url(),
        };
        url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
    }

    fn heal(&self) {
        self.fixture.cloud.heal();
        self.fixture.site.heal();
        self.fixture.model.heal_tools();
        self.wrappers.heal();
        self.disk.borrow().iter().for_each(Disk::heal);
    }

    /// Lets normal events come until every project has its images, the status has no complaint, and `check` agrees.
    fn settle(&self, check: impl Fn(&Outcome) -> Result<(), String>) -> Result<(), String> {
        let mut missing = String::new();
        for _ in 0..EVENTS {
            self.await_worker()?;
            match self.trouble().map_or_else(|| check(&self.outcome()), Err) {
                Ok(()) => return self.is_idle(),
                Err(trouble) => missing = trouble,
            }
            let unit = self.fixture.unit();
            if unit.failed_hook().map_err(|error| error.to_string())?.is_some() {
                unit.retry().map_err(|error| error.to_string())?;
            }
            let run = unit.exec("JUJU_DISPATCH_PATH=run ./dispatch").map_err(|error| error.to_string())?;
            if run.code != 0 {
                return Err(format!("the scheduled event failed: {}", run.stderr));
            }
        }
        Err(missing)
    }

    /// What is not yet as it should be.
    fn trouble(&self) -> Option<String> {
        for (relation, project) in self.relations.borrow().iter().zip(&PROJECTS[1..]) {
            let listed = self.fixture.told(relation, "images").unwrap_or_else(|| "[]".into());
            let listed: Vec<BTreeMap<String, String>> = serde_json::from_str(&listed).unwrap_or_default();
            let tags: Vec<&str> = listed.iter().map(|image| image["tags"].as_str()).collect();
            if tags != ["x64,noble", "x64,jammy"] {
                return Some(format!("{project} is told of {tags:?}; {}", self.fixture.status()));
            }
            let project_view = self.fixture.cloud.project(project);
            let (images, shared) = (project_view.images(), project_view.shared_images());
            for told in &listed {
                let image = images.iter().chain(&shared).find(|image| image.id == told["id"]);
                if image.is_none_or(|image| image.status != "active") {
                    return Some(format!("{} is not active in {project}", told["id"]));
                }
            }
        }
        let status = self.fixture.status();
        let is_well = status.starts_with("active: ") && status.contains(" images current, oldest ");
        (!is_well || status.contains("ailed")).then_some(status)
    }

    fn is_idle(&self) -> Result<(), String> {
        let mut left = Vec::new();
        // What has just been told to end may take a moment.
        for _ in 0..1200 {
            left = self.fixture.model.processes();
            if left.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("processes are left: {left:?}"))
    }

    fn await_worker(&self) -> Result<(), String> {
        self.wait("the end of the worker", || self.worker().is_none())?;
        self.fixture.unit().wait_idle(Duration::from_secs(120)).map_err(|error| error.to_string())
    }

    /// The worker that lives. On a disk that cannot be written to nobody holds a lock.
    fn worker(&self) -> Option<i32> {
        let host = Host::below(self.root());
        let lives = worker_lives(&host).is_ok_and(|lives| lives);
        let note = fs::read_to_string(host.state_dir().join("worker.lock")).ok()?;
        lives.then(|| note.trim().parse().ok()).flatten()
    }

    fn wait(&self, what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
        let started = Instant::now();
        while !condition() {
            if started.elapsed() > JOB {
                return Err(format!(
                    "{what} did not happen in {} s; {}",
                    JOB.as_secs(),
                    self.fixture.status()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The hook tools that were called so far.
    fn tools(&self) -> Vec<String> {
        let runs = self.fixture.model.runs();
        let mut tools: Vec<String> =
            runs.iter().flat_map(|run| run.calls.iter().map(|call| call.tool.clone())).collect();
        // The worker's own way to Juju leaves no trace among the hooks' tools but the hook that it asked for.
        tools.extend(runs.iter().filter(|run| run.name.contains("=worker")).map(|_| JUJU_EXEC.to_owned()));
        tools.sort();
        tools.dedup();
        tools
    }

    fn outcome(&self) -> Outcome {
        Outcome::of(&self.fixture.cloud, &self.root())
    }
}
