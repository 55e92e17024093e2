//! What the operator sees of the cloud: OpenStack's own client, as one of the projects of clouds.yaml.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The folder of the running stack.
pub fn state_dir() -> PathBuf {
    std::env::var_os("OPENSTACK_TESTBED_DIR")
        .unwrap_or("/var/tmp/runner-image-builder-openstack".into())
        .into()
}

/// One project of the stack's clouds.yaml.
#[derive(Clone)]
pub struct Project {
    name: &'static str,
    auth: BTreeMap<String, String>,
}

impl Project {
    /// The project under this name in clouds.yaml.
    pub fn named(name: &'static str) -> Self {
        let text = std::fs::read_to_string(state_dir().join("clouds.yaml"))
            .expect("the stack's clouds.yaml: start it with tests/openstack/run.sh");
        let clouds: Value = serde_yaml::from_str(&text).expect("clouds.yaml");
        let auth = serde_json::from_value(clouds["clouds"][name]["auth"].clone()).expect("auth of the cloud");
        Self { name, auth }
    }

    /// A field of its credentials.
    pub fn auth(&self, field: &str) -> &str {
        &self.auth[field]
    }

    /// What a consumer puts into the image relation.
    pub fn relation_data(&self) -> Vec<(&str, &str)> {
        ["auth_url", "password", "project_domain_name", "project_name", "user_domain_name", "username"]
            .into_iter()
            .map(|field| (field, self.auth(field)))
            .collect()
    }

    /// Runs OpenStack's client and returns what it printed.
    pub fn try_client(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new("openstack")
            .env("OS_CLIENT_CONFIG_FILE", state_dir().join("clouds.yaml"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["--os-cloud", self.name])
            .args(args)
            .output()
            .expect("the openstack client");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// The same, for what must work.
    pub fn client(&self, args: &[&str]) -> String {
        self.try_client(args).unwrap_or_else(|error| panic!("openstack {}: {error}", args.join(" ")))
    }

    /// The same, as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.client(&[args, &["-f", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Everything in the project, a line each.
    pub fn inventory(&self) -> BTreeSet<String> {
        let output =
            Command::new(crate::charm::script("inventory.sh")).arg(self.name).output().expect("inventory.sh");
        assert!(output.status.success(), "inventory.sh: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}
