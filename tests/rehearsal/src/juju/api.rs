//! What the client asks of the controller, and what it is answered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The controller's name.
pub const CONTROLLER: &str = "rehearsal";
/// The model's name.
pub const MODEL: &str = "rehearsal";
/// The socket's name; it lies beside the client.
pub const SOCKET: &str = "controller.socket";

/// One request. Paths are absolute, names are as the operator typed them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are the words of `juju`")]
pub enum Request {
    Deploy { charm: PathBuf, application: Option<String>, units: u32, config: BTreeMap<String, String> },
    Refresh { application: String, charm: PathBuf },
    GetConfig { application: String },
    SetConfig { application: String, values: BTreeMap<String, String>, reset: Vec<String> },
    Integrate { one: String, other: String },
    RemoveRelation { one: String, other: String },
    AddUnit { application: String, units: u32 },
    RemoveUnit { units: Vec<String> },
    RemoveApplication { applications: Vec<String> },
    AddSecret { name: String, info: String, content: BTreeMap<String, String> },
    UpdateSecret { secret: String, info: Option<String>, content: BTreeMap<String, String> },
    RemoveSecret { secret: String },
    GrantSecret { secret: String, applications: Vec<String> },
    RevokeSecret { secret: String, applications: Vec<String> },
    Secrets,
    Run { unit: String, action: String, params: Map<String, Value>, wait: Option<Duration> },
    Exec { unit: String, commands: String, wait: Option<Duration> },
    RestartAgent { machine: u64 },
    ShowTask { task: String, wait: Duration },
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
    /// A task was scheduled, for a unit; its outcome follows.
    Scheduled {
        /// The task's number.
        task: String,
        /// The unit's name.
        unit: String,
    },
    /// What was asked for.
    Done(Value),
    /// The refusal, without `ERROR`.
    Refused(String),
}
