//! The security fixes for which an image is due, as hooks see them: no more than when the newest has appeared.

use serde::{Deserialize, Serialize};

use super::Upstream;
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::journal::Journal;
use crate::record::request::Request;

/// A fix that the newest build of a target lacks, and a new one may bring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueFix {
    /// The target.
    pub target: Target,
    /// That build.
    pub build: ImageId,
    /// When the fix has appeared.
    pub appeared: Timestamp,
}

impl Upstream {
    /// Whether a fix has appeared for one of `targets` since `last` was asked for, which would have brought it. What was found
    /// of a build before the newest waits for the next look.
    pub fn has_fixes_for(&self, targets: &[Target], journal: &Journal, last: &Request) -> bool {
        // A clock that was ahead has left a time to come.
        let now = Timestamp::now();
        let is_of_newest =
            |fix: &&DueFix| journal.newest_build(fix.target).is_some_and(|newest| newest.id == fix.build);
        let mut known = self.fixes.iter().filter(|fix| targets.contains(&fix.target)).filter(is_of_newest);
        known.any(|fix| !last.would_build(fix.target) || fix.appeared.min(now) > last.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage};
    use crate::record::journal::evidence::Revision;
    use crate::record::request::{Reason, Task};
    use crate::record::run_config::JobId;
    use crate::testing::{request, run_config};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };

    fn build(id: &str, built: u64) -> Revision {
        Revision {
            target: NOBLE,
            id: id.parse().unwrap(),
            job: JobId::random(),
            fingerprint: "f".into(),
            built: Timestamp(built),
            proof: None,
            failed_reads: 0,
            contents: None,
            copies: Vec::new(),
        }
    }

    #[test]
    fn a_fix_asks_for_one_job_and_for_none_once_there_is_a_newer_build() {
        let fix = DueFix { target: NOBLE, build: "a".parse().unwrap(), appeared: Timestamp(200) };
        let known = Upstream { fixes: vec![fix], ..Upstream::default() };
        let mut journal = Journal { revisions: vec![build("a", 100)], ..Journal::default() };
        let asked = |at, task| Request { at: Timestamp(at), task, ..request(run_config()) };
        let is_due = |journal: &Journal, last: &Request| known.has_fixes_for(&[NOBLE], journal, last);
        assert!(is_due(&journal, &asked(199, Task::Build)));
        assert!(!is_due(&journal, &asked(200, Task::Build)), "it was asked for");
        assert!(is_due(&journal, &asked(300, Task::Serve)), "it has built nothing");
        let cancelled = Request { reason: Reason::Cancel, ..asked(300, Task::CleanUp) };
        assert!(!is_due(&journal, &cancelled), "nobody cancels what is to begin again at once");
        assert!(!known.has_fixes_for(&[], &journal, &asked(199, Task::Build)), "it is not built any more");
        journal.revisions.push(build("b", 150));
        assert!(!is_due(&journal, &asked(199, Task::Build)), "what the newer one lacks is for the next look");
        let newer = "b".parse().unwrap();
        journal.levers.revoke(NOBLE, newer, Default::default(), "bad".into());
        assert!(is_due(&journal, &asked(199, Task::Build)));
    }
}
