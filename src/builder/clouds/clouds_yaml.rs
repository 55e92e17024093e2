//! clouds.yaml: the credentials of the build cloud and of every related cloud, in the format that OpenStack's
//! own clients read, for root alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::{FileError, Host, Written};
use crate::model::{Secret, hex};
use crate::openstack_cloud::{CloudConfig, Interface};
use crate::record::{BuilderRunConfig, CloudName, FormerNames};

/// The contents of clouds.yaml.
pub type Clouds = BTreeMap<CloudName, CloudConfig>;

/// clouds.yaml could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CloudsYamlError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what we write.
    #[error("reading clouds.yaml: line {line}: not a clouds.yaml; the next hook writes it anew")]
    Format {
        /// Where it stops making sense; 0 when unknown.
        line: usize,
    },
    /// It has no such cloud.
    #[error("clouds.yaml has no cloud {0:?}")]
    UnknownCloud(String),
}

#[derive(Serialize, Deserialize)]
struct Document {
    clouds: BTreeMap<CloudName, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
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

/// How much of a project's name stands in the name of its cloud.
const READABLE: usize = 64;

/// The name under which the build cloud stands in clouds.yaml: the project's name, for people, and a whole digest of all
/// that makes two clouds different, so that nobody can make up another cloud of the same name. What may be replaced by its
/// like, the password and the certificates to trust, is no part of it.
pub fn cloud_name(config: &CloudConfig) -> CloudName {
    let readable = readable(config, |c| matches!(c, '-' | '_' | '.'));
    CloudName::new(format!("{readable}-{}", digest(&identity(config))))
}

/// The name under which the cloud of `relation` (`image:3`) stands there. It is the relation's own: another relation, or
/// the operator, may have said the same with another password, and each authenticates with exactly what it brought.
pub fn related_cloud_name(config: &CloudConfig, relation: &str) -> CloudName {
    let readable = readable(config, |c| matches!(c, '-' | '_'));
    let digest = digest(&(identity(config), relation));
    CloudName::new(format!("{readable}.{}.{digest}", relation.replace(':', "-")))
}

/// The name that earlier revisions of the charm have given to a cloud, whoever named it: see
/// [`FormerNames`]. Nothing is named so any more, since 32 bits of a digest can be forged.
pub fn former_cloud_name(config: &CloudConfig) -> CloudName {
    let readable = readable(config, |c| matches!(c, '-' | '_' | '.'));
    CloudName::new(format!("{readable}-{}", &digest(&identity(config))[..8]))
}

/// The former names of the clouds that `config` names and `clouds` tells of.
pub fn former_names(clouds: &Clouds, config: &BuilderRunConfig) -> FormerNames {
    FormerNames::of(config, |name| Some(former_cloud_name(clouds.get(name)?)))
}

/// The entry of this name, which may be one that an earlier revision of the charm has given; then rather a relation's than
/// the operator's.
pub fn entry<'a>(clouds: &'a Clouds, name: &CloudName) -> Option<&'a CloudConfig> {
    let was_named = || clouds.iter().filter(|(_, config)| former_cloud_name(config) == *name);
    let related = || was_named().find(|(now, config)| **now != cloud_name(config));
    clouds.get(name).or_else(|| related().or_else(|| was_named().next()).map(|(_, config)| config))
}

fn readable(config: &CloudConfig, is_kept: impl Fn(char) -> bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || is_kept(c) { c } else { '-' };
    let name = match config.application_credential {
        Some(_) => "application-credential",
        None => &config.project_name,
    };
    name.chars().map(plain).take(READABLE).collect()
}

fn identity(config: &CloudConfig) -> [&str; 6] {
    let [auth_url, region_name, project_domain_name, project_name] = project(config);
    let [_, user_domain_name, username] = user(config);
    [auth_url, region_name, project_domain_name, project_name, user_domain_name, username]
}

/// As JSON, where a value cannot run over into the next.
fn digest(what: &impl Serialize) -> String {
    // Strings always serialise.
    hex(&Sha256::digest(serde_json::to_vec(what).unwrap_or_default()))
}

fn auth_url(config: &CloudConfig) -> &str {
    config.auth_url.trim_end_matches('/').trim_end_matches("/v3")
}

/// What says of which project a configuration is. An application credential, without a domain, is the only name of its own.
fn project(config: &CloudConfig) -> [&str; 4] {
    let region_name = config.region_name.as_deref().unwrap_or_default();
    let name = config.application_credential.as_ref().unwrap_or(&config.project_name);
    [auth_url(config), region_name, &config.project_domain_name, name]
}

fn user(config: &CloudConfig) -> [&str; 3] {
    let name = config.application_credential.as_ref().unwrap_or(&config.username);
    [auth_url(config), &config.user_domain_name, name]
}

/// A digest of all that tells projects apart, whoever the users are.
pub fn project_digest(config: &CloudConfig) -> String {
    digest(&project(config))
}

/// Whether both lead to one project, whoever the users are.
pub fn is_same_project(one: &CloudConfig, two: &CloudConfig) -> bool {
    project(one) == project(two)
}

/// Whether both log in as one user, whatever the projects are: what a password is about.
pub fn is_same_user(one: &CloudConfig, two: &CloudConfig) -> bool {
    user(one) == user(two)
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
        let ca_certificate = match entry.cacert {
            None => None,
            Some(path) => host
                .read(path.as_ref())?
                .map(|pem| String::from_utf8(pem).map_err(|_| CloudsYamlError::Format { line: 0 }))
                .transpose()?,
        };
        let Entry { interface, region_name, .. } = entry;
        let config = match entry.auth {
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
        };
        clouds.insert(name, config);
    }
    Ok(clouds)
}

fn path(host: &Host) -> PathBuf {
    host.state_dir().join("clouds.yaml")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

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
    fn equal_names_in_two_clouds_do_not_collide_and_one_cloud_is_one() {
        let one = cloud_name(&config("https://a:5000/v3", "ci"));
        assert_ne!(one, cloud_name(&config("https://b:5000/v3", "ci")));
        assert_eq!(one, cloud_name(&config("https://a:5000/", "ci")));
        let split = CloudConfig { username: "x\nci".into(), ..config("https://a:5000", "ci") };
        let moved =
            CloudConfig { user_domain_name: "Default\nx".into(), username: "ci".into(), ..split.clone() };
        assert_ne!(cloud_name(&split), cloud_name(&moved));
        assert!(one.as_str().starts_with("ci-"), "{one}");
    }

    #[test]
    fn an_application_credential_is_a_cloud_of_its_own_whatever_its_secret() {
        let of = |id: &str, secret: &str| {
            let (auth_url, secret) = ("https://a:5000/v3".into(), Secret::new(secret.into()));
            CloudConfig::of_application_credential(auth_url, id.into(), secret)
        };
        let one = cloud_name(&of("1d", "s"));
        assert!(one.as_str().starts_with("application-credential-"), "{one}");
        assert_eq!(one, cloud_name(&of("1d", "rotated")));
        assert_ne!(one, cloud_name(&of("2d", "s")));
        assert!(
            !is_same_project(&of("1d", "s"), &of("2d", "s")) && !is_same_user(&of("1d", "s"), &of("2d", "s"))
        );
        assert!(!is_same_project(&of("1d", "s"), &config("https://a:5000/v3", "1d")));
    }

    #[test]
    fn credentials_are_of_one_relation_whatever_their_password() {
        let config = config("https://a:5000/v3", "ci.of.us");
        let rotated = CloudConfig { password: Secret::new("another".into()), ..config.clone() };
        let rotated = CloudConfig { ca_certificate: None, ..rotated };
        let [third, tenth] = ["image:3", "image:10"].map(|id| related_cloud_name(&config, id));
        assert_eq!(third, related_cloud_name(&rotated, "image:3"));
        assert!(third != tenth && third != cloud_name(&config) && tenth != cloud_name(&config));
        let digest = third.as_str().strip_prefix("ci-of-us.image-3.").unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
        assert_eq!(
            (third.to_string().as_str(), tenth.to_string().as_str()),
            ("ci-of-us (image:3)", "ci-of-us (image:10)")
        );
        let own = cloud_name(&config).to_string();
        assert_eq!(own, former_cloud_name(&config).to_string(), "the operator's is told as it was");
        assert_eq!(own.len(), "ci.of.us-".len() + 8);
    }

    #[test]
    fn a_former_name_leads_to_what_a_relation_brought_first() {
        let config = config("https://a:5000/v3", "ci");
        let brought = CloudConfig { password: Secret::new("theirs".into()), ..config.clone() };
        let own = (cloud_name(&config), config.clone());
        let former = former_cloud_name(&config);
        let mut clouds = Clouds::from([own, (related_cloud_name(&brought, "image:3"), brought.clone())]);
        assert_eq!(entry(&clouds, &former), Some(&brought));
        assert_eq!(entry(&clouds, &cloud_name(&config)), Some(&config));
        clouds.retain(|name, _| *name == cloud_name(&config));
        assert_eq!(entry(&clouds, &former), Some(&config));
        assert_eq!(entry(&clouds, &CloudName::new("ci-00000000")), None);
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
