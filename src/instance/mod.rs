//! How an instance is set up: what goes into it is a [`Base`] (ordered steps, each with a name, a deadline and an
//! error of its own), where it runs is an [`Executor`].
//!
//! The names are those of craft-providers' bases.

mod base;
mod buildd;
mod error;
mod executor;
mod hostname;
mod instance_config;
mod inventory;
mod os_release;
mod recipe;
mod runner;
mod snaps;
mod timeout;

pub use base::{
    Base, CacheMount, CommandEnvironment, InstanceRecord, SetupProgress, Step, StepFn, setup, warmup,
};
pub use buildd::{BaseParameters, BuilddBase, BuilddBaseAlias};
pub use error::{BaseCompatibilityError, BaseConfigurationError, BaseError, ProviderError};
pub use executor::{
    ChrootExecutor, Command, Executor, ExecutorError, KeyPair, LocalExecutor, Output, SshExecutor, SshTarget,
};
pub use instance_config::{INSTANCE_CONFIG_PATH, InstanceConfiguration, SnapRecord};
pub use inventory::{InstalledSnap, Inventory, NpmPackage, Package, take_inventory};
pub use recipe::{DEFAULT_RECIPE, Recipe, RecipeError, Tool, ToolOrigin};
pub use runner::{
    ExternalScript, ImageInfo, LIMITS, Part, RUNNER_HOME, RUNNER_USER, RunnerBase, RunnerTarball,
    STEPS_VERSION, ToolDownload,
};
pub use snaps::Snap;
pub use timeout::Timeout;
