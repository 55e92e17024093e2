//! What can go wrong between a test and the agent. A hook that fails is not an error here: it is a
//! [`HookRun`](super::HookRun) that did not succeed, and a unit in error state.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The result of what is asked of the agent.
pub type Result<T> = std::result::Result<T, AgentError>;

/// Why the agent could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Juju itself would refuse it, in these words.
    #[error("ERROR {0}")]
    Refused(String),
    /// The charm's folder is not one that Juju would accept.
    #[error("reading charm {}: {problem}", path.display())]
    NotACharm {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The unit is in error state and runs nothing but its failed hook.
    #[error("{unit} is in error state: hook failed: {hook:?}\n{log}")]
    UnitInError {
        /// The unit's name.
        unit: String,
        /// The hook that failed.
        hook: String,
        /// The end of the debug log.
        log: String,
    },
    /// What was waited for did not come.
    #[error("waited {} s for {what}; now: {now}\n{log}", within.as_secs_f32())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
        /// What there was instead.
        now: String,
        /// The end of the debug log.
        log: String,
    },
    /// There is no such unit, application or relation (any more), or the model is gone.
    #[error("{0} does not exist")]
    Gone(String),
    /// The machine under the agent.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl AgentError {
    /// Wraps an input or output error with what was being done.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// What Juju refuses, in its words.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}
