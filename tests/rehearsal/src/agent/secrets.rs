//! The model's secrets, the users' and the applications': revisions, grants, and which revision each application tracks under
//! which label.
//!
//! A consumer is a unit, as in Juju; grants go to applications.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::model::JujuVersion;

/// A secret's content.
pub type SecretContent = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(super) struct SecretState {
    pub name: String,
    pub info: String,
    /// The application that owns it; none owns a user's.
    pub owner: Option<Owner>,
    /// When each revision came.
    pub times: BTreeMap<u32, SystemTime>,
    pub revisions: BTreeMap<u32, SecretContent>,
    pub grants: BTreeSet<String>,
    pub consumers: BTreeMap<String, Consumer>,
}

/// Whose a secret is.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub application: String,
    /// By which its leader finds it.
    pub label: String,
}

/// How a unit follows a secret.
#[derive(Debug, Default)]
pub(super) struct Consumer {
    pub tracked: u32,
    pub label: String,
}

/// Who asks for a secret, and in whose words the answer is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub unit: &'a str,
    pub application: &'a str,
    pub juju: JujuVersion,
}

impl Reader<'_> {
    fn unknown(self, id: &str) -> String {
        match self.juju {
            JujuVersion::V3_6 => format!("secret {id:?} not found"),
            JujuVersion::V4_0 | JujuVersion::V4 => {
                "getting latest secret revision: secret not found".to_owned()
            }
        }
    }

    fn refused(self) -> String {
        match self.juju {
            JujuVersion::V3_6 => "permission denied".to_owned(),
            JujuVersion::V4_0 | JujuVersion::V4 => {
                format!("{:?} is not allowed to read this secret", self.unit)
            }
        }
    }
}

/// Which revision a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Tracked,
    Peek,
    Refresh,
}

#[derive(Debug, Default)]
pub(super) struct SecretStore {
    pub secrets: BTreeMap<String, SecretState>,
    created: u32,
}

impl SecretStore {
    /// Adds a secret and gives it an id in Juju's form.
    pub fn add(&mut self, content: SecretContent) -> String {
        let id = self.next_id();
        let revisions = BTreeMap::from([(1, content)]);
        let times = BTreeMap::from([(1, SystemTime::now())]);
        self.secrets.insert(id.clone(), SecretState { revisions, times, ..SecretState::default() });
        id
    }

    /// An id that no secret has.
    pub fn next_id(&mut self) -> String {
        self.created += 1;
        format!("d0rehearsal{:09x}", self.created)
    }

    /// The content that `unit` of `application` gets to see, or Juju's refusal.
    pub fn read(
        &mut self,
        uri: Option<&str>,
        label: &str,
        reader: Reader<'_>,
        wanted: Wanted,
    ) -> Result<SecretContent, String> {
        let id = match uri {
            Some(uri) => uri.to_owned(),
            None => self.by_label(reader.unit, label).ok_or_else(|| format!("secret {label:?} not found"))?,
        };
        let secret = self.secrets.get_mut(&id).ok_or_else(|| reader.unknown(&id))?;
        let is_own = secret.owner.as_ref().is_some_and(|owner| owner.application == reader.application);
        if !is_own && !secret.grants.contains(reader.application) {
            return Err(reader.refused());
        }
        let latest = secret.revisions.keys().next_back().copied().unwrap_or_default();
        let consumer = secret
            .consumers
            .entry(reader.unit.to_owned())
            .or_insert_with(|| Consumer { tracked: latest, label: String::new() });
        if uri.is_some() && !label.is_empty() {
            label.clone_into(&mut consumer.label);
        }
        if wanted == Wanted::Refresh || !secret.revisions.contains_key(&consumer.tracked) {
            consumer.tracked = latest;
        }
        let revision = if wanted == Wanted::Peek { latest } else { consumer.tracked };
        secret.revisions.get(&revision).cloned().ok_or_else(|| reader.unknown(&id))
    }

    fn by_label(&self, unit: &str, label: &str) -> Option<String> {
        let known_as = |secret: &SecretState| secret.consumers.get(unit).is_some_and(|c| c.label == label);
        self.secrets.iter().find(|(_, secret)| known_as(secret)).map(|(id, _)| id.clone())
    }
}

/// The id in a secret's URI: `secret:ID`, `secret://MODEL/ID` or the bare id; `None` when it is none of them.
pub(super) fn parse_uri(text: &str) -> Option<String> {
    let rest = match text.split_once(':') {
        Some(("secret", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let id = rest.rsplit('/').next()?;
    let valid = id.len() == 20 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    valid.then(|| id.to_owned())
}
