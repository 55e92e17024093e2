//! The action `check`: the worker checks what builds and deliveries stand on, and the action tells what it found.

use std::convert::Infallible;
use std::time::Duration;

use super::WAIT;
use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::reconcile;
use crate::charm::turn::Turn;
use crate::host::Host;
use crate::model::{Backoff, Deadline, poll};
use crate::record::{CheckOrder, Finding, Findings, Scope, Verdict};

/// How long a deep check is followed: a VM boots for it.
const DEEP_WAIT: Duration = Duration::from_secs(10 * 60);
/// How often the findings are looked for.
const LOOK: Duration = Duration::from_millis(200);

impl Unit<'_> {
    pub(in crate::charm) fn check_action(&self, event: &Event) -> Result<(), DispatchError> {
        let turn = Turn::take(self.host)?;
        let Some(state) = self.state_for_action(event)? else { return Ok(()) };
        let deep = self.tools.action_get()?.get("deep").and_then(|deep| deep.as_bool()).unwrap_or(false);
        let (scope, wait) = if deep { (Scope::Deep, DEEP_WAIT) } else { (Scope::Full, WAIT) };
        // clouds.yaml has the clouds of all relations from here on.
        self.converge(&state, event, None)?;
        reconcile::order_check(self.host, self.environment, &state, scope)?;
        reconcile::attend_check(self.host, &state.journal(self.host)?)?;
        drop(turn);
        let Some(findings) = follow(self.host, Deadline::after(wait)) else {
            let watch = format!(
                "The check continues; run the action again later, or juju exec --unit {} ./dispatch check.",
                self.environment.unit
            );
            return Ok(self.tools.action_set(&[("state", "running".into()), ("watch", watch)])?);
        };
        let results = vec![
            ("state", "done".to_owned()),
            ("verdict", findings.verdict().as_str().to_owned()),
            ("checks", lines(&findings)),
            ("json", serde_json::to_string(&findings.findings).unwrap_or_default()),
        ];
        self.answer(results, "check --format json")?;
        match failure(&findings) {
            Some(failure) => Ok(self.tools.action_fail(&failure)?),
            None => Ok(()),
        }
    }
}

/// Waits for the findings of the newest order.
fn follow(host: &Host, deadline: Deadline) -> Option<Findings> {
    let found = poll(Backoff::steady(LOOK), deadline, || {
        let order = CheckOrder::load(host).map(|order| order.id);
        Ok::<_, Infallible>(Findings::load(host).filter(|findings| Some(&findings.order) == order.as_ref()))
    });
    found.ok().flatten()
}

/// A line for each finding.
pub fn lines(findings: &Findings) -> String {
    findings.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The failures in one line, the first as a whole.
pub fn failure(findings: &Findings) -> Option<String> {
    let failures: Vec<&Finding> =
        findings.findings.iter().filter(|finding| finding.verdict == Verdict::Failure).collect();
    let first = failures.first()?.told();
    Some(match failures.len() {
        1 => format!("1 check failed: {first}"),
        count => format!("{count} checks failed, the first: {first}"),
    })
}
