//! An application: its config, leader, units and relations; and how it is deployed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::charm::{Charm, Role};
use super::error::{AgentError, Result};
use super::files;
use super::integration;
use super::model::{JujuVersion, constant, make_machine};
use super::record::{HookRun, Status};
use super::relation::{Relation, RelationState, announce_remotes};
use super::unit::Unit;
use super::units::{self, settle};
use super::world::{App, EnvValue, Event, Shared, Step, UnitId, UnitState, World, status};

/// A deployment being described; [`run`](Self::run) does it.
pub struct Deployment {
    shared: Arc<Shared>,
    charm: PathBuf,
    name: String,
    units: u32,
    machine: Option<u64>,
    config: Vec<(String, String)>,
    path: Vec<PathBuf>,
    env: Vec<(OsString, EnvValue)>,
}

impl Deployment {
    pub(super) fn new(shared: Arc<Shared>, charm: PathBuf, name: String) -> Self {
        let (config, path, env) = (Vec::new(), Vec::new(), Vec::new());
        Self { shared, charm, name, units: 1, machine: None, config, path, env }
    }

    /// How many units.
    pub fn units(mut self, units: u32) -> Self {
        self.units = units;
        self
    }

    /// All units on the machine of `neighbour`, instead of on one each (`juju deploy --to`).
    pub fn beside(mut self, neighbour: &Unit) -> Result<Self> {
        self.machine = Some(neighbour.machine()?);
        Ok(self)
    }

    /// A config option, from the beginning.
    pub fn config(mut self, option: &str, value: &str) -> Self {
        self.config.push((option.to_owned(), value.to_owned()));
        self
    }

    /// A directory on PATH, after the hook tools and before everything else.
    pub fn path_entry(mut self, dir: impl Into<PathBuf>) -> Self {
        self.path.push(dir.into());
        self
    }

    /// An extra variable for all units.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), constant(value.into())));
        self
    }

    /// An extra variable that is made from the unit's number.
    pub fn env_for<V: Into<OsString>>(
        mut self,
        name: &str,
        value: impl Fn(u32) -> V + Send + Sync + 'static,
    ) -> Self {
        self.env.push((name.into(), Arc::new(move |number| value(number).into())));
        self
    }

    /// Deploys, and returns when the units have started or failed.
    pub fn run(self) -> Result<Application> {
        let charm = Charm::read(&self.charm)?;
        let mut settings = BTreeMap::new();
        for (option, value) in &self.config {
            settings.insert(option.clone(), parse(&charm, option, value)?);
        }
        let mut world = self.shared.lock();
        if world.apps.contains_key(&self.name) {
            return Err(AgentError::refused(format!(
                "cannot add application {:?}: application already exists",
                self.name
            )));
        }
        add_peer_relations(&mut world, &charm, &self.name);
        let app = App {
            charm,
            source: self.charm.clone(),
            revision: 0,
            settings,
            units: BTreeMap::new(),
            next_unit: 0,
            leader: (self.units > 0).then_some(0),
            status: vec![status("unknown", "")],
            path: self.path,
            env: self.env,
            dying: false,
        };
        world.apps.insert(self.name.clone(), app);
        drop(world);
        let app = Application { shared: self.shared, name: self.name };
        let mut jobs = Vec::new();
        for _ in 0..self.units {
            jobs.extend(app.start_unit(&self.charm, self.machine, None)?);
        }
        settle(&app.shared, &jobs)?;
        Ok(app)
    }
}

/// An application in the model. Clones are the same application.
#[derive(Clone)]
pub struct Application {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
}

impl Application {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The unit with this number. That it exists is seen when it is used.
    pub fn unit(&self, number: u32) -> Unit {
        Unit::new(Arc::clone(&self.shared), UnitId { app: self.name.clone(), number })
    }

    /// All units that there are now.
    pub fn units(&self) -> Vec<Unit> {
        let ids = self.shared.lock().unit_ids(&self.name);
        ids.into_iter().map(|id| self.unit(id.number)).collect()
    }

    /// Sets options as `juju config` does, checked by the charm's config.yaml: config-changed, if anything changed.
    pub fn set_config(&self, values: &[(&str, &str)]) -> Result<Vec<HookRun>> {
        self.change_config(true, |charm, settings| {
            for (option, value) in values {
                settings.insert((*option).to_owned(), parse(charm, option, value)?);
            }
            Ok(())
        })
    }

    /// Sets options back to their defaults. Juju 4.0 tells no unit of that.
    pub fn reset_config(&self, options: &[&str]) -> Result<Vec<HookRun>> {
        let is_told = self.shared.lock().version != JujuVersion::V4_0;
        self.change_config(is_told, |charm, settings| {
            for option in options {
                known(charm, option)?;
                settings.remove(*option);
            }
            Ok(())
        })
    }

    /// The options that are set or have a default.
    pub fn config(&self) -> Result<BTreeMap<String, Value>> {
        let world = self.shared.lock();
        let app = world.app(&self.name)?;
        let values =
            app.charm.options.iter().map(|(name, option)| {
                (name.clone(), app.settings.get(name).unwrap_or(&option.default).clone())
            });
        Ok(values.filter(|(_, value)| !value.is_null()).collect())
    }

    /// The application's own status, as its leader set it.
    pub fn status(&self) -> Result<Status> {
        let world = self.shared.lock();
        Ok(world.app(&self.name)?.status.last().cloned().unwrap_or_else(|| status("unknown", "")))
    }

    /// Who leads.
    pub fn leader(&self) -> Result<Option<Unit>> {
        let leader = self.shared.lock().app(&self.name)?.leader;
        Ok(leader.map(|number| self.unit(number)))
    }

    /// Makes another unit the leader: leader-elected there.
    pub fn set_leader(&self, number: u32) -> Result<Vec<HookRun>> {
        let id = UnitId { app: self.name.clone(), number };
        let mut world = self.shared.lock();
        world.unit(&id)?;
        let app = world.app_mut(&self.name)?;
        if app.leader == Some(number) {
            return Ok(Vec::new());
        }
        app.leader = Some(number);
        let job = world.enqueue(&id, Event::plain("leader-elected")).map(|job| (id, job));
        drop(world);
        settle(&self.shared, &Vec::from_iter(job))
    }

    /// Takes leadership from everybody; no hook tells of that.
    pub fn depose_leader(&self) -> Result<()> {
        self.shared.lock().app_mut(&self.name)?.leader = None;
        Ok(())
    }

    /// Adds a unit, of the charm in `charm`, and lets it start; peers are told.
    pub fn add_unit(&self, charm: impl AsRef<Path>) -> Result<Unit> {
        let number = self.shared.lock().app(&self.name)?.next_unit;
        let jobs = self.start_unit(charm.as_ref(), None, None)?;
        settle(&self.shared, &jobs)?;
        Ok(self.unit(number))
    }

    /// Removes a unit: relations departed and broken, stop, remove. Another unit becomes leader if it was.
    pub fn remove_unit(&self, number: u32) -> Result<Vec<HookRun>> {
        let id = UnitId { app: self.name.clone(), number };
        let mut world = self.shared.lock();
        world.unit(&id)?;
        let mut jobs = units::farewell(&mut world, &id);
        if world.is_leader(&id) {
            let next = world.unit_ids(&self.name).into_iter().find(|other| *other != id);
            world.app_mut(&self.name)?.leader = next.as_ref().map(|next| next.number);
            if let Some(next) = next {
                jobs.extend(world.enqueue(&next, Event::plain("leader-elected")).map(|job| (next, job)));
            }
        }
        drop(world);
        settle(&self.shared, &jobs)
    }

    /// Removes the application with all units and relations, as far as no hook fails.
    pub fn remove(&self) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        let mut jobs = Vec::new();
        for unit in world.unit_ids(&self.name) {
            jobs.extend(units::farewell(&mut world, &unit));
        }
        jobs.extend(integration::part(&mut world, &self.name));
        world.app_mut(&self.name)?.dying = true;
        integration::bury(&mut world, &self.name);
        drop(world);
        settle(&self.shared, &jobs)
    }

    /// Integrates with an application that the test plays, with one remote unit per databag: relation-created,
    /// then joined and changed for each. [`Relation::add_remote_unit`] adds more.
    pub fn integrate(
        &self,
        endpoint: &str,
        remote_app: &str,
        remote_units: &[&[(&str, &str)]],
    ) -> Result<Relation> {
        let mut relation = RelationState::new(endpoint, &self.name, remote_app);
        for (number, values) in remote_units.iter().enumerate() {
            relation.add_remote(number as u32, values);
        }
        self.begin(relation)
    }

    /// Begins a relation whose other side this model does not run.
    pub(super) fn begin(&self, relation: RelationState) -> Result<Relation> {
        let mut world = self.shared.lock();
        self.check_endpoint(&world, &relation.endpoint)?;
        let id = world.next("relation") as u32;
        let created = relation.event(id, "created", Step::Created, "");
        world.relations.insert(id, relation);
        let mut jobs = Vec::new();
        for unit in world.unit_ids(&self.name) {
            jobs.extend(world.enqueue(&unit, created.clone()).map(|job| (unit.clone(), job)));
            jobs.extend(announce_remotes(&mut world, &unit, id).into_iter().map(|job| (unit.clone(), job)));
        }
        drop(world);
        settle(&self.shared, &jobs)?;
        Ok(Relation { shared: Arc::clone(&self.shared), id })
    }

    /// The application's peer relation of this name.
    pub fn peer_relation(&self, endpoint: &str) -> Result<Relation> {
        let world = self.shared.lock();
        let found = world.relations.iter().find(|(_, relation)| {
            relation.peer && relation.app == self.name && relation.endpoint == endpoint
        });
        let (id, _) = found.ok_or_else(|| AgentError::Gone(format!("peer relation {endpoint}")))?;
        Ok(Relation { shared: Arc::clone(&self.shared), id: *id })
    }

    fn check_endpoint(&self, world: &World, endpoint: &str) -> Result<()> {
        let charm = &world.app(&self.name)?.charm;
        let found = charm.endpoints.get(endpoint).filter(|found| found.role != Role::Peer);
        let found = found.ok_or_else(|| {
            AgentError::refused(format!("application {:?} has no {endpoint:?} relation", self.name))
        })?;
        let there = world
            .relations
            .values()
            .filter(|other| other.app == self.name && other.endpoint == endpoint)
            .count();
        match found.limit {
            Some(limit) if there >= limit => Err(AgentError::refused(format!(
                "establishing a new relation for {}:{endpoint} would exceed its maximum relation limit of {limit}",
                self.name
            ))),
            _ => Ok(()),
        }
    }

    fn change_config(
        &self,
        is_told: bool,
        change: impl FnOnce(&Charm, &mut BTreeMap<String, Value>) -> Result<()>,
    ) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        let app = world.app_mut(&self.name)?;
        let mut settings = app.settings.clone();
        change(&app.charm, &mut settings)?;
        if settings == app.settings {
            return Ok(Vec::new());
        }
        app.settings = settings;
        let units = world.unit_ids(&self.name);
        let mut jobs = Vec::new();
        for unit in units.iter().filter(|_| is_told) {
            jobs.extend(world.enqueue(unit, Event::plain("config-changed")).map(|job| (unit.clone(), job)));
        }
        drop(world);
        let mut runs = settle(&self.shared, &jobs)?;
        if is_told {
            runs.extend(units::configure_again(&self.shared, &units)?);
        }
        Ok(runs)
    }

    /// Starts a unit, on a machine of its own unless one is given, and the subordinates that go with it.
    pub(super) fn start_unit(
        &self,
        charm: &Path,
        machine: Option<u64>,
        principal: Option<UnitId>,
    ) -> Result<Vec<(UnitId, u64)>> {
        let mut world = self.shared.lock();
        let machine = machine.unwrap_or_else(|| world.next("machine"));
        let version = world.version;
        let app = world.app_mut(&self.name)?;
        let id = UnitId { app: self.name.clone(), number: app.next_unit };
        app.next_unit += 1;
        if app.leader.is_none() {
            app.leader = Some(id.number);
        }
        let dir = make_machine(&self.shared, machine, &id, version)?;
        let mut state = UnitState::new(id.name(), machine);
        state.manifest = files::deploy(charm, &dir, &state.manifest)?;
        state.principal.clone_from(&principal);
        world.app_mut(&self.name)?.units.insert(id.number, state);
        if let Some(principal) = &principal {
            integration::pair(&mut world, &id, principal);
        }
        let mut jobs = units::welcome(&mut world, &id);
        drop(world);
        let unit = id.clone();
        self.shared.start(move |shared| units::live(shared, &id));
        jobs.extend(self.accompanied(&unit)?);
        Ok(jobs)
    }
}

/// Adds the peer relations of `charm` that the application has not got yet; returns their ids.
pub(super) fn add_peer_relations(world: &mut World, charm: &Charm, app: &str) -> Vec<u32> {
    let mut added = Vec::new();
    for (name, _) in charm.endpoints.iter().filter(|(_, endpoint)| endpoint.role == Role::Peer) {
        let is_it = |known: &RelationState| known.peer && known.app == app && known.endpoint == *name;
        if !world.relations.values().any(is_it) {
            let relation = RelationState::new(name, app, app);
            let id = world.next("relation") as u32;
            world.relations.insert(id, RelationState { peer: true, ..relation });
            added.push(id);
        }
    }
    added
}

fn known<'a>(charm: &'a Charm, option: &str) -> Result<&'a super::charm::ConfigOption> {
    charm.options.get(option).ok_or_else(|| AgentError::refused(format!("unknown option {option:?}")))
}

fn parse(charm: &Charm, option: &str, value: &str) -> Result<Value> {
    known(charm, option)?.parse(option, value)
}
