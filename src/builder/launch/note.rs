//! One launch as it stands on disk, `launches/ID.json`: what was asked for, and how far it is. The action writes it first,
//! the launcher from then on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::builder::config::{CloudName, JobId, Owner, ProxyConfig};
use crate::builder::journal::{JournalError, Timestamp};
use crate::github::GithubPath;
use crate::host::{FileError, Host};
use crate::openstack_cloud::ServerId;
use crate::openstack_cloud::openstack_manager::SshDebugConnection;
use crate::secret::Secret;
use crate::target::Target;

/// How long a launch that failed is shown.
const SHOWN: Duration = Duration::from_secs(24 * 3600);
/// How long until the next try to remove a server.
const PAUSE: Duration = Duration::from_secs(300);

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchOrder {
    /// The unit that is asked.
    pub unit_name: String,
    /// Whose server it will be.
    pub owner: Owner,
    /// The cloud, by its name in clouds.yaml.
    pub cloud: CloudName,
    /// Which image.
    pub target: Target,
    /// Whose runner it will be.
    pub path: GithubPath,
    /// The root of GitHub's REST API.
    pub github_api_url: String,
    /// The flavor's name; the smallest that holds the image when absent.
    pub flavor: Option<String>,
    /// The network's name; the first that has a subnet when absent.
    pub network: Option<String>,
    /// Labels beside those that every runner has.
    pub labels: Vec<String>,
    /// How long the server may live, in minutes.
    pub ttl_minutes: u32,
    /// A mirror of Docker Hub.
    pub dockerhub_mirror: Option<String>,
    /// Servers through which people may look into jobs.
    pub ssh_debug_connections: Vec<SshDebugConnection>,
}

/// The secrets of one launch: in memory, and for a moment in a 0600 file on a tmpfs.
#[derive(Clone, Debug, Default)]
pub struct LaunchSecrets {
    /// The token for GitHub's REST API.
    pub token: Secret<String>,
    /// The proxies of the model.
    pub proxies: ProxyConfig,
}

/// One launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Its id.
    pub id: JobId,
    /// When it was asked for.
    pub at: Timestamp,
    /// What was asked for.
    pub order: LaunchOrder,
    /// How far it is.
    pub state: LaunchState,
    /// The server that is there, or may be.
    pub server: Option<Server>,
    /// When its server is removed.
    pub expires: Timestamp,
    /// When its removal was tried last.
    pub tried: Option<Timestamp>,
}

/// A server, noted before it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its id, once the cloud has told it.
    pub id: Option<ServerId>,
    /// Its address, once it runs.
    pub address: Option<String>,
}

/// How far a launch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum LaunchState {
    /// No launcher has taken it up.
    Waiting,
    /// A launcher is at it; after a crash too, until the next has cleared up.
    Launching,
    /// The server runs, until it expires.
    Running,
    /// It came to nothing.
    Failed {
        /// Why.
        message: String,
    },
}

impl Launch {
    /// Records what was asked for, its secrets first: whoever sees the note finds them.
    pub fn order(host: &Host, order: LaunchOrder, secrets: &LaunchSecrets) -> Result<Self, JournalError> {
        let life = Duration::from_secs(u64::from(order.ttl_minutes) * 60);
        let at = Timestamp::now();
        let (state, expires) = (LaunchState::Waiting, at.plus(life));
        let launch = Self { id: JobId::random(), at, order, state, server: None, expires, tried: None };
        secrets.save(host, &launch.secrets_file(host))?;
        launch.save(host)?;
        Ok(launch)
    }

    /// All launches that there are, oldest first. One that cannot be read is told of and left as it is.
    pub fn all(host: &Host) -> Result<Vec<Self>, FileError> {
        let mut all = Vec::new();
        for path in host.files_in(&folder(host))? {
            let Some(bytes) = host.read(&path)? else { continue };
            match serde_json::from_slice::<Self>(&bytes) {
                Ok(launch) => all.push(launch),
                Err(error) => log::warn!("{} is no launch: {error}", path.display()),
            }
        }
        all.sort_by_key(|launch| launch.at);
        Ok(all)
    }

    /// Writes it down.
    pub fn save(&self, host: &Host) -> Result<(), JournalError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| JournalError::Format { file: "launches", problem: error.to_string() })?;
        host.private_dir(&folder(host))?;
        host.write(&self.file(host), &text, 0o600)?;
        Ok(())
    }

    /// Forgets it.
    pub(super) fn forget(&self, host: &Host) -> Result<(), FileError> {
        host.remove_file(&self.secrets_file(host))?;
        host.remove_file(&self.file(host))
    }

    /// Whether a launcher has something to do, once no other is at it.
    pub(super) fn is_due(&self) -> bool {
        let now = Timestamp::now();
        let may_try = self.tried.is_none_or(|tried| tried.is_past(PAUSE));
        match self.state {
            LaunchState::Waiting | LaunchState::Launching => true,
            LaunchState::Running => self.expires <= now && may_try,
            LaunchState::Failed { .. } if self.server.is_some() => may_try,
            LaunchState::Failed { .. } => self.at.is_past(SHOWN),
        }
    }

    /// Whether its end is known.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, LaunchState::Running | LaunchState::Failed { .. })
    }

    fn file(&self, host: &Host) -> PathBuf {
        folder(host).join(format!("{}.json", self.id))
    }

    /// Where its secrets wait for the launcher.
    pub(super) fn secrets_file(&self, host: &Host) -> PathBuf {
        host.run_dir().join(format!("launch-{}.json", self.id))
    }
}

fn folder(host: &Host) -> PathBuf {
    host.state_dir().join("launches")
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, order: LaunchOrder { target, path, cloud, .. }, .. } = self;
        write!(f, "launch {id}: {target} runner of {path} in {cloud}, since {}, ", self.at)?;
        match &self.state {
            LaunchState::Waiting => f.write_str("waits")?,
            LaunchState::Launching => f.write_str("under way")?,
            LaunchState::Running => write!(f, "runs until {}", self.expires)?,
            LaunchState::Failed { message } => write!(f, "failed: {message}")?,
        }
        let Some(Server { name, id, address }) = &self.server else { return Ok(()) };
        let id = id.as_ref().map_or("id not known", ServerId::as_str);
        write!(f, "; server {name} ({id})")?;
        address.iter().try_for_each(|address| write!(f, " at {address}"))
    }
}

impl LaunchSecrets {
    /// Puts them where only root looks, until the launcher takes them.
    pub(super) fn save(&self, host: &Host, path: &std::path::Path) -> Result<(), JournalError> {
        let ProxyConfig { http, https, no_proxy } = &self.proxies;
        let shown = |secret: &Option<Secret<String>>| secret.as_ref().map(|secret| secret.expose().clone());
        let values = [
            ("token", Some(self.token.expose().clone())),
            ("http", shown(http)),
            ("https", shown(https)),
            ("no_proxy", no_proxy.clone()),
        ];
        let values: BTreeMap<_, _> =
            values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        // A map of texts always serialises.
        let text = serde_json::to_vec(&values).unwrap_or_default();
        host.private_dir(&host.run_dir())?;
        host.write(path, &text, 0o600)?;
        Ok(())
    }

    /// Takes them out of the run folder; `None` when they are lost.
    pub(super) fn take(host: &Host, path: &std::path::Path) -> Result<Option<Self>, FileError> {
        let Some(bytes) = host.read(path)? else { return Ok(None) };
        host.remove_file(path)?;
        let Ok(mut values) = serde_json::from_slice::<BTreeMap<String, String>>(&bytes) else {
            return Ok(None);
        };
        let mut secret = |name: &str| values.remove(name).map(Secret::new);
        let (token, http, https) = (secret("token").unwrap_or_default(), secret("http"), secret("https"));
        let no_proxy = values.remove("no_proxy");
        Ok(Some(Self { token, proxies: ProxyConfig { http, https, no_proxy } }))
    }
}
