//! What a search of the build project has found that nothing needs any more, in `clean-up.json`: the answer to the action
//! `clean-up`, from the worker.

use serde::{Deserialize, Serialize};

use super::FORMAT;
use crate::host::Host;
use crate::record::file::{RecordError, write_json};
use crate::record::run_config::{CloudName, JobId};

const FILE: &str = "clean-up.json";

/// What the last search has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The format of the version that wrote it.
    pub format: u32,
    /// The job that searched.
    pub job: JobId,
    /// What nothing needs.
    #[serde(default)]
    pub unneeded: Vec<Unneeded>,
}

/// A resource of ours in a cloud that nothing needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unneeded {
    /// The project.
    pub project: CloudName,
    /// `image` or `server`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why nothing needs it.
    pub why: String,
    /// When it was made, as the cloud says it.
    #[serde(default)]
    pub created: Option<String>,
    /// What has become of it: `deleted`, or why it could not be; absent when it was only looked for.
    #[serde(default)]
    pub outcome: Option<String>,
}

impl Found {
    /// What `job` has found.
    pub fn by(job: &JobId, unneeded: Vec<Unneeded>) -> Self {
        Self { format: FORMAT, job: job.clone(), unneeded }
    }

    /// What the search of `job` has found; none while there is no answer of it.
    pub fn load(host: &Host, job: &JobId) -> Result<Option<Self>, RecordError> {
        Ok(Self::last(host)?.filter(|found| found.job == *job))
    }

    /// What the last search has found.
    pub fn last(host: &Host) -> Result<Option<Self>, RecordError> {
        let bytes = host.read(&host.state_dir().join(FILE))?;
        let read = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        Ok(read.filter(|found| found.format == FORMAT))
    }

    /// Keeps it for whoever asked.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }
}
