//! The checks that hooks order. Where no job visits the projects, they are done at once, also beside a job that was asked for
//! earlier. A check that goes with a job follows it, since a job that builds finds out by itself; and a deep one takes its
//! turn, since it launches a VM as jobs do.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::reporter::{News, Reporter};
use super::work::secrets_stay_out_of_logs;
use crate::builder::{self, check, look};
use crate::host::Host;
use crate::record::{BuildSecrets, CheckOrder, Finding, Findings, JobId, Scope, Verdict};

/// How often a newer order is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// The orders of one worker.
pub struct Checks<'a> {
    host: &'a Host,
    reporter: &'a Reporter,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// The last one that was done, also one that came to nothing: the next hook orders another.
    done: Option<JobId>,
    busy: bool,
    ended: bool,
}

impl<'a> Checks<'a> {
    /// None is done yet.
    pub fn new(host: &'a Host, reporter: &'a Reporter) -> Self {
        Self { host, reporter, state: Mutex::default(), ended: Condvar::new() }
    }

    /// Does the orders that come, but for those that take their turn, until the end; for a thread of its own.
    pub fn serve(&self) {
        let mut state = self.lock();
        while !state.ended {
            match self.open(&state).filter(|order| !takes_its_turn(order)) {
                Some(order) => {
                    state.busy = true;
                    drop(state);
                    self.answer(&order);
                    state = self.lock();
                    state.busy = false;
                    state.done = Some(order.id);
                }
                None => {
                    let waited = self.ended.wait_timeout(state, LOOK);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Does a check whose turn it is; returns whether there was one. For the thread that does the jobs.
    /// One that follows a job uses the secrets that the job has had.
    pub fn take_turn(&self, of_job: Option<&BuildSecrets>) -> bool {
        let Some(order) = self.open(&self.lock()).filter(takes_its_turn) else { return false };
        match of_job.filter(|_| order.scope == Scope::BuildProject) {
            Some(secrets) => self.answer_with(&order, secrets),
            None => self.answer(&order),
        }
        self.lock().done = Some(order.id);
        true
    }

    /// Ends, unless a check is ordered or under way; returns whether this is the end.
    pub fn end_if_idle(&self) -> bool {
        let mut state = self.lock();
        state.ended |= !state.busy && self.open(&state).is_none();
        self.ended.notify_all();
        state.ended
    }

    /// Ends as soon as the check that is under way is done.
    pub fn end(&self) {
        self.lock().ended = true;
        self.ended.notify_all();
    }

    /// Whether a check is ordered that this worker has not tried.
    pub fn has_order(&self) -> bool {
        self.open(&self.lock()).is_some()
    }

    fn open(&self, state: &State) -> Option<CheckOrder> {
        let order = CheckOrder::load(self.host)?;
        (state.done.as_ref() != Some(&order.id) && order.is_open(self.host)).then_some(order)
    }

    fn answer(&self, order: &CheckOrder) {
        let secrets = match order.take_secrets(self.host) {
            Ok(Some(secrets)) => secrets,
            Ok(None) => {
                return log::warn!(
                    "check {}: its secrets are lost; the next hook requests another check",
                    order.id
                );
            }
            Err(error) => return log::error!("check {}: {error}", order.id),
        };
        secrets_stay_out_of_logs(&secrets);
        self.answer_with(order, &secrets);
    }

    fn answer_with(&self, order: &CheckOrder, secrets: &BuildSecrets) {
        log::info!("check {} started", order.id);
        let before = Findings::load(self.host);
        if order.scope > Scope::Upstream {
            let findings = check(self.host, order, secrets);
            // What is as it was needs no hook.
            let is_news = before.as_ref().and_then(told) != told(&findings);
            self.end_with(order, &findings, is_news);
        }
        let news = look(self.host, &order.config, secrets) == builder::News::Some;
        if order.scope == Scope::Upstream {
            // What was found before still holds.
            self.end_with(order, &Findings::of_before(before, order), news);
        } else if news {
            self.tell(order);
        }
    }

    fn end_with(&self, order: &CheckOrder, findings: &Findings, is_news: bool) {
        if let Err(error) = findings.save(self.host) {
            return log::error!("check {}: {error}", order.id);
        }
        log::info!("check {} ended: {}", order.id, findings.verdict().as_str());
        if is_news {
            self.tell(order);
        }
    }

    fn tell(&self, order: &CheckOrder) {
        self.reporter.unit(&order.unit_name);
        self.reporter.tell(News::Important);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn takes_its_turn(order: &CheckOrder) -> bool {
    matches!(order.scope, Scope::BuildProject | Scope::Deep)
}

/// What the status tells of findings.
fn told(findings: &Findings) -> Option<(&str, Vec<&Finding>)> {
    let failures = findings.findings.iter().filter(|finding| finding.verdict == Verdict::Failure);
    let failures: Vec<&Finding> = failures.collect();
    (!failures.is_empty()).then_some((findings.config_digest.as_str(), failures))
}
