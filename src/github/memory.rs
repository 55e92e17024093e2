//! What GitHub has answered about releases, kept: the targets of a job share one request, and the next job asks only
//! whether anything has changed, which GitHub answers with 304 and does not count against its rate limit.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GithubError;
use super::release::Release;
use crate::model::Timestamp;

/// How long an answer stands in for one that GitHub does not give.
const YOUNG: Duration = Duration::from_secs(24 * 3600);

/// An answer about a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRelease {
    /// By which GitHub tells whether it has changed.
    pub etag: Option<String>,
    /// When GitHub last said that it holds.
    pub confirmed: Timestamp,
    /// The release.
    pub(super) release: Release,
}

impl KnownRelease {
    /// Whether it may stand in for an answer that GitHub does not give.
    pub(super) fn is_young(&self) -> bool {
        self.confirmed.age() < YOUNG
    }
}

/// Where answers about releases are kept, by the URL that was asked.
pub trait ReleaseStore: fmt::Debug + Send + Sync {
    /// The last answer; none when there is none that can be read.
    fn last(&self, url: &str) -> Option<KnownRelease>;
    /// Keeps an answer. One that cannot be kept is asked for again.
    fn keep(&self, url: &str, release: &KnownRelease);
}

type Asked = Arc<OnceLock<Result<Release, Arc<GithubError>>>>;

/// The store, and what was asked since this client was made.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) store: Arc<dyn ReleaseStore>,
    asked: Arc<Mutex<HashMap<String, Asked>>>,
}

impl Memory {
    pub(super) fn of(store: Arc<dyn ReleaseStore>) -> Self {
        Self { store, asked: Arc::default() }
    }

    /// The answer about `url`, whatever it was: one caller asks, and all others get the same.
    pub(super) fn once(
        &self,
        url: &str,
        ask: impl FnOnce() -> Result<Release, GithubError>,
    ) -> Result<Release, GithubError> {
        let asked = self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(url.to_owned())
            .or_default()
            .clone();
        asked.get_or_init(|| ask().map_err(Arc::new)).clone().map_err(GithubError::Shared)
    }
}
