//! Tells Juju that there is news: a hook by `juju-exec`, at once for what matters, for mere progress at most once a
//! minute, and never two at a time. The worker goes on meanwhile: the unit's turn may be taken for long.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::host::Program;

/// Progress is told at most this often.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long the unit's turn is waited for: an action may hold it for half an hour.
const TURN: Duration = Duration::from_secs(45 * 60);

/// How much there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A build has come further.
    Progress,
    /// An image can be published, or a job has ended.
    Important,
}

/// What is to be told, and whether it is being told.
#[derive(Debug, Default)]
pub struct Reporter {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    unit: String,
    due: Option<Instant>,
    last: Option<Instant>,
    calling: bool,
    ended: bool,
}

impl Reporter {
    /// Whose hook is to be called from now on.
    pub fn unit(&self, unit: &str) {
        unit.clone_into(&mut self.lock().unit);
    }

    /// Sees to it that a hook runs after this moment.
    pub fn tell(&self, news: News) {
        let mut state = self.lock();
        let now = Instant::now();
        let at = match news {
            News::Important => now,
            News::Progress => state.last.map_or(now, |last| last + INTERVAL),
        };
        state.due = Some(state.due.map_or(at, |due| due.min(at)));
        self.changed.notify_all();
    }

    /// Whether everything has been told.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.due.is_none() && !state.calling
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Tells what is to be told, until the end; for a thread of its own.
    pub fn serve(&self) {
        let mut state = self.lock();
        while !state.ended {
            let wait = state.due.map(|due| due.saturating_duration_since(Instant::now()));
            match wait {
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    (state.due, state.calling) = (None, true);
                    let unit = state.unit.clone();
                    drop(state);
                    call_hook(&unit);
                    state = self.lock();
                    (state.last, state.calling) = (Some(Instant::now()), false);
                }
                Some(wait) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks Juju to run our hook, and waits for it to end.
fn call_hook(unit_name: &str) {
    let command = "JUJU_DISPATCH_PATH=worker ./dispatch";
    let call = Program::new("juju-exec").args([unit_name, command]).run(Deadline::after(TURN));
    if let Err(error) = call {
        log::warn!("telling Juju of news failed, the next hook will see them: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_waits_for_its_minute_and_what_matters_does_not() {
        let reporter = Reporter::default();
        reporter.lock().last = Some(Instant::now());
        reporter.tell(News::Progress);
        assert!(reporter.lock().due.unwrap() > Instant::now() + Duration::from_secs(30));
        reporter.tell(News::Important);
        assert!(reporter.lock().due.unwrap() <= Instant::now());
        reporter.tell(News::Progress);
        assert!(reporter.lock().due.unwrap() <= Instant::now(), "progress puts nothing off");
        assert!(!reporter.is_idle());
    }
}
