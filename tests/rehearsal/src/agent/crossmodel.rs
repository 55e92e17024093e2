//! Relations with another model's application. Each model has its own side of such a relation; whoever holds both models
//! carries what one side says to the other, as a controller does.

use std::collections::BTreeMap;

use super::application::Application;
use super::error::Result;
use super::record::HookRun;
use super::relation::{Databag, Relation, RelationState, RemoteUnit};
use super::units::settle;
use super::world::Step;

/// The application on the other side, which another model runs.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Its endpoint.
    pub endpoint: String,
    /// Whether it consumes what is offered here.
    pub is_consumer: bool,
}

/// What one side of a relation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// What is in the databag of each unit, by the unit's number.
    pub units: BTreeMap<u32, Databag>,
    /// What is in the application's.
    pub application: Databag,
}

impl Application {
    /// Relates an endpoint to an application of another model, which is called `remote_app` here: relation-created. Its
    /// units come with [`Relation::hear`].
    pub fn integrate_elsewhere(
        &self,
        endpoint: &str,
        remote_app: &str,
        elsewhere: Elsewhere,
    ) -> Result<Relation> {
        let relation = RelationState::new(endpoint, self.name(), remote_app);
        self.begin(RelationState { elsewhere: Some(elsewhere), ..relation })
    }
}

impl Relation {
    /// What this side says; nothing once the relation ends here.
    pub fn said(&self) -> Option<Side> {
        self.look(|relation| {
            let units = relation.local_units.iter();
            let numbered = units.filter_map(|(name, said)| {
                Some((name.rsplit_once('/')?.1.parse::<u32>().ok()?, said.clone()))
            });
            let side = Side { units: numbered.collect(), application: relation.local_app.clone() };
            (!relation.dying).then_some(side)
        })
        .ok()
        .flatten()
    }

    /// Brings what the other side says: relation-joined, -changed and -departed for whatever is different.
    pub fn hear(&self, said: &Side) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        let relation = world.relations.get_mut(&self.id).ok_or_else(|| self.gone())?;
        let mut events = Vec::new();
        if relation.remote_app_data != said.application {
            relation.remote_app_data.clone_from(&said.application);
            events.push(relation.event(self.id, "changed", Step::Plain, ""));
        }
        for (number, data) in &said.units {
            let name = format!("{}/{number}", relation.remote_app);
            let known = relation.remote_units.get(&name).filter(|remote| remote.present);
            if known.is_some_and(|known| known.data == *data) {
                continue;
            }
            if known.is_none() {
                events.push(relation.event(self.id, "joined", Step::Joined, &name));
            }
            events.push(relation.event(self.id, "changed", Step::Plain, &name));
            relation.remote_units.insert(name, RemoteUnit { data: data.clone(), present: true });
        }
        let names = said.units.keys().map(|number| format!("{}/{number}", relation.remote_app));
        let names: Vec<String> = names.collect();
        let present = relation.remote_units.iter().filter(|(_, remote)| remote.present);
        let gone = present.map(|(name, _)| name.clone()).filter(|name| !names.contains(name));
        for name in gone.collect::<Vec<_>>() {
            events.push(relation.event(self.id, "departed", Step::Departed, &name));
            if let Some(remote) = relation.remote_units.get_mut(&name) {
                remote.present = false;
            }
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let app = relation.app.clone();
        let mut jobs = Vec::new();
        for unit in world.unit_ids(&app) {
            for event in &events {
                jobs.extend(world.enqueue(&unit, event.clone()).map(|job| (unit.clone(), job)));
            }
        }
        drop(world);
        settle(&self.shared, &jobs)
    }
}
