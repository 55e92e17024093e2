//! Secrets on their way from a hook to a process of ours: in a 0600 file on a tmpfs, until that process takes them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::run_config::ProxyConfig;
use crate::host::{FileError, Host};
use crate::model::Secret;

/// Secrets by name, and the model's proxies, whose URLs may hold credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InTransit {
    /// By name.
    pub secrets: BTreeMap<String, Secret<String>>,
    /// The token for GitHub's releases.
    pub github_token: Option<Secret<String>>,
    /// The private key that provenance is signed with.
    pub signing_key: Option<Secret<String>>,
    /// The proxies.
    pub proxies: ProxyConfig,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Written {
    secrets: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    github_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signing_key: Option<String>,
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Option<String>,
}

impl InTransit {
    /// Leaves them at `path`, below the run folder.
    pub fn leave(&self, host: &Host, path: &Path) -> Result<(), FileError> {
        let ProxyConfig { http, https, no_proxy } = &self.proxies;
        let shown = |secret: &Option<Secret<String>>| secret.as_ref().map(|secret| secret.expose().clone());
        let secrets = self.secrets.iter().map(|(name, value)| (name.clone(), value.expose().clone()));
        let written = Written {
            secrets: secrets.collect(),
            github_token: shown(&self.github_token),
            signing_key: shown(&self.signing_key),
            http_proxy: shown(http),
            https_proxy: shown(https),
            no_proxy: no_proxy.clone(),
        };
        // Texts always serialise.
        let text = serde_json::to_vec(&written).unwrap_or_default();
        host.private_dir(&host.run_dir())?;
        host.write(path, &text, 0o600).map(drop)
    }

    /// Takes them from there; `None` when they are lost.
    pub fn take(host: &Host, path: &Path) -> Result<Option<Self>, FileError> {
        let Some(bytes) = host.read(path)? else { return Ok(None) };
        host.remove_file(path)?;
        Ok(serde_json::from_slice::<Written>(&bytes).ok().map(|written| Self {
            secrets: written.secrets.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            github_token: written.github_token.map(Secret::new),
            signing_key: written.signing_key.map(Secret::new),
            proxies: ProxyConfig {
                http: written.http_proxy.map(Secret::new),
                https: written.https_proxy.map(Secret::new),
                no_proxy: written.no_proxy,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn secrets_are_taken_once_and_lie_meanwhile_where_root_alone_reads() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let path = host.run_dir().join("x.json");
        let some = |text: &str| Some(Secret::new(text.to_owned()));
        let sent = InTransit {
            secrets: BTreeMap::from([("token".to_owned(), Secret::new("t=1\n".to_owned()))]),
            github_token: some("github_pat_x"),
            signing_key: some("-----BEGIN PRIVATE KEY-----\n"),
            proxies: ProxyConfig { http: some("http://u:p@h"), https: None, no_proxy: Some("h".into()) },
        };
        sent.leave(&host, &path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let taken = InTransit::take(&host, &path).unwrap().unwrap();
        assert_eq!(taken, sent);
        assert!(InTransit::take(&host, &path).unwrap().is_none() && !path.exists());
        host.write(&path, b"{", 0o600).unwrap();
        assert!(InTransit::take(&host, &path).unwrap().is_none() && !path.exists());
    }
}
