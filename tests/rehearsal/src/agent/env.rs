//! The environment that Juju gives to a hook: nothing of the agent's own but PATH, and that with the tools first.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::model::JujuVersion;
use super::world::{SecretEvent, Shared, UnitId, World};

/// What makes the difference between one turn and the next.
pub(super) struct Turn<'a> {
    pub context_id: &'a str,
    pub hook: &'a str,
    pub dispatch_path: Option<String>,
    pub secret: Option<&'a SecretEvent>,
    pub action: Option<(&'a str, &'a str)>,
}

/// All variables of a turn.
pub(super) fn variables(
    shared: &Shared,
    world: &World,
    unit: &UnitId,
    context: &Context,
    turn: &Turn<'_>,
) -> Vec<(OsString, OsString)> {
    let mut all = Vec::new();
    let mut set = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        all.push((OsString::from(name), value.as_ref().to_owned()));
    };
    let Ok(state) = world.unit(unit) else { return all };
    let charm_dir = shared.charm_dir(state.machine, unit);
    set("CHARM_DIR", &charm_dir);
    set("JUJU_CHARM_DIR", &charm_dir);
    set("JUJU_CONTEXT_ID", &turn.context_id);
    set("JUJU_HOOK_NAME", &turn.hook);
    set("JUJU_AGENT_SOCKET_ADDRESS", &shared.socket);
    set("JUJU_AGENT_SOCKET_NETWORK", &"unix");
    set("JUJU_UNIT_NAME", &unit.name());
    set("JUJU_MODEL_UUID", &world.uuid);
    set("JUJU_MODEL_NAME", &world.name);
    set("JUJU_API_ADDRESSES", &"10.0.0.1:17070");
    set("JUJU_MACHINE_ID", &state.machine.to_string());
    set("JUJU_PRINCIPAL_UNIT", &"");
    set("JUJU_AVAILABILITY_ZONE", &"nova");
    set("JUJU_VERSION", &world.version.number());
    set("CLOUD_API_VERSION", &"");
    set("JUJU_CHARM_HTTP_PROXY", &world.proxies.http);
    set("JUJU_CHARM_HTTPS_PROXY", &world.proxies.https);
    set("JUJU_CHARM_FTP_PROXY", &world.proxies.ftp);
    set("JUJU_CHARM_NO_PROXY", &world.proxies.no_proxy);
    if let (JujuVersion::V4, Some(tracing)) = (world.version, &world.tracing) {
        set("JUJU_CHARM_TRACE_CONFIG_HTTP", &tracing.http);
        set("JUJU_CHARM_TRACE_CONFIG_GRPC", &tracing.grpc);
        set("JUJU_CHARM_TRACE_CONFIG_CA_CERT", &tracing.ca_certificate);
        set("JUJU_TRACE_ID", &"4bf92f3577b34da6a3ce929d0e0e4736");
        set("JUJU_SPAN_ID", &"00f067aa0ba902b7");
        set("JUJU_TRACE_FLAGS", &"1");
    }
    if let Some(event) = &context.relation
        && let Some(view) = context.relations.get(&event.id)
    {
        set("JUJU_RELATION", &view.state.endpoint);
        set("JUJU_RELATION_ID", &view.state.key(event.id));
        set("JUJU_REMOTE_UNIT", &event.remote_unit);
        set("JUJU_REMOTE_APP", &event.remote_app);
        if !event.departing.is_empty() {
            set("JUJU_DEPARTING_UNIT", &event.departing);
        }
    }
    if let Some((id, name)) = turn.action {
        set("JUJU_ACTION_NAME", &name);
        set("JUJU_ACTION_UUID", &id);
        set("JUJU_ACTION_TAG", &format!("action-{id}"));
    }
    if let Some(secret) = turn.secret {
        set("JUJU_SECRET_ID", &secret.uri);
        set("JUJU_SECRET_LABEL", &secret.label);
    }
    set("APT_LISTCHANGES_FRONTEND", &"none");
    set("DEBIAN_FRONTEND", &"noninteractive");
    set("LANG", &"C.UTF-8");
    set("TERM", &"tmux-256color");
    let tools = Some(tools_dir(shared, state.machine, unit));
    set("PATH", &path(world, unit, tools, &shared.machine_dir(state.machine)));
    if let Some(path) = &turn.dispatch_path {
        set("JUJU_DISPATCH_PATH", path);
    }
    all.extend(extra(world, unit));
    all
}

/// The directory with the hook tools of a unit.
pub(super) fn tools_dir(shared: &Shared, machine: u64, unit: &UnitId) -> PathBuf {
    shared.machine_dir(machine).join("tools").join(unit.tag())
}

/// PATH on a machine: hook tools (in a hook), the test's own entries, `juju-exec`, and what the agent itself has.
pub(super) fn path(world: &World, unit: &UnitId, tools: Option<PathBuf>, machine: &Path) -> OsString {
    let entries = world.app(&unit.app).map(|app| app.path.clone()).unwrap_or_default();
    let inherited = env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let dirs =
        tools.into_iter().chain(entries).chain([machine.join("bin")]).chain(env::split_paths(&inherited));
    env::join_paths(dirs).unwrap_or(inherited.clone())
}

/// The variables that the test added.
pub(super) fn extra(world: &World, unit: &UnitId) -> Vec<(OsString, OsString)> {
    let variables = world.app(&unit.app).map(|app| app.env.as_slice()).unwrap_or_default();
    variables.iter().map(|(name, value)| (name.clone(), value(unit.number))).collect()
}
