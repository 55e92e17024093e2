//! Until when GitHub gives jobs to the runner of an image.

use std::time::Duration;

use super::Upstream;
use crate::github::{GRACE, is_newer};
use crate::model::Timestamp;

/// How long before a runner is refused operators hear of it.
pub const WARNING: Duration = Duration::from_secs(14 * 86_400);

/// How GitHub treats a version of the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It gives it jobs, and nothing is known that ends this.
    Accepted,
    /// It gives it jobs until then.
    Until(Timestamp),
    /// The same, and the end is near.
    Ending(Timestamp),
    /// It has given it no jobs since then.
    Refused(Timestamp),
}

impl Acceptance {
    /// Of a runner that is refused from `at` on, at `now`.
    pub fn of(at: Option<Timestamp>, now: Timestamp) -> Self {
        match at {
            None => Self::Accepted,
            Some(at) if at <= now => Self::Refused(at),
            Some(at) if at <= now.plus(WARNING) => Self::Ending(at),
            Some(at) => Self::Until(at),
        }
    }
}

impl Upstream {
    /// From when on GitHub refuses runners of `version`: what it says itself, else thirty days after the next version came out.
    /// None while there is no newer one, or nothing is known.
    pub fn runner_refused(&self, version: &str) -> Option<Timestamp> {
        let told = self.deprecations.get(version).and_then(|told| told.answer.runtime);
        told.or_else(|| {
            let newer = self
                .runner_versions
                .answer
                .iter()
                .filter(|other| is_newer(&other.version, version) == Some(true));
            newer.map(|newer| newer.published.plus(GRACE)).min()
        })
    }

    /// How GitHub treats runners of `version` at `now`.
    pub fn acceptance(&self, version: &str, now: Timestamp) -> Acceptance {
        Acceptance::of(self.runner_refused(version), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::{Deprecation, RunnerVersion};
    use crate::record::upstream::Answered;

    const DAY: u64 = 86_400;

    fn known(published: &[(&str, u64)]) -> Upstream {
        let version = |(version, day): &(&str, u64)| RunnerVersion {
            version: (*version).to_owned(),
            published: Timestamp(day * DAY),
        };
        let answer = published.iter().map(version).collect();
        Upstream { runner_versions: Answered { answer, ..Answered::default() }, ..Upstream::default() }
    }

    #[test]
    fn a_version_is_refused_thirty_days_after_the_one_that_follows_it() {
        let known = known(&[("2.337.1", 160), ("2.337.0", 140), ("2.335.0", 100), ("2.336.0", 120)]);
        for (version, day) in [
            ("2.335.0", Some(150)),
            ("2.336.0", Some(170)),
            ("2.337.0", Some(190)),
            ("2.337.1", None),
            // Older than all that are listed, and newer than all.
            ("2.9.0", Some(130)),
            ("3.0.0", None),
            ("nightly", None),
        ] {
            assert_eq!(known.runner_refused(version), day.map(|day| Timestamp(day * DAY)), "{version}");
        }
        assert_eq!(Upstream::default().runner_refused("2.335.0"), None);
    }

    #[test]
    fn what_github_says_itself_counts_before_what_follows_from_its_releases() {
        let mut known = known(&[("2.336.0", 120)]);
        let says = |runtime| {
            let answer = Deprecation { runtime, registration: None };
            Answered { answer, ..Answered::default() }
        };
        // A security release stops others at once.
        known.deprecations.insert("2.335.0".into(), says(Some(Timestamp(121 * DAY))));
        assert_eq!(known.runner_refused("2.335.0"), Some(Timestamp(121 * DAY)));
        known.deprecations.insert("2.335.0".into(), says(None));
        assert_eq!(known.runner_refused("2.335.0"), Some(Timestamp(150 * DAY)));
    }

    #[test]
    fn a_pinned_version_walks_from_accepted_to_refused_as_the_clock_moves() {
        let known = known(&[("2.336.0", 120), ("2.335.0", 100)]);
        let at = Timestamp(150 * DAY);
        for (now, expected) in [
            (119 * DAY, Acceptance::Until(at)),
            (136 * DAY - 1, Acceptance::Until(at)),
            (136 * DAY, Acceptance::Ending(at)),
            (150 * DAY - 1, Acceptance::Ending(at)),
            (150 * DAY, Acceptance::Refused(at)),
            (400 * DAY, Acceptance::Refused(at)),
        ] {
            assert_eq!(known.acceptance("2.335.0", Timestamp(now)), expected, "day {}", now / DAY);
            assert_eq!(known.acceptance("2.336.0", Timestamp(now)), Acceptance::Accepted);
        }
    }
}
