//! The words and flags, as the real client has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::crossmodel::{Consume, Offer, Offers, RemoveOffer, RemoveSaas};
use crate::model::{AddModel, DestroyModel, Models, Switch};
use crate::operation::{Operations, ShowOperation, ShowTask};
use crate::output::Format;
use crate::refusal::duration;

/// Juju, for a rehearsal that is kept: its first model is called rehearsal.
#[derive(Parser)]
#[command(name = "juju", disable_help_subcommand = true, max_term_width = 100)]
pub struct Words {
    /// The model to operate in: MODEL, or CONTROLLER:MODEL.
    #[arg(short, long, global = true)]
    pub model: Option<String>,
    /// Show no informational output.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Add a workload model.
    AddModel(AddModel),
    /// Terminate all machines and resources for a model.
    DestroyModel(DestroyModel),
    /// List the models.
    #[command(alias = "list-models")]
    Models(Models),
    /// Select or identify the current model.
    Switch(Switch),
    /// Deploy a local charm.
    Deploy(Deploy),
    /// Replace an application's charm.
    Refresh(Refresh),
    /// Get, set, or reset configuration for a deployed application.
    Config(Config),
    /// Integrate two applications.
    #[command(alias = "relate")]
    Integrate(Integrate),
    /// Remove an existing relation between two applications.
    RemoveRelation(RemoveRelation),
    /// Remove applications from the model.
    RemoveApplication(RemoveApplication),
    /// Offer application endpoints for use in other models.
    Offer(Offer),
    /// List the offers of the model, and who is connected to them.
    #[command(alias = "list-offers")]
    Offers(Offers),
    /// Remove one or more offers specified by their URL.
    RemoveOffer(RemoveOffer),
    /// Add a remote offer to the model.
    Consume(Consume),
    /// Remove consumed applications (SAAS) from the model.
    #[command(alias = "remove-consumed-application")]
    RemoveSaas(RemoveSaas),
    /// Add one or more units to a deployed application.
    AddUnit(AddUnit),
    /// Remove application units from the model.
    RemoveUnit(Remove),
    /// Display information about a unit.
    ShowUnit(ShowUnit),
    /// Add a new secret.
    AddSecret(SetSecret),
    /// Update an existing secret.
    UpdateSecret(SetSecret),
    /// Remove an existing secret.
    RemoveSecret(OneSecret),
    /// Grant access to a secret.
    GrantSecret(Grant),
    /// Revoke access to a secret.
    RevokeSecret(Grant),
    /// List secrets available in the model.
    #[command(alias = "list-secrets")]
    Secrets(List),
    /// Show details for a specific secret.
    ShowSecret(ShowSecret),
    /// Run an action on a specified unit.
    Run(Run),
    /// Run the commands on the remote targets specified.
    Exec(Exec),
    /// Show results of a task by ID.
    ShowTask(ShowTask),
    /// Show results of an operation.
    ShowOperation(ShowOperation),
    /// List the operations.
    #[command(alias = "list-operations")]
    Operations(Operations),
    /// Report the status of the model, its machines, applications and units.
    #[command(alias = "show-status")]
    Status(Status),
    /// Output past statuses for the specified unit.
    ShowStatusLog(StatusLog),
    /// Display log messages of the model.
    DebugLog(DebugLog),
    /// Print the Juju version.
    Version(Version),
}

#[derive(Args)]
pub struct Deploy {
    pub charm: Option<String>,
    pub application: Option<String>,
    /// Number of application units to deploy.
    #[arg(short, long, default_value_t = 1)]
    pub num_units: u32,
    /// Either a path to a yaml file with the application's options, or KEY=VALUE.
    #[arg(long)]
    pub config: Vec<String>,
    /// The base on which to deploy: a machine of the rehearsal is what it is.
    #[arg(long)]
    base: Option<String>,
    /// Constraints of the machine: a machine of the rehearsal is what it is.
    #[arg(long)]
    constraints: Vec<String>,
    /// Allow the application to access the cloud's credentials: there are none.
    #[arg(long)]
    trust: bool,
}

#[derive(Args)]
pub struct Refresh {
    pub application: Option<String>,
    /// Refresh to a charm located at path.
    #[arg(long)]
    pub path: Option<String>,
    /// Crossgrade to a charm of Charmhub, which a rehearsal has not.
    #[arg(long, conflicts_with = "path")]
    pub switch: Option<String>,
    /// Refresh a unit in an error state, too.
    #[arg(long, alias = "force-units", alias = "force-base")]
    force: bool,
}

#[derive(Args)]
pub struct Config {
    pub words: Vec<String>,
    /// Reset the provided comma delimited keys.
    #[arg(long, value_delimiter = ',')]
    pub reset: Vec<String>,
    /// Path to a yaml-formatted configuration file, or - for standard input.
    #[arg(long)]
    pub file: Option<String>,
    #[arg(long, default_value = "yaml", value_parser = Format::yaml_or_json)]
    pub format: Format,
}

#[derive(Args)]
pub struct Integrate {
    pub ends: Vec<String>,
    /// For cross model integrations, the egress subnets for outbound traffic: there is no firewall here.
    #[arg(long)]
    via: Option<String>,
}

#[derive(Args)]
pub struct RemoveRelation {
    pub ends: Vec<String>,
    /// Force remove a relation: it needs none here.
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
pub struct Remove {
    pub names: Vec<String>,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub no_prompt: bool,
    /// Print what this command would remove without removing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args)]
pub struct RemoveApplication {
    #[command(flatten)]
    pub remove: Remove,
    /// Completely remove an application and all its dependencies.
    #[arg(long)]
    pub force: bool,
    /// Destroy storage attached to application units: there is none here.
    #[arg(long)]
    destroy_storage: bool,
}

#[derive(Args)]
pub struct AddUnit {
    pub application: Option<String>,
    /// Number of units to add.
    #[arg(short, long, default_value_t = 1)]
    pub num_units: u32,
}

#[derive(Args)]
pub struct ShowUnit {
    pub units: Vec<String>,
    /// Only show relation data for the specified endpoint.
    #[arg(long)]
    pub endpoint: Option<String>,
    /// Only show relation data for the specified unit.
    #[arg(long)]
    pub related_unit: Option<String>,
    /// Only show application relation data.
    #[arg(long)]
    pub app: bool,
    #[arg(long, default_value = "yaml", value_parser = Format::yaml_or_json)]
    pub format: Format,
}

#[derive(Args)]
pub struct SetSecret {
    pub name: Option<String>,
    pub content: Vec<String>,
    /// A YAML file containing secret key values.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// The secret description.
    #[arg(long)]
    pub info: Option<String>,
}

#[derive(Args)]
pub struct OneSecret {
    pub secret: Option<String>,
}

#[derive(Args)]
pub struct Grant {
    pub secret: Option<String>,
    #[arg(value_delimiter = ',')]
    pub applications: Vec<String>,
}

#[derive(Args)]
pub struct List {
    #[arg(long, default_value = "tabular", value_parser = Format::any)]
    pub format: Format,
}

#[derive(Args)]
pub struct ShowSecret {
    pub secret: Option<String>,
    /// Reveal secret values.
    #[arg(long)]
    pub reveal: bool,
    /// Show the secret revisions metadata.
    #[arg(long)]
    pub revisions: bool,
    #[arg(long, default_value = "yaml", value_parser = Format::yaml_or_json)]
    pub format: Format,
}

#[derive(Args)]
pub struct Run {
    pub words: Vec<String>,
    /// Maximum wait time for a task to complete.
    #[arg(long, value_parser = duration)]
    pub wait: Option<Duration>,
    /// Run the task in the background.
    #[arg(long)]
    pub background: bool,
    /// Path to yaml-formatted params file.
    #[arg(long)]
    pub params: Option<PathBuf>,
    /// Use raw string values of CLI args.
    #[arg(long)]
    pub string_args: bool,
    #[arg(long, default_value = "plain", value_parser = Format::plain)]
    pub format: Format,
    #[command(flatten)]
    shown: Shown,
}

/// How times and colours are shown: here always in UTC, and without colours.
#[derive(Args)]
pub struct Shown {
    /// Show times in UTC: it is so here.
    #[arg(long)]
    utc: bool,
    /// Use ANSI color codes in output: there are none here.
    #[arg(long)]
    color: bool,
    /// Disable ANSI color codes in output: it is so here.
    #[arg(long)]
    no_color: bool,
}

#[derive(Args)]
pub struct Exec {
    /// One or more unit ids.
    #[arg(short, long, value_delimiter = ',')]
    pub unit: Vec<String>,
    /// A machine's id: what can be run there is the restart of its agent, systemctl restart jujud-machine-ID.
    #[arg(long)]
    pub machine: Option<u64>,
    /// One or more application names.
    #[arg(short, long, alias = "app", value_delimiter = ',')]
    pub application: Vec<String>,
    /// Maximum wait time for a task to complete.
    #[arg(long, value_parser = duration)]
    pub wait: Option<Duration>,
    /// Run the task in the background.
    #[arg(long)]
    pub background: bool,
    #[arg(long, default_value = "plain", value_parser = Format::plain)]
    pub format: Format,
    #[command(flatten)]
    shown: Shown,
    pub commands: Vec<String>,
}

#[derive(Args)]
pub struct Status {
    /// Applications or units.
    pub selectors: Vec<String>,
    /// Watch the status every period of time.
    #[arg(long, value_parser = duration)]
    pub watch: Option<Duration>,
    /// Show the relations, too.
    #[arg(long, alias = "integrations")]
    pub relations: bool,
    #[arg(long, default_value = "tabular", value_parser = Format::any)]
    pub format: Format,
}

#[derive(Args)]
pub struct StatusLog {
    pub entity: Option<String>,
    /// Return the last N logs.
    #[arg(short, default_value_t = 20)]
    pub n: usize,
    #[arg(long, default_value = "tabular", value_parser = Format::any)]
    pub format: Format,
}

#[derive(Args)]
pub struct DebugLog {
    /// Show the entire log, and wait for what comes.
    #[arg(long)]
    pub replay: bool,
    /// Only show log messages for these units or applications.
    #[arg(short, long)]
    pub include: Vec<String>,
    /// Do not show log messages for these units or applications.
    #[arg(short = 'x', long)]
    pub exclude: Vec<String>,
    /// Log level to show, one of TRACE, DEBUG, INFO, WARNING, ERROR.
    #[arg(short, long, default_value = "TRACE")]
    pub level: String,
    /// Show this many of the most recent lines, and wait for what comes.
    #[arg(short = 'n', long, default_value_t = 10)]
    pub lines: usize,
    /// Exit once this many of the most recent lines are shown; 0 shows all.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Show existing log messages and continue to append new ones.
    #[arg(long)]
    pub tail: bool,
    /// Show existing log messages and then exit.
    #[arg(long)]
    pub no_tail: bool,
}

#[derive(Args)]
pub struct Version {
    /// Print all version information.
    #[arg(long)]
    pub all: bool,
    #[arg(long, default_value = "plain", value_parser = Format::plain)]
    pub format: Format,
}
