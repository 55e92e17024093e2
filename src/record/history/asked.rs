//! What hooks and people have asked the worker for, in `asked.json`: who, why and what changed. A request that another takes
//! the place of before a worker has taken it up is answered here.

use serde::{Deserialize, Serialize};

use super::changed::changed_options;
use super::{FORMAT, keep_newest};
use crate::host::Host;
use crate::model::Timestamp;
use crate::record::file::{RecordError, write_json};
use crate::record::journal::Journal;
use crate::record::levers::Levers;
use crate::record::request::{Reason, Rebuild, Request, Task};
use crate::record::run_config::JobId;

const FILE: &str = "asked.json";

/// The last requests, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The format of the version that wrote it.
    pub format: u32,
    /// The requests.
    #[serde(default)]
    pub requests: Vec<AskedFor>,
    /// Since when a rebuild is owed that could not be asked for: the script's secret has changed.
    #[serde(default)]
    pub owed: Option<Timestamp>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedFor {
    /// Its job.
    pub id: JobId,
    /// When it was asked.
    pub at: Timestamp,
    /// Why: the word of a [`Reason`].
    pub reason: String,
    /// What: `build`, `take_over`, `clean_up`, `serve`, `search`.
    #[serde(default)]
    pub task: String,
    /// Whether what is up to date is built, too.
    #[serde(default)]
    pub forced: bool,
    /// Only these bases; all when empty.
    #[serde(default)]
    pub bases: Vec<String>,
    /// The action that asked, by its name; absent where none did, and of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What had failed and is tried again: target, project and class of the cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retries: Vec<String>,
    /// The job before that it goes on with, whose worker has died or that has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<JobId>,
    /// The options and relations that are others than those of the request before.
    #[serde(default)]
    pub changed: Vec<String>,
    /// The request that took its place before a worker took it up.
    #[serde(default)]
    pub replaced_by: Option<JobId>,
    /// Whether it was taken back, since nothing is to be built any more.
    #[serde(default)]
    pub withdrawn: bool,
}

impl Asked {
    /// What was asked so far; nothing when the file is gone or not understood.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        let bytes = host.read(&host.state_dir().join(FILE))?;
        let read = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let known = read.filter(|known| known.format == FORMAT);
        Ok(known.unwrap_or(Self { format: FORMAT, requests: Vec::new(), owed: None }))
    }

    fn save(mut self, host: &Host) -> Result<(), RecordError> {
        keep_newest(&mut self.requests);
        write_json(host, FILE, &self)
    }

    /// Notes `request`, which takes the place of the one on disk.
    pub(in crate::record) fn note(host: &Host, request: &Request) -> Result<(), RecordError> {
        let (mut asked, before) = (Self::load(host)?, Request::load(host)?);
        let journal = Journal::load(host)?;
        if let Some(before) = &before {
            let is_taken_up = journal.job.as_ref().is_some_and(|job| job.id == before.id);
            let replaced = asked.requests.iter_mut().find(|known| known.id == before.id);
            if let Some(replaced) = replaced.filter(|replaced| !is_taken_up && replaced.replaced_by.is_none())
            {
                replaced.replaced_by = Some(request.id.clone());
            }
        }
        if request.task == Task::Build && request.rebuild == Rebuild::Always && request.bases.is_empty() {
            asked.owed = None;
        }
        let changed = before.map(|before| changed_options(&before.config, &request.config));
        let changed = changed.unwrap_or_default();
        asked.requests.push(AskedFor {
            id: request.id.clone(),
            at: request.at,
            reason: request.reason.as_str().to_owned(),
            task: request.task.word().to_owned(),
            forced: request.rebuild == Rebuild::Always,
            bases: request.bases.iter().map(ToString::to_string).collect(),
            action: action(request, &Levers::load(host)?).map(str::to_owned),
            retries: retries(request, &journal),
            continues: request.continues.last().cloned(),
            changed,
            replaced_by: None,
            withdrawn: false,
        });
        asked.save(host)
    }

    /// The request whose place that of `job` has taken, the newest if there are several.
    pub fn replaced_by(&self, job: &JobId) -> Option<&JobId> {
        let mut replaced = self.requests.iter().rev();
        replaced.find(|known| known.replaced_by.as_ref() == Some(job)).map(|known| &known.id)
    }

    /// Notes that a request is taken back.
    pub(in crate::record) fn withdraw(host: &Host, id: &JobId) -> Result<(), RecordError> {
        let mut asked = Self::load(host)?;
        asked.requests.iter_mut().filter(|known| known.id == *id).for_each(|known| known.withdrawn = true);
        asked.save(host)
    }

    /// A rebuild is owed, and cannot be asked for now.
    pub fn owe(host: &Host) -> Result<(), RecordError> {
        let mut asked = Self::load(host)?;
        asked.owed.get_or_insert(Timestamp::now());
        asked.save(host)
    }
}

/// The name of the action that makes `request`.
fn action(request: &Request, levers: &Levers) -> Option<&'static str> {
    match (request.reason, &request.task) {
        (Reason::Cancel, _) => Some("cancel"),
        (Reason::Action, Task::Search(_)) => Some("clean-up"),
        (Reason::Action, Task::Serve) => Some(last_decision(levers)),
        (Reason::Action, _) => Some("run"),
        _ => None,
    }
}

/// The action that has changed `levers` last: what it has added has its time, and one that removes leaves nothing.
fn last_decision(levers: &Levers) -> &'static str {
    let is_last = |since: Timestamp| since == levers.changed;
    if levers.revoked.iter().any(|revoked| is_last(revoked.since)) {
        "revoke"
    } else if levers.pins.iter().any(|pin| is_last(pin.since)) {
        "pin"
    } else {
        "unpin"
    }
}

/// What `request` tries again.
fn retries(request: &Request, journal: &Journal) -> Vec<String> {
    if !matches!(request.reason, Reason::Retry | Reason::Secret) {
        return Vec::new();
    }
    let failing = journal.failing(&request.config, request.task.kind());
    let of_it = failing.filter(|(standing, _)| standing.was_asked_for(request));
    let told = of_it.map(|(standing, open)| {
        let target = standing.target.map_or("clean-up".to_owned(), |target| target.to_string());
        let project = standing.cloud.as_ref().map(|cloud| format!(" in {cloud}")).unwrap_or_default();
        let cause = open.failures.first().map(|failure| failure.cause).filter(|cause| cause.is_known());
        let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
        format!("{target}{project}{cause}")
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::run_config::BuilderRunConfig;
    use crate::testing::{request, run_config};

    #[test]
    fn a_request_tells_what_changed_and_one_that_waited_what_took_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let first = request(run_config());
        first.save(&host, &Default::default()).unwrap();
        let config = BuilderRunConfig { script_url: Some("https://s".into()), ..run_config() };
        let second = Request { reason: Reason::Configuration, ..request(config) };
        second.save(&host, &Default::default()).unwrap();
        let asked = Asked::load(&host).unwrap();
        assert_eq!(asked.requests[0].replaced_by.as_ref(), Some(&second.id));
        assert_eq!(
            (asked.requests[1].changed.as_slice(), &asked.requests[1].replaced_by),
            (&["script-url".to_owned()][..], &None)
        );
        second.withdraw(&host).unwrap();
        assert!(Asked::load(&host).unwrap().requests[1].withdrawn);
        for _ in 0..60 {
            request(run_config()).save(&host, &Default::default()).unwrap();
        }
        assert_eq!(Asked::load(&host).unwrap().requests.len(), 50);
    }

    #[test]
    fn a_rebuild_is_owed_until_all_is_asked_to_be_rebuilt() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        Asked::owe(&host).unwrap();
        request(run_config()).save(&host, &Default::default()).unwrap();
        assert!(Asked::load(&host).unwrap().owed.is_some());
        Request { rebuild: Rebuild::Always, ..request(run_config()) }
            .save(&host, &Default::default())
            .unwrap();
        assert_eq!(Asked::load(&host).unwrap().owed, None);
    }
}
