//! Builds without Juju, as somebody on a laptop runs them: with a clouds.yaml of their own, and nobody's root.

use std::fs;
use std::process::{Command, Output};

use rehearsal::cloud::{CloudSetup, RehearsalCloud};
use rehearsal::servers::{GITHUB_TOKEN, Site, SiteSetup};
use serde_json::Value;

const PROJECT: &str = "upload-project";

struct Laptop {
    cloud: RehearsalCloud,
    site: Site,
    home: tempfile::TempDir,
}

impl Laptop {
    fn new() -> Self {
        let site = SiteSetup { image_size: 64 << 10, ..SiteSetup::default() };
        let cloud = RehearsalCloud::start(CloudSetup::default()).unwrap();
        let home = tempfile::Builder::new().prefix("rib-").tempdir().unwrap();
        let folder = home.path().join(".config/openstack");
        fs::create_dir_all(&folder).unwrap();
        // Other clouds of the same file are none of our business, however they log in.
        let clouds = format!(
            "clouds:\n  elsewhere:\n    auth_type: v3token\n    auth: {{auth_url: 'https://e', \
             token: planted}}\n  mine:\n    auth:\n      \
             auth_url: {}\n      username: upload-user\n      password: upload-password\n      project_name: {PROJECT}\n      \
             user_domain_name: Default\n      project_domain_name: Default\n",
            cloud.auth_url()
        );
        fs::write(folder.join("clouds.yaml"), clouds).unwrap();
        Self { cloud, site: Site::start(site).unwrap(), home }
    }

    fn dispatch(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dispatch"));
        command.current_dir(self.home.path()).env("HOME", self.home.path()).args(words);
        command.env("XDG_RUNTIME_DIR", self.home.path());
        for variable in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "OS_CLIENT_CONFIG_FILE"] {
            command.env_remove(variable);
        }
        command.output().unwrap()
    }

    fn build(&self, words: &[&str]) -> Output {
        let settings = [
            format!("base-image-source={}", self.site.images_url()),
            format!("base-image-keyring={}", self.site.keyring().display()),
            format!("github-api-url={}", self.site.github_api_url()),
            format!("runner-source={}", self.site.github_url()),
            format!("ssh-options=Port={}", self.cloud.ssh_port()),
            "boot-timeout=120".to_owned(),
        ];
        let settings = settings.iter().map(String::as_str);
        let run = ["run", "mine", "laptop", "noble-x64"];
        self.dispatch(&run.into_iter().chain(settings).chain(words.iter().copied()).collect::<Vec<_>>())
    }

    fn images(&self) -> Vec<String> {
        let images = self.cloud.project(PROJECT).images().into_iter();
        let named = images.filter(|image| image.name.as_deref() == Some("laptop-noble-x64"));
        named.map(|image| image.id.to_string()).collect()
    }
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[test]
fn an_image_is_built_in_a_vm_of_ones_own_cloud_and_found_again() {
    let laptop = Laptop::new();
    let latest = ["latest-build-id", "mine", "laptop", "noble-x64"];
    assert!(refused(&laptop.dispatch(&latest)).contains("no image of noble-x64"));

    let token = laptop.home.path().join("token");
    fs::write(&token, format!("{GITHUB_TOKEN}\n")).unwrap();
    let built = said(&laptop.build(&["--github-token-file", token.to_str().unwrap()]));
    let lines: Vec<&str> = built.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("noble-x64: installing: ")), "{built}");
    let id = lines[lines.len() - 1];
    assert_eq!(laptop.images(), [id]);
    assert_eq!(laptop.site.github_rate().used().0, 0, "with the token");
    assert!(laptop.cloud.project(PROJECT).servers().is_empty());
    assert_eq!(said(&laptop.dispatch(&latest)), id);

    // What is up to date is not built again, and told to programs.
    let again = said(&laptop.build(&["--format", "json"]));
    let told: Value = serde_json::from_str(again.lines().last().unwrap()).unwrap();
    assert_eq!(told, serde_json::json!({"target": "noble-x64", "cloud": "mine", "id": id}));
    let forced = said(&laptop.build(&["--force=true"]));
    assert_ne!(forced.lines().last(), Some(id));
}

#[test]
fn what_cannot_work_is_said_with_its_place() {
    let laptop = Laptop::new();
    let missing = refused(&laptop.dispatch(&["run", "nowhere", "laptop", "noble-x64"]));
    assert!(missing.contains("openstack/clouds.yaml: no such cloud"), "{missing}");
    let other = refused(&laptop.dispatch(&["run", "elsewhere", "laptop", "noble-x64"]));
    assert!(other.contains("auth must have auth_url") && !other.contains("planted"), "{other}");
    let flavor = refused(&laptop.build(&["build-flavor=tiny-and-unknown"]));
    assert!(flavor.contains("build-flavor \"tiny-and-unknown\""), "{flavor}");
    assert!(laptop.images().is_empty() && laptop.cloud.project(PROJECT).servers().is_empty());
}
