//! An order to check, from a hook to the worker: `check.json`, written by hooks alone. The newest wins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Findings;
use crate::host::{FileError, Host};
use crate::model::Timestamp;
use crate::record::file::{RecordError, write_json};
use crate::record::run_config::{BuildSecrets, BuilderRunConfig, JobId};
use crate::record::transit::InTransit;

const FILE: &str = "check.json";
/// What the names of files with an order's secrets begin with.
const SECRETS: &str = "check-secrets-";

/// How much is checked. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What images could be made of now, and until when GitHub accepts their runners: no finding comes of it.
    Upstream,
    /// The build project, after a job that visits everything else.
    BuildProject,
    /// The credentials of each project.
    Projects,
    /// The servers of base images and releases.
    Sources,
    /// What must be tried out or costs a request more: the right to create images, GitHub's rate limit.
    Full,
    /// A VM is booted and reached by ssh.
    Deep,
}

/// What a hook asks the worker to check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOrder {
    /// The order's id, which its findings repeat.
    pub id: JobId,
    /// When it was asked.
    pub at: Timestamp,
    /// How much.
    pub scope: Scope,
    /// The unit to call when the findings change.
    pub unit_name: String,
    /// What is configured.
    pub config: BuilderRunConfig,
    /// Whether the worker must find secrets in the run folder.
    pub has_secrets: bool,
}

impl CheckOrder {
    /// The newest order; none when there is none that this version can read.
    pub fn load(host: &Host) -> Option<Self> {
        let bytes = host.read(&host.state_dir().join(FILE)).ok().flatten()?;
        let read = serde_json::from_slice(&bytes);
        read.inspect_err(|error| log::info!("{FILE} is ignored until the next order: {error}")).ok()
    }

    /// Writes the order down in the place of the last one, its secrets first. One that follows a job uses the job's.
    pub fn save(&self, host: &Host, secrets: &BuildSecrets) -> Result<(), RecordError> {
        host.remove_beginning(&host.run_dir(), &[SECRETS])?;
        if self.has_secrets && self.scope != Scope::BuildProject {
            let BuildSecrets { github_token, proxies, .. } = secrets.clone();
            let sent = InTransit { github_token, proxies, ..InTransit::default() };
            sent.leave(host, &self.secrets_file(host))?;
        }
        write_json(host, FILE, self).inspect_err(|_| drop(host.remove_file(&self.secrets_file(host))))
    }

    /// Whether the worker has not answered it yet.
    pub fn is_open(&self, host: &Host) -> bool {
        Findings::load(host).is_none_or(|findings| findings.order != self.id)
    }

    /// Takes the order's secrets out of the run folder; `None` when they are lost.
    pub fn take_secrets(&self, host: &Host) -> Result<Option<BuildSecrets>, FileError> {
        if !self.has_secrets {
            return Ok(Some(BuildSecrets::default()));
        }
        let taken = InTransit::take(host, &self.secrets_file(host))?;
        Ok(taken.map(|InTransit { github_token, proxies, .. }| BuildSecrets {
            github_token,
            proxies,
            ..BuildSecrets::default()
        }))
    }

    fn secrets_file(&self, host: &Host) -> PathBuf {
        host.run_dir().join(format!("{SECRETS}{}.json", self.id))
    }
}
