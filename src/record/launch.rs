//! One launch as it stands on disk, `launches/ID.json`: what was asked for, and how far it is. The action writes it first,
//! the launcher from then on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run_config::{CloudName, JobId, Owner, ProxyConfig};
use super::transit::InTransit;
use crate::github::GithubPath;
use crate::host::{Exclusive, FileError, Host};
use crate::model::{Secret, Target, Timestamp};
use crate::openstack_cloud::ServerId;
use crate::openstack_cloud::openstack_manager::SshDebugConnection;
use crate::record::file::RecordError;

/// What the names of files with the secrets of launches begin with.
const SECRETS: &str = "launch-";
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
    pub fn order(host: &Host, order: LaunchOrder, secrets: &LaunchSecrets) -> Result<Self, RecordError> {
        let life = Duration::from_secs(u64::from(order.ttl_minutes) * 60);
        let at = Timestamp::now();
        let (state, expires) = (LaunchState::Waiting, at.plus(life));
        let launch = Self { id: JobId::random(), at, order, state, server: None, expires, tried: None };
        host.private_dir(&folder(host))?;
        let _ordering = Exclusive::acquire(&order_lock(host))?;
        secrets.save(host, &launch.secrets_file(host))?;
        launch.save(host).inspect_err(|_| drop(host.remove_file(&launch.secrets_file(host))))?;
        Ok(launch)
    }

    /// All launches that there are, oldest first. One that cannot be read is told of and left as it is; one that is not
    /// written to its end is none.
    pub fn all(host: &Host) -> Result<Vec<Self>, FileError> {
        let mut all = Vec::new();
        for path in host.files_in(&folder(host))?.into_iter().filter(|path| !is_unfinished(path)) {
            let Some(bytes) = host.read(&path)? else { continue };
            match serde_json::from_slice::<Self>(&bytes) {
                // What is done with a launch is done to its own file.
                Ok(launch) if launch.file(host) == path => all.push(launch),
                Ok(launch) => log::warn!("{} does not belong to launch {}", path.display(), launch.id),
                Err(error) => log::warn!("{} is not a valid launch: {error}", path.display()),
            }
        }
        all.sort_by_key(|launch| launch.at);
        Ok(all)
    }

    /// Writes it down.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| RecordError::Format { file: "launches", problem: error.to_string() })?;
        host.private_dir(&folder(host))?;
        host.write(&self.file(host), &text, 0o600)?;
        Ok(())
    }

    /// Forgets it.
    pub fn forget(&self, host: &Host) -> Result<(), FileError> {
        host.remove_file(&self.secrets_file(host))?;
        host.remove_file(&self.file(host))
    }

    /// Whether a launcher has something to do, once no other is at it.
    pub fn is_due(&self) -> bool {
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

    /// Where it stands.
    pub fn file(&self, host: &Host) -> PathBuf {
        folder(host).join(format!("{}.json", self.id))
    }

    /// Where its secrets wait for the launcher.
    pub fn secrets_file(&self, host: &Host) -> PathBuf {
        host.run_dir().join(format!("{SECRETS}{}.json", self.id))
    }
}

fn folder(host: &Host) -> PathBuf {
    host.state_dir().join("launches")
}

/// Held by whoever orders a launch, from its secrets to its note.
fn order_lock(host: &Host) -> PathBuf {
    host.state_dir().join("launches.lock")
}

/// Removes what orders that were killed have left: secrets that no launcher will take, and notes that nobody completes.
pub fn forget_unfinished(host: &Host) -> Result<(), FileError> {
    if unfinished(host)?.is_empty() {
        return Ok(());
    }
    let Some(_nobody_orders) = Exclusive::try_acquire(&order_lock(host))? else { return Ok(()) };
    for path in unfinished(host)? {
        log::info!("removing {}, of a launch that was not fully requested", path.display());
        host.remove_file(&path)?;
    }
    Ok(())
}

/// The files of launches that have no note.
fn unfinished(host: &Host) -> Result<Vec<PathBuf>, FileError> {
    let mut files = host.files_in(&folder(host))?;
    files.retain(|path| is_unfinished(path));
    let in_transit = host.files_in(&host.run_dir())?;
    files.extend(in_transit.into_iter().filter(|path| plain_name(path).starts_with(SECRETS)));
    files.retain(|path| {
        let name = plain_name(path);
        !folder(host).join(name.strip_prefix(SECRETS).unwrap_or(&name)).exists()
    });
    Ok(files)
}

/// Whether a file is still being written, or never was to its end.
fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The name that a file has once it is written to its end.
fn plain_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.strip_prefix('.').and_then(|name| name.strip_suffix(".new")) {
        Some(name) => name.to_owned(),
        None => name.into_owned(),
    }
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

/// The name of the token on its way.
const TOKEN: &str = "token";

impl LaunchSecrets {
    /// Puts them where only root looks, until the launcher takes them.
    pub fn save(&self, host: &Host, path: &Path) -> Result<(), FileError> {
        let secrets = BTreeMap::from([(TOKEN.to_owned(), self.token.clone())]);
        InTransit { secrets, github_token: None, proxies: self.proxies.clone() }.leave(host, path)
    }

    /// Takes them out of the run folder; `None` when they are lost.
    pub fn take(host: &Host, path: &Path) -> Result<Option<Self>, FileError> {
        Ok(InTransit::take(host, path)?.map(|InTransit { mut secrets, proxies, .. }| Self {
            token: secrets.remove(TOKEN).unwrap_or_default(),
            proxies,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::model::{Arch, BaseImage};
    use crate::testing::Random;

    fn order() -> LaunchOrder {
        LaunchOrder {
            unit_name: "app/0".into(),
            owner: Owner { model_uuid: "m".into(), application: "app".into(), unit: 0 },
            cloud: CloudName::new("ci-1"),
            target: Target { base: BaseImage::Noble, arch: Arch::X64 },
            path: "octo/engine".parse().unwrap(),
            github_api_url: "https://api.github.com".into(),
            flavor: None,
            network: None,
            labels: Vec::new(),
            ttl_minutes: 60,
            dockerhub_mirror: None,
            ssh_debug_connections: Vec::new(),
        }
    }

    #[test]
    fn an_order_is_read_back_and_its_secrets_are_for_one_reader() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let secret = |text: &str| Secret::new(text.to_owned());
        let (http, no_proxy) = (Some(secret("http://me:pw@p")), Some("h".to_owned()));
        let proxies = ProxyConfig { http, no_proxy, ..ProxyConfig::default() };
        let launch =
            Launch::order(&host, order(), &LaunchSecrets { token: secret("t0ken"), proxies }).unwrap();
        assert_eq!(Launch::all(&host).unwrap(), std::slice::from_ref(&launch));
        let file = launch.secrets_file(&host);
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let taken = LaunchSecrets::take(&host, &file).unwrap().unwrap();
        assert_eq!((taken.token, taken.proxies.http), (secret("t0ken"), Some(secret("http://me:pw@p"))));
        assert_eq!((taken.proxies.https, taken.proxies.no_proxy.as_deref()), (None, Some("h")));
        assert!(LaunchSecrets::take(&host, &file).unwrap().is_none());
        let note = std::fs::read_to_string(launch.file(&host)).unwrap();
        assert!(!note.contains("t0ken") && !note.contains("pw@"), "{note}");
        launch.forget(&host).unwrap();
        assert_eq!(Launch::all(&host).unwrap(), []);
    }

    #[test]
    fn what_an_order_that_was_killed_has_left_is_no_launch_and_goes_with_its_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let launch = Launch::order(&host, order(), &LaunchSecrets::default()).unwrap();
        let text = std::fs::read(launch.file(&host)).unwrap();
        let killed = JobId::random();
        let note = folder(&host).join(format!(".{killed}.json.new"));
        let secrets = [format!("launch-{killed}.json"), format!(".launch-{killed}.json.new")];
        let left: Vec<PathBuf> =
            [note].into_iter().chain(secrets.map(|name| host.run_dir().join(name))).collect();
        for text in [&text[..], &text[..9]] {
            left.iter().for_each(|path| std::fs::write(path, text).unwrap());
            // The launcher is just writing this one.
            let own = folder(&host).join(format!(".{}.json.new", launch.id));
            std::fs::write(&own, text).unwrap();
            assert_eq!(Launch::all(&host).unwrap(), std::slice::from_ref(&launch));

            let ordering = Exclusive::try_acquire(&order_lock(&host)).unwrap();
            forget_unfinished(&host).unwrap();
            assert!(ordering.is_some() && left.iter().all(|path| path.exists()));
            drop(ordering);
            forget_unfinished(&host).unwrap();
            assert!(left.iter().all(|path| !path.exists()), "{left:?}");
            assert!(own.exists() && launch.secrets_file(&host).exists());
        }
    }

    #[test]
    fn a_launch_is_due_as_long_as_something_is_to_be_done_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let new = Launch::order(&Host::below(dir.path()), order(), &LaunchSecrets::default()).unwrap();
        let server = Some(Server { name: "s".into(), id: None, address: None });
        let failed = LaunchState::Failed { message: "no".into() };
        let (now, long_ago) = (Timestamp::now(), Timestamp(1));
        for (state, server, expires, tried, due) in [
            (LaunchState::Waiting, None, new.expires, None, true),
            (LaunchState::Launching, server.clone(), new.expires, None, true),
            (LaunchState::Running, server.clone(), new.expires, None, false),
            (LaunchState::Running, server.clone(), long_ago, None, true),
            (LaunchState::Running, server.clone(), long_ago, Some(now), false),
            (LaunchState::Running, server.clone(), long_ago, Some(long_ago), true),
            (failed.clone(), server, new.expires, None, true),
            (failed.clone(), None, new.expires, None, false),
        ] {
            let launch = Launch { state, server, expires, tried, ..new.clone() };
            assert_eq!(launch.is_due(), due, "{launch}");
        }
        assert!(Launch { state: failed, at: long_ago, ..new }.is_due(), "it was shown for long enough");
    }

    #[test]
    fn what_is_no_launch_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let launch = Launch::order(&host, order(), &LaunchSecrets::default()).unwrap();
        let whole = serde_json::to_value(&launch).unwrap();
        let mut random = Random::seeded(0x1a_04c4);
        for round in 0..400 {
            let text = match round % 4 {
                0 => random.damaged(whole.to_string().as_bytes()),
                _ => random.distorted(&whole).to_string().into_bytes(),
            };
            host.write(&launch.file(&host), &text, 0o600).unwrap();
            let read = Launch::all(&host).unwrap();
            assert!(read.iter().all(|read| read.id == launch.id), "{}", String::from_utf8_lossy(&text));
            assert_eq!(host.read(&launch.file(&host)).unwrap(), Some(text));
        }
    }
}
