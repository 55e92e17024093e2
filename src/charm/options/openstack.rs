//! The options that say where the build cloud is.

use super::urls::check_url;
use super::{Checked, InvalidOption, Options};
use crate::juju::SecretUri;
use crate::model::Secret;
use crate::openstack_cloud::{CloudConfig, Interface};

/// The OpenStack options, but for the password, which is in the secret.
#[derive(Debug)]
pub struct Connection {
    /// The cloud, its password still empty.
    pub config: CloudConfig,
    /// The secret that holds the password.
    pub password_secret: SecretUri,
}

impl Options {
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
}
