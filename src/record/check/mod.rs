//! What the last check found: `findings.json`, written by the worker, read by hooks for the status and by the action
//! `check`. Without it nothing is known, and the next look checks again.

mod order;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::file::{RecordError, write_json};
use super::run_config::{CloudName, JobId};
use crate::host::Host;
use crate::model::{Target, Timestamp, redacted};

pub use order::{CheckOrder, Scope};

const FILE: &str = "findings.json";

/// The longest text of a finding, in bytes.
const LENGTH: usize = 600;

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Whether Keystone accepts the credentials.
    Credentials,
    /// Whether the catalog has the services that are needed.
    Catalog,
    /// Whether the unit's clock and the cloud's agree.
    Clock,
    /// Whether there is a flavor for builder VMs.
    Flavor,
    /// Whether there is a network for builder VMs.
    Network,
    /// Whether the quota has room for a builder VM.
    Quota,
    /// Whether images can be created.
    ImageRights,
    /// Whether the image server has signed base images.
    BaseImage,
    /// Whether GitHub has the runner application.
    Github,
    /// Whether the apt mirror has the release.
    AptMirror,
    /// Whether the operator's script can be fetched.
    Script,
    /// Whether a VM can be reached by ssh.
    Ssh,
}

impl Check {
    /// Its name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Catalog => "catalog",
            Self::Clock => "clock",
            Self::Flavor => "flavor",
            Self::Network => "network",
            Self::Quota => "quota",
            Self::ImageRights => "image rights",
            Self::BaseImage => "base image",
            Self::Github => "GitHub",
            Self::AptMirror => "apt mirror",
            Self::Script => "script",
            Self::Ssh => "ssh",
        }
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It works.
    Ok,
    /// It may pass by itself, or does not stop the next build.
    Warning,
    /// The next build or delivery fails until somebody acts.
    Failure,
}

impl Verdict {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// In which cloud, where it is about one.
    pub cloud: Option<CloudName>,
    /// For which image, where it is about one.
    pub target: Option<Target>,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub text: String,
    /// The cause first and the remedy after `; `, for a status; absent where the text is that, and in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

impl Finding {
    /// A finding about the whole unit.
    pub fn new(check: Check, verdict: Verdict, text: impl fmt::Display) -> Self {
        Self { check, cloud: None, target: None, verdict, text: bounded(&text), summary: None }
    }

    /// The same with the cause first, for a status.
    pub fn summed_up(self, summary: impl fmt::Display) -> Self {
        let summary = Some(bounded(&summary)).filter(|summary| *summary != self.text);
        Self { summary, ..self }
    }

    /// The same about one cloud.
    pub fn in_cloud(self, cloud: &CloudName) -> Self {
        Self { cloud: Some(cloud.clone()), ..self }
    }

    /// The same about one image.
    pub fn of_target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }
}

fn bounded(text: &impl fmt::Display) -> String {
    let mut text = redacted(&text.to_string());
    text.truncate(text.floor_char_boundary(LENGTH));
    text
}

impl Finding {
    /// The cause in few words, and what can be done about it.
    pub fn cause_and_remedy(&self) -> (&str, Option<&str>) {
        let summary = self.summary.as_ref().unwrap_or(&self.text).trim_end_matches('.');
        match summary.split_once("; ") {
            Some((cause, remedy)) => (cause, Some(remedy)),
            None => (summary, None),
        }
    }

    /// What was found about what: `flavor, builders-1a2b3c4d: build-flavor "x" does not exist in project builders`.
    pub fn told(&self) -> String {
        let cloud = self.cloud.iter().map(|cloud| format!(", {cloud}"));
        let target = self.target.iter().map(|target| format!(", {target}"));
        let place: String = cloud.chain(target).collect();
        let remedy = self.cause_and_remedy().1.filter(|remedy| !self.text.contains(remedy));
        let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
        format!("{}{place}: {}{remedy}", self.check.as_str(), self.text)
    }
}

/// `failure  flavor, builders-1a2b3c4d: build-flavor "x" does not exist in project builders`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {}", self.verdict.as_str(), self.told())
    }
}

/// All that one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The order that asked for it.
    pub order: JobId,
    /// When the check ended.
    pub at: Timestamp,
    /// The digest of the configuration that was checked.
    pub config_digest: String,
    /// The findings, in the order of the clouds.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// The last ones; none when there are none that this version can read.
    pub fn load(host: &Host) -> Option<Self> {
        let bytes = host.read(&host.state_dir().join(FILE)).ok().flatten()?;
        let read = serde_json::from_slice(&bytes);
        read.inspect_err(|error| log::info!("{FILE} is ignored until the next check: {error}")).ok()
    }

    /// The findings of `before` as the answer to `order`, which is about none of them.
    pub fn of_before(before: Option<Self>, order: &CheckOrder) -> Self {
        let empty = || Self {
            order: order.id.clone(),
            at: Timestamp::now(),
            config_digest: String::new(),
            findings: Vec::new(),
        };
        Self { order: order.id.clone(), ..before.unwrap_or_else(empty) }
    }

    /// Writes them down in the place of the last ones.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// What stops the next build or delivery of a configuration with this digest.
    pub fn failures(&self, config_digest: &str) -> impl Iterator<Item = &Finding> {
        let is_current = self.config_digest == config_digest;
        self.findings.iter().filter(move |finding| is_current && finding.verdict == Verdict::Failure)
    }

    /// The gravest verdict.
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_kept_and_count_for_their_own_configuration_only() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert_eq!(Findings::load(&host), None);
        let cloud = CloudName::new("builders");
        let flavor = Finding::new(Check::Flavor, Verdict::Failure, "no such flavor").in_cloud(&cloud);
        let clock = Finding::new(Check::Clock, Verdict::Ok, "it agrees");
        let findings = Findings {
            order: JobId::random(),
            at: Timestamp::now(),
            config_digest: "now".into(),
            findings: vec![flavor.clone(), clock],
        };
        findings.save(&host).unwrap();
        let read = Findings::load(&host).unwrap();
        assert_eq!(read, findings);
        assert_eq!(read.failures("now").collect::<Vec<_>>(), [&flavor]);
        assert_eq!(read.failures("other").count(), 0);
        assert_eq!(read.verdict(), Verdict::Failure);
        assert_eq!(flavor.to_string(), "failure  flavor, builders: no such flavor");
        host.write(&host.state_dir().join(FILE), b"{", 0o600).unwrap();
        assert_eq!(Findings::load(&host), None, "a damaged file stops nothing");
    }

    #[test]
    fn a_finding_tells_its_remedy_once_and_its_cause_first_where_a_status_has_it() {
        let long =
            Finding::new(Check::Script, Verdict::Failure, "fetching script-url: GET https://x/s: HTTP 404")
                .summed_up("script-url: x: HTTP 404; correct script-url");
        assert_eq!(long.told(), "script: fetching script-url: GET https://x/s: HTTP 404; correct script-url");
        assert_eq!(long.cause_and_remedy(), ("script-url: x: HTTP 404", Some("correct script-url")));
        let plain = Finding::new(Check::Flavor, Verdict::Failure, "no such flavor; set build-flavor.");
        assert_eq!(plain.clone().summed_up("no such flavor; set build-flavor."), plain);
        assert_eq!(plain.told(), "flavor: no such flavor; set build-flavor.");
        assert_eq!(plain.cause_and_remedy(), ("no such flavor", Some("set build-flavor")));
    }

    #[test]
    fn a_finding_is_bounded_whatever_a_cloud_says() {
        assert!(Finding::new(Check::Clock, Verdict::Warning, "é".repeat(10_000)).text.len() <= LENGTH);
    }
}
