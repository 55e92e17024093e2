//! What has come of a run so far, told by several threads.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::record::{BuildResult, CloudName, Failure};

/// Results and failures.
#[derive(Default)]
pub struct Outcome {
    results: Mutex<Vec<BuildResult>>,
    failures: Mutex<Vec<Failure>>,
    unreachable: Mutex<BTreeSet<CloudName>>,
}

impl Outcome {
    /// Something went wrong.
    pub fn fail(&self, failure: Failure) {
        // With its next try, once the job has ended, at the level of an error.
        log::warn!("{failure}");
        lock(&self.failures).push(failure);
    }

    /// Project `name` could not be reached, whatever for: one failure, which concerns all of its targets.
    pub fn could_not_reach(&self, name: &CloudName, failure: Failure) {
        if lock(&self.unreachable).insert(name.clone()) {
            self.fail(Failure { target: None, cloud: Some(name.clone()), ..failure });
        }
    }

    /// Whether that has been tried in vain.
    pub fn is_unreachable(&self, name: &CloudName) -> bool {
        lock(&self.unreachable).contains(name)
    }

    /// An image exists.
    pub fn succeed(&self, result: BuildResult) {
        lock(&self.results).push(result);
    }

    /// All of it.
    pub fn into_parts(self) -> (Vec<BuildResult>, Vec<Failure>) {
        (std::mem::take(&mut lock(&self.results)), std::mem::take(&mut lock(&self.failures)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_that_cannot_be_reached_is_one_failure() {
        let (outcome, dead) = (Outcome::default(), CloudName::new("dead"));
        let failure = || Failure::of(&"connection refused".to_owned(), false);
        assert!(!outcome.is_unreachable(&dead));
        outcome.could_not_reach(&dead, failure());
        outcome.could_not_reach(&dead, failure());
        outcome.could_not_reach(&CloudName::new("other"), failure());
        assert!(outcome.is_unreachable(&dead));
        let clouds: Vec<_> = outcome.into_parts().1.into_iter().filter_map(|failure| failure.cloud).collect();
        assert_eq!(clouds, [dead, CloudName::new("other")]);
    }
}
