//! The options of config.yaml, one method each, from text to type. Every refusal begins with the Python charm's
//! words where it had any, and names the option.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Value;

use crate::builder::BuildMode;
use crate::instance::{DEFAULT_RECIPE, Recipe};
use crate::juju::SecretUri;
use crate::openstack_cloud::{CloudConfig, Interface};
use crate::secret::Secret;
use crate::target::{Arch, BaseImage};

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

/// The OpenStack options, but for the password, which is in the secret.
#[derive(Debug)]
pub struct Connection {
    /// The cloud, its password still empty.
    pub config: CloudConfig,
    /// The secret that holds the password.
    pub password_secret: SecretUri,
}

/// What a runner's archive, a base image, a script are fetched through, when the operator says nothing else is in
/// config.yaml. Here are only the limits.
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

    /// Where the build cloud is and who we are there.
    pub fn openstack(&self) -> Checked<Connection> {
        const NAMES: [&str; 5] = [
            "openstack-auth-url",
            "openstack-project-domain-name",
            "openstack-project-name",
            "openstack-user-domain-name",
            "openstack-user-name",
        ];
        let secret = self.text("openstack-password-secret")?;
        let mut values = Vec::new();
        let mut missing = Vec::new();
        for name in NAMES {
            match self.text(name)? {
                Some(value) => values.push(value),
                None => missing.push(name),
            }
        }
        if !missing.is_empty() && secret.is_none() {
            missing.push("openstack-password-secret");
        }
        let Ok([auth_url, project_domain_name, project_name, user_domain_name, username]) =
            <[String; 5]>::try_from(values)
        else {
            return Err(InvalidOption(format!(
                "Please supply all OpenStack configurations. Missing: {}.",
                missing.join(", ")
            )));
        };
        let secret = secret.ok_or_else(|| {
            InvalidOption("Please supply OpenStack password via openstack-password-secret.".into())
        })?;
        let password_secret = SecretUri::parse(&secret).ok_or_else(|| {
            InvalidOption(format!("OpenStack password secret not found: {secret}. Not a secret's URI."))
        })?;
        check_url("openstack-auth-url", &auth_url)?;
        let interface = match self.text("openstack-interface")?.as_deref() {
            None | Some("public") => Interface::Public,
            Some("internal") => Interface::Internal,
            Some("admin") => Interface::Admin,
            Some(other) => {
                return Err(InvalidOption(format!(
                    "Unsupported openstack-interface {other:?}: use public, internal or admin."
                )));
            }
        };
        let ca_certificate = self.text("openstack-ca-certificate")?;
        if ca_certificate.as_ref().is_some_and(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            return Err(InvalidOption(
                "Option openstack-ca-certificate must be one or more PEM certificates.".into(),
            ));
        }
        let config = CloudConfig {
            auth_url,
            region_name: self.text("openstack-region-name")?,
            interface,
            ca_certificate,
            project_name,
            project_domain_name,
            user_domain_name,
            username,
            password: Secret::default(),
        };
        Ok(Connection { config, password_secret })
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
        let text = self.text("base-image")?.unwrap_or_default();
        words(&text, BaseImage::parse).map_err(|word| {
            InvalidOption(format!(
                "Invalid bases: ({word}). Set base-image to one or more of focal, jammy, noble, resolute or their \
                 versions, separated by commas."
            ))
        })
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
                "Invalid runner-version {text:?}: use a release such as 2.330.0, or nothing."
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

    /// The external script. Root runs it: https, or http with `#sha256=HEX` appended.
    pub fn script_url(&self) -> Checked<Option<String>> {
        let Some(text) = self.text("script-url")? else { return Ok(None) };
        let plain =
            || InvalidOption("Invalid script URL, must contain scheme and hostname. (script-url)".into());
        let url = Url::parse(&text).ok_or_else(plain)?;
        let digest = text.split_once('#').map(|(_, fragment)| fragment);
        let pinned = digest
            .and_then(|fragment| fragment.strip_prefix("sha256="))
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if digest.is_some() && !pinned {
            return Err(InvalidOption(
                "Invalid script URL, what follows # must be sha256=HEX. (script-url)".into(),
            ));
        }
        if !pinned && !url.is_tamper_proof() {
            return Err(InvalidOption(
                "Invalid script URL, root would run what plain http brings: use https, or append #sha256=HEX. \
                 (script-url)"
                    .into(),
            ));
        }
        Ok(Some(text))
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

    /// The root of the cloud-image tree. Plain http and files will do: what they bring is signed.
    pub fn base_image_source(&self) -> Checked<String> {
        let text = self.text("base-image-source")?.unwrap_or_default();
        if !text.starts_with("file:///") {
            check_url("base-image-source", &text)?;
        }
        Ok(text.trim_end_matches('/').to_owned())
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

    /// An optional http or https URL.
    pub fn web_url(&self, name: &str) -> Checked<Option<String>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        check_url(name, &text)?;
        Ok(Some(text.trim_end_matches('/').to_owned()))
    }

    /// An http or https URL.
    pub fn required_web_url(&self, name: &str) -> Checked<String> {
        self.web_url(name)?.ok_or_else(|| InvalidOption(format!("Option {name} must be a URL.")))
    }

    /// A URL whose answers are believed as they are: https, or http on this very machine.
    pub fn trusted_url(&self, name: &str) -> Checked<String> {
        let text = self.required_web_url(name)?;
        if Url::parse(&text).is_some_and(|url| url.is_tamper_proof()) {
            Ok(text)
        } else {
            Err(InvalidOption(format!(
                "Invalid {name}: the digests that it gives are believed, so it must be https."
            )))
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

fn check_url(option: &str, text: &str) -> Checked<()> {
    let refusal = |problem: &dyn Display| InvalidOption(format!("Invalid {option}: {problem}."));
    let url = Url::parse(text).ok_or_else(|| refusal(&"use http:// or https:// and a host"))?;
    // The option can be read by every reader of the model, and its text goes into errors.
    if url.0.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refusal(&"user and password do not belong into a URL"));
    }
    Ok(())
}

/// An http or https URL with a host.
struct Url(ureq::http::Uri);

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let uri: ureq::http::Uri = text.split('#').next().unwrap_or_default().parse().ok()?;
        let host = uri.host().filter(|host| !host.is_empty())?;
        let bracketed = host.starts_with('[');
        if bracketed && host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_err() {
            return None;
        }
        matches!(uri.scheme_str(), Some("http" | "https")).then_some(Self(uri))
    }

    fn is_tamper_proof(&self) -> bool {
        self.0.scheme_str() == Some("https") || self.0.host().is_some_and(is_this_machine)
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(pairs: Value) -> Options {
        Options(serde_json::from_value(pairs).unwrap())
    }

    fn refusal<T: std::fmt::Debug>(result: Checked<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn missing_openstack_options_are_all_named() {
        let text = refusal(
            options(json!({"openstack-auth-url": "http://k/v3", "openstack-user-name": "  "})).openstack(),
        );
        assert!(text.starts_with("Please supply all OpenStack configurations."), "{text}");
        for name in ["openstack-project-domain-name", "openstack-user-name", "openstack-password-secret"] {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("openstack-auth-url"));
    }

    #[test]
    fn each_bad_value_is_refused_in_the_known_words() {
        let bad = options(json!({
            "architecture": "x64,mips", "base-image": "noble,warty", "build-interval": 25, "revision-history-limit": 1,
            "runner-version": "latest; rm -rf /", "script-url": "http://[::1", "max-image-age": 0,
            "ssh-options": "ProxyCommand=sh", "build-ssh-ingress": "world",
        }));
        assert!(refusal(bad.architectures()).starts_with("Unsupported arch='mips'"));
        assert!(refusal(bad.bases()).starts_with("Invalid bases: (warty)"));
        assert!(
            refusal(bad.build_interval())
                .starts_with("Build interval must not be smaller than 1 or greater than 24")
        );
        assert!(
            refusal(bad.revision_history_limit())
                .starts_with("Revision history must be greater than 1 and less than 100")
        );
        assert!(refusal(bad.runner_version()).contains("runner-version"));
        assert!(
            refusal(bad.script_url()).starts_with("Invalid script URL, must contain scheme and hostname.")
        );
        assert!(refusal(bad.max_image_age()).contains("max-image-age"));
        assert!(refusal(bad.ssh_options()).contains("ProxyCommand"));
        assert!(refusal(bad.ssh_ingress()).contains("build-ssh-ingress"));
        let none = options(json!({}));
        assert!(refusal(none.architectures()).starts_with("Unsupported arch=''"));
    }

    #[test]
    fn lists_keep_their_order_and_lose_their_doubles() {
        let listed = options(json!({"architecture": "arm64, amd64,x64", "base-image": "24.04,jammy,noble"}));
        assert_eq!(listed.architectures().unwrap(), [Arch::Arm64, Arch::X64]);
        assert_eq!(listed.bases().unwrap(), [BaseImage::Noble, BaseImage::Jammy]);
    }

    #[test]
    fn names_keep_their_case() {
        let named = options(json!({"build-flavor": " M1.Large "}));
        assert_eq!(named.text("build-flavor").unwrap().unwrap(), "M1.Large");
    }

    #[test]
    fn a_script_over_plain_http_needs_a_digest() {
        let digest = "a".repeat(64);
        for (url, good) in [
            ("https://h/s.sh".to_owned(), true),
            ("http://h/s.sh".to_owned(), false),
            (format!("http://h/s.sh#sha256={digest}"), true),
            ("https://h/s.sh#sha256=abc".to_owned(), false),
            ("http://127.0.0.1:80/s.sh".to_owned(), true),
            ("ftp://h/s.sh".to_owned(), false),
            ("/s.sh".to_owned(), false),
        ] {
            assert_eq!(options(json!({"script-url": url})).script_url().is_ok(), good, "{url}");
        }
    }

    #[test]
    fn the_script_secret_options_exclude_each_other() {
        let both = options(json!({"script-secret": "a=b", "script-secret-id": "secret:abc"}));
        assert!(refusal(both.script_secret()).starts_with("Both script-secret and script-secret-id"));
        let inline = options(json!({"script-secret": "a=b"}));
        assert!(refusal(inline.script_secret()).starts_with("Please use Juju secrets via script-secret-id"));
    }

    #[test]
    fn credentials_in_urls_are_refused() {
        let text = refusal(
            options(json!({"runner-source": "https://me:hunter2@h"})).required_web_url("runner-source"),
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}
