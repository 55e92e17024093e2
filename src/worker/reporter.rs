//! Reports news to Juju: asks for a hook by `juju-exec`, at once for what matters, for mere progress at most once a
//! minute, and never two at a time. The worker goes on meanwhile: the unit's turn may be taken for long.
//!
//! While the agent or the controller is away, `juju-exec` fails, and no hook runs by itself when they are back: a report
//! is tried again, with growing pauses, until it is heard or half a day has passed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::host::{ProcessError, Program};
use crate::model::{Backoff, Deadline};

/// Progress is reported at most this often.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long the unit's turn is waited for: an action or another unit of the machine may hold it for long.
const TURN: Duration = Duration::from_secs(45 * 60);

/// The pause after the first report that is not heard.
const FIRST_PAUSE: Duration = Duration::from_secs(4);

/// The longest pause, and so how long after the agent is back a report may come: as long as update-status takes.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The pauses.
const PAUSES: Backoff = Backoff::growing(FIRST_PAUSE, 2.0, LONGEST_PAUSE).jittered();

/// How long an important report is tried.
const PERSISTENCE: Duration = Duration::from_secs(12 * 3600);

/// How much there is to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A build has come further.
    Progress,
    /// An image can be published, or a job has ended.
    Important,
}

/// How far the reporting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Juju has heard of everything, or has been away for too long.
    Reported,
    /// A report is due or under way.
    Reporting,
    /// Juju could not be reached; the report is tried again.
    Unheard,
}

/// What is to be reported, and whether it is being reported.
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
    unheard: Option<Unheard>,
    ended: bool,
}

/// A report that Juju has not heard yet.
#[derive(Debug)]
struct Unheard {
    since: Instant,
    tries: u32,
}

impl Reporter {
    /// Whose hook is to be called from now on.
    pub fn unit(&self, unit: &str) {
        unit.clone_into(&mut self.lock().unit);
    }

    /// Sees to it that a hook runs after this moment.
    pub fn tell(&self, news: News) {
        self.lock().tell(news, Instant::now());
        self.changed.notify_all();
    }

    /// How far the reporting is.
    pub fn standing(&self) -> Standing {
        self.lock().standing()
    }

    /// Waits until something changes here, `pause` at most.
    pub fn rest(&self, pause: Duration) {
        drop(self.changed.wait_timeout(self.lock(), pause));
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Reports what is to be reported, until the end; for a thread of its own.
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
                    let outcome = call_hook(&unit, Deadline::after(TURN));
                    state = self.lock();
                    state.calling = false;
                    state.called(outcome, Instant::now());
                    self.changed.notify_all();
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

impl State {
    fn tell(&mut self, news: News, now: Instant) {
        let at = match (news, &mut self.unheard) {
            (News::Important, unheard) => {
                // Its own tries and half day begin.
                unheard.iter_mut().for_each(|unheard| *unheard = Unheard { since: now, tries: 0 });
                now
            }
            // The next try brings it along.
            (News::Progress, Some(_)) if self.due.is_some() => return,
            (News::Progress, _) => self.last.map_or(now, |last| last + INTERVAL),
        };
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn standing(&self) -> Standing {
        match (&self.unheard, self.due.is_some() || self.calling) {
            (_, false) => Standing::Reported,
            (None, true) => Standing::Reporting,
            (Some(_), true) => Standing::Unheard,
        }
    }

    /// Notes what came of a call, and when the next one is due if Juju has not heard this one.
    fn called(&mut self, outcome: Result<(), ProcessError>, now: Instant) {
        self.last = Some(now);
        let Err(error) = outcome else {
            if let Some(unheard) = self.unheard.take() {
                log::info!("reported to Juju after {} failed attempts", unheard.tries);
            }
            return;
        };
        let Unheard { since, tries } = self.unheard.get_or_insert(Unheard { since: now, tries: 0 });
        *tries += 1;
        let pause = PAUSES.pause_after(*tries);
        if now + pause > *since + PERSISTENCE {
            log::error!(
                "reporting to Juju, attempt {tries}: {error}; no further attempt: the next hook publishes the result"
            );
            (self.unheard, self.due) = (None, None);
        } else {
            log::warn!("reporting to Juju, attempt {tries}: {error}; next attempt in {} s", pause.as_secs());
            self.due = Some(now + pause);
        }
    }
}

/// Asks Juju to run our hook, and waits for it to end.
pub fn call_hook(unit_name: &str, deadline: Deadline) -> Result<(), ProcessError> {
    if unit_name.is_empty() {
        // A build by hand, of which no unit wants to hear.
        return Ok(());
    }
    let command = "JUJU_DISPATCH_PATH=worker ./dispatch";
    Program::new("juju-exec").args([unit_name, command]).run(deadline).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn refused() -> Result<(), ProcessError> {
        let (program, status) = ("juju-exec".into(), "exit code 1".into());
        Err(ProcessError::Failed { program, status, stderr: "connection refused".into() })
    }

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
        assert_eq!(reporter.standing(), Standing::Reporting);
    }

    #[test]
    fn a_report_is_tried_for_hours_with_pauses_that_grow() {
        let (mut state, begin) = (State::default(), Instant::now());
        let (mut now, mut pauses) = (begin, Vec::new());
        state.tell(News::Important, now);
        while let Some(due) = state.due.take() {
            pauses.push(due - now);
            now = due;
            state.called(refused(), now);
        }
        assert_eq!(state.standing(), Standing::Reported, "it is given up");
        assert!((11 * HOUR..=12 * HOUR).contains(&(now - begin)), "after {:?}", now - begin);
        assert!(pauses[1] <= FIRST_PAUSE && pauses[1] < pauses[4], "{pauses:?}");
        let longest = pauses.iter().max().unwrap();
        assert!(*longest <= LONGEST_PAUSE && *longest > LONGEST_PAUSE / 2, "{longest:?}");
        assert!(pauses.len() < 400, "{} tries", pauses.len());
    }

    #[test]
    fn what_was_heard_is_not_reported_again() {
        let (mut state, now) = (State::default(), Instant::now());
        state.called(refused(), now);
        assert_eq!(state.standing(), Standing::Unheard);
        state.due = None;
        state.called(Ok(()), now);
        assert_eq!((state.standing(), state.due), (Standing::Reported, None));
    }

    #[test]
    fn while_juju_is_away_progress_changes_nothing_and_what_matters_begins_its_own_tries() {
        let (mut state, begin) = (State::default(), Instant::now());
        for _ in 0..9 {
            state.called(refused(), begin);
        }
        let due = state.due.unwrap();
        assert!(due > begin + INTERVAL);
        state.tell(News::Progress, begin);
        assert_eq!(state.due, Some(due));
        let soon = begin + Duration::from_secs(1);
        state.tell(News::Important, soon);
        assert_eq!(state.due, Some(soon));
        let later = begin + 11 * HOUR;
        state.tell(News::Important, later);
        state.called(refused(), later);
        assert!(state.due.unwrap() <= later + FIRST_PAUSE, "the pauses begin anew");
        state.called(refused(), later + 2 * HOUR);
        assert_eq!(state.standing(), Standing::Unheard, "its own half day has only begun");
    }
}
