//! A hook context: what one turn of a unit sees, and what it has said but what is not in the model yet.
//!
//! As in Juju, config and relation data are what they were when the turn began; relation-set, state-set and the port
//! tools take effect when it ends well; status-set, secret-get and the action tools at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::integration;
use super::record::ToolCall;
use super::relation::{Databag, RelationState};
use super::world::{Event, RelationEvent, Step, UnitId, World};

pub(super) struct Context {
    pub unit: UnitId,
    pub relation: Option<RelationEvent>,
    pub settings: BTreeMap<String, Value>,
    pub relations: BTreeMap<u32, RelationView>,
    pub charm_state: BTreeMap<String, String>,
    pub ports: BTreeMap<String, PortChange>,
    pub action: Option<ActionState>,
    pub calls: Vec<ToolCall>,
}

/// A relation as the turn sees it, and what it wants to write.
pub(super) struct RelationView {
    pub state: RelationState,
    pub members: BTreeSet<String>,
    pub unit_writes: Databag,
    pub app_writes: Databag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortChange {
    Open,
    Close,
}

#[derive(Default)]
pub(super) struct ActionState {
    pub params: Map<String, Value>,
    pub results: Map<String, Value>,
    pub log: Vec<String>,
    pub failure: Option<String>,
}

impl Context {
    pub fn new(world: &World, unit: &UnitId, relation: Option<RelationEvent>) -> Option<Self> {
        let app = world.app(&unit.app).ok()?;
        let state = world.unit(unit).ok()?;
        let mut settings: BTreeMap<String, Value> = BTreeMap::new();
        for (name, option) in &app.charm.options {
            let value = app.settings.get(name).unwrap_or(&option.default);
            settings.insert(name.clone(), value.clone());
        }
        let mut relations = BTreeMap::new();
        for (id, members) in &state.seen {
            if let Some(relation) = world.relations.get(id) {
                let view = RelationView {
                    state: relation.clone(),
                    members: members.clone(),
                    unit_writes: Databag::new(),
                    app_writes: Databag::new(),
                };
                relations.insert(*id, view);
            }
        }
        Some(Self {
            unit: unit.clone(),
            relation,
            settings,
            relations,
            charm_state: state.charm_state.clone(),
            ports: BTreeMap::new(),
            action: None,
            calls: Vec::new(),
        })
    }
}

/// Brings what a turn wrote into the model, and tells peers.
pub(super) fn flush(world: &mut World, context: &Context) {
    let unit = &context.unit;
    if let Ok(state) = world.unit_mut(unit) {
        state.charm_state.clone_from(&context.charm_state);
        for (port, change) in &context.ports {
            match change {
                PortChange::Open => state.opened_ports.insert(port.clone()),
                PortChange::Close => state.opened_ports.remove(port),
            };
        }
    }
    for (id, view) in &context.relations {
        let Some(relation) = world.relations.get_mut(id) else { continue };
        let local = relation.local_units.entry(unit.name()).or_default();
        let mut news = Vec::new();
        if apply(local, &view.unit_writes) {
            *relation.changes.entry(unit.name()).or_default() += 1;
            news.push(unit.name());
        }
        if apply(&mut relation.local_app, &view.app_writes) {
            *relation.changes.entry(unit.app.clone()).or_default() += 1;
            news.push(String::new());
        }
        if !relation.peer {
            integration::mirror(world, *id, unit);
            continue;
        }
        let events: Vec<Event> =
            news.iter().map(|from| relation.event(*id, "changed", Step::Plain, from)).collect();
        for other in world.unit_ids(&unit.app).iter().filter(|other| *other != unit) {
            let Some(met) = world.unit(other).ok().and_then(|state| state.seen.get(id)).cloned() else {
                continue;
            };
            for (from, event) in news.iter().zip(&events) {
                if from.is_empty() || met.contains(from) {
                    world.enqueue(other, event.clone());
                }
            }
        }
    }
}

/// The databag with what is still to be written.
pub(super) fn with_writes(data: &Databag, writes: &Databag) -> Databag {
    let mut data = data.clone();
    apply(&mut data, writes);
    data
}

fn apply(data: &mut Databag, writes: &Databag) -> bool {
    let before = data.clone();
    for (key, value) in writes {
        if value.is_empty() {
            data.remove(key);
        } else {
            data.insert(key.clone(), value.clone());
        }
    }
    *data != before
}
