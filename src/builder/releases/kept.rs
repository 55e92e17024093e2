//! What GitHub last answered about releases. The worker writes and reads it; without it GitHub is asked anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::github::{KnownRelease, ReleaseStore};
use crate::host::Host;
use crate::record::write_json;

const FILE: &str = "github-releases.json";
/// What was not confirmed for so long belongs to a recipe of the past.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Held while the file is read and written again: several clients may do so at a time.
static WRITING: Mutex<()> = Mutex::new(());

/// The answers that are kept in the state folder.
#[derive(Debug)]
pub struct KeptReleases {
    host: Host,
}

impl KeptReleases {
    /// Those of this machine.
    pub fn of(host: &Host) -> Self {
        Self { host: host.clone() }
    }

    fn read(&self) -> BTreeMap<String, KnownRelease> {
        let bytes = self.host.read(&self.host.state_dir().join(FILE)).ok().flatten();
        let read = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let known =
            read.inspect_err(|error| log::info!("{FILE} cannot be read and is created again: {error}"));
        known.ok().flatten().unwrap_or_default()
    }
}

impl ReleaseStore for KeptReleases {
    fn last(&self, url: &str) -> Option<KnownRelease> {
        self.read().remove(url)
    }

    fn keep(&self, url: &str, release: &KnownRelease) {
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.read();
        known.retain(|_, release| release.confirmed.age() < KEPT);
        known.insert(url.to_owned(), release.clone());
        if let Err(error) = write_json(&self.host, FILE, &known) {
            log::warn!("GitHub's answer could not be stored: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(confirmed: &str) -> KnownRelease {
        let release = serde_json::json!({"tag_name": "v1.2.3", "body": null, "assets": []});
        let known = serde_json::json!({"etag": "W/\"a\"", "confirmed": confirmed, "release": release});
        serde_json::from_value(known).unwrap()
    }

    #[test]
    fn what_several_clients_keep_at_a_time_is_all_kept() {
        const EACH: usize = 50;
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let now = crate::model::Timestamp::now().to_string();
        let clients = ["a", "b"];
        std::thread::scope(|scope| {
            for client in clients {
                let (kept, now) = (KeptReleases::of(&host), &now);
                scope.spawn(move || {
                    (0..EACH)
                        .for_each(|number| kept.keep(&format!("https://{client}/{number}"), &known(now)));
                });
            }
        });
        assert_eq!(KeptReleases::of(&host).read().len(), clients.len() * EACH);
    }

    #[test]
    fn what_is_kept_is_found_again_and_what_is_damaged_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let now = crate::model::Timestamp::now().to_string();
        let kept = KeptReleases::of(&host);
        kept.keep("https://old", &known("2024-01-01T00:00:00Z"));
        kept.keep("https://new", &known(&now));
        let again = KeptReleases::of(&host);
        assert_eq!(again.last("https://new"), Some(known(&now)));
        assert_eq!(again.last("https://old"), None);
        host.write(&host.state_dir().join(FILE), b"{", 0o600).unwrap();
        assert_eq!(again.last("https://new"), None);
        again.keep("https://new", &known(&now));
        assert_eq!(again.last("https://new"), Some(known(&now)));
    }
}
