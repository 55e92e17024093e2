//! The hook tools as a trait of typed calls: one method a tool, and the names that they deal in.
//!
//! Only what Juju 3.6 and 4 both have. Each call of a real tool costs 10 to 30 ms: callers make few.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Secret;

/// A unit's name, `application/number`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnitName {
    name: String,
    number: u32,
}

impl UnitName {
    /// The unit with this name, `None` when it is no unit's name.
    pub fn parse(name: &str) -> Option<Self> {
        let (application, number) = name.split_once('/')?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if application.is_empty() || !application.chars().all(plain) {
            return None;
        }
        Some(Self { name: name.to_owned(), number: number.parse().ok()? })
    }

    /// `application/number`.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The application's name.
    pub fn application(&self) -> &str {
        self.name.split_once('/').map_or("", |(application, _)| application)
    }

    /// The unit's number within its application.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A relation's id, `endpoint:number`. Ids of one endpoint are ordered by their numbers: the older relation comes first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelationId(String);

impl RelationId {
    /// The relation with this id, `None` when it is no relation's id.
    pub fn parse(id: &str) -> Option<Self> {
        let (endpoint, number) = id.split_once(':')?;
        (!endpoint.is_empty() && number.parse::<u64>().is_ok()).then(|| Self(id.to_owned()))
    }

    /// `endpoint:number`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn order(&self) -> (&str, u64, &str) {
        let (endpoint, number) = self.0.split_once(':').unwrap_or((&self.0, ""));
        (endpoint, number.parse().unwrap_or(u64::MAX), &self.0)
    }
}

impl Ord for RelationId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for RelationId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret's URI as an option of type `secret` holds it: `secret:ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUri(String);

impl SecretUri {
    /// The secret with this URI, with or without its scheme; `None` when it cannot be one.
    pub fn parse(uri: &str) -> Option<Self> {
        let id = uri.strip_prefix("secret:").unwrap_or(uri);
        let id = id.trim_start_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '/');
        (!id.is_empty() && id.chars().all(plain)).then(|| Self(format!("secret:{id}")))
    }

    /// `secret:ID`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `id` (as JUJU_SECRET_ID gives it, with or without scheme and model) names this secret.
    pub fn is(&self, id: &str) -> bool {
        let last = |uri: &str| uri.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        last(&self.0) == last(id)
    }
}

impl fmt::Display for SecretUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One unit's data in one relation.
pub type Databag = BTreeMap<String, String>;

/// A unit's workload status, with the message that `juju status` shows beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The charm works on it, or tries again by itself.
    Maintenance(String),
    /// The operator must act.
    Blocked(String),
    /// Somebody else must act first.
    Waiting(String),
    /// The charm does what it is for.
    Active(String),
}

impl Status {
    /// The name that `status-set` knows.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Maintenance(_) => "maintenance",
            Self::Blocked(_) => "blocked",
            Self::Waiting(_) => "waiting",
            Self::Active(_) => "active",
        }
    }

    /// The message.
    pub fn message(&self) -> &str {
        match self {
            Self::Maintenance(message)
            | Self::Blocked(message)
            | Self::Waiting(message)
            | Self::Active(message) => message,
        }
    }
}

/// A hook tool refused, or its answer made no sense.
#[derive(Debug, thiserror::Error)]
pub enum HookToolError {
    /// The tool could not be run, or ended with a failure.
    #[error(transparent)]
    Process(#[from] crate::host::ProcessError),
    /// The tool's answer is not what its documentation says.
    #[error("reading the answer of {tool}: {problem}")]
    Answer {
        /// The hook tool.
        tool: &'static str,
        /// What was wrong with it.
        problem: String,
    },
    /// The tool's answer is longer than anything that is meant well.
    #[error("reading the answer of {tool}: it is longer than 1 MiB")]
    TooLong {
        /// The hook tool.
        tool: &'static str,
    },
    /// `secret-get`: there is no such secret.
    #[error("secret \"{0}\" not found")]
    SecretNotFound(String),
    /// `secret-get`: the secret exists, and was not granted to this application.
    #[error("no permission to read secret \"{0}\"")]
    SecretNotGranted(String),
    /// `secret-get`: Juju refuses the secret for another reason.
    #[error("secret \"{secret}\" cannot be read: {reason}")]
    SecretRefused {
        /// The secret.
        secret: String,
        /// What Juju says, in one line.
        reason: String,
    },
}

/// What a unit can ask of Juju and tell it. Each method is one call of the hook tool of its name.
pub trait HookTools {
    /// The application's configuration; options that are unset and have no default are absent or null.
    fn config_get(&self) -> Result<BTreeMap<String, Value>, HookToolError>;
    /// Whether this unit leads its application, for 30 seconds at least.
    fn is_leader(&self) -> Result<bool, HookToolError>;
    /// The relations of `endpoint`.
    fn relation_ids(&self, endpoint: &str) -> Result<Vec<RelationId>, HookToolError>;
    /// The remote units of a relation.
    fn relation_list(&self, relation: &RelationId) -> Result<Vec<UnitName>, HookToolError>;
    /// What `unit` (remote, or this one) has put into the relation.
    fn relation_get(&self, relation: &RelationId, unit: &UnitName) -> Result<Databag, HookToolError>;
    /// What the leader has put into the application's databag of a peer relation; every unit may read it.
    fn relation_get_application(
        &self,
        relation: &RelationId,
        application: &str,
    ) -> Result<Databag, HookToolError>;
    /// Puts values into this unit's databag of the relation; an empty value removes its key. Takes effect when
    /// the hook succeeds. The values go over stdin.
    fn relation_set(&self, relation: &RelationId, values: &Databag) -> Result<(), HookToolError>;
    /// The same for the application's databag, for the leader alone: others are refused.
    fn relation_set_application(&self, relation: &RelationId, values: &Databag) -> Result<(), HookToolError>;
    /// The application's units and how each is: `dying` for one that is being removed.
    fn goal_state_units(&self) -> Result<BTreeMap<String, String>, HookToolError>;
    /// The newest revision of a secret's content.
    fn secret_get(&self, secret: &SecretUri) -> Result<BTreeMap<String, Secret<String>>, HookToolError>;
    /// The secret of this application that has `label` (`secret-info-get`); for the leader, others are told of none.
    fn secret_labelled(&self, label: &str) -> Result<Option<SecretUri>, HookToolError>;
    /// Adds a secret of this application, for the leader alone. Its content is read by the agent from `content`, a JSON
    /// file with an absolute path, so that no value is an argument. Takes effect when the hook succeeds.
    fn secret_add(&self, label: &str, description: &str, content: &Path) -> Result<SecretUri, HookToolError>;
    /// Gives such a secret a new revision, under the same conditions.
    fn secret_set(&self, secret: &SecretUri, content: &Path) -> Result<(), HookToolError>;
    /// Shows `status` at once, whatever becomes of the hook.
    fn status_set(&self, status: &Status) -> Result<(), HookToolError>;
    /// Shows `version` as the application's beside its units.
    fn application_version_set(&self, version: &str) -> Result<(), HookToolError>;
    /// The parameters of the running action.
    fn action_get(&self) -> Result<BTreeMap<String, Value>, HookToolError>;
    /// Adds to the results of the running action. They are public to the model's readers.
    fn action_set(&self, results: &[(&str, String)]) -> Result<(), HookToolError>;
    /// Lets the running action fail with `message`, which is public to the model's readers.
    fn action_fail(&self, message: &str) -> Result<(), HookToolError>;
    /// Shows progress to whoever waits for the running action.
    fn action_log(&self, message: &str) -> Result<(), HookToolError>;
    /// Writes to the unit's log.
    fn juju_log(&self, level: ::log::Level, message: &str) -> Result<(), HookToolError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_juju_cannot_have_given_are_refused() {
        for name in ["", "builder", "builder/", "builder/x", "/1", "Builder/1", "a b/1"] {
            assert!(UnitName::parse(name).is_none(), "{name}");
        }
        for id in ["", "image", "image:", "image:x", ":1"] {
            assert!(RelationId::parse(id).is_none(), "{id}");
        }
        for uri in ["", "secret:", "secret:a b", "--help me"] {
            assert!(SecretUri::parse(uri).is_none(), "{uri}");
        }
    }

    #[test]
    fn relations_are_ordered_by_their_numbers() {
        let mut ids =
            ["image:10", "image:9", "cos-agent:11", "image:100"].map(|id| RelationId::parse(id).unwrap());
        ids.sort();
        assert_eq!(
            ids.each_ref().map(RelationId::as_str),
            ["cos-agent:11", "image:9", "image:10", "image:100"]
        );
    }

    #[test]
    fn a_secret_event_is_matched_whatever_form_its_id_has() {
        let uri = SecretUri::parse("secret:cq9abc").unwrap();
        for id in ["cq9abc", "secret:cq9abc", "secret://0c1d/cq9abc"] {
            assert!(uri.is(id), "{id}");
        }
        assert!(!uri.is("secret:other"));
    }
}
