//! The relation `cos-agent`: what a collector on this machine needs to know. Alert rules and dashboard are the files of
//! `observability/`; the metrics are answered by a process per request, which systemd starts at a socket.

pub mod metrics_socket;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::event::COS_AGENT_ENDPOINT;
use crate::charm::cos_agent::metrics_socket::METRICS_PORT;
use crate::host::{Program, Stdin};
use crate::juju::{Databag, Environment, HookToolError, HookTools, RelationId};
use crate::model::Deadline;

const ALERT_RULES: &str = include_str!("../../observability/alert_rules.yaml");
/// What to do about each alert, below its name as a heading.
const RUNBOOK: &str = include_str!("../../docs/how-to/alerts.md");
const DASHBOARD: &str = include_str!("../../observability/dashboard.json");

/// The key that collectors read (`CosAgentProviderUnitData` of grafana-agent's library cos_agent).
const KEY: &str = "config";

/// Tells the collector of `relation`, or of all relations, where the metrics are and what to make of them. The same in
/// every hook of a version, so it needs to be said only when a relation or the charm is new. Returns whether there is
/// anybody to tell.
pub fn tell(
    tools: &dyn HookTools,
    environment: &Environment,
    relation: Option<&RelationId>,
) -> Result<bool, HookToolError> {
    let relations = match relation {
        Some(relation) => vec![relation.clone()],
        None => tools.relation_ids(COS_AGENT_ENDPOINT)?,
    };
    for relation in &relations {
        let config = json!({
            "metrics_alert_rules": alert_rules(environment),
            "log_alert_rules": {},
            "dashboards": dashboards(),
            "metrics_scrape_jobs": [{
                "job_name": format!("{}_0_default", environment.unit.application()),
                "metrics_path": "/metrics",
                "static_configs": [{"targets": [format!("localhost:{METRICS_PORT}")]}],
            }],
            "log_slots": [],
        });
        tools.relation_set(relation, &Databag::from([(KEY.to_owned(), config.to_string())]))?;
    }
    Ok(!relations.is_empty())
}

/// The rules of this application: each is for its own series alone, and says whose it is and what to do.
fn alert_rules(environment: &Environment) -> Value {
    let application = environment.unit.application();
    let labels = [("juju_model_uuid", environment.model_uuid.as_str()), ("juju_application", application)];
    let topology = labels.map(|(name, value)| format!("{name}=\"{value}\"")).join(", ");
    // A file of ours, which a test has parsed.
    let mut rules: Value = serde_yaml::from_str(ALERT_RULES).unwrap_or_default();
    for group in rules["groups"].as_array_mut().into_iter().flatten() {
        let name = group["name"].as_str().unwrap_or_default();
        group["name"] = json!(format!("{}_{application}_{name}", environment.model_uuid));
        for rule in group["rules"].as_array_mut().into_iter().flatten() {
            let expression = rule["expr"].as_str().unwrap_or_default();
            rule["expr"] = json!(expression.replace("%%juju_topology%%", &topology));
            labels.iter().for_each(|(name, value)| rule["labels"][name] = json!(value));
            let runbook = runbook(rule["alert"].as_str().unwrap_or_default(), application);
            rule["annotations"]["runbook"] = json!(runbook);
        }
    }
    rules
}

/// The section of the runbook about `alert`, with the commands for this application. Whoever gets the alert has it without a
/// web page.
fn runbook(alert: &str, application: &str) -> String {
    let sections = RUNBOOK.split("\n## ").filter_map(|section| section.split_once('\n'));
    let section = sections.filter(|(heading, _)| *heading == alert).map(|(_, section)| section).next();
    section.unwrap_or_default().trim().replace("APP", application)
}

/// The dashboard as the interface wants it: JSON, compressed by xz, in base64. None when the machine has no xz: alerts
/// are worth more than pictures.
fn dashboards() -> Vec<String> {
    let xz = Program::new("xz").args(["--compress", "--stdout", "-0"]).stdin(Stdin::Bytes(DASHBOARD.into()));
    match xz.run(Deadline::after(Duration::from_secs(10))) {
        Ok(output) => vec![BASE64_STANDARD.encode(output.stdout)],
        Err(error) => {
            log::warn!("the dashboard is not sent: {error}");
            Vec::new()
        }
    }
}
