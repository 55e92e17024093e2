//! What this session has just made. A service may have several replicas, and the one that is asked next may lag behind the one
//! that has made something: it says 404 for a moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{Backoff, RetryPolicy};

/// How long something counts as just made.
const RECENT: Duration = Duration::from_secs(30);

/// How often a 404 about something that was just made is not believed.
pub(super) const LAG: RetryPolicy = RetryPolicy {
    attempts: 4,
    backoff: Backoff::growing(Duration::from_millis(500), 2.0, Duration::from_secs(2)),
};

/// The ids of what was just made; threads may share it.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Vec<(String, Instant)>>);

impl Recent {
    /// Something with this id was made.
    pub(super) fn note(&self, id: &str) {
        let mut made = self.lock();
        made.retain(|(_, at)| at.elapsed() < RECENT);
        made.push((id.to_owned(), Instant::now()));
    }

    /// It was deleted: from now on 404 is the truth.
    pub(super) fn forget(&self, id: &str) {
        self.lock().retain(|(known, _)| known != id);
    }

    /// Whether something with this id was just made.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.lock().iter().any(|(known, at)| known == id && at.elapsed() < RECENT)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_not_waited_for() {
        let recent = Recent::default();
        recent.note("a");
        recent.note("b");
        recent.forget("a");
        assert!(!recent.knows("a") && recent.knows("b") && !recent.knows("c"));
    }
}
