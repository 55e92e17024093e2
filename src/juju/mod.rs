//! What Juju tells us and what we tell Juju: the environment of a hook, the hook tools, the unit's log.
//!
//! Only `charm` knows this folder; everything below `charm` runs without Juju.

pub mod answers;
mod environment;
mod hook_tools;
mod log;
mod process_tools;

pub use environment::{Environment, EnvironmentError};
pub use hook_tools::{Databag, HookToolError, HookTools, RelationId, SecretUri, Status, UnitName};
pub use log::JujuLog;
pub use process_tools::ProcessTools;
