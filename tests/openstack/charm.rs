//! The charm, deployed by the test's Juju agent on this machine, below a root of its own.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rehearsal::agent::{
    ActionRun, Application, HookRun, JujuVersion, Model, Proxies, Relation, Secret, Unit,
};
use runner_image_builder::builder::Journal;
use runner_image_builder::host::Host;
use runner_image_builder::instance::DEFAULT_RECIPE;

use crate::cloud::Project;
use crate::trace::Trace;

/// The script's secret: nobody but the script may ever see it.
pub const SCRIPT_SECRET: &str = "planted-script-secret-7b1f0c5e";
/// The name of the application, and the beginning of all names that it gives.
pub const APPLICATION: &str = "image-builder";
/// The address of the test site inside the namespace, as builder VMs reach it.
pub const SITE: &str = "http://10.77.0.1:8080";
/// The proxy, as builder VMs reach it.
pub const PROXY: &str = "http://10.77.0.1:3128";

/// A deployed charm.
pub struct Charm {
    pub model: Model,
    pub app: Application,
    pub root: PathBuf,
    pub trace: Trace,
    _dir: tempfile::TempDir,
    password: Secret,
    script: Secret,
}

impl Charm {
    /// Deploys one unit without any configuration.
    pub fn deploy(build: &Project) -> Self {
        let charm = charm_folder();
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("root");
        std::fs::create_dir(&root).expect("the root");
        let trace = Trace::below(dir.path());
        let model = Model::new(JujuVersion::V3_6).expect("a model");
        // An action may wait for a build, which takes minutes on an emulated processor.
        model.set_hook_deadline(Duration::from_secs(1800));
        model
            .set_proxies(Proxies {
                http: PROXY.into(),
                https: PROXY.into(),
                no_proxy: "127.0.0.1,localhost".into(),
                ..Proxies::default()
            })
            .expect("proxies");
        let app = model
            .deployment(charm, APPLICATION)
            .env("RUNNER_IMAGE_BUILDER_ROOT", &root)
            .path_entry(trace.tools())
            .run()
            .expect("deployment");
        let password = model.add_secret(&[("password", build.auth("password"))]).expect("secret");
        let script = model.add_secret(&[("rib-test-secret", SCRIPT_SECRET)]).expect("secret");
        password.grant(&app).expect("grant");
        script.grant(&app).expect("grant");
        Self { model, app, root, trace, _dir: dir, password, script }
    }

    /// Sets every option that the build needs.
    pub fn configure(&self, build: &Project) {
        let keyring = crate::cloud::state_dir().join("site-keys/cloudimage-keyring.gpg");
        let runs = self.app.set_config(&[
            ("architecture", "amd64"),
            ("base-image", "24.04"),
            ("base-image-source", &format!("{SITE}/cloud-images")),
            ("base-image-keyring", &keyring.to_string_lossy()),
            ("build-apt-mirror", &format!("{SITE}/ubuntu")),
            ("build-network", "runner-net"),
            ("build-ssh-ingress", "10.77.0.0/24"),
            // The machine itself: what it says is believed without https.
            ("github-api-url", "http://127.0.0.1:8080/api"),
            ("runner-source", SITE),
            ("openstack-auth-url", build.auth("auth_url")),
            ("openstack-password-secret", &self.password.uri()),
            ("openstack-project-domain-name", build.auth("project_domain_name")),
            ("openstack-project-name", build.auth("project_name")),
            ("openstack-user-domain-name", build.auth("user_domain_name")),
            ("openstack-user-name", build.auth("username")),
            ("recipe", &recipe()),
            ("revision-history-limit", "2"),
            ("script-url", "http://127.0.0.1:8080/script/setup.sh"),
            ("script-secret-id", &self.script.uri()),
        ]);
        all_succeeded(&runs.expect("config"));
    }

    /// The only unit.
    pub fn unit(&self) -> Unit {
        self.app.unit(0)
    }

    /// The unit's status as `state: message`.
    pub fn status(&self) -> String {
        let status = self.unit().status().expect("status");
        format!("{}: {}", status.state, status.message)
    }

    /// Integrates with a consumer that has one unit in `project`.
    pub fn integrate(&self, consumer: &str, project: &Project) -> Relation {
        self.app.integrate("image", consumer, &[&project.relation_data()]).expect("integration")
    }

    /// The id that the relation's databag names.
    pub fn published(&self, relation: &Relation) -> Option<String> {
        relation.written_by(&self.unit()).expect("databag").get("id").cloned()
    }

    /// Runs action `run`.
    pub fn run(&self, parameters: serde_json::Value) -> ActionRun {
        self.unit().run_action("run", parameters).expect("action")
    }

    /// The journal as it stands.
    pub fn journal(&self) -> Journal {
        Journal::load(&Host::below(&self.root)).expect("journal")
    }

    /// Another one for each time that the journal is written.
    pub fn journal_version(&self) -> Option<(u64, i64, i64)> {
        let journal = self.root.join("var/lib/runner-image-builder/journal.json");
        std::fs::metadata(journal).ok().map(|file| (file.ino(), file.mtime(), file.mtime_nsec()))
    }

    /// Waits until no worker lives.
    pub fn worker_ended(&self, limit: Duration) {
        crate::cloud::wait_for("the end of the worker", limit, || self.worker().is_none().then_some(()));
    }

    /// The base64 parts of the two public keys of the running build: ours, and the builder VM's host key.
    pub fn builder_keys(&self) -> [String; 2] {
        let entries = std::fs::read_dir(self.root.join("run/runner-image-builder")).expect("the run folder");
        let folder = entries.flatten().map(|entry| entry.path()).find(|path| path.join("key").exists());
        let folder = folder.expect("a connection to the builder VM");
        let ours =
            Command::new("ssh-keygen").arg("-yf").arg(folder.join("key")).output().expect("ssh-keygen");
        let ours = String::from_utf8_lossy(&ours.stdout).into_owned();
        let theirs = std::fs::read_to_string(folder.join("known_hosts")).expect("known_hosts");
        let key = |line: &str, word: usize| line.split_whitespace().nth(word).expect("a key").to_owned();
        [key(&ours, 1), key(&theirs, 2)]
    }

    /// The process of the living worker. Its lock is left alone: a worker that begins just then would find it taken.
    pub fn worker(&self) -> Option<i32> {
        let note = self.root.join("var/lib/runner-image-builder/worker.lock");
        let process = std::fs::read_to_string(note).ok()?.trim().parse().ok()?;
        let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
        command.ends_with("\0work\0").then_some(process)
    }

    /// Kills the worker as a crash does: no process of its session has a chance to tidy up.
    pub fn kill(&self, worker: i32) {
        let session = rustix::process::getsid(rustix::process::Pid::from_raw(worker)).expect("its session");
        let session = session.as_raw_nonzero().to_string();
        let killed = Command::new("pkill").args(["-KILL", "--session", &session]).status().expect("pkill");
        assert!(killed.success(), "{killed}");
        self.worker_ended(Duration::from_secs(20));
    }

    /// What a build keeps on the machine while it runs, and what is there of it.
    pub fn run_files(&self) -> Vec<String> {
        let entries =
            std::fs::read_dir(self.root.join("run/runner-image-builder")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| ["key-", "ssh-", "sums-", "secrets-"].iter().any(|of| name.starts_with(of)))
            .collect()
    }

    /// A host file below the root.
    pub fn file(&self, path: &str) -> String {
        let path = self.root.join(path.trim_start_matches('/'));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The worker's log, for a failure's report.
    pub fn show_log(&self) {
        let path = self.root.join("var/log/runner-image-builder/worker.log");
        let log = std::fs::read_to_string(Path::new(&path)).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(60).collect();
        eprintln!("the end of the worker's log:");
        tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        for line in self.model.debug_log().iter().rev().take(30).rev() {
            eprintln!("  {line:?}");
        }
    }
}

/// The unpacked charm.
pub fn charm_folder() -> PathBuf {
    std::env::var_os("RUNNER_IMAGE_BUILDER_CHARM")
        .expect("RUNNER_IMAGE_BUILDER_CHARM: the folder that `make charm` makes")
        .into()
}

/// The default recipe without its snaps: there is no snap store around the test's cloud.
pub fn recipe() -> String {
    let mut recipe: serde_json::Value = serde_yaml::from_str(DEFAULT_RECIPE).expect("YAML");
    recipe.as_object_mut().expect("a mapping").remove("snaps");
    recipe.to_string()
}

/// Every hook must succeed.
pub fn all_succeeded(runs: &[HookRun]) {
    for run in runs {
        assert!(run.succeeded(), "{} ended with {}: {}", run.name, run.ending, run.stderr);
    }
}
