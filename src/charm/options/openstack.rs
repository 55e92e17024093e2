//! The options that say where the build cloud is.

use super::urls::check_url;
use super::{Checked, InvalidOption, Options};
use crate::juju::SecretUri;
use crate::model::Secret;
use crate::openstack_cloud::{CloudConfig, Interface};

/// What a user and a project are named by, in the order in which missing ones are told.
const NAMES: [&str; 4] = [
    "openstack-project-domain-name",
    "openstack-project-name",
    "openstack-user-domain-name",
    "openstack-user-name",
];

/// The OpenStack options, but for what is in the secret.
#[derive(Debug)]
pub struct Connection {
    /// The cloud, its password still empty.
    pub config: CloudConfig,
    /// Where its password is.
    pub secret: CloudSecret,
}

/// A Juju secret that the connection needs.
#[derive(Debug)]
pub struct CloudSecret {
    /// The secret.
    pub uri: SecretUri,
    /// The option that names it.
    pub option: &'static str,
    /// What is in it, in words.
    pub what: &'static str,
    /// Under which key.
    pub key: &'static str,
}

impl CloudSecret {
    fn parse(uri: &str, what: &'static str, key: &'static str, option: &'static str) -> Checked<Self> {
        let refusal = || {
            InvalidOption(format!("OpenStack {what} secret not found: {uri}. Not a secret's URI. ({option})"))
        };
        Ok(Self { uri: SecretUri::parse(uri).ok_or_else(refusal)?, option, what, key })
    }
}

impl Options {
    /// Where the build cloud is and who we are there: a user with a password, or an application credential.
    pub fn openstack(&self) -> Checked<Connection> {
        let Connection { config, secret } = match self.text("openstack-application-credential-id")? {
            Some(id) => self.application_credential(id)?,
            None if self.text("openstack-application-credential-secret")?.is_some() => {
                return Err(InvalidOption(
                    "Please supply OpenStack application credential via openstack-application-credential-id."
                        .into(),
                ));
            }
            None => self.user_and_password()?,
        };
        check_url("openstack-auth-url", &config.auth_url)?;
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
        let region_name = self.text("openstack-region-name")?;
        Ok(Connection { config: CloudConfig { region_name, interface, ca_certificate, ..config }, secret })
    }

    fn user_and_password(&self) -> Checked<Connection> {
        let uri = self.text("openstack-password-secret")?;
        let mut values = Vec::new();
        let mut missing = Vec::new();
        for name in ["openstack-auth-url"].into_iter().chain(NAMES) {
            match self.text(name)? {
                Some(value) => values.push(value),
                None => missing.push(name),
            }
        }
        if !missing.is_empty() && uri.is_none() {
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
        let uri = uri.ok_or_else(|| {
            InvalidOption("Please supply OpenStack password via openstack-password-secret.".into())
        })?;
        let secret = CloudSecret::parse(&uri, "password", "password", "openstack-password-secret")?;
        let config = CloudConfig {
            auth_url,
            region_name: None,
            interface: Interface::default(),
            ca_certificate: None,
            project_name,
            project_domain_name,
            user_domain_name,
            username,
            application_credential: None,
            password: Secret::default(),
        };
        Ok(Connection { config, secret })
    }

    fn application_credential(&self, id: String) -> Checked<Connection> {
        const SECRET: &str = "openstack-application-credential-secret";
        let Some(auth_url) = self.text("openstack-auth-url")? else {
            return Err(InvalidOption(
                "Please supply all OpenStack configurations. Missing: openstack-auth-url.".into(),
            ));
        };
        let mut superfluous = Vec::new();
        for name in NAMES.into_iter().chain(["openstack-password-secret"]) {
            if self.text(name)?.is_some() {
                superfluous.push(name);
            }
        }
        if !superfluous.is_empty() {
            return Err(InvalidOption(format!(
                "An application credential has its own user and project. Reset {}, or \
                 openstack-application-credential-id.",
                superfluous.join(", ")
            )));
        }
        let uri = self.text(SECRET)?.ok_or_else(|| {
            InvalidOption(format!("Please supply OpenStack application credential secret via {SECRET}."))
        })?;
        let secret = CloudSecret::parse(&uri, "application credential", "secret", SECRET)?;
        let config = CloudConfig::of_application_credential(auth_url, id, Secret::default());
        Ok(Connection { config, secret })
    }
}
