//! What images could be made of now, and until when GitHub accepts the runners of those that there are: `upstream.json`, written
//! by the worker and read by hooks, which so know it without the web. Without it nothing is known until the next look.

mod acceptance;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use self::acceptance::{Acceptance, WARNING};
use super::file::{RecordError, write_json};
use super::request::{Reason, Request, Task};
use crate::github::{Deprecation, RunnerVersion};
use crate::host::Host;
use crate::model::{Target, Timestamp};

const FILE: &str = "upstream.json";

/// Looks and builds of several targets write at the same time.
static TURN: Mutex<()> = Mutex::new(());

/// All that is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upstream {
    /// The newest releases of the runner.
    pub runner_versions: Answered<Vec<RunnerVersion>>,
    /// What GitHub has said of versions that images have; only where it may be asked.
    pub deprecations: BTreeMap<String, Answered<Deprecation>>,
    /// By which the servers of base images tell whether their lists have changed, by URL.
    pub lists: BTreeMap<String, Validator>,
    /// What an image of each target would be made of.
    pub offers: Vec<Offer>,
}

/// An answer of GitHub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered<T> {
    /// Who was asked: the root of its REST API, and the scope where there is one.
    pub source: String,
    /// By which GitHub tells whether it has changed.
    pub etag: Option<String>,
    /// The answer.
    pub answer: T,
}

impl<T> Answered<T> {
    /// The ETag, where `source` has given it.
    pub fn etag_of(&self, source: &str) -> Option<&str> {
        self.etag.as_deref().filter(|_| self.source == source)
    }
}

/// By which a web server tells whether a file has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validator {
    /// Its ETag.
    pub etag: Option<String>,
    /// When it was changed last, in the server's words.
    pub modified: Option<String>,
}

/// What an image of a target would be made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The target.
    pub target: Target,
    /// The version of the runner.
    pub runner: String,
    /// The SHA-256 of the base image.
    pub base_image: String,
    /// When a look has found it; absent when a job has planned with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appeared: Option<Timestamp>,
}

impl Upstream {
    /// What is known; nothing when the file is gone or not understood.
    pub fn load(host: &Host) -> Self {
        let bytes = host.read(&host.state_dir().join(FILE)).ok().flatten();
        let read = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let known =
            read.inspect_err(|error| log::info!("{FILE} cannot be read and is created again: {error}"));
        known.ok().flatten().unwrap_or_default()
    }

    /// Changes what is known, and writes it down.
    pub fn change(host: &Host, change: impl FnOnce(&mut Self)) -> Result<(), RecordError> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Self::load(host);
        let mut known = before.clone();
        change(&mut known);
        if known == before { Ok(()) } else { write_json(host, FILE, &known) }
    }

    /// The offer for `target`.
    pub fn offer(&self, target: Target) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.target == target)
    }

    /// A look at `now` has found that an image of `target` would be made of these. Returns whether that is news.
    pub fn finds(&mut self, target: Target, runner: &str, base_image: &str, now: Timestamp) -> bool {
        let known = self.offer(target);
        let is_as_it_was =
            known.is_some_and(|known| (&*known.runner, &*known.base_image) == (runner, base_image));
        if is_as_it_was {
            return false;
        }
        let is_news = known.is_some();
        self.note(target, runner, base_image, is_news.then_some(now));
        is_news
    }

    /// A job plans an image of `target` that is made of these.
    pub fn plans(&mut self, target: Target, runner: &str, base_image: &str) {
        self.note(target, runner, base_image, None);
    }

    fn note(&mut self, target: Target, runner: &str, base_image: &str, appeared: Option<Timestamp>) {
        self.offers.retain(|offer| offer.target != target);
        let (runner, base_image) = (runner.to_owned(), base_image.to_owned());
        self.offers.push(Offer { target, runner, base_image, appeared });
    }

    /// Whether something has appeared for one of `targets` since `last` was asked for, which would have built it.
    pub fn has_news_for(&self, targets: &[Target], last: &Request) -> bool {
        // Who has cancelled does not want the same at once.
        let is_about = |target: Target| {
            last.reason == Reason::Cancel
                || last.task == Task::Build && (last.bases.is_empty() || last.bases.contains(&target.base))
        };
        // A clock that was ahead has left a time to come.
        let now = Timestamp::now();
        self.offers
            .iter()
            .filter(|offer| targets.contains(&offer.target))
            .filter_map(|offer| Some((offer.target, offer.appeared?.min(now))))
            .any(|(target, appeared)| !is_about(target) || appeared > last.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage};
    use crate::testing::{request, run_config};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
    const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::X64 };

    #[test]
    fn what_appears_is_news_until_a_job_plans_with_it() {
        let mut known = Upstream::default();
        let before = Request { at: Timestamp(100), ..request(run_config()) };
        assert!(!known.finds(NOBLE, "1.0.0", "aa", Timestamp(200)), "the first look has nothing to compare");
        assert!(!known.finds(NOBLE, "1.0.0", "aa", Timestamp(300)) && !known.has_news_for(&[NOBLE], &before));
        for (runner, base_image) in [("1.0.1", "aa"), ("1.0.1", "bb")] {
            assert!(known.finds(NOBLE, runner, base_image, Timestamp(400)));
            assert!(!known.finds(NOBLE, runner, base_image, Timestamp(500)), "told once");
            assert!(known.has_news_for(&[NOBLE], &before) && !known.has_news_for(&[JAMMY], &before));
            known.plans(NOBLE, runner, base_image);
            assert!(!known.has_news_for(&[NOBLE], &before));
        }
    }

    #[test]
    fn a_job_that_fails_is_not_asked_for_again_by_the_same_news() {
        let mut known = Upstream::default();
        known.plans(NOBLE, "1.0.0", "aa");
        known.finds(NOBLE, "1.0.1", "aa", Timestamp(200));
        let asked = |at, task, bases| Request { at: Timestamp(at), task, bases, ..request(run_config()) };
        let is_due = |last: Request| known.has_news_for(&[NOBLE], &last);
        assert!(is_due(asked(199, Task::Build, vec![])));
        assert!(!is_due(asked(200, Task::Build, vec![])));
        assert!(!is_due(asked(300, Task::Build, vec![BaseImage::Noble])));
        assert!(is_due(asked(300, Task::Build, vec![BaseImage::Jammy])), "it was about others");
        assert!(is_due(asked(300, Task::Serve, vec![])), "it has built nothing");
        let cancelled = Request { reason: Reason::Cancel, ..asked(300, Task::CleanUp, vec![]) };
        assert!(!is_due(cancelled), "nobody cancels what is to begin again at once");
    }

    #[test]
    fn what_a_clock_that_was_ahead_has_noted_is_news_once() {
        let mut known = Upstream::default();
        known.plans(NOBLE, "1.0.0", "aa");
        known.finds(NOBLE, "1.0.1", "aa", Timestamp::now().plus(std::time::Duration::from_secs(3600)));
        let asked_now = Request {
            at: Timestamp::now().plus(std::time::Duration::from_secs(60)),
            ..request(run_config())
        };
        assert!(!known.has_news_for(&[NOBLE], &asked_now));
    }

    #[test]
    fn it_is_read_back_also_in_part_and_a_damaged_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::below(folder.path());
        Upstream::change(&host, |known| known.plans(NOBLE, "1.0.0", "aa")).unwrap();
        let file = host.state_dir().join(FILE);
        assert_eq!(Upstream::load(&host).offer(NOBLE).unwrap().runner, "1.0.0");
        host.write(&file, br#"{"offers": [], "of a later version": 1}"#, 0o600).unwrap();
        assert_eq!(Upstream::load(&host), Upstream::default());
        host.write(&file, b"{", 0o600).unwrap();
        Upstream::change(&host, |known| known.plans(JAMMY, "1.0.0", "aa")).unwrap();
        assert!(Upstream::load(&host).offer(JAMMY).is_some());
    }
}
