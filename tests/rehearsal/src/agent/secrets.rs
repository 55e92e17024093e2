//! The model's user secrets: revisions, grants, and which revision each application tracks under which label.
//!
//! A consumer is a unit, as in Juju; grants go to applications.

use std::collections::{BTreeMap, BTreeSet};

/// A secret's content.
pub type SecretContent = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(super) struct SecretState {
    pub revisions: BTreeMap<u32, SecretContent>,
    pub grants: BTreeSet<String>,
    pub consumers: BTreeMap<String, Consumer>,
}

/// How a unit follows a secret.
#[derive(Debug, Default)]
pub(super) struct Consumer {
    pub tracked: u32,
    pub label: String,
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
        self.created += 1;
        let id = format!("d0rehearsal{:09x}", self.created);
        let revisions = BTreeMap::from([(1, content)]);
        self.secrets.insert(id.clone(), SecretState { revisions, ..SecretState::default() });
        id
    }

    /// The content that `unit` of `application` gets to see, or Juju's refusal.
    pub fn read(
        &mut self,
        uri: Option<&str>,
        label: &str,
        (unit, application): (&str, &str),
        wanted: Wanted,
    ) -> Result<SecretContent, String> {
        let id = match uri {
            Some(uri) => uri.to_owned(),
            None => self.by_label(unit, label).ok_or_else(|| format!("secret {label:?} not found"))?,
        };
        let secret = self.secrets.get_mut(&id).ok_or_else(|| format!("secret {id:?} not found"))?;
        if !secret.grants.contains(application) {
            return Err("permission denied".to_owned());
        }
        let latest = secret.revisions.keys().next_back().copied().unwrap_or_default();
        let consumer = secret
            .consumers
            .entry(unit.to_owned())
            .or_insert_with(|| Consumer { tracked: latest, label: String::new() });
        if uri.is_some() && !label.is_empty() {
            label.clone_into(&mut consumer.label);
        }
        if wanted == Wanted::Refresh || !secret.revisions.contains_key(&consumer.tracked) {
            consumer.tracked = latest;
        }
        let revision = if wanted == Wanted::Peek { latest } else { consumer.tracked };
        secret.revisions.get(&revision).cloned().ok_or_else(|| format!("secret {id:?} not found"))
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
