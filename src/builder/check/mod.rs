//! Checks of what builds and deliveries stand on, before they need it: each tells whether it works, or what to do. Projects
//! are checked side by side and within one deadline: one that hangs holds up no other.

mod deep;
mod project;
mod sources;

use std::thread::scope;
use std::time::Duration;

use crate::builder::clouds::clouds_yaml::read_clouds_yaml;
use crate::builder::clouds::connect::{http_client, in_each};
use crate::host::Host;
use crate::model::{Classified, Deadline, Timestamp};
use crate::record::{BuildSecrets, Check, CheckOrder, CloudName, Finding, Findings, Scope, Verdict};

/// How long all checks together may take, but for the VM of a deep one.
const LIMIT: Duration = Duration::from_secs(40);

/// Checks what `order` asks for. For the worker and the command line, never for a hook.
pub fn check(host: &Host, order: &CheckOrder, secrets: &BuildSecrets) -> Findings {
    Findings {
        order: order.id.clone(),
        findings: findings(host, order, secrets),
        at: Timestamp::now(),
        config_digest: order.config.digest(),
    }
}

fn findings(host: &Host, order: &CheckOrder, secrets: &BuildSecrets) -> Vec<Finding> {
    let failed = |problem: String| vec![Finding::new(Check::Credentials, Verdict::Failure, problem)];
    let http = match http_client(secrets) {
        Ok(http) => http,
        Err(failure) => return failed(failure.message),
    };
    let known = match read_clouds_yaml(host) {
        Ok(known) => known,
        Err(error) => return failed(error.to_string()),
    };
    let CheckOrder { config, scope: extent, .. } = order;
    let deadline = Deadline::after(LIMIT);
    let mut names: Vec<&CloudName> = vec![&config.build_cloud];
    if *extent >= Scope::Projects {
        names.extend(config.clouds.iter().filter(|name| **name != config.build_cloud));
    }
    let mut found = scope(|scope| {
        let sources = (*extent >= Scope::Sources)
            .then(|| scope.spawn(|| sources::check(host, &http, config, secrets, *extent, deadline)));
        let projects = in_each(&known, &names, &http, deadline, |name, connection| {
            project::ProjectCheck { host, order, name, deadline }.run(connection)
        });
        let sources = sources.and_then(|sources| sources.join().ok());
        projects.into_iter().chain(sources).flatten().collect::<Vec<_>>()
    });
    if *extent == Scope::Deep {
        found.push(deep::check(host, &http, &known, order));
    }
    for finding in found.iter().filter(|finding| finding.verdict != Verdict::Ok) {
        log::warn!("check: {finding}");
    }
    found
}

/// An error as a finding: a failure when somebody has to act, else something that may pass.
fn trouble(check: Check, error: &impl Classified, operator_must_act: bool) -> Finding {
    let verdict = if operator_must_act { Verdict::Failure } else { Verdict::Warning };
    Finding::new(check, verdict, error).summed_up(error.summary())
}
