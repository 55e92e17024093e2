//! One run: a build of two bases for two projects, disturbed once, and what must have come of it.

#[path = "../builds/scene.rs"]
#[allow(dead_code, reason = "the builds' tests use the rest")]
mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rehearsal::agent::Relation;
use rehearsal::cloud::{Fault as Rule, FaultId};

use crate::case::{Case, Fault};
use crate::site::{self, Answerer, Site};
use scene::{SCRIPT_SECRET, Scene};

/// How long until the worker has done what it can. A call that hangs is given up after a minute, and tried again.
const JOB: Duration = Duration::from_secs(600);
/// How many further events it may take.
const EVENTS: usize = 4;
/// The hook tools that every hook needs.
const TOOLS: [&str; 9] = [
    "config-get",
    "is-leader",
    "juju-log",
    "relation-get",
    "relation-ids",
    "relation-list",
    "relation-set",
    "secret-get",
    "status-set",
];
/// What nobody may be told.
const SECRETS: [&str; 4] = [SCRIPT_SECRET, "builder-password", "upload-password", "upload2-password"];
const PROJECTS: [&str; 3] = ["builder-project", "upload-project", "upload2-project"];

/// What comes of a build that nothing disturbs.
pub struct Undisturbed {
    pub sites: Vec<Site>,
    inventory: Vec<String>,
    files: Vec<String>,
}

impl Undisturbed {
    /// Builds once and notes every place where something could have gone wrong.
    pub fn record() -> Self {
        let stage = Stage::set();
        stage.integrate();
        stage.settle().expect("a build that nothing disturbs");
        let mut sites = site::calls(&stage.scene.cloud, &stage.scene.site.log());
        sites.extend((1..=stage.ssh_commands()).map(|nth| Site::Ssh { nth }));
        sites.extend(TOOLS.map(|name| Site::Tool { name }));
        Self { sites, inventory: stage.inventory(), files: stage.files() }
    }
}

/// Runs one case; the error says what is wrong with its outcome.
pub fn run(case: &Case, undisturbed: &Undisturbed) -> Result<(), String> {
    let stage = Stage::set();
    stage.disturb(case);
    stage.integrate();
    if case.fault.kills() {
        stage.kill_when_struck(case)?;
    }
    stage.await_worker()?;
    if !stage.was_struck(case) {
        return Err("the fault never came to pass".into());
    }
    stage.heal();
    stage.settle()?;
    stage.compare("the clouds", &undisturbed.inventory, &stage.inventory())?;
    stage.compare("the host's files", &undisturbed.files, &stage.files())?;
    stage.tells_no_secret()
}

struct Stage {
    scene: Scene,
    control: tempfile::TempDir,
    relations: std::cell::RefCell<Vec<Relation>>,
    rule: std::cell::Cell<Option<FaultId>>,
}

impl Stage {
    /// A charm that is configured and has no relation yet.
    fn set() -> Self {
        let control = tempfile::tempdir().unwrap();
        ssh_wrapper(control.path());
        let scene = Scene::with_tools(&[("base-image", "noble,jammy")], Some(&control.path().join("tools")));
        let url = scene.site.serve_script("setup.sh", "#!/bin/bash\ntest -n \"$rib_test_secret\"\n");
        let secret = scene.script_secret.uri();
        scene.app.set_config(&[("script-url", &url), ("script-secret-id", &secret)]).unwrap();
        Self { scene, control, relations: Default::default(), rule: Default::default() }
    }

    fn integrate(&self) {
        for name in ["upload", "upload2"] {
            let relation = self.scene.integrate(name);
            self.relations.borrow_mut().push(relation);
        }
    }

    fn disturb(&self, case: &Case) {
        match &case.site {
            Site::Http { answerer, method, path } => {
                let rule = Rule::new(method, &site::pattern(path), case.fault.what(*answerer)).unwrap();
                let rule = rule.times(1);
                let id = match answerer {
                    Answerer::Web => self.scene.site.inject(rule),
                    _ => self.scene.cloud.inject(rule),
                };
                self.rule.set(Some(id));
            }
            Site::Ssh { nth } => {
                fs::write(self.control.path().join("fault"), format!("{nth} {}\n", case.fault.word())).unwrap();
            }
            Site::Tool { name } if case.fault == Fault::Fails => {
                self.scene.model.fail_tool(name, 1, "ERROR the controller does not answer");
            }
            Site::Tool { .. } => self.scene.model.delay_tools(Duration::from_secs(2)),
        }
    }

    fn was_struck(&self, case: &Case) -> bool {
        match (&case.site, self.rule.get()) {
            (Site::Http { answerer: Answerer::Web, .. }, Some(id)) => self.scene.site.struck(id) > 0,
            (Site::Http { .. }, Some(id)) => self.scene.cloud.struck(id) > 0,
            (Site::Ssh { .. }, _) => self.control.path().join("struck").exists(),
            _ => true,
        }
    }

    /// Kills the worker, alone, while the call is on its way.
    fn kill_when_struck(&self, case: &Case) -> Result<(), String> {
        self.wait("the call", || self.was_struck(case))?;
        if let Some(worker) = self.scene.worker() {
            std::process::Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap();
        }
        self.wait("the worker's death", || self.scene.worker().is_none())
    }

    fn heal(&self) {
        self.scene.cloud.heal();
        self.scene.site.heal();
        self.scene.model.heal_tools();
        self.scene.model.delay_tools(Duration::ZERO);
        let _ = fs::remove_file(self.control.path().join("fault"));
    }

    /// Lets normal events come until every project has its images and the status has no complaint.
    fn settle(&self) -> Result<(), String> {
        let mut missing = String::new();
        for _ in 0..EVENTS {
            self.await_worker()?;
            match self.trouble() {
                None => return self.is_idle(),
                Some(trouble) => missing = trouble,
            }
            let unit = self.scene.unit();
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
            let listed = self.scene.told(relation, "images").unwrap_or_else(|| "[]".into());
            let listed: Vec<BTreeMap<String, String>> = serde_json::from_str(&listed).unwrap_or_default();
            let tags: Vec<&str> = listed.iter().map(|image| image["tags"].as_str()).collect();
            if tags != ["x64,noble", "x64,jammy"] {
                return Some(format!("{project} is told of {tags:?}"));
            }
            let images = self.scene.cloud.project(project).images();
            for told in &listed {
                let image = images.iter().find(|image| image.id == told["id"]);
                if image.is_none_or(|image| image.status != "active") {
                    return Some(format!("{} is not active in {project}", told["id"]));
                }
            }
        }
        let status = self.scene.status();
        (!status.starts_with("active: noble-x64 ") || status.contains("ailed")).then_some(status)
    }

    fn is_idle(&self) -> Result<(), String> {
        let processes = self.scene.model.processes();
        if processes.is_empty() { Ok(()) } else { Err(format!("processes are left: {processes:?}")) }
    }

    fn await_worker(&self) -> Result<(), String> {
        self.wait("the end of the worker", || self.scene.worker().is_none())?;
        self.scene.unit().wait_idle(Duration::from_secs(60)).map_err(|error| error.to_string())
    }

    fn wait(&self, what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
        let started = Instant::now();
        while !condition() {
            if started.elapsed() > JOB {
                return Err(format!("{what} did not happen in {} s; {}", JOB.as_secs(), self.scene.status()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// How many commands went over ssh.
    fn ssh_commands(&self) -> u32 {
        let count = fs::read_to_string(self.control.path().join("count")).unwrap_or_default();
        u32::try_from(count.lines().count()).unwrap_or(u32::MAX)
    }

    /// What there is in the projects, without ids.
    fn inventory(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for name in PROJECTS {
            let project = self.scene.cloud.project(name);
            lines.extend(project.servers().iter().map(|server| format!("{name} server {}", server.name)));
            lines.extend(project.security_groups().iter().map(|group| format!("{name} group {}", group.name)));
            lines.extend(project.images().iter().map(|image| {
                format!("{name} image {} {}", image.name.as_deref().unwrap_or("-"), image.status)
            }));
        }
        lines.sort();
        lines
    }

    /// The files of the charm on the host, without what is random in their names.
    fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = walk(&self.scene.root)
            .iter()
            .filter_map(|path| Some(path.strip_prefix(&self.scene.root).ok()?.display().to_string()))
            .collect();
        files.sort();
        files
    }

    fn compare(&self, what: &str, wanted: &[String], found: &[String]) -> Result<(), String> {
        let without = |a: &[String], b: &[String]| {
            let mut rest = b.to_vec();
            let mut only: Vec<String> = Vec::new();
            for line in a {
                match rest.iter().position(|other| other == line) {
                    Some(index) => drop(rest.swap_remove(index)),
                    None => only.push(line.clone()),
                }
            }
            only
        };
        let (missing, more) = (without(wanted, found), without(found, wanted));
        if missing.is_empty() && more.is_empty() {
            return Ok(());
        }
        Err(format!("{what}: missing {missing:?}, left {more:?}"))
    }

    fn tells_no_secret(&self) -> Result<(), String> {
        let unit = self.scene.unit();
        let statuses = unit.statuses().map_err(|error| error.to_string())?;
        let mut outputs: Vec<(String, String)> =
            statuses.iter().map(|status| ("a status".to_owned(), status.message.clone())).collect();
        let log = self.scene.model.debug_log();
        outputs.extend(log.iter().map(|line| ("the debug-log".to_owned(), format!("{line:?}"))));
        for path in walk(&self.scene.root) {
            // The credentials' own place; it is root's.
            if path.ends_with("clouds.yaml") {
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            outputs.push((path.display().to_string(), text));
        }
        for (place, text) in &outputs {
            if let Some(secret) = SECRETS.iter().find(|secret| text.contains(**secret)) {
                return Err(format!("{place} tells {secret}"));
            }
        }
        Ok(())
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// An ssh that counts the commands which go through it, and goes wrong at the one that `fault` names. A connection that
/// is opened (`-N`) and a check of it are no commands.
fn ssh_wrapper(folder: &Path) {
    let tools = folder.join("tools");
    fs::create_dir(&tools).unwrap();
    let script = format!(
        r#"#!/bin/bash
control={}
for word in "$@"; do [ "$word" = -N ] && exec /usr/bin/ssh "$@"; done
nth=$(flock "$control/count.lock" sh -c 'echo x >>"$0/count"; wc -l <"$0/count"' "$control")
read -r at what 2>/dev/null <"$control/fault"
[ "${{at:-}}" = "$nth" ] || exec /usr/bin/ssh "$@"
touch "$control/struck"
case $what in
    refused) echo "ssh: connect to host: Connection refused" >&2; exit 255 ;;
    breaks) timeout -s KILL 0.05 /usr/bin/ssh "$@"; exit 255 ;;
    hang) sleep 90; exit 255 ;;
    kill-) exec sleep 900 ;;
    kill+) /usr/bin/ssh "$@" >/dev/null; exec sleep 900 ;;
    exit1) cat >/dev/null; exit 1 ;;
esac
"#,
        folder.display()
    );
    let path = tools.join("ssh");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}
