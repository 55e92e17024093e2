//! What the client asks of the controller, and what it is answered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::offer_url::OfferUrl;

/// The controller's name.
pub const CONTROLLER: &str = "rehearsal";
/// The name of its first model.
pub const MODEL: &str = "rehearsal";
/// Who owns all models.
pub const USER: &str = "admin";
/// The socket's name; it lies beside the client.
pub const SOCKET: &str = "controller.socket";

/// A request, and the model that it is about: the one that the operator has named, else the current one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// `MODEL`, `CONTROLLER:MODEL` or `CONTROLLER:USER/MODEL`.
    pub model: Option<String>,
    /// The request.
    pub request: Request,
}

/// One request. Paths are absolute, names are as the operator typed them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are the words of `juju`")]
pub enum Request {
    AddModel { name: String, switch: bool },
    DestroyModel { name: String },
    Models,
    Switch { model: Option<String> },
    Deploy { charm: PathBuf, application: Option<String>, units: u32, config: BTreeMap<String, String> },
    Refresh { application: String, charm: PathBuf },
    GetConfig { application: String },
    SetConfig { application: String, values: BTreeMap<String, String>, reset: Vec<String> },
    Integrate { one: String, other: String, offer: Option<OfferUrl> },
    RemoveRelation { one: String, other: String },
    AddUnit { application: String, units: u32 },
    RemoveUnit { units: Vec<String> },
    RemoveApplication { applications: Vec<String>, force: bool },
    Offer { model: Option<String>, application: String, endpoints: Vec<String>, name: String },
    RemoveOffer { offers: Vec<String>, force: bool },
    Offers,
    Consume { offer: OfferUrl, alias: Option<String> },
    RemoveSaas { names: Vec<String> },
    AddSecret { name: String, info: String, content: BTreeMap<String, String> },
    UpdateSecret { secret: String, info: Option<String>, content: BTreeMap<String, String> },
    RemoveSecret { secret: String },
    GrantSecret { secret: String, applications: Vec<String> },
    RevokeSecret { secret: String, applications: Vec<String> },
    Secrets,
    Run { units: Vec<String>, action: String, params: Map<String, Value>, wait: Option<Duration> },
    Exec { units: Vec<String>, commands: String, wait: Option<Duration> },
    RestartAgent { machine: u64 },
    ShowTask { task: String, wait: Duration },
    ShowOperation { operation: String, wait: Duration },
    Operations,
    Status,
    Relations,
    ShowUnit { unit: String },
    StatusLog { entity: String },
    DebugLog { from: usize },
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// An operation has begun; the outcomes of its tasks follow.
    Begun(Operation),
    /// What was asked for.
    Done(Value),
    /// The refusal, without `ERROR`.
    Refused(String),
}

/// An operation: an action or commands, and the task that each unit has of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// Its number.
    pub id: String,
    /// Number and unit of each task.
    pub tasks: Vec<(String, String)>,
    /// Why other units have none.
    pub refusals: Vec<String>,
}
