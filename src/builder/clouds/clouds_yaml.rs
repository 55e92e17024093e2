//! clouds.yaml: the credentials of the build cloud and of every related cloud, in the format that OpenStack's
//! own clients read, for root alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::names::Clouds;
use crate::host::{FileError, Host, Written};
use crate::model::{Cause, Classified, Secret};
use crate::openstack_cloud::{CloudConfig, Interface};
use crate::record::CloudName;

/// clouds.yaml could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CloudsYamlError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what we write.
    #[error("reading clouds.yaml: line {line} is not valid; the next hook rewrites the file")]
    Format {
        /// Where it stops making sense; 0 when unknown.
        line: usize,
    },
    /// A cloud of somebody's own file cannot be used.
    #[error("reading cloud {cloud:?} in {path}: {problem}")]
    Unusable {
        /// The file.
        path: String,
        /// The cloud.
        cloud: String,
        /// Why.
        problem: String,
    },
    /// It has no such cloud.
    #[error("clouds.yaml has no cloud {0:?}; check the name")]
    UnknownCloud(String),
}

impl Classified for CloudsYamlError {
    fn cause(&self) -> Cause {
        Cause::Unit
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    clouds: BTreeMap<CloudName, Entry>,
}

/// A cloud in the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_type: Option<String>,
    auth: Auth,
    #[serde(skip_deserializing)]
    identity_api_version: String,
    #[serde(default)]
    interface: Interface,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cacert: Option<String>,
}

/// An application credential is complete by itself: OpenStack's clients refuse a project beside it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Auth {
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
    fn of(config: &CloudConfig) -> Self {
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

/// Installs clouds.yaml for the OpenStack clients (seed `builder`: `install_clouds_yaml`), with the CA
/// certificates that it names beside it. Mode 0600 from the first byte; untouched when nothing changed.
pub fn install_clouds_yaml(host: &Host, cloud_config: &Clouds) -> Result<Written, CloudsYamlError> {
    host.private_dir(&host.state_dir())?;
    let mut clouds = BTreeMap::new();
    let mut written = Written::Unchanged;
    for (name, config) in cloud_config {
        let cacert = match &config.ca_certificate {
            None => None,
            Some(pem) => {
                let path = host.state_dir().join("ca").join(format!("{}.pem", name.as_str()));
                if host.write(&path, pem.as_bytes(), 0o600)? == Written::Changed {
                    written = Written::Changed;
                }
                Some(path.to_string_lossy().into_owned())
            }
        };
        let auth = Auth::of(config);
        let auth_type = config.application_credential.as_ref().map(|_| "v3applicationcredential".to_owned());
        let (interface, region_name) = (config.interface, config.region_name.clone());
        let identity_api_version = "3".into();
        let entry = Entry { auth_type, auth, identity_api_version, interface, region_name, cacert };
        clouds.insert(name.clone(), entry);
    }
    for file in host.files_in(&host.state_dir().join("ca"))? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !clouds.contains_key(&CloudName::new(name)) {
            host.remove_file(&file)?;
        }
    }
    let text =
        serde_yaml::to_string(&Document { clouds }).map_err(|_| CloudsYamlError::Format { line: 0 })?;
    match host.write(&path(host), text.as_bytes(), 0o600)? {
        Written::Changed => Ok(Written::Changed),
        Written::Unchanged => Ok(written),
    }
}

/// The clouds that clouds.yaml names, none when there is no such file.
pub fn read_clouds_yaml(host: &Host) -> Result<Clouds, CloudsYamlError> {
    read_clouds_file(host, &path(host))
}

/// The clouds that another file of the same kind names, none when there is no such file.
pub fn read_clouds_file(host: &Host, path: &Path) -> Result<Clouds, CloudsYamlError> {
    let Some(bytes) = host.read(path)? else { return Ok(Clouds::new()) };
    // The parser's own message may quote a value, and the value may be the password.
    let document: Document = serde_yaml::from_slice(&bytes).map_err(|error| CloudsYamlError::Format {
        line: error.location().map_or(0, |place| place.line()),
    })?;
    let mut clouds = Clouds::new();
    for (name, entry) in document.clouds {
        clouds.insert(name, config(host, entry)?);
    }
    Ok(clouds)
}

/// What an entry says.
pub(super) fn config(host: &Host, entry: Entry) -> Result<CloudConfig, CloudsYamlError> {
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

fn path(host: &Host) -> PathBuf {
    host.state_dir().join("clouds.yaml")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::builder::clouds::names::cloud_name;

    fn config(auth_url: &str, project: &str) -> CloudConfig {
        CloudConfig {
            auth_url: auth_url.into(),
            region_name: None,
            interface: Interface::Public,
            ca_certificate: Some("PEM".into()),
            project_name: project.into(),
            project_domain_name: "Default".into(),
            user_domain_name: "Default".into(),
            username: "me".into(),
            application_credential: None,
            password: Secret::new("yes: \"#'\\".into()),
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_is_for_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let config = config("https://a:5000/v3", "c/i");
        let secret = Secret::new("s3cret".into());
        let credential = CloudConfig {
            region_name: Some("One".into()),
            ..CloudConfig::of_application_credential("https://a:5000/v3".into(), "1d".into(), secret)
        };
        let clouds = [config, credential].map(|config| (cloud_name(&config), config));
        let clouds = Clouds::from(clouds);
        assert_eq!(install_clouds_yaml(&host, &clouds).unwrap(), Written::Changed);
        assert_eq!(install_clouds_yaml(&host, &clouds).unwrap(), Written::Unchanged);
        assert_eq!(read_clouds_yaml(&host).unwrap(), clouds);
        assert_eq!(std::fs::metadata(path(&host)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_an_error_that_shows_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        host.write(&path(&host), b"clouds: {a: hunter2}", 0o600).unwrap();
        let error = read_clouds_yaml(&host).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
