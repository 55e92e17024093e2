//! The command line: what people do by hand, with the charm's own options.

mod arguments;
mod cancel;
mod check;
mod clean_up;
#[cfg(test)]
mod hostile;
mod instance;
pub mod jobs;
pub mod jobs_view;
mod levers;
pub mod metrics;
pub mod reference;
mod run;
mod terminal;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

pub use arguments::{Arguments, BuildImage, Check, Command, Format, Jobs, LocalBuild, Output};
pub use cancel::cancel;
pub use check::check;
pub use clean_up::clean_up;
pub use instance::instance;
pub use levers::{diff_images, history, list_images, pin, revoke, show_image, unpin};
pub use run::{init, latest_build_id, run};

use serde::Deserialize;
use serde_json::Value;

use self::terminal::show_progress;
use crate::builder::{ByHand, CloudsYamlError, read_clouds_file, read_clouds_yaml};
use crate::charm::{InvalidOption, Options};
use crate::host::Host;
use crate::instance::{BaseConfigurationError, BaseError, ExecutorError, ProviderError};
use crate::model::{Secret, Target};
use crate::openstack_cloud::openstack_manager::ProxyConfig;
use crate::record::{
    BaseImageSource, BuildMode, BuildSecrets, BuilderRunConfig, BuilderVm, CloudName, Delivery, Failure,
    ImageFormat, Owner, Phase, RunnerSource,
};

/// A command that was not done.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The words make no sense.
    #[error("{0}; `dispatch help` explains the commands")]
    Usage(String),
    /// An option makes no sense.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// What the machine is to become makes no sense.
    #[error(transparent)]
    Parameters(#[from] BaseConfigurationError),
    /// The machine could not be reached.
    #[error(transparent)]
    Unreachable(#[from] ExecutorError),
    /// The machine did not become ready.
    #[error(transparent)]
    NotReady(#[from] ProviderError),
    /// The machine could not be set up.
    #[error(transparent)]
    SetUp(#[from] BaseError),
    /// There are no clouds.
    #[error(transparent)]
    Clouds(#[from] CloudsYamlError),
    /// It was tried and came to nothing.
    #[error("{0}")]
    Failed(String),
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.message)
    }
}

/// `dispatch local-build`: builds one image on this machine, with the charm's options and their defaults, and tells of
/// each phase.
pub fn local_build(host: &Host, words: &LocalBuild, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let (config, secrets) = (build_config(words.target, &words.settings)?, secrets());
    show_progress(say, |say| {
        let by_hand =
            ByHand { host, config: &config, secrets: &secrets, progress: &|phase| tell(say, phase) };
        Ok(by_hand.build_file(words.target, &words.file)?)
    })
}

/// Where other OpenStack clients find their clouds.
const CLOUDS_FILE: &str = "OS_CLIENT_CONFIG_FILE";

/// `dispatch build-image`: builds one image on this machine, with the runner application that GitHub offers to a path,
/// and uploads it to a cloud of clouds.yaml. The token for GitHub is read from `token`.
pub fn build_image(
    host: &Host,
    words: &BuildImage,
    token: impl Read,
    say: &dyn Fn(&str),
) -> Result<(), CliError> {
    let BuildImage { cloud, path, target, settings } = words;
    let (config, secrets) = (build_config(*target, settings)?, secrets());
    let mut clouds = match std::env::var_os(CLOUDS_FILE) {
        Some(file) => read_clouds_file(host, Path::new(&file))?,
        None => read_clouds_yaml(host)?,
    };
    let unknown =
        || CliError::Usage(format!("clouds.yaml has no cloud {cloud:?}; {CLOUDS_FILE} names the file"));
    let cloud = clouds.remove(&CloudName::new(cloud)).ok_or_else(unknown)?;
    let token = read_token(token)?;
    let id = show_progress(say, |say| {
        let by_hand =
            ByHand { host, config: &config, secrets: &secrets, progress: &|phase| tell(say, phase) };
        by_hand.build_in_cloud(&cloud, token, path, *target)
    })?;
    say(id.as_str());
    Ok(())
}

/// Not an argument and no variable: others could read those.
fn read_token(source: impl Read) -> Result<Secret<String>, CliError> {
    let mut token = String::new();
    let read = source.take(4096).read_to_string(&mut token);
    match read {
        Ok(_) if !token.trim().is_empty() => Ok(Secret::new(token.trim().to_owned())),
        _ => Err(CliError::Usage("provide a GitHub token on standard input".into())),
    }
}

fn tell(say: &dyn Fn(&str), phase: Phase) {
    match phase {
        Phase::Installing { step, number, of } => say(&format!("{step}, {number} of {of}")),
        Phase::Checking => say("looking up the base image"),
        Phase::Preparing => say("preparing the disk image"),
        Phase::Packing => say("packing the image"),
        _ => (),
    }
}

/// What is built by hand: the charm's options, and nothing about a cloud.
fn build_config(target: Target, settings: &[String]) -> Result<BuilderRunConfig, CliError> {
    let options = options(settings)?;
    Ok(BuilderRunConfig {
        owner: Owner { model_uuid: String::new(), application: String::new(), unit: 0 },
        targets: vec![target],
        build_cloud: CloudName::new(""),
        clouds: Vec::new(),
        build_mode: BuildMode::Local,
        delivery: Delivery::Copy,
        image_format: ImageFormat::Auto,
        base_image: BaseImageSource {
            url: options.base_image_source()?,
            keyring: options.base_image_keyring()?,
            pins: options.pins()?,
        },
        vm: BuilderVm {
            flavor: options.text("build-flavor")?,
            network: options.text("build-network")?,
            ssh_ingress: options.ssh_ingress()?,
            ssh_options: options.ssh_options()?,
            boot_timeout_s: options.boot_timeout()?,
            apt_mirror: options.web_url("build-apt-mirror")?,
        },
        runner: RunnerSource {
            version: options.runner_version()?,
            source: options.required_web_url("runner-source")?,
            api_url: options.trusted_url("github-api-url")?,
            scope: options.github_scope()?,
        },
        recipe: options.recipe()?,
        script_url: options.script_url()?,
        script_secret: None,
        verify_image: options.flag("verify-image")?,
        adopt: false,
        revision_history_limit: options.revision_history_limit()?,
        max_image_age_hours: options.max_image_age()?,
    })
}

/// The charm's options: their defaults, and what `NAME=VALUE` words set.
fn options(settings: &[String]) -> Result<Options, CliError> {
    #[derive(Deserialize)]
    struct File {
        options: BTreeMap<String, Declaration>,
    }
    #[derive(Deserialize)]
    struct Declaration {
        r#type: String,
        default: Option<Value>,
    }
    let declared: File = serde_yaml::from_str(include_str!("../../config.yaml"))
        .map_err(|error| CliError::Failed(format!("reading the charm's own config.yaml: {error}")))?;
    let defaults = declared.options.iter().filter_map(|(name, option)| Some((name, option.default.clone()?)));
    let mut values: BTreeMap<String, Value> = defaults.map(|(name, value)| (name.clone(), value)).collect();
    for setting in settings {
        let known = setting
            .split_once('=')
            .and_then(|(name, value)| Some((name, value, declared.options.get(name)?.r#type.as_str())));
        let value = match known {
            Some((_, value, "string")) => Some(Value::from(value)),
            Some((_, value, "int")) => value.parse::<i64>().ok().map(Value::from),
            // A secret does not belong on a command line.
            _ => None,
        };
        let (name, value) = known.zip(value).map(|((name, ..), value)| (name, value)).ok_or_else(|| {
            CliError::Usage(format!(
                "{setting:?} is not OPTION=VALUE with one of the charm's options in config.yaml"
            ))
        })?;
        values.insert(name.to_owned(), value);
    }
    Ok(Options::new(values))
}

/// Whoever calls us has no secrets but proxies.
fn secrets() -> BuildSecrets {
    let variable = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_uppercase()));
        value.ok().filter(|value| !value.is_empty())
    };
    let proxies = ProxyConfig {
        http: variable("http_proxy").map(Secret::new),
        https: variable("https_proxy").map(Secret::new),
        no_proxy: variable("no_proxy"),
    };
    BuildSecrets { proxies, ..BuildSecrets::default() }
}
