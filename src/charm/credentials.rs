//! clouds.yaml: the credentials of the build cloud, of each relation, and of clouds that have yet to be left clean. Each cloud
//! is reached with exactly what was brought for it.

use super::image_relation::remembered::Remembered;
use super::image_relation::said::ImageRelations;
use super::reconcile::{ReconcileError, is_open};
use super::state::CharmState;
use crate::builder::{self, Clouds};
use crate::host::{Host, Written};
use crate::juju::{Environment, HookTools, RelationId};
use crate::openstack_cloud::CloudConfig;
use crate::record::{CloudName, Journal, Request};

/// Brings clouds.yaml to what the state says. Returns, beside whether anything has changed, the clouds that have other credentials
/// now.
pub fn install(
    host: &Host,
    state: &CharmState,
    journal: &Journal,
) -> Result<(Written, Vec<CloudName>), ReconcileError> {
    let mut clouds = clouds_to_leave(host, state, journal)?;
    let build_cloud = state.clouds.get(&state.run.build_cloud);
    // A relation that names the operator's user does not get the operator's password for it.
    let is_operators =
        |name: &CloudName, former: &_| *name == builder::cloud_name(former) || journal.was_built_in(name);
    for (_, former) in clouds.iter_mut().filter(|(name, former)| is_operators(name, former)) {
        if let Some(current) = build_cloud.filter(|current| builder::is_same_user(current, former)) {
            former.password = current.password.clone();
        }
    }
    clouds.extend(state.clouds.clone());
    let is_known = |(name, config): &(&CloudName, &CloudConfig)| {
        state
            .installed
            .get(*name)
            .is_some_and(|before| builder::is_same_user(before, config) && before.password == config.password)
    };
    let changed = state.clouds.iter().filter(|cloud| !is_known(cloud));
    let changed = changed.map(|(name, _)| name.clone()).collect();
    Ok((builder::install_clouds_yaml(host, &clouds)?, changed))
}

/// The clouds in clouds.yaml that `state` does not name and in which a job has left something, or may do so yet: it can
/// be removed only with the credentials that stand there.
fn clouds_to_leave(host: &Host, state: &CharmState, journal: &Journal) -> Result<Clouds, ReconcileError> {
    let mut clouds = state.installed.clone();
    clouds.retain(|name, _| !state.clouds.contains_key(name));
    // A worker of another version may live, whose journal this one cannot read: it may need any of them.
    if clouds.is_empty() || Journal::read(host)?.is_err() {
        return Ok(clouds);
    }
    let open = Request::load(host)?.filter(|request| is_open(request, journal));
    let names = state.former_names();
    clouds.retain(|name, _| {
        // A job that was under way when the charm was refreshed knows the clouds by their former names.
        let may_connect = || journal.running().is_some() && names.is_known(name);
        let is_built_in = || open.as_ref().is_some_and(|request| request.config.build_cloud == *name);
        journal.needs_credentials_of(name) || is_built_in() || may_connect()
    });
    Ok(clouds)
}

/// Takes the credentials of departed relations out of clouds.yaml, in which `clouds` stand: all that can be done while the configuration is
/// refused. The build cloud's stay, what was made there may have to be removed.
pub fn forget_departed(
    host: &Host,
    tools: &dyn HookTools,
    environment: &Environment,
    broken: Option<&RelationId>,
    mut clouds: Clouds,
) -> Result<(), ReconcileError> {
    if clouds.is_empty() || Journal::read(host)?.is_err() {
        return Ok(());
    }
    let journal = Journal::load(host)?;
    let build_cloud = Request::load(host)?.map(|request| request.config.build_cloud);
    let relations = ImageRelations::load(tools, environment, broken, &Remembered::default())?.usable;
    let is_build_cloud = |name: &CloudName, config: &_| {
        let was_named = *name == builder::cloud_name(config);
        let former = was_named.then(|| builder::former_cloud_name(config));
        build_cloud.as_ref().is_some_and(|known| known == name || Some(known) == former.as_ref())
    };
    clouds.retain(|name, config| {
        is_build_cloud(name, config)
            || journal.needs_credentials_of(name)
            || relations.values().any(|relation| relation.is_named(name))
    });
    builder::install_clouds_yaml(host, &clouds)?;
    Ok(())
}
