//! When the newest list of digests of each base was signed, kept in `signed-lists.json`: a mirror that offers an older one
//! would have us publish images whose flaws are known. The file is JSON, a member for each base:
//! `{"noble": {"source": URL, "keyring": PATH, "signed": "2026-05-01T12:00:00Z"}}`. Another source or keyring begins anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::model::{BaseImage, Timestamp};
use crate::record::{BaseImageSource, RecordError, write_json};

const FILE: &str = "signed-lists.json";

/// Builds of several targets look at the same time.
static TURN: Mutex<()> = Mutex::new(());

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SignedList {
    source: String,
    keyring: String,
    signed: Timestamp,
}

/// When a newer list than this one of `signed` was signed, if one has been seen; else this is the newest from now on.
pub fn newer_than(
    host: &Host,
    source: &BaseImageSource,
    base: BaseImage,
    signed: Timestamp,
) -> Option<Timestamp> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lists = load(host);
    let known = lists.get(base.as_str());
    let known = known.filter(|known| (&known.source, &known.keyring) == (&source.url, &source.keyring));
    if let Some(newest) = known.map(|known| known.signed).filter(|newest| *newest > signed) {
        return Some(newest);
    }
    // A signer whose clock was wrong once must not make all later lists old ones.
    let signed = signed.min(Timestamp::now()).max(known.map_or(Timestamp(0), |known| known.signed));
    let newest = SignedList { source: source.url.clone(), keyring: source.keyring.clone(), signed };
    if known != Some(&newest) {
        lists.insert(base.as_str().to_owned(), newest);
        if let Err(error) = save(host, &lists) {
            log::warn!("{error}; an outdated list would go unnoticed");
        }
    }
    None
}

/// What was noted; nothing where that cannot be read, as on a new unit.
fn load(host: &Host) -> BTreeMap<String, SignedList> {
    let path = host.state_dir().join(FILE);
    let read = host.read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
        bytes.map_or(Ok(BTreeMap::new()), |bytes| {
            serde_json::from_slice(&bytes).map_err(|error| format!("reading {}: {error}", path.display()))
        })
    });
    read.unwrap_or_else(|error| {
        log::warn!("{error}; the newest list of digests is recorded again");
        BTreeMap::new()
    })
}

fn save(host: &Host, lists: &BTreeMap<String, SignedList>) -> Result<(), RecordError> {
    host.private_dir(&host.state_dir())?;
    write_json(host, FILE, lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str) -> BaseImageSource {
        BaseImageSource { url: url.into(), keyring: "/keyring".into(), pins: BTreeMap::new() }
    }

    #[test]
    fn an_older_list_of_the_same_base_and_source_is_noticed_after_any_restart() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::below(folder.path());
        let look = |url: &str, base, at| newer_than(&host, &source(url), base, Timestamp(at));
        assert_eq!(look("https://a", BaseImage::Noble, 200), None);
        assert_eq!(look("https://a", BaseImage::Noble, 200), None);
        assert_eq!(look("https://a", BaseImage::Noble, 100), Some(Timestamp(200)));
        assert_eq!(look("https://a", BaseImage::Noble, 300), None);
        assert_eq!(look("https://a", BaseImage::Noble, 299), Some(Timestamp(300)));
        assert_eq!(look("https://a", BaseImage::Jammy, 100), None);
        // Chosen by the operator.
        assert_eq!(look("https://b", BaseImage::Noble, 100), None);
    }

    #[test]
    fn a_list_from_the_future_and_a_damaged_file_refuse_nothing_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::below(folder.path());
        let look = |at| newer_than(&host, &source("https://a"), BaseImage::Noble, Timestamp(at));
        let now = Timestamp::now().0;
        assert_eq!(look(now + 1_000_000), None);
        assert_eq!(look(now + 10), None);
        host.write(&host.state_dir().join(FILE), b"{", 0o600).unwrap();
        assert_eq!(look(now - 10), None);
        assert_eq!(look(now - 20), Some(Timestamp(now - 10)));
    }
}
