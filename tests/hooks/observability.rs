//! What a collector of metrics is told, and what it finds.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rehearsal::agent::Relation;
use runner_image_builder::cli::metrics::family::FAMILIES;
use serde_json::Value;

use crate::deploy::Plan;
use crate::machine::{NOBLE, Site, all_succeeded, succeeded};
use crate::publishing::FIRST;

const SOCKET: &str = "/etc/systemd/system/runner-image-builder-metrics.socket";
const SERVICE: &str = "/etc/systemd/system/runner-image-builder-metrics@.service";

fn collected(site: &Site) -> (Relation, Value) {
    let relation = site.app.integrate("cos-agent", "collector", &[&[]]).unwrap();
    let config = relation.written_by(&site.unit()).unwrap().remove("config").expect("nothing was said");
    (relation, serde_json::from_str(&config).unwrap())
}

#[test]
fn a_collector_that_goes_elsewhere_changes_nothing_here() {
    let site = Plan::new().configured();
    let (relation, config) = collected(&site);
    all_succeeded(relation.depart_stranger(7).unwrap());
    let now = relation.written_by(&site.unit()).unwrap().remove("config").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&now).unwrap(), config);
    assert!(site.host().path(SOCKET).exists());
}

fn dispatch(site: &Site, argument: &str, stdin: Stdio) -> String {
    let dispatch = site.unit().charm_dir().unwrap().join("dispatch");
    let mut command = site.unit().command(dispatch.to_str().unwrap()).unwrap();
    let output = command.arg(argument).stdin(stdin).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The metrics that a text names.
fn metrics(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word).filter(|word| word.starts_with("runner_image_builder_")).collect()
}

/// The histogram that a metric is part of; of another, itself.
fn without_part(name: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"];
    parts.into_iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

#[test]
fn the_dashboard_shows_every_metric() {
    let text = include_str!("../../observability/dashboard.json");
    let shown: BTreeSet<&str> = metrics(text).into_iter().map(without_part).collect();
    let hidden = FAMILIES.iter().filter(|family| {
        let name = format!("runner_image_builder_{}", family.name);
        !shown.contains(name.as_str())
    });
    assert_eq!(hidden.map(|family| family.name).collect::<Vec<_>>(), [] as [&str; 0]);
}

/// Decompresses as collectors do.
fn decompressed(packed: &str) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), BASE64_STANDARD.decode(packed).unwrap()).unwrap();
    let output =
        Command::new("xz").args(["-dc", "--format=xz"]).stdin(file.reopen().unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_collector_is_told_where_the_metrics_are_and_what_to_make_of_them() {
    let site = Plan::new().bare();
    let (_relation, config) = collected(&site);
    let mut keys: Vec<&str> = config.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort();
    let known = ["dashboards", "log_alert_rules", "log_slots", "metrics_alert_rules", "metrics_scrape_jobs"];
    assert_eq!(keys, known);
    let job = &config["metrics_scrape_jobs"][0];
    assert_eq!(
        (job["metrics_path"].as_str(), job["job_name"].as_str()),
        (Some("/metrics"), Some("image-builder_0_default"))
    );
    let target = job["static_configs"][0]["targets"][0].as_str().unwrap();
    let socket = std::fs::read_to_string(site.host().path(SOCKET)).unwrap();
    assert!(socket.contains(&target.replace("localhost", "ListenStream=127.0.0.1")), "{target}\n{socket}");

    let rules = config["metrics_alert_rules"]["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        let expression = rule["expr"].as_str().unwrap();
        let ours = "juju_application=\"image-builder\"";
        let name = rule["alert"].as_str().unwrap();
        // Prometheus fills in what stands in braces.
        let runbook = rule["annotations"]["runbook"].as_str().unwrap();
        let severity = rule["labels"]["severity"].as_str().unwrap().to_owned() + ": ";
        assert!(runbook.to_lowercase().starts_with(&severity), "{name}: {runbook}");
        assert!(!runbook.contains("APP") && !runbook.contains("{{"), "{name}: {runbook}");
        assert!(expression.contains(ours) && !expression.contains("%%"), "{expression}");
        assert_eq!(rule["labels"]["juju_application"], "image-builder");
        assert!(rule["labels"]["severity"].is_string() && rule["annotations"]["summary"].is_string());
    }
    let dashboard = decompressed(config["dashboards"][0].as_str().unwrap());
    assert!(dashboard["panels"].as_array().is_some_and(|panels| !panels.is_empty()), "{dashboard}");
}

#[test]
fn alerts_and_dashboard_name_no_metric_that_is_not_written() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    let written = dispatch(&site, "metrics", Stdio::null());
    let samples: String =
        written.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    // What has no value now has its type.
    let types: String =
        written.lines().filter(|line| line.starts_with("# TYPE")).map(|line| format!("{line}\n")).collect();
    let cloud = plan.project().cloud();
    let image = format!(
        "runner_image_builder_image_built_timestamp_seconds{{target=\"noble-x64\",cloud=\"{}\"}} ",
        cloud.as_str()
    );
    assert!(samples.contains(&image), "{samples}");
    assert!(samples.contains("\nrunner_image_builder_build_interval_seconds 21600\n"), "{samples}");
    assert!(samples.contains("\nrunner_image_builder_paused 0\n"), "{samples}");
    let wanted =
        format!("runner_image_builder_image_wanted{{target=\"noble-x64\",cloud=\"{}\"}} 1\n", cloud.as_str());
    assert!(samples.contains(&wanted), "{samples}");
    site.app.set_config(&[("paused", "true")]).unwrap();
    let paused = dispatch(&site, "metrics", Stdio::null());
    assert!(paused.contains("\nrunner_image_builder_paused 1\n"), "{paused}");
    for file in ["alert_rules.yaml", "dashboard.json"] {
        let file = format!("{}/observability/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        let named: BTreeSet<&str> = metrics(&text).into_iter().map(without_part).collect();
        assert!(!named.is_empty());
        let unknown: Vec<_> = named.difference(&metrics(&types)).copied().collect();
        assert_eq!(unknown, [] as [&str; 0]);
    }
}

#[test]
fn nobody_is_answered_but_while_a_collector_is_related() {
    let site = Plan::new().configured();
    let open = || [SOCKET, SERVICE].map(|file| site.host().path(file).exists());
    assert_eq!(open(), [false, false]);
    let (relation, first) = collected(&site);
    assert_eq!(open(), [true, true]);
    // Said once; a refresh says it again, for its words may be new.
    let writes = || relation.changes_by(&site.unit()).unwrap();
    site.next_hook();
    succeeded(site.unit().fire("upgrade-charm").unwrap());
    assert_eq!(writes(), 1);
    all_succeeded(relation.remove().unwrap());
    assert_eq!(open(), [false, false]);
    let (_relation, second) = collected(&site);
    assert_eq!(first, second);
    all_succeeded(site.app.remove().unwrap());
    assert_eq!(open(), [false, false]);
}
