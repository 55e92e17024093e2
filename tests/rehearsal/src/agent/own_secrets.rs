//! Secrets that an application owns: what a turn adds and changes, which counts when it ends well, and what its leader sees of
//! them until then.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::context::Context;
use super::secrets::{Owner, SecretContent, SecretState};
use super::world::{Event, SecretEvent, UnitId, World};

/// What a turn does to secrets of its application, by id.
pub(super) type SecretWrites = BTreeMap<String, SecretWrite>;

/// A secret that is added, or changed.
#[derive(Debug, Clone, Default)]
pub(super) struct SecretWrite {
    pub is_new: bool,
    pub label: Option<String>,
    pub description: Option<String>,
    pub content: Option<SecretContent>,
}

/// What the leader of an application knows of a secret.
pub(super) struct Metadata {
    pub revision: u32,
    pub label: String,
    pub description: String,
}

impl Metadata {
    /// As secret-info-get shows it.
    pub fn shown(&self) -> Value {
        let mut shown = json!({
            "revision": self.revision, "label": self.label, "owner": "application", "rotation": "never",
        });
        if !self.description.is_empty() {
            shown["description"] = self.description.clone().into();
        }
        shown
    }
}

/// The secrets of the application as its leader sees them, with what the turn has written; others see none.
pub(super) fn metadata(world: &World, context: &Context) -> BTreeMap<String, Metadata> {
    if !world.is_leader(&context.unit) {
        return BTreeMap::new();
    }
    let owned = world.secrets.secrets.iter().filter_map(|(id, secret)| {
        let owner = secret.owner.as_ref().filter(|owner| owner.application == context.unit.app)?;
        let revision = secret.revisions.keys().next_back().copied().unwrap_or_default();
        let (label, description) = (owner.label.clone(), secret.info.clone());
        Some((id.clone(), Metadata { revision, label, description }))
    });
    let mut known: BTreeMap<String, Metadata> = owned.collect();
    for (id, write) in &context.secret_writes {
        let entry = match (known.get_mut(id), write.is_new) {
            (Some(known), _) => known,
            (None, true) => known.entry(id.clone()).or_insert(Metadata {
                revision: 1,
                label: String::new(),
                description: String::new(),
            }),
            (None, false) => continue,
        };
        write.label.iter().for_each(|label| label.clone_into(&mut entry.label));
        write.description.iter().for_each(|text| text.clone_into(&mut entry.description));
    }
    known
}

/// Why what a turn has written cannot be brought into the model, in Juju's words: then nothing of the turn is.
pub(super) fn refusal(world: &World, context: &Context) -> Option<String> {
    let owned = |label: &str| {
        let owners = world.secrets.secrets.values().filter_map(|secret| secret.owner.as_ref());
        owners.filter(|owner| owner.application == context.unit.app).any(|owner| owner.label == label)
    };
    context.secret_writes.iter().find_map(|(id, write)| {
        let secret = world.secrets.secrets.get(id);
        let is_own = secret
            .and_then(|secret| secret.owner.as_ref())
            .is_some_and(|owner| owner.application == context.unit.app);
        match &write.label {
            Some(label) if write.is_new && owned(label) => {
                Some(format!("secret with label {label:?} already exists"))
            }
            _ if write.is_new || is_own => None,
            _ if secret.is_none() => Some(format!("secret {id:?} not found")),
            _ => Some("permission denied".to_owned()),
        }
    })
}

/// Brings it into the model; units that follow a secret, but for the one that has changed it, hear of a new revision.
pub(super) fn flush(world: &mut World, context: &Context) {
    for (id, write) in &context.secret_writes {
        if write.is_new {
            let owner = Owner { application: context.unit.app.clone(), label: String::new() };
            world
                .secrets
                .secrets
                .insert(id.clone(), SecretState { owner: Some(owner), ..SecretState::default() });
        }
        let Some(secret) = world.secrets.secrets.get_mut(id) else { continue };
        write.description.iter().for_each(|text| text.clone_into(&mut secret.info));
        if let (Some(owner), Some(label)) = (&mut secret.owner, &write.label) {
            label.clone_into(&mut owner.label);
        }
        let Some(content) = &write.content else { continue };
        let next = secret.revisions.keys().next_back().copied().unwrap_or_default() + 1;
        secret.revisions.insert(next, content.clone());
        secret.times.insert(next, SystemTime::now());
        let followers: Vec<(Option<UnitId>, String)> = secret
            .consumers
            .iter()
            .map(|(unit, consumer)| (UnitId::parse(unit), consumer.label.clone()))
            .collect();
        for (unit, label) in followers.into_iter().filter(|_| !write.is_new) {
            let Some(unit) = unit.filter(|unit| *unit != context.unit) else { continue };
            let secret = Some(SecretEvent { uri: format!("secret:{id}"), label });
            world.enqueue(&unit, Event { secret, ..Event::plain("secret-changed") });
        }
    }
}
