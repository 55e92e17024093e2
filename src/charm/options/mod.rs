//! The options of config.yaml, one method each, from text to type. Every refusal begins with the Python charm's
//! words where it had any, and names the option.

mod openstack;
mod urls;

pub use openstack::{CloudSecret, Connection};

use std::collections::BTreeMap;

use serde_json::Value;

use crate::github::{GithubScope, NotAScope};
use crate::instance::{DEFAULT_RECIPE, Recipe};
use crate::juju::SecretUri;
use crate::model::{Arch, BaseImage, ReleaseDate, Target};
use crate::record::{BuildMode, Delivery, ImageFormat};

/// An option makes no sense; its text is the message of the blocked status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOption(String);

impl InvalidOption {
    /// A refusal in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

type Checked<T> = Result<T, InvalidOption>;

/// Defaults are in config.yaml; here are only the limits.
const INTERVALS: std::ops::RangeInclusive<i64> = 1..=24;
const REVISIONS: std::ops::RangeInclusive<i64> = 2..=99;
const BOOTS: std::ops::RangeInclusive<i64> = 10..=7200;
const AGES: std::ops::RangeInclusive<i64> = 1..=8760;

/// Options of the ssh client that may be set: those that say how to reach a host, none that runs a program here
/// or weakens the check of the host's key.
const SSH_OPTIONS: [&str; 10] = [
    "AddressFamily",
    "BindAddress",
    "Ciphers",
    "Compression",
    "ConnectTimeout",
    "IPQoS",
    "KexAlgorithms",
    "MACs",
    "Port",
    "ProxyJump",
];

/// The application's configuration as `config-get` gives it.
#[derive(Debug)]
pub struct Options(BTreeMap<String, Value>);

impl Options {
    /// Wraps the answer of `config-get`.
    pub fn new(values: BTreeMap<String, Value>) -> Self {
        Self(values)
    }

    /// A text option; `None` when it is unset or blank. Keeps its case.
    pub fn text(&self, name: &str) -> Checked<Option<String>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(_) => Err(InvalidOption(format!("Option {name} must be text."))),
        }
    }

    /// A yes or no; no when it is unset.
    pub fn flag(&self, name: &str) -> Checked<bool> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(InvalidOption(format!("Option {name} must be true or false."))),
        }
    }

    fn number(&self, name: &str, range: &std::ops::RangeInclusive<i64>, refusal: &str) -> Checked<u32> {
        let number = self.0.get(name).and_then(Value::as_i64).filter(|number| range.contains(number));
        number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| InvalidOption(refusal.to_owned()))
    }

    /// The architectures, in the operator's order, each once.
    pub fn architectures(&self) -> Checked<Vec<Arch>> {
        let text = self.text("architecture")?.unwrap_or_default();
        let refusal = |word: &str| {
            format!(
                "Unsupported arch='{word}'. Set architecture to one or more of x64, arm64, arm, s390x, ppc64le, \
                 separated by commas."
            )
        };
        words(&text, Arch::parse).map_err(|word| InvalidOption(refusal(&word)))
    }

    /// The bases, in the operator's order, each once.
    pub fn bases(&self) -> Checked<Vec<BaseImage>> {
        Ok(self.pinned_bases()?.into_iter().map(|base| base.base).collect())
    }

    /// The bases that are built on the release of a date.
    pub fn pins(&self) -> Checked<BTreeMap<BaseImage, ReleaseDate>> {
        Ok(self.pinned_bases()?.into_iter().filter_map(|base| Some((base.base, base.pin?))).collect())
    }

    fn pinned_bases(&self) -> Checked<Vec<PinnedBase>> {
        let text = self.text("base-image")?.unwrap_or_default();
        let bases = words(&text, PinnedBase::parse).map_err(|word| {
            InvalidOption(format!(
                "Invalid bases: ({word}). Set base-image to one or more of focal, jammy, noble, resolute or their \
                 versions, separated by commas, each alone or with a release date (noble@20261115)."
            ))
        })?;
        let is_twice = |base: &&PinnedBase| bases.iter().filter(|other| other.base == base.base).count() > 1;
        match bases.iter().find(is_twice) {
            Some(PinnedBase { base, .. }) => Err(InvalidOption(format!(
                "Invalid bases: ({base}). It has two release dates; set base-image to one of them."
            ))),
            None => Ok(bases),
        }
    }

    /// The images: each base for each architecture.
    pub fn targets(&self) -> Checked<Vec<Target>> {
        let (arches, bases) = (self.architectures()?, self.bases()?);
        let targets = bases
            .iter()
            .flat_map(|base| arches.iter().map(|arch| Target { base: *base, arch: *arch }.supported()));
        targets.collect::<Result<_, _>>().map_err(|error| InvalidOption(error.to_string()))
    }

    /// Hours between looks for work.
    pub fn build_interval(&self) -> Checked<u32> {
        let refusal = "Build interval must not be smaller than 1 or greater than 24 (build-interval, hours).";
        self.number("build-interval", &INTERVALS, refusal)
    }

    /// Where images are built.
    pub fn build_mode(&self) -> Checked<BuildMode> {
        match self.text("build-mode")?.as_deref() {
            None | Some("external") => Ok(BuildMode::External),
            Some("local") => Ok(BuildMode::Local),
            Some(other) => {
                Err(InvalidOption(format!("Unsupported build-mode {other:?}: use external or local.")))
            }
        }
    }

    /// How related projects get their images.
    pub fn delivery(&self) -> Checked<Delivery> {
        match self.text("delivery")?.as_deref() {
            None | Some("auto") => Ok(Delivery::Auto),
            Some("share") => Ok(Delivery::Share),
            Some("copy") => Ok(Delivery::Copy),
            Some(other) => {
                Err(InvalidOption(format!("Unsupported delivery {other:?}: use auto, share or copy.")))
            }
        }
    }

    /// The format of what is uploaded.
    pub fn image_format(&self) -> Checked<ImageFormat> {
        match self.text("image-format")?.as_deref() {
            None | Some("auto") => Ok(ImageFormat::Auto),
            Some("qcow2") => Ok(ImageFormat::Qcow2),
            Some("raw") => Ok(ImageFormat::Raw),
            Some(other) => {
                Err(InvalidOption(format!("Unsupported image-format {other:?}: use auto, qcow2 or raw.")))
            }
        }
    }

    /// Revisions of an image that each cloud keeps.
    pub fn revision_history_limit(&self) -> Checked<u32> {
        let refusal = "Revision history must be greater than 1 and less than 100 (revision-history-limit).";
        self.number("revision-history-limit", &REVISIONS, refusal)
    }

    /// Hours after which an image is built anew.
    pub fn max_image_age(&self) -> Checked<u32> {
        self.number("max-image-age", &AGES, "Option max-image-age must be from 1 to 8760 hours.")
    }

    /// What the last unit takes with it, beside what only builds need.
    pub fn remove_images_on_removal(&self) -> bool {
        self.0.get("remove-images-on-removal").and_then(Value::as_bool).unwrap_or(false)
    }

    /// The runner's version without `v`; `None` for the latest.
    pub fn runner_version(&self) -> Checked<Option<String>> {
        let Some(text) = self.text("runner-version")? else { return Ok(None) };
        let version = text.strip_prefix('v').unwrap_or(&text);
        let parts: Vec<&str> = version.split('.').collect();
        if parts.len() == 3 && parts.iter().all(|part| part.len() <= 9 && part.parse::<u32>().is_ok()) {
            Ok(Some(version.to_owned()))
        } else {
            Err(InvalidOption(format!(
                "Invalid runner-version {text:?}: use a version such as 2.337.1, or leave it empty."
            )))
        }
    }

    /// What goes into the images: the operator's recipe, or the default one.
    pub fn recipe(&self) -> Checked<Recipe> {
        // Not trimmed: lines and columns are counted in what the operator wrote.
        let text = match self.0.get("recipe") {
            Some(Value::String(text)) if !text.trim().is_empty() => text,
            _ => DEFAULT_RECIPE,
        };
        text.parse().map_err(|error| InvalidOption(format!("Invalid recipe: {error}. (option recipe)")))
    }

    /// The secret with the external script's variables.
    pub fn script_secret(&self) -> Checked<Option<SecretUri>> {
        let (inline, id) = (self.text("script-secret")?, self.text("script-secret-id")?);
        match (inline, id) {
            (Some(_), Some(_)) => Err(InvalidOption(
                "Both script-secret and script-secret-id configuration option set. Please remove one.".into(),
            )),
            (Some(_), None) => Err(InvalidOption(
                "Please use Juju secrets via script-secret-id and unset the script-secret configuration option."
                    .into(),
            )),
            (None, Some(id)) => SecretUri::parse(&id)
                .map(Some)
                .ok_or_else(|| InvalidOption(format!("Secret label not found: {id}. (script-secret-id)"))),
            (None, None) => Ok(None),
        }
    }

    /// The secret with a token for GitHub's releases.
    pub fn github_token_secret(&self) -> Checked<Option<SecretUri>> {
        let Some(id) = self.text("github-token-secret-id")? else { return Ok(None) };
        SecretUri::parse(&id).map(Some).ok_or_else(|| {
            // It may be the token itself, which is not repeated.
            InvalidOption(
                "GitHub token secret not found. Set github-token-secret-id to a secret's URI.".into(),
            )
        })
    }

    /// Whose runners the token may manage.
    pub fn github_scope(&self) -> Checked<Option<GithubScope>> {
        let Some(text) = self.text("github-scope")? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: NotAScope| {
            InvalidOption(format!("Invalid github-scope: {error}. (github-scope)"))
        })
    }

    /// How long a VM may take until ssh answers, in seconds.
    pub fn boot_timeout(&self) -> Checked<u32> {
        self.number("boot-timeout", &BOOTS, "Option boot-timeout must be from 10 to 7200 seconds.")
    }

    /// Who may reach the builder VM's ssh port.
    pub fn ssh_ingress(&self) -> Checked<String> {
        let text = self.text("build-ssh-ingress")?.unwrap_or_else(|| "0.0.0.0/0".into());
        match text.parse::<ipnet::IpNet>() {
            Ok(network) => Ok(network.trunc().to_string()),
            Err(_) => Err(InvalidOption(format!(
                "Invalid build-ssh-ingress {text:?}: use a CIDR, such as 10.0.0.0/8."
            ))),
        }
    }

    /// Further options of the ssh client.
    pub fn ssh_options(&self) -> Checked<Vec<String>> {
        let text = self.text("ssh-options")?.unwrap_or_default();
        text.split_whitespace()
            .map(|option| match option.split_once('=') {
                Some((name, value)) if !value.is_empty() && SSH_OPTIONS.contains(&name) => {
                    Ok(option.to_owned())
                }
                _ => Err(InvalidOption(format!(
                    "Unsupported ssh-options entry {option:?}: use Name=value with one of {}.",
                    SSH_OPTIONS.join(", ")
                ))),
            })
            .collect()
    }

    /// The keyring of the cloud-image tree's signatures.
    pub fn base_image_keyring(&self) -> Checked<String> {
        let text = self.text("base-image-keyring")?.unwrap_or_default();
        if text.starts_with('/') && !text.contains('\0') {
            Ok(text)
        } else {
            Err(InvalidOption(format!(
                "Invalid base-image-keyring {text:?}: use the absolute path of a keyring file."
            )))
        }
    }
}

/// `noble`, or `noble@20261115`.
#[derive(PartialEq)]
struct PinnedBase {
    base: BaseImage,
    pin: Option<ReleaseDate>,
}

impl PinnedBase {
    fn parse(word: &str) -> Option<Self> {
        match word.split_once('@') {
            None => Some(Self { base: BaseImage::parse(word)?, pin: None }),
            Some((base, date)) => Some(Self { base: BaseImage::parse(base)?, pin: Some(date.parse().ok()?) }),
        }
    }
}

fn words<T: PartialEq>(text: &str, parse: fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    for word in text.split(',').map(str::trim) {
        let value = parse(word).ok_or_else(|| word.to_owned())?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
