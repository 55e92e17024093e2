//! `dispatch check`: checks at once, in this process, what builds and deliveries stand on. Juju may be busy or away.

use super::arguments::{self, Format};
use super::{CliError, secrets};
use crate::builder::check as run_checks;
use crate::charm::{failure, lines};
use crate::host::{Exclusive, Host};
use crate::model::Timestamp;
use crate::record::{CheckOrder, JobId, Request, Scope, worker_lock};

/// Checks what was configured last, and tells of each check; fails when one does. The proxies are those of the environment,
/// and GitHub is asked without a token.
pub fn check(host: &Host, words: &arguments::Check, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let configured = || {
        let ordered = CheckOrder::load(host).map(|order| (order.unit_name, order.config));
        let asked = || Some(Request::load(host).ok()??).map(|request| (request.unit_name, request.config));
        ordered.or_else(asked)
    };
    let (unit_name, config) = configured().ok_or_else(|| {
        CliError::Failed(
            "no accepted configuration to check; run it as root on a unit whose options are valid (juju status)"
                .into(),
        )
    })?;
    let secrets = secrets();
    let scope = if words.deep { Scope::Deep } else { Scope::Full };
    // The sweep of a job would take the VM for an orphan.
    let _lock = match scope {
        Scope::Deep => Some(
            Exclusive::acquire(&worker_lock(host))
                .map_err(|error| CliError::Failed(error.to_string()))?
                .ok_or_else(|| {
                    CliError::Failed(
                        "a job is running; check without --deep, or after the job has ended (dispatch jobs)"
                            .into(),
                    )
                })?,
        ),
        _ => None,
    };
    let (id, has_secrets) = (JobId::random(), !secrets.is_empty());
    let order = CheckOrder { id, at: Timestamp::now(), scope, unit_name, config, has_secrets };
    let findings = run_checks(host, &order, &secrets);
    match words.output.format {
        Format::Text => lines(&findings).lines().for_each(say),
        Format::Json => {
            say(&serde_json::to_string_pretty(&findings)
                .map_err(|error| CliError::Failed(error.to_string()))?)
        }
    }
    failure(&findings).map_or(Ok(()), |failure| Err(CliError::Failed(failure)))
}
