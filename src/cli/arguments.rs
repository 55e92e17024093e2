//! The words of the command line, and what each of them means. A hook has none: `main` never comes here for one.

mod images;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, builder::BoolishValueParser,
};

pub use self::images::{CleanUp, DiffImages, Pin, Revoke, ShowFormat, ShowImage, Unpin, Verify};
use super::instance::{InstanceOptions, Operation};
use crate::github::GithubPath;
use crate::model::Target;
use crate::record::BuildMode;

/// Build GitHub Actions runner images for OpenStack.
///
/// The Juju agent runs `dispatch` without a command, as a hook or action. The commands are for operators, on a unit of the
/// charm or on any other machine.
#[derive(Debug, Parser)]
#[command(name = "dispatch", version, max_term_width = 100, subcommand_required = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `dispatch` is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the jobs of this unit: requested, running and finished
    Jobs(Jobs),
    /// Stop the running or waiting job and delete what it has created (requires root)
    Cancel,
    /// List kept builds and their copies, and which of them are pinned or revoked
    ListImages(Output),
    /// Show what is in a build: packages, snaps, tools, runner, base image; or print its SBOM
    ShowImage(ShowImage),
    /// Show what differs between two builds
    DiffImages(DiffImages),
    /// Verify an image against its signed statement, with public keys alone
    ///
    /// Needs neither a unit nor a network. Fails, with the reason, if the image, the statement and the signature do not match.
    /// The statement is only as trustworthy as the unit that has signed it.
    Verify(Verify),
    /// Print the public keys that verify the provenance of this application's images, the newest first
    ShowPublicKey,
    /// Show the last 50 jobs and the outcome for each target and project
    History(Output),
    /// Publish a build until it is unpinned, even if there are newer builds (requires root)
    Pin(Pin),
    /// Publish the newest builds again (requires root)
    Unpin(Unpin),
    /// Withdraw a build for good (requires root)
    Revoke(Revoke),
    /// List unneeded resources in the build project; delete those with the given IDs (requires root)
    ///
    /// Lists servers and images of this application, and what the Python charm has left. Deletes only resources whose IDs are
    /// given. Runs on the leader while no other job runs or waits, with the last configuration that the charm accepted.
    CleanUp(CleanUp),
    /// Check the prerequisites of builds and deliveries (requires root)
    ///
    /// Checks each project's credentials, catalog, flavor, network and quotas, base images, GitHub and the apt mirror, with
    /// the last configuration that the charm accepted. Fails if a check fails.
    Check(Check),
    /// Print the default recipe, which defines the contents of images
    Recipe,
    /// Build an image on this machine and write it to a file (requires root)
    ///
    /// Accepts the charm's options, with the defaults of config.yaml, except those that name secrets.
    LocalBuild(LocalBuild),
    /// Build an image on this machine and upload it to a cloud (requires root)
    ///
    /// The image contains the runner application that GitHub offers for PATH, and replaces the previously uploaded image.
    /// Reads a GitHub token from standard input and prints the image's ID.
    BuildImage(BuildImage),
    /// Build an image in a builder VM of a cloud, or on this machine, and store it in that cloud
    ///
    /// The cloud is one in your own clouds.yaml (OS_CLIENT_CONFIG_FILE, the working folder,
    /// ~/.config/openstack or /etc/openstack). An image that is up to date is not rebuilt. Prints the image's ID.
    Run(Run),
    /// Print the ID of the image that the last `dispatch run` stored in a cloud
    LatestBuildId(LatestBuildId),
    /// Install the programs that builds on this machine use (requires root)
    Init(Init),
    /// Set up a machine as a builder, like craft-providers' BuilddBase
    Instance {
        /// What to do with the machine
        #[arg(value_enum)]
        operation: Operation,
        /// How, and with which machine.
        #[command(flatten)]
        options: Box<InstanceOptions>,
    },
    /// Print the metrics of this unit in the text format of Prometheus
    Metrics,
    /// Run the jobs that hooks have requested; started by hooks
    Work,
    /// Launch requested runners and delete expired ones; started by hooks
    Launch,
    /// Answer a metrics collector on standard input and output; started by systemd
    #[command(hide = true)]
    AnswerCollector,
}

/// `dispatch jobs`.
#[derive(Debug, clap::Args)]
pub struct Jobs {
    /// How the jobs are printed.
    #[command(flatten)]
    pub output: Output,
    /// Print the records as stored, for tests and support
    #[arg(long, hide = true)]
    pub json: bool,
}

/// `dispatch check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Also boot a VM in the build project and connect to it by ssh
    #[arg(long)]
    pub deep: bool,
    /// How the findings are printed.
    #[command(flatten)]
    pub output: Output,
}

/// `dispatch local-build`.
#[derive(Debug, clap::Args)]
pub struct LocalBuild {
    /// The image to build, such as noble-x64
    #[arg(value_parser = parse_target)]
    pub target: Target,
    /// Where to write the image (qcow2)
    pub file: PathBuf,
    /// Options of the charm, such as runner-version=2.337.1
    #[arg(value_name = "OPTION=VALUE")]
    pub settings: Vec<String>,
}

/// `dispatch build-image`.
#[derive(Debug, clap::Args)]
pub struct BuildImage {
    /// The cloud, by its name in clouds.yaml (the charm's, or OS_CLIENT_CONFIG_FILE)
    pub cloud: String,
    /// ORGANIZATION or OWNER/REPOSITORY on GitHub
    pub path: GithubPath,
    /// The image to build, such as noble-x64
    #[arg(value_parser = parse_target)]
    pub target: Target,
    /// Options of the charm, such as build-mode=local
    #[arg(value_name = "OPTION=VALUE")]
    pub settings: Vec<String>,
}

/// `dispatch run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The cloud, by its name in clouds.yaml
    pub cloud: String,
    /// Prefix of the image's name; the command appends -BASE-ARCHITECTURE
    #[arg(value_parser = parse_name)]
    pub name: String,
    /// The image to build, such as noble-x64
    #[arg(value_parser = parse_target)]
    pub target: Target,
    /// Options of the charm, such as build-flavor=m1.small or build-mode=local
    #[arg(value_name = "OPTION=VALUE")]
    pub settings: Vec<String>,
    /// Build even if an image is up to date
    #[arg(long)]
    pub force: bool,
    /// A file with a GitHub token, for a higher rate limit
    #[arg(long, value_name = "FILE")]
    pub github_token_file: Option<PathBuf>,
    /// How the result is printed.
    #[command(flatten)]
    pub output: Output,
}

/// `dispatch latest-build-id`.
#[derive(Debug, clap::Args)]
pub struct LatestBuildId {
    /// The cloud, by its name in clouds.yaml
    pub cloud: String,
    /// Prefix of the image's name
    #[arg(value_parser = parse_name)]
    pub name: String,
    /// The image, such as noble-x64
    #[arg(value_parser = parse_target)]
    pub target: Target,
    /// How the result is printed.
    #[command(flatten)]
    pub output: Output,
}

/// `dispatch init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Where to build images
    #[arg(long, value_enum, default_value_t)]
    pub build_mode: Mode,
}

/// Where images are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// In a builder VM of a cloud
    #[default]
    External,
    /// On this machine
    Local,
}

impl From<Mode> for BuildMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::External => Self::External,
            Mode::Local => Self::Local,
        }
    }
}

/// How a command that shows data prints it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Output {
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// An output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs; docs/reference/json-output.md describes it
    Json,
}

impl Arguments {
    /// Parses `words`, the first of which is the program's name.
    pub fn parse_from(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::tree().try_get_matches_from(words)?)
    }

    /// The whole tree of commands, with every switch taking an optional value: `--force` and `--force=true`.
    pub fn tree() -> clap::Command {
        with_boolean_values(Self::command())
    }
}

fn with_boolean_values(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_action() {
        ArgAction::SetTrue => argument
            .action(ArgAction::Set)
            .value_name("true|false")
            .value_parser(BoolishValueParser::new())
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .hide_default_value(true),
        _ => argument,
    });
    command.mut_subcommands(with_boolean_values)
}

/// Reads a target such as `noble-x64`.
pub fn parse_target(word: &str) -> Result<Target, String> {
    Target::parse(word).ok_or_else(|| "use BASE-ARCHITECTURE, such as noble-x64".to_owned())
}

/// Reads the name of images, which becomes part of the names of servers and files.
fn parse_name(word: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(is_plain);
    if is_name && word.len() <= 40 {
        Ok(word.to_owned())
    } else {
        Err("use up to 40 lower-case letters, digits and hyphens, beginning with a letter")
    }
}

#[cfg(test)]
mod tests;
