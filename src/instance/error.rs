//! What can go wrong when an instance is prepared: the three errors that craft-providers documents.
//!
//! [`ProviderError`] is anything; [`BaseCompatibilityError`] says that the instance is not what it must be, so that only
//! another instance helps; [`BaseConfigurationError`] is the rest, seen by whoever called
//! [`setup`](super::setup) or [`warmup`](super::warmup).

use std::time::Duration;

use super::executor::ExecutorError;
use crate::host::FileError;
use crate::model::{Cause, Classified, Target};

/// Something went wrong with an instance (craft-providers: `ProviderError`).
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The instance is not what it must be.
    #[error(transparent)]
    Compatibility(#[from] BaseCompatibilityError),
    /// The instance could not be brought to what it must be.
    #[error(transparent)]
    Configuration(#[from] BaseConfigurationError),
    /// A command in it failed, or it could not be reached.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A file of the host could not be read or made.
    #[error(transparent)]
    HostFile(#[from] FileError),
    /// What was waited for did not come.
    #[error("{instance}: {what} within {} s; the last answer was {last}", limit.as_secs())]
    NotReady {
        /// The instance.
        instance: String,
        /// What did not happen.
        what: &'static str,
        /// The last that was seen.
        last: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

/// The instance is not what it must be (craft-providers: `BaseCompatibilityError`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseCompatibilityError {
    /// It runs another system.
    #[error("incompatible instance: its system is {found}, not {expected}; {CLEAN}")]
    System {
        /// What the base is.
        expected: String,
        /// What `/etc/os-release` says.
        found: String,
    },
    /// It was set up as something else.
    #[error("incompatible instance: its compatibility tag is {found:?}, not {expected:?}; {CLEAN}")]
    Tag {
        /// The base's tag.
        expected: String,
        /// The instance's.
        found: String,
    },
    /// Nothing says that it was ever set up.
    #[error("incompatible instance: {path} is absent or empty: it was never set up; {CLEAN}")]
    NeverSetUp {
        /// Where it would be said.
        path: String,
    },
    /// Its set-up began and never ended.
    #[error("incompatible instance: its set-up did not finish; {CLEAN}")]
    Unfinished,
    /// What it says about itself makes no sense.
    #[error("incompatible instance: {problem}; {CLEAN}")]
    Unreadable {
        /// Why.
        problem: String,
    },
    /// Its own system does not run, so that no service can be started.
    #[error("incompatible instance: {instance} is not booted; set up a running machine")]
    NotBooted {
        /// The instance.
        instance: String,
    },
    /// The base keeps no record in its instances.
    #[error(
        "instances of this base do not record their set-up and cannot be warmed up; set up a new instance"
    )]
    NotKept,
}

const CLEAN: &str = "clean the instance and try again";

/// The instance could not be brought to what it must be (craft-providers: `BaseConfigurationError`).
#[derive(Debug, thiserror::Error)]
pub enum BaseConfigurationError {
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// What was being done, as a gerund.
        step: &'static str,
        /// Why it failed.
        source: Box<ProviderError>,
    },
    /// The timeout makes no sense.
    #[error("invalid timeout value {value}; use a positive number of seconds, or none")]
    InvalidTimeout {
        /// The value.
        value: String,
    },
    /// The time for the whole was over.
    #[error("the set-up timed out; set a longer timeout")]
    TimeIsUp,
    /// No letter or digit is left of the host name.
    #[error("invalid hostname {given:?}: it must have at least one letter or digit")]
    InvalidHostname {
        /// The name.
        given: String,
    },
    /// A variable cannot stand in `/etc/environment`.
    #[error("invalid variable {name:?}: names consist of letters, digits and _; values are one line")]
    InvalidVariable {
        /// Its name.
        name: String,
    },
    /// A package has no name that apt could know.
    #[error("invalid package name {name:?}")]
    InvalidPackage {
        /// The name.
        name: String,
    },
    /// A snap is not said as it must be.
    #[error("invalid snap {snap:?}: {problem}")]
    InvalidSnap {
        /// What was said.
        snap: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// snapd takes its proxy as an argument, which every process may read.
    #[error(
        "the proxy in {variable} contains credentials, which snapd's configuration would expose; use a proxy without credentials"
    )]
    ProxyWithCredentials {
        /// The variable.
        variable: &'static str,
    },
    /// Nothing that apt knows can be installed for a package of the recipe.
    #[error(
        "no package source for base {} on architecture {} has {packages}; change packages or apt_sources in the recipe \
         (option recipe)",
        target.base,
        target.arch
    )]
    NoCandidate {
        /// The packages, separated by commas.
        packages: String,
        /// The image that they were for.
        target: Target,
    },
    /// The store did not give a snap.
    #[error("installing snap {name} from channel {channel}: {source}; check https://status.snapcraft.io")]
    Snap {
        /// The snap.
        name: String,
        /// Its channel.
        channel: String,
        /// What happened.
        source: Box<ExecutorError>,
    },
    /// A command that needs the network failed, and there is none.
    #[error("{instance} has no network: {source}; configure a route or a proxy")]
    NoNetwork {
        /// The instance.
        instance: String,
        /// The command's failure.
        source: Box<ExecutorError>,
    },
    /// The instance's record of itself is not one.
    #[error("{path} in {instance}: {problem}; clean the instance and try again")]
    InstanceConfiguration {
        /// The instance.
        instance: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What came of a [`setup`](super::setup) or [`warmup`](super::warmup) that failed.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Another instance is needed.
    #[error(transparent)]
    Compatibility(#[from] BaseCompatibilityError),
    /// Anything else.
    #[error(transparent)]
    Configuration(#[from] BaseConfigurationError),
}

impl BaseError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        let Self::Configuration(BaseConfigurationError::Step { source, .. }) = self else { return false };
        matches!(source.as_ref(), ProviderError::Configuration(BaseConfigurationError::NoCandidate { .. }))
    }

    /// What `error` means to the caller of the operation whose `step` it stopped.
    pub(super) fn in_step(step: &'static str, error: ProviderError) -> Self {
        match error {
            ProviderError::Compatibility(error) => Self::Compatibility(error),
            error => Self::Configuration(BaseConfigurationError::Step { step, source: Box::new(error) }),
        }
    }
}

impl Classified for BaseError {
    fn cause(&self) -> Cause {
        let Self::Configuration(BaseConfigurationError::Step { step, source }) = self else {
            return Cause::Recipe;
        };
        match source.as_ref() {
            ProviderError::Configuration(BaseConfigurationError::NoNetwork { .. }) => Cause::Network,
            ProviderError::Configuration(BaseConfigurationError::NoCandidate { .. }) => Cause::Recipe,
            _ => match *step {
                "running the external script" => Cause::Script,
                "installing the runner" => Cause::Github,
                step if step.contains("packages") || step.contains("snaps") => Cause::Mirror,
                _ => Cause::Recipe,
            },
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Configuration(BaseConfigurationError::Step { step, source }) => {
                format!("{step}: {}", source.summary())
            }
            _ => self.to_string(),
        }
    }
}

impl Classified for ProviderError {
    fn summary(&self) -> String {
        match self {
            Self::Executor(error) => error.summary(),
            Self::Configuration(error) => error.summary(),
            Self::Compatibility(_) | Self::HostFile(_) | Self::NotReady { .. } => self.to_string(),
        }
    }
}

impl Classified for BaseConfigurationError {
    fn summary(&self) -> String {
        match self {
            Self::Step { step, source } => format!("{step}: {}", source.summary()),
            Self::Snap { name, source, .. } => {
                format!("snap {name}: {}; see https://status.snapcraft.io", source.summary())
            }
            Self::NoNetwork { source, .. } => {
                format!("the instance has no network: {}; configure a route or a proxy", source.summary())
            }
            Self::NoCandidate { packages, .. } => format!(
                "no package source has {packages}; change packages or apt_sources in the recipe (option recipe)"
            ),
            _ => self.to_string(),
        }
    }
}
