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
    /// Held while findings are written: of two checks that end side by side the newer has the last word.
    writing: Mutex<()>,
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
        let (state, ended, writing) = (Mutex::default(), Condvar::new(), Mutex::default());
        Self { host, reporter, state, ended, writing }
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

    /// Whether a check waits for its turn.
    pub fn is_waiting(&self) -> bool {
        self.open(&self.lock()).is_some_and(|order| takes_its_turn(&order))
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
        if order.scope > Scope::Upstream {
            let findings = check(self.host, order, secrets);
            self.end_with(order, |_| findings);
        }
        let news = look(self.host, &order.config, secrets) == builder::News::Some;
        if order.scope == Scope::Upstream {
            // What was found before still holds.
            self.end_with(order, |before| Findings::of_before(before, order));
        }
        if news {
            self.tell(order);
        }
    }

    /// Answers `order` with the findings that follow from those before, unless a newer order has taken its place: that one is
    /// answered with what is newer, if it is not answered already.
    fn end_with(&self, order: &CheckOrder, findings: impl FnOnce(Option<Findings>) -> Findings) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if CheckOrder::load(self.host).is_some_and(|newest| newest.id != order.id) {
            return log::info!("check {} ended: a newer check has taken its place", order.id);
        }
        let before = Findings::load(self.host);
        let findings = findings(before.clone());
        if let Err(error) = findings.save(self.host) {
            return log::error!("check {}: {error}", order.id);
        }
        log::info!("check {} ended: {}", order.id, findings.verdict().as_str());
        // What is as it was needs no hook.
        if before.as_ref().and_then(told) != told(&findings) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::record::Check;
    use crate::testing::run_config;

    fn order(host: &Host, scope: Scope) -> CheckOrder {
        let order = CheckOrder {
            id: JobId::random(),
            at: Timestamp::now(),
            scope,
            unit_name: "a/0".to_owned(),
            config: run_config(),
            has_secrets: false,
        };
        order.save(host, &BuildSecrets::default()).unwrap();
        order
    }

    fn found(order: &CheckOrder, text: &str) -> Findings {
        let finding = Finding::new(Check::Flavor, Verdict::Failure, text);
        let (order, at) = (order.id.clone(), Timestamp::now());
        Findings { order, at, config_digest: run_config().digest(), findings: vec![finding] }
    }

    #[test]
    fn a_check_that_ends_late_leaves_what_a_newer_one_has_found() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let reporter = Reporter::default();
        let checks = Checks::new(&host, &reporter);
        let old = order(&host, Scope::Upstream);
        let newer = order(&host, Scope::BuildProject);
        checks.end_with(&newer, |_| found(&newer, "new"));
        checks.end_with(&old, |before| Findings::of_before(before, &old));
        assert_eq!(Findings::load(&host).unwrap().order, newer.id, "the newer order stays answered");

        let next = order(&host, Scope::Upstream);
        checks.end_with(&next, |before| Findings::of_before(before, &next));
        let kept = Findings::load(&host).unwrap();
        assert_eq!((kept.order, kept.findings[0].text.as_str()), (next.id, "new"), "what was found holds");
    }
}
