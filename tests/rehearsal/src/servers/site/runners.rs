//! Releases of the runner application, with the moments at which they were published.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::Site;
use crate::cloud::Stamp;
use crate::lock;
use crate::servers::release::runner_tarball;

/// The repositories of the runner application, and the architectures of each.
const RUNNERS: [(&str, &[&str]); 2] = [
    (GITHUBS_OWN, &["x64", "arm64", "arm"]),
    ("canonical/github-actions-runner", &["arm", "s390x", "ppc64le"]),
];
const GITHUBS_OWN: &str = "actions/runner";

impl Site {
    /// Publishes runner releases now, the latest last: GitHub's own, and those for architectures that GitHub has none for.
    /// Those that were there before keep their dates.
    pub fn publish_runners(&self, versions: Vec<String>) -> io::Result<()> {
        let dates = lock(&self.dates).clone();
        let now = Stamp::now().iso();
        let dated = versions.into_iter().map(|version| {
            let published = dates.get(&version).unwrap_or(&now).clone();
            (version, published)
        });
        self.publish_runners_at(dated.collect())
    }

    /// The same with the moments at which they were published.
    pub fn publish_runners_at(&self, dated: Vec<(String, String)>) -> io::Result<()> {
        let versions: Vec<String> = dated.iter().map(|(version, _)| version.clone()).collect();
        lock(&self.dates).extend(dated);
        let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for version in &versions {
            for (repository, architectures) in RUNNERS {
                let release = self.runner_release(repository, architectures, version)?;
                let list = lists.entry(repository).or_default();
                list.insert(0, release.clone());
                let path = format!("/api/repos/{repository}/releases");
                self.serve(&path, "application/json; charset=utf-8", Value::from(list.clone()).to_string());
                let path = format!("/api/repos/{repository}/releases/tags/v{version}");
                self.serve(&path, "application/json; charset=utf-8", release.to_string());
                if Some(version) == versions.last() {
                    if repository == GITHUBS_OWN {
                        self.runners.offer(applications(&release));
                    }
                    let path = format!("/api/repos/{repository}/releases/latest");
                    self.serve(&path, "application/json; charset=utf-8", release.to_string());
                }
            }
        }
        lock(&self.setup).runner_versions = versions;
        Ok(())
    }

    fn runner_release(&self, repository: &str, architectures: &[&str], version: &str) -> io::Result<Value> {
        let mut files = Vec::new();
        for architecture in architectures {
            let name = format!("actions-runner-linux-{architecture}-{version}.tar.gz");
            files.push((name, runner_tarball(architecture, version)?));
        }
        let mut release = self.release(repository, &format!("v{version}"), files);
        release["published_at"] = lock(&self.dates).get(version).map(String::as_str).into();
        Ok(release)
    }

    /// Gives no jobs to runners of `version` from that moment on, whatever its releases are.
    pub fn deprecate_runner(&self, version: &str, at: &str) {
        self.runners.deprecate(version, at);
    }
}

/// The applications of a release, as GitHub offers them to those who may manage runners.
fn applications(release: &Value) -> Vec<Value> {
    let assets = release["assets"].as_array().into_iter().flatten();
    let application = |asset: &Value| {
        let name = asset["name"].as_str()?;
        let architecture = name.strip_prefix("actions-runner-linux-")?.split('-').next()?;
        let digest = asset["digest"].as_str()?.strip_prefix("sha256:")?;
        Some(json!({"os": "linux", "architecture": architecture, "filename": name,
            "download_url": asset["browser_download_url"], "sha256_checksum": digest}))
    };
    assets.filter_map(application).collect()
}
