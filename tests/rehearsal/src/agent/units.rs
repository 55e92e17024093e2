//! The units' threads: each takes one job after the other from its queue, as the unit agent of Juju does.
//!
//! All units of a machine share its lock, so that one of them runs something at a time; only an action that
//! actions.yaml calls `parallel` needs no lock, though its own unit waits for its end. After a failed hook the thread
//! waits until the test says how to go on.

use std::sync::Arc;

use super::error::{AgentError, Result};
use super::integration;
use super::model::JujuVersion;
use super::record::{HookRun, Level};
use super::refresh;
use super::relation::{announce_remotes, network_keys};
use super::turn;
use super::world::{Event, Job, Queued, Shared, Step, UnitId, World, status};

/// Lives as long as the unit and the model do.
pub(super) fn live(shared: &Arc<Shared>, unit: &UnitId) {
    while let Some((Queued { id, job }, locked)) = next(shared, unit) {
        match job {
            Job::Hook(event) => hook(shared, unit, id, event),
            Job::Action { id: action, name, params, reply, .. } => {
                // Nobody may be waiting for it any more.
                let _ = reply.send(turn::action(shared, unit, id, (&action, &name), params));
            }
            Job::Exec { commands, relation, reply } => {
                let _ = reply.send(turn::exec(shared, unit, id, &commands, relation));
            }
        }
        let mut world = shared.lock();
        world.done.insert(id);
        if let Some(machine) = locked {
            world.locked.remove(&machine);
        }
        if let Ok(state) = world.unit_mut(unit) {
            state.running = None;
            state.agent = status("idle", "");
        }
        drop(world);
        shared.announce();
    }
}

/// The unit's next job, once it may run, and the machine whose lock it holds.
fn next(shared: &Shared, unit: &UnitId) -> Option<(Queued, Option<u64>)> {
    let mut world = shared.lock();
    loop {
        if world.closed {
            return None;
        }
        let state = world.unit(unit).ok()?;
        let machine = state.machine;
        let first = state.queue.front().filter(|_| state.failed.is_none() && !world.stopped);
        let locks = first.map(|queued| queued.job.needs_lock());
        let may_run = locks.is_some_and(|locks| !locks || !world.locked.contains(&machine));
        if may_run
            && let Ok(state) = world.unit_mut(unit)
            && let Some(queued) = state.queue.pop_front()
        {
            state.running = Some(queued.id);
            state.agent = status("executing", &queued.job.doing());
            let lock = queued.job.needs_lock().then_some(machine);
            world.locked.extend(lock);
            return Some((queued, lock));
        }
        world = shared.wait(world);
    }
}

fn hook(shared: &Shared, unit: &UnitId, id: u64, event: Event) {
    let mut world = shared.lock();
    if is_outdated(&world, unit, &event) {
        return;
    }
    if event.hook == "upgrade-charm"
        && let Err(error) = refresh::bring(shared, &mut world, unit)
    {
        world.note(&unit.name(), Level::Error, "agent", error.to_string());
    }
    before(&mut world, unit, &event);
    drop(world);
    let succeeded = turn::hook(shared, unit, id, &event);
    let mut world = shared.lock();
    if succeeded {
        after(&mut world, unit, &event);
    } else {
        fail(&mut world, unit, event);
    }
}

/// Whether a hook is about a unit that has gone before this one has met it, or from which this one has parted since: the
/// agent decides by what there is when the hook's turn has come.
fn is_outdated(world: &World, unit: &UnitId, event: &Event) -> bool {
    let Some(about) = event.relation.as_ref().filter(|about| !about.remote_unit.is_empty()) else {
        return false;
    };
    let (Some(relation), Ok(state)) = (world.relations.get(&about.id), world.unit(unit)) else {
        return false;
    };
    let has_met = || state.seen.get(&about.id).is_some_and(|met| met.contains(&about.remote_unit));
    match event.step {
        Step::Joined if relation.peer => world.is_dying(&about.remote_unit),
        Step::Joined => !relation.remote_units.get(&about.remote_unit).is_some_and(|remote| remote.present),
        Step::Plain | Step::Departed => !has_met(),
        Step::Created | Step::DepartedStranger | Step::Broken | Step::Removed => false,
    }
}

/// What the agent does itself before the hook runs. A retry does it again.
fn before(world: &mut World, unit: &UnitId, event: &Event) {
    let Ok(state) = world.unit_mut(unit) else { return };
    let machine = state.machine;
    if event.hook == "install" {
        state.set_status("maintenance", "installing charm software");
    }
    let Some(relation) = &event.relation else { return };
    let members = state.seen.entry(relation.id).or_default();
    match event.step {
        Step::Joined => {
            members.insert(relation.remote_unit.clone());
        }
        Step::Departed | Step::DepartedStranger => {
            members.remove(&relation.remote_unit);
        }
        Step::Broken => members.clear(),
        Step::Created | Step::Plain | Step::Removed => {}
    }
    if let Some(relation) = world.relations.get_mut(&relation.id) {
        relation.local_units.entry(unit.name()).or_insert_with(|| network_keys(machine));
    }
}

fn after(world: &mut World, unit: &UnitId, event: &Event) {
    match (event.step, &event.relation) {
        (Step::Broken, Some(relation)) => {
            if let Ok(state) = world.unit_mut(unit) {
                state.seen.remove(&relation.id);
            }
            if let Some(state) = world.relations.get_mut(&relation.id) {
                state.forget(&unit.name());
                if state.local_units.is_empty() && state.dying {
                    world.relations.remove(&relation.id);
                }
            }
        }
        (Step::Removed, _) => {
            for relation in world.relations.values_mut() {
                relation.forget(&unit.name());
            }
            if let Ok(app) = world.app_mut(&unit.app) {
                app.units.remove(&unit.number);
                if app.leader == Some(unit.number) {
                    app.leader = None;
                }
            }
            integration::bury(world, &unit.app);
        }
        _ if event.hook == "start" => {
            if let Ok(state) = world.unit_mut(unit)
                && state.workload_status().message == "installing charm software"
            {
                state.set_status("unknown", "");
            }
        }
        _ => {}
    }
}

fn fail(world: &mut World, unit: &UnitId, event: Event) {
    let name = unit.name();
    world.note(&name, Level::Error, "agent", format!("hook {:?} failed", event.hook));
    let Ok(state) = world.unit_mut(unit) else { return };
    state.set_status("error", &format!("hook failed: {:?}", event.hook));
    let text = format!("unit {name:?} is in error state: hook failed: {:?}", event.hook);
    state.failed = Some(event);
    let (hooks, others) = std::mem::take(&mut state.queue)
        .into_iter()
        .partition(|queued: &Queued| matches!(queued.job, Job::Hook(_)));
    state.queue = hooks;
    for queued in others {
        let refused = AgentError::refused(text.clone());
        match queued.job {
            Job::Hook(_) => {}
            Job::Action { reply, .. } => drop(reply.send(Err(refused))),
            Job::Exec { reply, .. } => drop(reply.send(Err(refused))),
        }
    }
}

/// Ends the error state; the failed hook runs again first if it is given back.
pub(super) fn resolve(world: &mut World, unit: &UnitId, again: Again) -> Result<Vec<(UnitId, u64)>> {
    let job = world.next("job");
    let state = world.unit_mut(unit)?;
    let Some(event) = state.failed.take() else {
        return Err(AgentError::refused(format!("unit {:?} is not in an error state", unit.name())));
    };
    let workload = state.workload_status();
    state.set_status(&workload.state, &workload.message);
    match again {
        Again::Retry => state.queue.push_front(Queued { id: job, job: Job::Hook(event) }),
        Again::Skip => after(world, unit, &event),
    }
    let waiting =
        world.unit(unit).map(|state| state.queue.iter().map(|queued| queued.id).collect::<Vec<_>>());
    Ok(waiting.unwrap_or_default().into_iter().map(|id| (unit.clone(), id)).collect())
}

/// What becomes of a failed hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Retry,
    Skip,
}

/// The hooks of a unit's first day, in Juju's order.
pub(super) fn welcome(world: &mut World, unit: &UnitId) -> Vec<(UnitId, u64)> {
    let mut jobs = Vec::new();
    jobs.extend(world.enqueue(unit, Event::plain("install")));
    let ids: Vec<u32> =
        world.relations.iter().filter(|(_, relation)| relation.app == unit.app).map(|(id, _)| *id).collect();
    for id in &ids {
        let created = world.relations[id].event(*id, "created", Step::Created, "");
        jobs.extend(world.enqueue(unit, created));
    }
    if world.is_leader(unit) {
        jobs.extend(world.enqueue(unit, Event::plain("leader-elected")));
    } else if world.version == JujuVersion::V3_6 {
        jobs.extend(world.enqueue(unit, Event::plain("leader-settings-changed")));
    }
    jobs.extend(world.enqueue(unit, Event::plain("config-changed")));
    jobs.extend(world.enqueue(unit, Event::plain("start")));
    let mut jobs: Vec<(UnitId, u64)> = jobs.into_iter().map(|job| (unit.clone(), job)).collect();
    for id in ids {
        let machine = world.unit(unit).map(|state| state.machine).unwrap_or_default();
        let Some(relation) = world.relations.get_mut(&id) else { continue };
        relation.local_units.entry(unit.name()).or_insert_with(|| network_keys(machine));
        let peer = relation.peer.then(|| relation.clone());
        jobs.extend(announce_remotes(world, unit, id).into_iter().map(|job| (unit.clone(), job)));
        jobs.extend(integration::join(world, id, unit));
        let Some(relation) = peer else { continue };
        for other in world.unit_ids(&unit.app).into_iter().filter(|other| other != unit) {
            for (what, step) in [("joined", Step::Joined), ("changed", Step::Plain)] {
                let event = relation.event(id, what, step, &unit.name());
                jobs.extend(world.enqueue(&other, event).map(|job| (other.clone(), job)));
            }
        }
    }
    jobs
}

/// The hooks of a unit's last day.
pub(super) fn farewell(world: &mut World, unit: &UnitId) -> Vec<(UnitId, u64)> {
    let mut jobs = Vec::new();
    if let Ok(state) = world.unit_mut(unit)
        && std::mem::replace(&mut state.dying, true)
    {
        return jobs;
    }
    let all = world
        .apps
        .iter()
        .flat_map(|(app, state)| state.units.iter().map(move |(number, unit)| (app, number, unit)));
    let along = all.filter(|(_, _, state)| state.principal.as_ref() == Some(unit));
    let along: Vec<UnitId> =
        along.map(|(app, number, _)| UnitId { app: app.clone(), number: *number }).collect();
    for subordinate in along {
        jobs.extend(farewell(world, &subordinate));
    }
    let seen: Vec<u32> =
        world.unit(unit).map(|state| state.seen.keys().copied().collect()).unwrap_or_default();
    for id in seen {
        let Some(relation) = world.relations.get(&id).cloned() else { continue };
        for remote in relation.remotes_of(&unit.name()) {
            let mut event = relation.event(id, "departed", Step::Departed, &remote);
            if let Some(relation) = &mut event.relation {
                relation.departing = unit.name();
            }
            jobs.extend(world.enqueue(unit, event).map(|job| (unit.clone(), job)));
        }
        // A peer relation lasts as long as the application, and ends for each unit with that unit.
        let broken = relation.event(id, "broken", Step::Broken, "");
        jobs.extend(world.enqueue(unit, broken).map(|job| (unit.clone(), job)));
        jobs.extend(integration::leave(world, id, unit));
        let others_are_told = relation.peer && world.version != JujuVersion::V4_0;
        for other in world.unit_ids(&unit.app).into_iter().filter(|other| others_are_told && other != unit) {
            let event = relation.event(id, "departed", Step::Departed, &unit.name());
            jobs.extend(world.enqueue(&other, event).map(|job| (other, job)));
        }
    }
    jobs.extend(world.enqueue(unit, Event::plain("stop")).map(|job| (unit.clone(), job)));
    let remove = Event { step: Step::Removed, ..Event::plain("remove") };
    jobs.extend(world.enqueue(unit, remove).map(|job| (unit.clone(), job)));
    jobs
}

/// The second config-changed of one `juju config`, where the model has one. Returns when it has run.
pub(super) fn configure_again(shared: &Shared, units: &[UnitId]) -> Result<Vec<HookRun>> {
    let Some(delay) = shared.lock().config_again else { return Ok(Vec::new()) };
    std::thread::sleep(delay);
    let mut world = shared.lock();
    let mut jobs = Vec::new();
    for unit in units {
        if world.unit(unit).is_ok_and(|state| state.failed.is_none()) {
            jobs.extend(world.enqueue(unit, Event::plain("config-changed")).map(|job| (unit.clone(), job)));
        }
    }
    drop(world);
    settle(shared, &jobs)
}

/// Waits until these jobs are done, or cannot be because their unit failed or is gone, or its agent is stopped; the runs
/// that there were.
pub(super) fn settle(shared: &Shared, jobs: &[(UnitId, u64)]) -> Result<Vec<HookRun>> {
    shared.announce();
    let mut world = shared.lock();
    loop {
        if world.closed {
            return Err(AgentError::Gone("the model".to_owned()));
        }
        if world.background {
            return Ok(Vec::new());
        }
        let settled = |(unit, job): &(UnitId, u64)| {
            let stuck = world
                .unit(unit)
                .map_or(true, |state| (state.failed.is_some() || world.stopped) && state.running.is_none());
            world.done.contains(job) || stuck
        };
        if jobs.iter().all(settled) {
            let runs = world.runs.iter().filter(|run| jobs.iter().any(|(_, job)| *job == run.job));
            return Ok(runs.cloned().collect());
        }
        world = shared.wait(world);
    }
}
