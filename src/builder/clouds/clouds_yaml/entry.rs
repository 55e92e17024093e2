//! A cloud as it stands in the file.

use serde::{Deserialize, Serialize};

use super::CloudsYamlError;
use crate::host::Host;
use crate::model::Secret;
use crate::openstack_cloud::{CloudConfig, Interface};

/// A cloud in the file.
#[derive(Serialize, Deserialize)]
pub(in crate::builder::clouds) struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auth_type: Option<String>,
    pub(super) auth: Auth,
    #[serde(skip_deserializing)]
    pub(super) identity_api_version: String,
    #[serde(default)]
    pub(super) interface: Interface,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cacert: Option<String>,
}

/// An application credential is complete by itself: OpenStack's clients refuse a project beside it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Auth {
    ApplicationCredential {
        auth_url: String,
        application_credential_id: String,
        application_credential_secret: String,
    },
    Password {
        auth_url: String,
        password: String,
        project_domain_name: String,
        project_name: String,
        user_domain_name: String,
        username: String,
    },
}

impl Auth {
    pub(super) fn of(config: &CloudConfig) -> Self {
        let (auth_url, secret) = (config.auth_url.clone(), config.password.expose().clone());
        match &config.application_credential {
            Some(id) => Self::ApplicationCredential {
                auth_url,
                application_credential_id: id.clone(),
                application_credential_secret: secret,
            },
            None => Self::Password {
                auth_url,
                password: secret,
                project_domain_name: config.project_domain_name.clone(),
                project_name: config.project_name.clone(),
                user_domain_name: config.user_domain_name.clone(),
                username: config.username.clone(),
            },
        }
    }
}

/// What an entry says.
pub(in crate::builder::clouds) fn config(host: &Host, entry: Entry) -> Result<CloudConfig, CloudsYamlError> {
    let ca_certificate = match entry.cacert {
        None => None,
        Some(path) => host
            .read(path.as_ref())?
            .map(|pem| String::from_utf8(pem).map_err(|_| CloudsYamlError::Format { line: 0 }))
            .transpose()?,
    };
    let Entry { interface, region_name, .. } = entry;
    Ok(match entry.auth {
        Auth::Password {
            auth_url,
            password,
            project_domain_name,
            project_name,
            user_domain_name,
            username,
        } => CloudConfig {
            auth_url,
            region_name,
            interface,
            ca_certificate,
            project_name,
            project_domain_name,
            user_domain_name,
            username,
            application_credential: None,
            password: Secret::new(password),
        },
        Auth::ApplicationCredential {
            auth_url,
            application_credential_id: id,
            application_credential_secret: secret,
        } => CloudConfig {
            region_name,
            interface,
            ca_certificate,
            ..CloudConfig::of_application_credential(auth_url, id, Secret::new(secret))
        },
    })
}
