//! `juju refresh --path`: what Juju refuses, and what units hear of it.

use std::path::Path;

use super::application::{Application, add_peer_relations};
use super::charm::{Charm, Role};
use super::error::{AgentError, Result};
use super::files;
use super::record::HookRun;
use super::relation::{RelationState, announce_remotes, network_keys};
use super::units::settle;
use super::world::{App, Event, Job, Shared, Step, UnitId, World};

impl Application {
    /// Replaces the charm in place in every unit: upgrade-charm, config-changed, and the peer relations that are new.
    /// Settings stay where the option is there with the same type. Refuses what Juju refuses.
    pub fn refresh(&self, charm: impl AsRef<Path>) -> Result<Vec<HookRun>> {
        let read = Charm::read(charm.as_ref())?;
        let mut world = self.shared.lock();
        check(&world, self.name(), &read)?;
        let peers = add_peer_relations(&mut world, &read, self.name());
        let app = world.app_mut(self.name())?;
        app.source = charm.as_ref().to_owned();
        app.revision += 1;
        let before = std::mem::replace(&mut app.charm, read);
        let App { settings, charm: now, .. } = app;
        settings.retain(|name, _| {
            let kind = |charm: &Charm| charm.options.get(name).map(|option| option.kind.clone());
            kind(now).is_some_and(|kind_now| Some(kind_now) == kind(&before))
        });
        let mut jobs = Vec::new();
        let units = world.unit_ids(self.name());
        for unit in &units {
            let machine = world.unit(unit)?.machine;
            for id in &peers {
                let databags = world.relations.get_mut(id).map(|relation| &mut relation.local_units);
                databags.map(|databags| databags.insert(unit.name(), network_keys(machine)));
            }
        }
        for unit in units {
            let state = world.unit_mut(&unit)?;
            state.upgrades = true;
            // What runs keeps its charm to its end.
            if state.running.is_none() {
                bring(&self.shared, &mut world, &unit)?;
            }
            for hook in ["upgrade-charm", "config-changed"] {
                // Also where an earlier one still waits, which runs with the charm of before.
                let job = world.enqueue_job(&unit, Job::Hook(Event::plain(hook)));
                jobs.extend(job.map(|job| (unit.clone(), job)));
            }
            for id in &peers {
                let created = world.relations[id].event(*id, "created", Step::Created, "");
                jobs.extend(world.enqueue(&unit, created).map(|job| (unit.clone(), job)));
                jobs.extend(
                    announce_remotes(&mut world, &unit, *id).into_iter().map(|job| (unit.clone(), job)),
                );
            }
        }
        drop(world);
        settle(&self.shared, &jobs)
    }
}

/// Brings a unit the charm of a refresh, if it has not got it yet; nothing of the unit runs meanwhile.
pub(super) fn bring(shared: &Shared, world: &mut World, unit: &UnitId) -> Result<()> {
    let source = world.app(&unit.app)?.source.clone();
    let state = world.unit_mut(unit)?;
    if std::mem::take(&mut state.upgrades) {
        let dir = shared.charm_dir(state.machine, unit);
        state.manifest = files::deploy(&source, &dir, &state.manifest)?;
    }
    Ok(())
}

/// Refuses another name, an established relation that the charm does not implement, and more of them than it allows.
fn check(world: &World, application: &str, now: &Charm) -> Result<()> {
    let before = &world.app(application)?.charm;
    if before.name != now.name {
        return Err(AgentError::refused(format!("cannot refresh {:?} to {:?}", before.name, now.name)));
    }
    for (id, relation) in
        world.relations.iter().filter(|(_, relation)| relation.app == application && !relation.peer)
    {
        let endpoint = |charm: &Charm| charm.endpoints.get(&relation.endpoint).cloned();
        let fits = endpoint(before)
            .zip(endpoint(now))
            .is_some_and(|(before, now)| (before.role, before.interface) == (now.role, now.interface));
        if !fits {
            let relation = relation.key(*id);
            return Err(AgentError::refused(format!(
                "cannot upgrade application: would break relation {relation:?}"
            )));
        }
    }
    for (name, endpoint) in now.endpoints.iter().filter(|(_, endpoint)| endpoint.role != Role::Peer) {
        let is_of_it = |relation: &&RelationState| relation.app == application && relation.endpoint == *name;
        let there = world.relations.values().filter(is_of_it).count();
        if let Some(limit) = endpoint.limit.filter(|limit| there > *limit) {
            return Err(AgentError::refused(format!(
                "new charm version imposes a maximum relation limit of {limit} for {application}:{name} which cannot be \
                 satisfied by the number of already established relations ({there})"
            )));
        }
    }
    Ok(())
}
