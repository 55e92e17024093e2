//! A cloud, the web around it, and the charm on a machine of its own, configured for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rehearsal::agent::{Application, JujuVersion, Model, Relation, Secret, Unit};
use rehearsal::cloud::{CloudSetup, RehearsalCloud};
use rehearsal::servers::{Site, SiteSetup};
use runner_image_builder::builder::{Job, Journal, worker_lives};
use runner_image_builder::host::Host;

/// How long anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The script's secret.
pub const SCRIPT_SECRET: &str = "planted-script-secret-7b1f0c5e";
/// The application's name.
pub const APPLICATION: &str = "image-builder";

pub struct Scene {
    pub cloud: RehearsalCloud,
    pub site: Site,
    pub model: Model,
    pub app: Application,
    pub script_secret: Secret,
    pub root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.root.join("var/log/runner-image-builder/worker.log"));
            let log = log.unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            tail.iter().rev().for_each(|line| eprintln!("worker: {line}"));
            self.model.debug_log().iter().rev().take(12).rev().for_each(|line| eprintln!("{line:?}"));
        }
    }
}

impl Scene {
    /// A charm that is configured for its cloud and has no relation yet; `options` on top of what it needs.
    pub fn set(options: &[(&str, &str)]) -> Self {
        Self::with_tools(options, None)
    }

    /// The same with a folder of programs that come before the machine's own.
    pub fn with_tools(options: &[(&str, &str)], tools: Option<&Path>) -> Self {
        let cloud = RehearsalCloud::start(CloudSetup::default()).unwrap();
        assert_eq!(cloud.instances_unavailable(), None, "instances need user namespaces");
        let site = Site::start(SiteSetup { image_size: 64 << 10, ..SiteSetup::default() }).unwrap();
        let dir = tempfile::Builder::new().prefix("rib-").tempdir().unwrap();
        let charm = dir.path().join("charm");
        assemble(&charm);
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        let model = Model::new(JujuVersion::V3_6).unwrap();
        let mut deployment = model.deployment(&charm, APPLICATION).env("RUNNER_IMAGE_BUILDER_ROOT", &root);
        if let Some(tools) = tools {
            deployment = deployment.path_entry(tools);
        }
        let app = deployment.run().unwrap();
        let password = model.add_secret(&[("password", "builder-password")]).unwrap();
        let script_secret = model.add_secret(&[("rib-test-secret", SCRIPT_SECRET)]).unwrap();
        password.grant(&app).unwrap();
        script_secret.grant(&app).unwrap();
        let (password, auth_url, images) = (password.uri(), cloud.auth_url(), site.images_url());
        let (keyring, port) = (site.keyring().display().to_string(), format!("Port={}", cloud.ssh_port()));
        let (api, source) = (site.github_api_url(), site.github_url());
        let mut config = vec![
            ("architecture", "amd64"),
            ("base-image-source", images.as_str()),
            ("base-image-keyring", &keyring),
            ("github-api-url", &api),
            ("runner-source", &source),
            ("ssh-options", &port),
            ("openstack-auth-url", &auth_url),
            ("openstack-password-secret", &password),
            ("openstack-project-domain-name", "Default"),
            ("openstack-project-name", "builder-project"),
            ("openstack-user-domain-name", "Default"),
            ("openstack-user-name", "builder-user"),
        ];
        config.extend(options);
        app.set_config(&config).unwrap();
        Self { cloud, site, model, app, script_secret, root, _dir: dir }
    }

    pub fn unit(&self) -> Unit {
        self.app.unit(0)
    }

    /// Integrates with a consumer that wants its images in `NAME-project`.
    pub fn integrate(&self, name: &str) -> Relation {
        let (user, password, project) =
            (format!("{name}-user"), format!("{name}-password"), format!("{name}-project"));
        let auth_url = self.cloud.auth_url();
        let data = [
            ("auth_url", auth_url.as_str()),
            ("username", &user),
            ("password", &password),
            ("user_domain_name", "Default"),
            ("project_name", &project),
            ("project_domain_name", "Default"),
        ];
        self.app.integrate("image", &format!("{name}-runners"), &[&data]).unwrap()
    }

    pub fn status(&self) -> String {
        let status = self.unit().status().unwrap();
        format!("{}: {}", status.state, status.message)
    }

    pub fn journal(&self) -> Journal {
        Journal::load(&Host::below(&self.root)).unwrap()
    }

    /// What a databag of ours says under `key`.
    pub fn told(&self, relation: &Relation, key: &str) -> Option<String> {
        relation.written_by(&self.unit()).unwrap().get(key).cloned()
    }

    /// Waits until no worker lives and returns the last job.
    pub fn job_ended(&self) -> Job {
        let host = Host::below(&self.root);
        wait_for("the end of the worker", || {
            let ended = self.journal().job.filter(|job| job.finished.is_some());
            (!worker_lives(&host).unwrap()).then_some(ended).flatten()
        })
    }

    /// Runs action `run` to its end.
    pub fn build_again(&self) -> Job {
        let action = self.unit().run_action("run", serde_json::json!({"force": true, "wait": true})).unwrap();
        assert!(action.results.contains_key("job"), "{action:?}");
        self.job_ended()
    }

    /// The worker's process.
    pub fn worker(&self) -> Option<i32> {
        let note = fs::read_to_string(self.root.join("var/lib/runner-image-builder/worker.lock")).ok()?;
        let lives = worker_lives(&Host::below(&self.root)).unwrap();
        lives.then(|| note.trim().parse().ok()).flatten()
    }

    /// What is in the cloud beside images of the charm's own, base images above all: servers, groups, snapshots.
    pub fn leftovers(&self) -> Vec<String> {
        let servers = self.cloud.project("builder-project").servers();
        let groups = self.cloud.project("builder-project").security_groups();
        let images = self.cloud.project("builder-project").images();
        let servers = servers.iter().map(|server| format!("server {}", server.name));
        let groups = groups
            .iter()
            .filter(|group| group.name != "default")
            .map(|group| format!("group {}", group.name));
        let images = images
            .iter()
            .filter_map(|image| image.name.clone())
            .filter(|name| !name.contains("-builder-base-"));
        servers.chain(groups).chain(images.map(|name| format!("image {name}"))).collect()
    }
}

/// Waits until `condition` gives something, and says what was waited for when it does not.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not happen in {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An unpacked charm: the one that `make charm` made, or one around the binary that cargo built for this test.
fn assemble(folder: &Path) {
    let made = std::env::var_os("RUNNER_IMAGE_BUILDER_CHARM").map(PathBuf::from);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let from = made.as_deref().unwrap_or(sources);
    fs::create_dir(folder).unwrap();
    for file in ["metadata.yaml", "config.yaml", "actions.yaml"] {
        fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let dispatch = made.as_ref().map_or(env!("CARGO_BIN_EXE_dispatch").into(), |made| made.join("dispatch"));
    fs::copy(dispatch, folder.join("dispatch")).unwrap();
}
