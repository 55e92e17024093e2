//! Relations between two applications of the model: each side has its own record, and what one side writes arrives on the
//! other.

use std::collections::BTreeMap;

use super::application::Application;
use super::charm::{Charm, Endpoint, Role};
use super::error::{AgentError, Result};
use super::model::Model;
use super::record::HookRun;
use super::relation::{RelationState, announce_remotes, network_keys};
use super::units::{self, settle};
use super::world::{Event, Step, UnitId, World};

/// One end of a relation that is asked for.
#[derive(Clone)]
struct End {
    app: String,
    name: String,
    endpoint: Endpoint,
}

impl End {
    fn key(&self) -> String {
        format!("{}:{}", self.app, self.name)
    }
}

impl Model {
    /// `juju integrate ONE OTHER`: each is an application, or one of its endpoints as `APPLICATION:ENDPOINT`.
    pub fn integrate(&self, one: &str, other: &str) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        let (here, there) = ends(&world, one, other)?;
        if find(&world, &here, &there).is_some() {
            let relation = format!("{} {}", here.key(), there.key());
            return Err(AgentError::refused(format!(
                "cannot add relation {relation:?}: relation {relation} already exists"
            )));
        }
        for end in [&here, &there] {
            check_limit(&world, end)?;
        }
        let container = here.endpoint.container || there.endpoint.container;
        let ids = [world.next("relation") as u32, world.next("relation") as u32];
        for (id, twin, end, far) in [(ids[0], ids[1], &here, &there), (ids[1], ids[0], &there, &here)] {
            let mut relation = RelationState::new(&end.name, &end.app, &far.app);
            relation.twin = Some(twin);
            relation.pairs = container.then(BTreeMap::new);
            for unit in world.unit_ids(&far.app) {
                relation.add_remote_of(&unit, world.unit(&unit)?.machine);
            }
            world.relations.insert(id, relation);
        }
        let mut jobs = Vec::new();
        for (id, end) in [(ids[0], &here), (ids[1], &there)] {
            for unit in world.unit_ids(&end.app) {
                let created = world.relations[&id].event(id, "created", Step::Created, "");
                jobs.extend(world.enqueue(&unit, created).map(|job| (unit.clone(), job)));
                jobs.extend(
                    announce_remotes(&mut world, &unit, id).into_iter().map(|job| (unit.clone(), job)),
                );
            }
        }
        drop(world);
        if container {
            let (principal, subordinate) =
                if self.is_subordinate(&here.app)? { (&there, &here) } else { (&here, &there) };
            for unit in self.application(&principal.app)?.units() {
                jobs.extend(self.application(&subordinate.app)?.accompany(&unit)?);
            }
        }
        settle(&self.shared, &jobs)
    }

    /// `juju remove-relation ONE OTHER`.
    pub fn remove_relation(&self, one: &str, other: &str) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        let (here, there) = ends(&world, one, other)?;
        let relation = format!("{} {}", here.key(), there.key());
        let id = find(&world, &here, &there)
            .ok_or_else(|| AgentError::refused(format!("relation {relation:?} not found")))?;
        let twin = world.relations.get(&id).and_then(|relation| relation.twin);
        let mut jobs = end_relation(&mut world, id);
        jobs.extend(twin.into_iter().flat_map(|twin| end_relation(&mut world, twin)));
        drop(world);
        settle(&self.shared, &jobs)
    }

    fn is_subordinate(&self, app: &str) -> Result<bool> {
        Ok(self.shared.lock().app(app)?.charm.subordinate)
    }
}

impl Application {
    /// Starts a unit of this subordinate beside `principal`.
    fn accompany(&self, principal: &super::unit::Unit) -> Result<Vec<(UnitId, u64)>> {
        let Some(principal) = UnitId::parse(&principal.name()) else { return Ok(Vec::new()) };
        let (source, machine) = {
            let world = self.shared.lock();
            (world.app(&self.name)?.source.clone(), world.unit(&principal)?.machine)
        };
        self.start_unit(&source, Some(machine), Some(principal))
    }

    /// Starts the subordinates that go with a new unit of this application.
    pub(super) fn accompanied(&self, unit: &UnitId) -> Result<Vec<(UnitId, u64)>> {
        let subordinates: Vec<String> = {
            let world = self.shared.lock();
            let related = world.relations.values().filter(|relation| relation.app == self.name);
            let within =
                related.filter(|relation| relation.pairs.is_some()).map(|relation| &relation.remote_app);
            within.filter(|app| world.app(app).is_ok_and(|app| app.charm.subordinate)).cloned().collect()
        };
        let mut jobs = Vec::new();
        for name in subordinates {
            jobs.extend(Self { shared: self.shared.clone(), name }.accompany(&self.unit(unit.number))?);
        }
        Ok(jobs)
    }
}

impl RelationState {
    fn add_remote_of(&mut self, unit: &UnitId, machine: u64) {
        let data = network_keys(machine);
        self.remote_units.insert(unit.name(), super::relation::RemoteUnit { data, present: true });
    }
}

/// A new unit of one side: the other side meets it.
pub(super) fn join(world: &mut World, id: u32, unit: &UnitId) -> Vec<(UnitId, u64)> {
    let Some(twin) = world.relations.get(&id).and_then(|relation| relation.twin) else { return Vec::new() };
    let machine = world.unit(unit).map(|state| state.machine).unwrap_or_default();
    let Some(other) = world.relations.get_mut(&twin) else { return Vec::new() };
    other.add_remote_of(unit, machine);
    let events = [("joined", Step::Joined), ("changed", Step::Plain)]
        .map(|(what, step)| other.event(twin, what, step, &unit.name()));
    tell(world, twin, &unit.name(), &events)
}

/// A unit of one side goes.
pub(super) fn leave(world: &mut World, id: u32, unit: &UnitId) -> Vec<(UnitId, u64)> {
    let Some(twin) = world.relations.get(&id).and_then(|relation| relation.twin) else { return Vec::new() };
    let Some(other) = world.relations.get_mut(&twin) else { return Vec::new() };
    let departed = other.event(twin, "departed", Step::Departed, &unit.name());
    let jobs = tell(world, twin, &unit.name(), &[departed]);
    if let Some(remote) = world.relations.get_mut(&twin).and_then(|it| it.remote_units.get_mut(&unit.name()))
    {
        remote.present = false;
    }
    jobs
}

/// Brings what a unit has written to the other side, which is told if it has met the unit.
pub(super) fn mirror(world: &mut World, id: u32, unit: &UnitId) {
    let Some(relation) = world.relations.get(&id) else { return };
    let Some(twin) = relation.twin else { return };
    let data = relation.local_units.get(&unit.name()).cloned().unwrap_or_default();
    let app_data = relation.local_app.clone();
    let Some(other) = world.relations.get_mut(&twin) else { return };
    let mut news = Vec::new();
    if let Some(remote) = other.remote_units.get_mut(&unit.name())
        && remote.data != data
    {
        remote.data = data;
        news.push(unit.name());
    }
    if other.remote_app_data != app_data {
        other.remote_app_data = app_data;
        news.push(String::new());
    }
    let events = news.iter().map(|from| other.event(twin, "changed", Step::Plain, from)).collect::<Vec<_>>();
    for far in world.unit_ids(&world.relations[&twin].app.clone()) {
        let Some(met) = world.unit(&far).ok().and_then(|state| state.seen.get(&twin)).cloned() else {
            continue;
        };
        for (from, event) in news.iter().zip(&events) {
            if from.is_empty() || met.contains(from) {
                world.enqueue(&far, event.clone());
            }
        }
    }
}

/// The relations of an application that goes end for those on the other side, too.
pub(super) fn part(world: &mut World, app: &str) -> Vec<(UnitId, u64)> {
    let twins =
        world.relations.values().filter(|relation| relation.app == app).filter_map(|relation| relation.twin);
    let twins: Vec<u32> = twins.collect();
    twins.into_iter().flat_map(|twin| end_relation(world, twin)).collect()
}

/// Removes an application that is to go once its last unit has gone.
pub(super) fn bury(world: &mut World, app: &str) {
    if world.apps.get(app).is_some_and(|app| app.dying && app.units.is_empty()) {
        world.apps.remove(app);
        world.relations.retain(|_, relation| relation.app != app);
    }
}

/// Queues the end of a relation on one side; a side without units has ended it.
pub(super) fn end_relation(world: &mut World, id: u32) -> Vec<(UnitId, u64)> {
    let Some(relation) = world.relations.get_mut(&id) else { return Vec::new() };
    relation.dying = true;
    let mut gone = Vec::new();
    let pairs = relation.pairs.clone();
    for (name, remote) in relation.remote_units.iter_mut().filter(|(_, remote)| remote.present) {
        remote.present = false;
        gone.push(name.clone());
    }
    let departed: Vec<(String, Event)> = gone
        .iter()
        .map(|name| (name.clone(), relation.event(id, "departed", Step::Departed, name)))
        .collect();
    let broken = relation.event(id, "broken", Step::Broken, "");
    let app = relation.app.clone();
    let mut jobs = Vec::new();
    for unit in world.unit_ids(&app) {
        let meets = |remote: &str| {
            pairs.as_ref().is_none_or(|pairs| pairs.get(&unit.name()).is_some_and(|paired| paired == remote))
        };
        let events =
            departed.iter().filter(|(remote, _)| meets(remote)).map(|(_, event)| event).chain([&broken]);
        for event in events {
            jobs.extend(world.enqueue(&unit, event.clone()).map(|job| (unit.clone(), job)));
        }
        let goes_along = world.unit(&unit).is_ok_and(|state| state.principal.is_some());
        if goes_along && pairs.is_some() {
            jobs.extend(units::farewell(world, &unit));
        }
    }
    if world.unit_ids(&app).is_empty() {
        world.relations.remove(&id);
    }
    jobs
}

/// Queues events about a remote unit for the units of a relation's side that meet it.
fn tell(world: &mut World, id: u32, remote: &str, events: &[Event]) -> Vec<(UnitId, u64)> {
    let Some(relation) = world.relations.get(&id).cloned() else { return Vec::new() };
    let mut jobs = Vec::new();
    for unit in world.unit_ids(&relation.app) {
        if relation.remotes_of(&unit.name()).iter().any(|met| met == remote) {
            for event in events {
                jobs.extend(world.enqueue(&unit, event.clone()).map(|job| (unit.clone(), job)));
            }
        }
    }
    jobs
}

/// Pairs a subordinate with its principal in all relations between their applications.
pub(super) fn pair(world: &mut World, subordinate: &UnitId, principal: &UnitId) {
    for relation in world.relations.values_mut() {
        let Some(pairs) = &mut relation.pairs else { continue };
        if relation.app == subordinate.app && relation.remote_app == principal.app {
            pairs.insert(subordinate.name(), principal.name());
        } else if relation.app == principal.app && relation.remote_app == subordinate.app {
            pairs.insert(principal.name(), subordinate.name());
        }
    }
}

fn find(world: &World, here: &End, there: &End) -> Option<u32> {
    let is_it = |relation: &RelationState| {
        let far =
            relation.twin.and_then(|twin| world.relations.get(&twin)).map(|twin| twin.endpoint.as_str());
        relation.app == here.app
            && relation.endpoint == here.name
            && relation.remote_app == there.app
            && far == Some(there.name.as_str())
    };
    world.relations.iter().find(|(_, relation)| is_it(relation)).map(|(id, _)| *id)
}

fn check_limit(world: &World, end: &End) -> Result<()> {
    let there =
        world.relations.values().filter(|other| other.app == end.app && other.endpoint == end.name).count();
    match end.endpoint.limit.filter(|limit| there >= *limit) {
        Some(limit) => Err(AgentError::refused(format!(
            "establishing a new relation for {} would exceed its maximum relation limit of {limit}",
            end.key()
        ))),
        None => Ok(()),
    }
}

/// The two endpoints that are meant.
fn ends(world: &World, one: &str, other: &str) -> Result<(End, End)> {
    let (ones, others) = (candidates(world, one)?, candidates(world, other)?);
    let fits = |a: &End, b: &End| {
        let roles = (a.endpoint.role, b.endpoint.role);
        a.endpoint.interface == b.endpoint.interface
            && (roles == (Role::Provides, Role::Requires) || roles == (Role::Requires, Role::Provides))
    };
    let all = ones.iter().flat_map(|a| others.iter().map(move |b| (a.clone(), b.clone())));
    let fitting: Vec<(End, End)> = all.filter(|(a, b)| fits(a, b)).collect();
    match fitting.as_slice() {
        [] => Err(AgentError::refused("no relations found")),
        [only] => Ok(only.clone()),
        several => {
            let names: Vec<String> =
                several.iter().map(|(a, b)| format!("{:?}", format!("{} {}", a.key(), b.key()))).collect();
            let asked = format!("{one} {other}");
            Err(AgentError::refused(format!(
                "ambiguous relation: {asked:?} could refer to {}",
                names.join("; ")
            )))
        }
    }
}

fn candidates(world: &World, text: &str) -> Result<Vec<End>> {
    let (app, wanted) = text.split_once(':').map_or((text, None), |(app, endpoint)| (app, Some(endpoint)));
    let charm: &Charm = match world.apps.get(app) {
        Some(found) => &found.charm,
        None => return Err(AgentError::refused(format!("application {app:?} not found"))),
    };
    let named = charm.endpoints.iter().filter(|(name, _)| wanted.is_none_or(|wanted| *name == wanted));
    let ends: Vec<End> = named
        .map(|(name, endpoint)| End { app: app.to_owned(), name: name.clone(), endpoint: endpoint.clone() })
        .collect();
    match wanted {
        Some(wanted) if ends.is_empty() => {
            Err(AgentError::refused(format!("application {app:?} has no {wanted:?} relation")))
        }
        _ => Ok(ends),
    }
}
