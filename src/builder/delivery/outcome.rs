//! What has come of a run so far, told by several threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::record::{BuildResult, Failure};

/// Results and failures.
#[derive(Default)]
pub struct Outcome {
    results: Mutex<Vec<BuildResult>>,
    failures: Mutex<Vec<Failure>>,
}

impl Outcome {
    /// Something went wrong.
    pub fn fail(&self, failure: Failure) {
        // With its next try, once the job has ended, at the level of an error.
        log::warn!("{failure}");
        lock(&self.failures).push(failure);
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
