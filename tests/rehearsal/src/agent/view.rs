//! The model as its client sees it: plain data, all of one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

use super::charm::Role;
use super::crossmodel::Elsewhere;
use super::model::Model;
use super::record::Status;
use super::relation::{Databag, network_keys};
use super::secrets::SecretContent;
use super::world::{App, UnitState, World};

/// The model.
#[derive(Debug, Clone)]
pub struct ModelView {
    /// Juju's version.
    pub version: &'static str,
    /// All applications, by name.
    pub applications: BTreeMap<String, ApplicationView>,
    /// All relations, by number; one between two applications of the model once for each side.
    pub relations: BTreeMap<u32, RelationView>,
    /// All user secrets, by id.
    pub secrets: BTreeMap<String, SecretView>,
}

/// An application.
#[derive(Debug, Clone)]
pub struct ApplicationView {
    /// Its charm's name.
    pub charm: String,
    /// The unpacked charm that further units get.
    pub source: PathBuf,
    /// How often the charm was replaced.
    pub revision: u32,
    /// Whether its units go with those of other applications.
    pub is_subordinate: bool,
    /// Whether it is to be removed.
    pub is_dying: bool,
    /// The status that its leader set.
    pub status: Status,
    /// Its endpoints but for those of peers, by name.
    pub endpoints: BTreeMap<String, EndpointView>,
    /// Its options, by name.
    pub options: BTreeMap<String, OptionView>,
    /// Its units, by number.
    pub units: BTreeMap<u32, UnitView>,
}

/// An endpoint.
#[derive(Debug, Clone)]
pub struct EndpointView {
    /// Its interface.
    pub interface: String,
    /// Whether it provides what the other side requires.
    pub is_provider: bool,
}

/// An option.
#[derive(Debug, Clone)]
pub struct OptionView {
    /// What it is for.
    pub description: String,
    /// `string`, `int`, `float`, `boolean` or `secret`.
    pub kind: String,
    /// What it is if nobody sets it.
    pub default: Value,
    /// What the operator has set.
    pub set: Option<Value>,
}

/// A unit.
#[derive(Debug, Clone)]
pub struct UnitView {
    /// `image-builder/0`
    pub name: String,
    /// Its machine.
    pub machine: u64,
    /// Its machine's address.
    pub address: String,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it is to be removed.
    pub is_dying: bool,
    /// The unit that it goes with.
    pub principal: Option<String>,
    /// The workload's status, or the error that hides it.
    pub workload: Status,
    /// Every status that the workload had, in order.
    pub history: Vec<Status>,
    /// What its agent does.
    pub agent: Status,
    /// The ports that it opened, as `80/tcp`.
    pub ports: BTreeSet<String>,
    /// What it gave to application-version-set.
    pub version: String,
}

/// A relation from one application's side.
#[derive(Debug, Clone)]
pub struct RelationView {
    /// The application.
    pub application: String,
    /// Its endpoint.
    pub endpoint: String,
    /// Whether that provides what the other side requires.
    pub is_provider: bool,
    /// The endpoint's interface.
    pub interface: String,
    /// Whether the application's units are related to one another.
    pub is_peer: bool,
    /// Whether only units on one machine are related.
    pub is_within_machines: bool,
    /// The application on the other side.
    pub remote_application: String,
    /// Its endpoint.
    pub remote_endpoint: String,
    /// Whether the other side is played, not run.
    pub is_played: bool,
    /// The other side, where another model runs it.
    pub elsewhere: Option<Elsewhere>,
    /// What each local unit wrote.
    pub local_units: BTreeMap<String, Databag>,
    /// What each remote unit wrote.
    pub remote_units: BTreeMap<String, Databag>,
    /// What the remote application's leader wrote.
    pub remote_application_data: Databag,
}

/// A user secret.
#[derive(Debug, Clone)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub info: String,
    /// When each revision came.
    pub times: BTreeMap<u32, SystemTime>,
    /// The content of the newest.
    pub content: SecretContent,
    /// The applications that may read it.
    pub grants: BTreeSet<String>,
}

impl Model {
    /// All of it, as it is now.
    pub fn view(&self) -> ModelView {
        let world = self.shared.lock();
        let applications = world.apps.iter().map(|(name, app)| (name.clone(), application(name, app)));
        let relations = world.relations.keys().map(|id| (*id, relation(&world, *id)));
        let secrets = world.secrets.secrets.iter().map(|(id, secret)| {
            let view = SecretView {
                name: secret.name.clone(),
                info: secret.info.clone(),
                times: secret.times.clone(),
                content: secret.revisions.values().next_back().cloned().unwrap_or_default(),
                grants: secret.grants.clone(),
            };
            (id.clone(), view)
        });
        ModelView {
            version: world.version.number(),
            applications: applications.collect(),
            relations: relations.collect(),
            secrets: secrets.collect(),
        }
    }
}

fn application(name: &str, app: &App) -> ApplicationView {
    let options = app.charm.options.iter().map(|(name, option)| {
        let view = OptionView {
            description: option.description.clone(),
            kind: option.kind.clone(),
            default: option.default.clone(),
            set: app.settings.get(name).cloned(),
        };
        (name.clone(), view)
    });
    let endpoints = app.charm.endpoints.iter().filter(|(_, endpoint)| endpoint.role != Role::Peer);
    let endpoints = endpoints.map(|(name, endpoint)| {
        let is_provider = endpoint.role == Role::Provides;
        (name.clone(), EndpointView { interface: endpoint.interface.clone(), is_provider })
    });
    let units = app.units.iter().map(|(number, state)| (*number, unit(state, app.leader == Some(*number))));
    ApplicationView {
        charm: app.charm.name.clone(),
        source: app.source.clone(),
        revision: app.revision,
        is_subordinate: app.charm.subordinate,
        is_dying: app.dying,
        status: app.status.last().cloned().unwrap_or_else(|| super::world::status("unknown", name)),
        endpoints: endpoints.collect(),
        options: options.collect(),
        units: units.collect(),
    }
}

fn unit(state: &UnitState, is_leader: bool) -> UnitView {
    UnitView {
        name: state.name.clone(),
        machine: state.machine,
        address: network_keys(state.machine).remove("private-address").unwrap_or_default(),
        is_leader,
        is_dying: state.dying,
        principal: state.principal.as_ref().map(super::world::UnitId::name),
        workload: state.shown_status(),
        history: state.statuses.clone(),
        agent: state.agent.clone(),
        ports: state.opened_ports.clone(),
        version: state.workload_version.clone(),
    }
}

fn relation(world: &World, id: u32) -> RelationView {
    let relation = &world.relations[&id];
    let endpoint = world.apps.get(&relation.app).and_then(|app| app.charm.endpoints.get(&relation.endpoint));
    let twin = relation.twin.and_then(|twin| world.relations.get(&twin));
    let present = relation.remote_units.iter().filter(|(_, remote)| remote.present);
    RelationView {
        application: relation.app.clone(),
        endpoint: relation.endpoint.clone(),
        is_provider: endpoint.is_some_and(|endpoint| endpoint.role == Role::Provides),
        interface: endpoint.map(|endpoint| endpoint.interface.clone()).unwrap_or_default(),
        is_peer: relation.peer,
        is_within_machines: relation.pairs.is_some(),
        remote_application: relation.remote_app.clone(),
        remote_endpoint: match (twin, &relation.elsewhere) {
            (Some(twin), _) => twin.endpoint.clone(),
            (None, Some(elsewhere)) => elsewhere.endpoint.clone(),
            (None, None) => relation.endpoint.clone(),
        },
        is_played: twin.is_none() && !relation.peer && relation.elsewhere.is_none(),
        elsewhere: relation.elsewhere.clone(),
        local_units: relation.local_units.clone(),
        remote_units: present.map(|(name, remote)| (name.clone(), remote.data.clone())).collect(),
        remote_application_data: relation.remote_app_data.clone(),
    }
}
