//! The hook tools: which there are, and how a call is answered. Each file holds one family of them.
//!
//! A tool gets a [`Call`]; it fails with [`Fault::Usage`] (exit 2, before it did anything) or [`Fault::Failure`]
//! (exit 1), in Juju's words.

mod action;
mod flags;
mod local;
mod machine;
mod output;
mod own_secret;
mod relation;
mod secret;
mod status;

use std::path::PathBuf;

pub(super) use flags::{Flag, Flags};

use super::context::Context;
use super::model::JujuVersion;
use super::world::World;

/// One call of a tool, from parsing to the answer.
pub(super) struct Call<'a> {
    pub world: &'a mut World,
    pub context: &'a mut Context,
    pub tool: &'a str,
    pub args: &'a [String],
    pub dir: PathBuf,
    pub stdin: Option<&'a [u8]>,
    pub stdout: String,
    pub stderr: String,
}

/// Why a tool did not do what it was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The call itself is wrong: exit 2.
    Usage(String),
    /// It could not be done: exit 1.
    Failure(String),
    /// The tool must read its standard input first.
    NeedsStdin,
    /// `--help` was asked for.
    Help,
}

type Outcome = std::result::Result<(), Fault>;
type Tool = fn(&mut Call<'_>) -> Outcome;

const TOOLS: &[(&str, Tool)] = &[
    ("action-fail", action::fail),
    ("action-get", action::get),
    ("action-log", action::log),
    ("action-set", action::set),
    ("application-version-set", status::application_version_set),
    ("close-port", machine::close_port),
    ("config-get", local::config_get),
    ("credential-get", machine::credential_get),
    ("goal-state", status::goal_state),
    ("is-leader", local::is_leader),
    ("juju-log", local::juju_log),
    ("juju-reboot", machine::juju_reboot),
    ("network-get", machine::network_get),
    ("open-port", machine::open_port),
    ("opened-ports", machine::opened_ports),
    ("relation-get", relation::get),
    ("relation-ids", relation::ids),
    ("relation-list", relation::list),
    ("relation-model-get", relation::model_get),
    ("relation-set", relation::set),
    ("secret-add", own_secret::add),
    ("secret-get", secret::get),
    ("secret-ids", secret::ids),
    ("secret-info-get", secret::info_get),
    ("secret-set", own_secret::set),
    ("state-delete", local::state_delete),
    ("state-get", local::state_get),
    ("state-set", local::state_set),
    ("status-get", status::get),
    ("status-set", status::set),
    ("storage-add", machine::storage_add),
    ("storage-get", machine::storage_get),
    ("storage-list", machine::storage_list),
    ("unit-get", machine::unit_get),
];

/// Tools that the real agent has too, and that no charm here may need: they say so.
const NOT_REHEARSED: &[&str] = &["resource-get", "secret-grant", "secret-remove", "secret-revoke"];

/// Tools of Juju 3.6 that Juju 4 has no more.
const NOT_REHEARSED_3: &[&str] = &[
    "add-metric",
    "k8s-raw-get",
    "k8s-raw-set",
    "k8s-spec-get",
    "k8s-spec-set",
    "leader-get",
    "leader-set",
    "payload-register",
    "payload-status-set",
    "payload-unregister",
    "pod-spec-get",
    "pod-spec-set",
];

/// The names that the tools' directory has.
pub(super) fn names(version: JujuVersion) -> impl Iterator<Item = &'static str> {
    let old: &[&str] = if version == JujuVersion::V3_6 { NOT_REHEARSED_3 } else { &[] };
    TOOLS.iter().map(|(name, _)| *name).chain(NOT_REHEARSED.iter().copied()).chain(old.iter().copied())
}

impl Call<'_> {
    /// Does what the tool does; the exit code, or `None` if it wants its standard input first.
    pub fn answer(&mut self) -> Option<u8> {
        let outcome = match TOOLS.iter().find(|(name, _)| *name == self.tool) {
            Some((_, tool)) => tool(self),
            None => Err(Fault::Failure(format!("{} is not part of the rehearsal", self.tool))),
        };
        let (code, text) = match outcome {
            Ok(()) => return Some(0),
            Err(Fault::NeedsStdin) => return None,
            Err(Fault::Help) => {
                self.stdout = format!("Usage: {} [options]\n", self.tool);
                return Some(0);
            }
            Err(Fault::Usage(text)) => (2, text),
            Err(Fault::Failure(text)) => (1, text),
        };
        self.stderr.push_str(&format!("ERROR {text}\n"));
        Some(code)
    }

    fn unit_name(&self) -> String {
        self.context.unit.name()
    }

    fn input(&self) -> std::result::Result<String, Fault> {
        let bytes = self.stdin.ok_or(Fault::NeedsStdin)?;
        String::from_utf8(bytes.to_vec()).map_err(|error| failure(error.to_string()))
    }
}

fn usage(text: impl Into<String>) -> Fault {
    Fault::Usage(text.into())
}

fn failure(text: impl Into<String>) -> Fault {
    Fault::Failure(text.into())
}
