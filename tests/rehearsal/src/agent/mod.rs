//! A Juju agent for tests: it runs a charm's executable from outside, as the real one does, and refuses what the real
//! one refuses.
//!
//! A [`Model`] holds applications, relations, secrets and a debug log. Its units run hooks, actions and the commands
//! of `juju-exec` one at a time; the hook tools are real processes that a charm finds first on PATH. The test calls,
//! and each call that makes Juju run hooks returns when they have run; what comes by itself (a worker's `juju-exec`,
//! peers' news) runs in the background, and [`Unit::wait_for`] waits for its effect.
//!
//! ```no_run
//! use std::time::Duration;
//! use rehearsal::agent::{JujuVersion, Model};
//!
//! # fn main() -> rehearsal::agent::Result<()> {
//! let model = Model::new(JujuVersion::V3_6)?;
//! let app = model.deploy("target/charm", "image-builder", 1)?;
//! assert_eq!(app.unit(0).status()?.state, "blocked");
//!
//! let password = model.add_secret(&[("password", "s3cret")])?;
//! password.grant(&app)?;
//! app.set_config(&[("openstack-password-secret", &password.uri())])?;
//! let relation = app.integrate("image", "github-runner", &[&[("auth_url", "http://127.0.0.1:5000/v3")]])?;
//! app.unit(0).wait_for(|status| status.state == "active", Duration::from_secs(30))?;
//! assert!(relation.written_by(&app.unit(0))?.contains_key("id"));
//! # Ok(())
//! # }
//! ```
//!
//! One hook, action or `juju-exec` runs at a time on a machine. Each unit has a machine of its own, unless it is deployed
//! [`beside`](Deployment::beside) another.
//!
//! How a run is measured: see [`HookRun`]; hooks are started by a small launcher, which does the measuring.

mod absence;
mod application;
mod charm;
mod context;
mod crossmodel;
mod env;
mod error;
mod event;
mod exec;
mod files;
mod integration;
mod model;
mod process;
mod procs;
mod record;
mod refresh;
mod relation;
mod schema;
mod secrets;
mod server;
mod toolbox;
mod tools;
mod turn;
mod unit;
mod units;
mod view;
mod wire;
mod world;

pub use absence::StoppedSocket;
pub use application::Application;
pub use crossmodel::{Elsewhere, Side};
pub use error::{AgentError, Result};
pub use model::{Deployment, JujuVersion, Model, Proxies, Secret, Tracing};
pub use procs::{Process, processes_below};
pub use record::{
    ActionRun, ActionStatus, Ending, ExecResult, HookRun, Level, LogLine, RunKind, Status, ToolCall,
};
pub use relation::{Databag, Relation};
pub use unit::{PendingAction, PendingExec, Unit};
pub use view::{ApplicationView, EndpointView, ModelView, OptionView, RelationView, SecretView, UnitView};
