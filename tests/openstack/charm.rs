//! The charm, deployed by the test's Juju agent on this machine, below a root of its own, for the real cloud.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rehearsal::agent::{Application, JujuVersion, Model, Proxies, Relation, Secret};
use runner_image_builder::instance::DEFAULT_RECIPE;
use serde_json::Value;

use crate::cloud::{Project, state_dir};
use crate::credential::ApplicationCredential;
use crate::deployed::Deployed;
use crate::scenario::{CONSUMERS, Environment, Image, project_of};
use crate::trace::Trace;

pub use crate::deployed::{APPLICATION, SCRIPT_SECRET};

/// The address of the test site inside the namespace, as builder VMs reach it.
pub const SITE: &str = "http://10.77.0.1:8080";
/// The proxy, as builder VMs reach it.
pub const PROXY: &str = "http://10.77.0.1:3128";
/// How long one build may take on an emulated processor.
pub const BUILD: Duration = Duration::from_secs(1200);

/// A deployed charm.
pub struct Charm {
    pub model: Model,
    pub app: Application,
    pub root: PathBuf,
    pub trace: Trace,
    build: Project,
    consumers: [Project; 2],
    _dir: tempfile::TempDir,
    credential: ApplicationCredential,
    credential_secret: Secret,
    script: Secret,
}

impl Charm {
    /// Deploys one unit without any configuration.
    pub fn deploy() -> Self {
        let build = Project::named("builder");
        let charm = charm_folder();
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("root");
        std::fs::create_dir(&root).expect("the root");
        let trace = Trace::below(dir.path());
        let model = Model::new(JujuVersion::V3_6).expect("a model");
        // An action may wait for a build, which takes minutes on an emulated processor.
        model.set_hook_deadline(Duration::from_secs(1800));
        model.set_proxies(proxies()).expect("proxies");
        let app = model
            .deployment(charm, APPLICATION)
            .env("RUNNER_IMAGE_BUILDER_ROOT", &root)
            .path_entry(trace.tools())
            .run()
            .expect("deployment");
        let credential = ApplicationCredential::of(&build);
        let credential_secret = model.add_secret(&[("secret", &credential.secret)]).expect("secret");
        let script = model.add_secret(&[("rib-test-secret", SCRIPT_SECRET)]).expect("secret");
        credential_secret.grant(&app).expect("grant");
        script.grant(&app).expect("grant");
        let consumers = CONSUMERS.map(Project::named);
        Self { model, app, root, trace, build, consumers, _dir: dir, credential, credential_secret, script }
    }

    /// What nobody but Keystone may be told.
    pub fn credential_secret(&self) -> &str {
        &self.credential.secret
    }

    /// One of clouds.yaml, by its name in the cloud.
    pub fn project(&self, name: &str) -> &Project {
        let all = [&self.build].into_iter().chain(&self.consumers);
        all.into_iter()
            .find(|project| project.auth("project_name") == name)
            .expect("a project of clouds.yaml")
    }

    /// The worker's log, for a failure's report.
    fn show_log(&self) {
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

impl Drop for Charm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

impl Deployed for Charm {
    fn model(&self) -> &Model {
        &self.model
    }

    fn app(&self) -> &Application {
        &self.app
    }

    fn machine(&self) -> PathBuf {
        self.root.clone()
    }

    fn patience(&self) -> Duration {
        BUILD
    }
}

impl Environment for Charm {
    fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = options(&self.build);
        options.push(("openstack-application-credential-id", self.credential.id.clone()));
        options.push(("openstack-application-credential-secret", self.credential_secret.uri()));
        options
    }

    fn script_secret(&self) -> String {
        self.script.uri()
    }

    fn integrate(&self, name: &str) -> Relation {
        let data = self.project(&project_of(name)).relation_data();
        self.app.integrate("image", &format!("{name}-runners"), &[&data]).expect("integration")
    }

    /// The site has them all.
    fn serve_script(&self, name: &str) -> String {
        format!("http://127.0.0.1:8080/script/{name}")
    }

    fn inventory(&self, project: &str) -> BTreeSet<String> {
        self.project(project).inventory()
    }

    fn image(&self, project: &str, id: &str) -> Option<Image> {
        let text = self.project(project).try_client(&["image", "show", id, "-f", "json"]).ok()?;
        let image: Value = serde_json::from_str(&text).expect("JSON");
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let properties = image["properties"].as_object().expect("properties").iter();
        let properties = properties.map(|(name, value)| (name.clone(), word(value))).collect();
        Some(Image { name: word(&image["name"]), status: word(&image["status"]), properties })
    }

    fn add_image(&self, project: &str, name: &str) -> String {
        let file = state_dir().join("foreign.img");
        fs::write(&file, b"somebody else's").expect("a file");
        let path = file.to_string_lossy().into_owned();
        let args =
            ["image", "create", name, "--disk-format", "raw", "--file", &path, "-f", "value", "-c", "id"];
        self.project(project).client(&args)
    }

    fn remove_image(&self, project: &str, id: &str) {
        if let Err(error) = self.project(project).try_client(&["image", "delete", id]) {
            eprintln!("image {id} of {project} stays: {error}");
        }
    }

    fn find_in_image(&self, project: &str, id: &str, texts: &[String], anywhere: bool) -> Option<String> {
        let (file, patterns) = (state_dir().join("published.img"), state_dir().join("patterns"));
        let path = file.to_string_lossy().into_owned();
        self.project(project).client(&["image", "save", "--file", &path, id]);
        fs::write(&patterns, texts.join("\n") + "\n").expect("patterns");
        let output = Command::new(script("inspect-image.sh"))
            .env("FILES_ONLY", if anywhere { "" } else { "1" })
            .args([&file, &patterns])
            .output()
            .expect("inspect-image.sh");
        fs::remove_file(file).expect("the image");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.code() {
            Some(0) => None,
            Some(1) => Some(told),
            _ => panic!("inspect-image.sh: {told}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn surroundings(&self) -> Vec<String> {
        vec![PROXY.to_owned()]
    }
}

/// The model's.
pub fn proxies() -> Proxies {
    let no_proxy = "127.0.0.1,localhost".into();
    Proxies { http: PROXY.into(), https: PROXY.into(), no_proxy, ..Proxies::default() }
}

/// A script beside this file.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openstack").join(name)
}

/// Where the key lies that the site's base images are signed with.
pub fn keyring() -> PathBuf {
    state_dir().join("site-keys/cloudimage-keyring.gpg")
}

/// What a charm has to be told to build in this project, but for who it is there.
pub fn options(build: &Project) -> Vec<(&'static str, String)> {
    vec![
        ("architecture", "amd64".into()),
        ("base-image", "24.04".into()),
        ("base-image-source", format!("{SITE}/cloud-images")),
        ("base-image-keyring", keyring().to_string_lossy().into_owned()),
        ("build-apt-mirror", format!("{SITE}/ubuntu")),
        // The site has no security pocket.
        ("rebuild-on", "age".into()),
        ("build-network", "runner-net".into()),
        ("build-ssh-ingress", "10.77.0.0/24".into()),
        // The machine itself: what it says is believed without https.
        ("github-api-url", "http://127.0.0.1:8080/api".into()),
        ("runner-source", SITE.into()),
        ("openstack-auth-url", build.auth("auth_url").to_owned()),
        // All projects have one Keystone: copies are to be seen all the same.
        ("delivery", "copy".into()),
        // Each is a build of its own, which emulated machines take minutes for.
        ("prepared-images", "false".into()),
        ("recipe", recipe()),
    ]
}

/// The same with its user and password.
pub fn options_of_user(build: &Project, password: &Secret) -> Vec<(&'static str, String)> {
    let auth = |field: &str| build.auth(field).to_owned();
    let mut options = options(build);
    options.extend([
        ("openstack-password-secret", password.uri()),
        ("openstack-project-domain-name", auth("project_domain_name")),
        ("openstack-project-name", auth("project_name")),
        ("openstack-user-domain-name", auth("user_domain_name")),
        ("openstack-user-name", auth("username")),
    ]);
    options
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
