//! Relations: their data on both sides, and the order in which Juju tells of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::crossmodel::Elsewhere;
use super::error::{AgentError, Result};
use super::integration::end_relation;
use super::model::JujuVersion;
use super::record::HookRun;
use super::unit::Unit;
use super::units::settle;
use super::world::{Event, RelationEvent, Shared, Step, UnitId, World};

/// The data of one unit or application in a relation.
pub type Databag = BTreeMap<String, String>;

/// A relation's data. In a peer relation the remote side is the application itself.
#[derive(Debug, Clone)]
pub(super) struct RelationState {
    pub endpoint: String,
    pub app: String,
    pub remote_app: String,
    pub peer: bool,
    /// The same relation as the application on the other side has it, where the model runs that one too.
    pub twin: Option<u32>,
    /// The application on the other side, where another model runs that one.
    pub elsewhere: Option<Elsewhere>,
    /// In a relation within each machine: which remote unit goes with which local one.
    pub pairs: Option<BTreeMap<String, String>>,
    /// Whether it ends.
    pub dying: bool,
    pub local_units: BTreeMap<String, Databag>,
    /// What peers said that have gone. It stays readable.
    pub former_units: BTreeMap<String, Databag>,
    pub local_app: Databag,
    pub remote_units: BTreeMap<String, RemoteUnit>,
    pub remote_app_data: Databag,
    pub changes: BTreeMap<String, usize>,
}

/// A unit on the other side. What it said stays readable when it has gone.
#[derive(Debug, Clone)]
pub(super) struct RemoteUnit {
    pub data: Databag,
    pub present: bool,
}

/// What Juju itself writes into every unit's databag.
pub(super) fn network_keys(host: u64) -> Databag {
    let address = format!("10.0.0.{}", host % 200 + 10);
    Databag::from([
        ("egress-subnets".to_owned(), format!("{address}/32")),
        ("ingress-address".to_owned(), address.clone()),
        ("private-address".to_owned(), address),
    ])
}

impl RelationState {
    /// A relation in which nobody is yet.
    pub fn new(endpoint: &str, app: &str, remote_app: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            app: app.to_owned(),
            remote_app: remote_app.to_owned(),
            peer: false,
            twin: None,
            elsewhere: None,
            pairs: None,
            dying: false,
            local_units: BTreeMap::new(),
            former_units: BTreeMap::new(),
            local_app: Databag::new(),
            remote_units: BTreeMap::new(),
            remote_app_data: Databag::new(),
            changes: BTreeMap::new(),
        }
    }

    /// A local unit has gone; what it said to its peers stays readable.
    pub fn forget(&mut self, unit: &str) {
        if let Some(said) = self.local_units.remove(unit)
            && self.peer
        {
            self.former_units.insert(unit.to_owned(), said);
        }
    }

    /// `image:7`
    pub fn key(&self, id: u32) -> String {
        format!("{}:{id}", self.endpoint)
    }

    /// An event of this relation.
    pub fn event(&self, id: u32, what: &str, step: Step, remote_unit: &str) -> Event {
        Event {
            hook: format!("{}-relation-{what}", self.endpoint),
            step,
            relation: Some(RelationEvent {
                id,
                remote_app: self.remote_app.clone(),
                remote_unit: remote_unit.to_owned(),
                departing: match step {
                    Step::Departed | Step::DepartedStranger => remote_unit.to_owned(),
                    _ => String::new(),
                },
            }),
            secret: None,
        }
    }

    /// The units on the other side of `unit`.
    pub fn remotes_of(&self, unit: &str) -> Vec<String> {
        if self.peer {
            self.local_units.keys().filter(|other| *other != unit).cloned().collect()
        } else {
            let goes_with = |remote: &str| {
                self.pairs.as_ref().is_none_or(|pairs| pairs.get(unit).is_some_and(|it| it == remote))
            };
            self.remote_units
                .iter()
                .filter(|(name, remote)| remote.present && goes_with(name))
                .map(|(name, _)| name.clone())
                .collect()
        }
    }
}

/// Queues what a unit is told about the remote units of a relation that it joined.
pub(super) fn announce_remotes(world: &mut World, unit: &UnitId, id: u32) -> Vec<u64> {
    let Some(relation) = world.relations.get(&id).cloned() else { return Vec::new() };
    let mut jobs = Vec::new();
    let app_data = if relation.peer { &relation.local_app } else { &relation.remote_app_data };
    // A follower is told of the application's databag before it meets anybody, and on Juju 4 also when that is empty.
    let follows = relation.peer && world.version != JujuVersion::V3_6 && !world.is_leader(unit);
    if !app_data.is_empty() || follows {
        jobs.extend(world.enqueue(unit, relation.event(id, "changed", Step::Plain, "")));
    }
    let mut remotes = relation.remotes_of(&unit.name());
    remotes.retain(|remote| !relation.peer || !world.is_dying(remote));
    for remote in remotes {
        jobs.extend(world.enqueue(unit, relation.event(id, "joined", Step::Joined, &remote)));
        jobs.extend(world.enqueue(unit, relation.event(id, "changed", Step::Plain, &remote)));
    }
    jobs
}

/// A relation of an application under test with an application that the test plays.
#[derive(Clone)]
pub struct Relation {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u32,
}

impl Relation {
    /// The number in its id.
    pub fn number(&self) -> u32 {
        self.id
    }

    /// Its id as hook tools have it: `image:7`.
    pub fn id(&self) -> Result<String> {
        self.look(|relation| relation.key(self.id))
    }

    /// All that is in the databag of a local unit, with what Juju put there.
    pub fn unit_data(&self, unit: &Unit) -> Result<Databag> {
        self.look(|relation| relation.local_units.get(&unit.name()).cloned().unwrap_or_default())
    }

    /// What the charm put into the databag of a local unit.
    pub fn written_by(&self, unit: &Unit) -> Result<Databag> {
        let mut data = self.unit_data(unit)?;
        for key in network_keys(0).keys() {
            data.remove(key);
        }
        Ok(data)
    }

    /// What the charm's leader put into the application's databag.
    pub fn app_data(&self) -> Result<Databag> {
        self.look(|relation| relation.local_app.clone())
    }

    /// How often a local unit's databag really changed: writing what was there already does not count.
    pub fn changes_by(&self, unit: &Unit) -> Result<usize> {
        self.look(|relation| relation.changes.get(&unit.name()).copied().unwrap_or_default())
    }

    /// How often the application's databag really changed.
    pub fn app_changes(&self) -> Result<usize> {
        self.look(|relation| relation.changes.get(&relation.app).copied().unwrap_or_default())
    }

    /// Sets keys in the databag of a remote unit (an empty value removes the key): relation-changed, if it changed.
    pub fn set_remote_unit(&self, number: u32, values: &[(&str, &str)]) -> Result<Vec<HookRun>> {
        self.change(|relation, id| {
            let name = format!("{}/{number}", relation.remote_app);
            let remote = relation.remote_units.get_mut(&name).filter(|remote| remote.present);
            let remote = remote.ok_or_else(|| AgentError::Gone(name.clone()))?;
            let changed = update(&mut remote.data, values);
            Ok(if changed { vec![relation.event(id, "changed", Step::Plain, &name)] } else { Vec::new() })
        })
    }

    /// Sets keys in the databag of the remote application: relation-changed, if it changed.
    pub fn set_remote_app(&self, values: &[(&str, &str)]) -> Result<Vec<HookRun>> {
        self.change(|relation, id| {
            let changed = update(&mut relation.remote_app_data, values);
            Ok(if changed { vec![relation.event(id, "changed", Step::Plain, "")] } else { Vec::new() })
        })
    }

    /// Another remote unit: relation-joined, relation-changed.
    pub fn add_remote_unit(&self, number: u32, values: &[(&str, &str)]) -> Result<Vec<HookRun>> {
        self.change(|relation, id| {
            let name = relation.add_remote(number, values);
            Ok(vec![
                relation.event(id, "joined", Step::Joined, &name),
                relation.event(id, "changed", Step::Plain, &name),
            ])
        })
    }

    /// Remote units that have long been there: their events have passed.
    pub fn had_remote_units(&self, numbers: Range<u32>, values: &[(&str, &str)]) -> Result<()> {
        let mut world = self.shared.lock();
        let relation = world.relations.get_mut(&self.id).ok_or_else(|| self.gone())?;
        let app = relation.app.clone();
        let met: Vec<String> = numbers.map(|number| relation.add_remote(number, values)).collect();
        for unit in world.unit_ids(&app) {
            world.unit_mut(&unit)?.seen.entry(self.id).or_default().extend(met.iter().cloned());
        }
        Ok(())
    }

    /// A remote unit goes: relation-departed.
    pub fn remove_remote_unit(&self, number: u32) -> Result<Vec<HookRun>> {
        self.change(|relation, id| {
            let name = format!("{}/{number}", relation.remote_app);
            let remote = relation.remote_units.get_mut(&name).filter(|remote| remote.present);
            remote.ok_or_else(|| AgentError::Gone(name.clone()))?.present = false;
            Ok(vec![relation.event(id, "departed", Step::Departed, &name)])
        })
    }

    /// The subordinate of a unit elsewhere goes: relation-departed here too, of a unit that never joined.
    pub fn depart_stranger(&self, number: u32) -> Result<Vec<HookRun>> {
        self.change(|relation, id| {
            let name = format!("{}/{number}", relation.remote_app);
            Ok(vec![relation.event(id, "departed", Step::DepartedStranger, &name)])
        })
    }

    /// The relation goes: relation-departed for each remote unit, relation-broken. Afterwards it does not exist.
    pub fn remove(&self) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        if !world.relations.contains_key(&self.id) {
            return Err(self.gone());
        }
        let jobs = end_relation(&mut world, self.id);
        drop(world);
        settle(&self.shared, &jobs)
    }

    pub(super) fn look<T>(&self, what: impl FnOnce(&RelationState) -> T) -> Result<T> {
        let world = self.shared.lock();
        world.relations.get(&self.id).map(what).ok_or_else(|| self.gone())
    }

    fn change(
        &self,
        what: impl FnOnce(&mut RelationState, u32) -> Result<Vec<Event>>,
    ) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        let relation = world.relations.get_mut(&self.id).ok_or_else(|| self.gone())?;
        let events = what(relation, self.id)?;
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

    pub(super) fn gone(&self) -> AgentError {
        AgentError::Gone(format!("relation {}", self.id))
    }
}

impl RelationState {
    /// Adds a remote unit with what Juju and the unit itself wrote.
    pub fn add_remote(&mut self, number: u32, values: &[(&str, &str)]) -> String {
        let name = format!("{}/{number}", self.remote_app);
        let mut data = network_keys(100 + u64::from(number));
        update(&mut data, values);
        self.remote_units.insert(name.clone(), RemoteUnit { data, present: true });
        name
    }
}

/// Applies changes as relation-set does; says whether anything is different now.
pub(super) fn update(data: &mut Databag, values: &[(&str, &str)]) -> bool {
    let before = data.clone();
    for (key, value) in values {
        if value.is_empty() {
            data.remove(*key);
        } else {
            data.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    *data != before
}
