//! Failures of targets and projects: what ends them, and when they are tried again.

use rehearsal::agent::{ActionRun, ActionStatus};
use runner_image_builder::model::Target;
use runner_image_builder::record::{Failure, Phase, Rebuild, Remedy, TaskKind};
use serde_json::json;

use crate::deploy::Plan;
use crate::machine::{JAMMY, NOBLE, Site, image, succeeded};
use crate::publishing::{FIRST, SECOND};

fn failed(target: Target) -> Failure {
    Failure {
        target: Some(target),
        cloud: None,
        message: "no route to host".into(),
        remedy: Remedy::Retry,
        summary: String::new(),
        cause: Default::default(),
    }
}

/// A unit for noble and jammy, whose first job has built jammy alone.
fn noble_fails(plan: &Plan) -> Site {
    let (site, _relation) = plan.related();
    let cloud = plan.project().cloud();
    site.finish_job(vec![failed(NOBLE)], |journal| journal.publish(image(FIRST, JAMMY, &cloud)));
    site.next_hook();
    site
}

fn plan() -> Plan {
    Plan::new().option("base-image", "noble,jammy")
}

fn run(site: &Site, params: serde_json::Value) -> ActionRun {
    let action = site.unit().run_action("run", params).unwrap();
    assert!(action.run.succeeded(), "{action:?}");
    action
}

/// Failures in a row, the next try and the last success, as programs are told.
fn told(site: &Site) -> (u32, String, String) {
    let journal = site.journal();
    let config = site.request().unwrap().config;
    let text = |at: Option<runner_image_builder::model::Timestamp>| at.map_or("".into(), String::from);
    let next_try = text(journal.next_try(&config, TaskKind::Build));
    (journal.failures_in_row(&config, TaskKind::Build), next_try, text(journal.last_success()))
}

#[test]
fn a_job_that_is_about_something_else_or_does_nothing_ends_no_failure() {
    let plan = plan();
    let site = noble_fails(&plan);
    let before = told(&site);
    assert_eq!(before.0, 1);
    run(&site, json!({"bases": "jammy"}));
    site.finish_job(Vec::new(), |journal| {
        // Up to date.
        journal.publish(image(FIRST, JAMMY, &plan.project().cloud()));
        journal.job.as_mut().unwrap().build(JAMMY).phase = Phase::UpToDate;
    });
    site.next_hook();
    assert_eq!(told(&site), before);
    let status = site.status();
    assert!(
        status.contains("active: 1 of 2 images current; noble-x64 build failed: no route to host, next try "),
        "{status}"
    );
    let output = site.unit().exec("./dispatch jobs; ./dispatch metrics").unwrap();
    assert!(output.stdout.contains("failing: noble-x64, 1 in a row"), "{output:?}");
    assert!(output.stdout.contains("\nrunner_image_builder_failures_in_row 1\n"), "{output:?}");

    site.next_hook();
    assert!(!site.worker_lives(), "not before its time");

    site.time_has_come();
    site.next_hook();
    let request = site.request().unwrap();
    assert_eq!(
        (serde_json::to_value(request.reason).unwrap(), &request.bases[..]),
        (json!("retry"), &[NOBLE.base][..])
    );
    site.finish_job(Vec::new(), |journal| {
        journal.publish(image(SECOND, NOBLE, &plan.project().cloud()));
        journal.job.as_mut().unwrap().build(NOBLE).phase = Phase::Done;
    });
    site.next_hook();
    assert_eq!(told(&site).0, 0);
    assert!(!site.status().contains("failed"), "{}", site.status());
}

#[test]
fn a_rebuild_that_was_asked_for_and_failed_is_owed_until_it_succeeds() {
    let plan = plan();
    let (site, _relation) = plan.settled();
    run(&site, json!({"bases": "noble", "force": true}));
    let forced = site.request().unwrap();
    site.finish_job(vec![failed(NOBLE)], |_| ());
    run(&site, json!({}));
    site.finish_job(Vec::new(), |journal| {
        let old = image(FIRST, NOBLE, &plan.project().cloud());
        journal.publish(runner_image_builder::record::Image { built: forced.at, ..old });
        journal.standings.iter_mut().for_each(|standing| standing.last_failure = Some(forced.at));
        journal.job.as_mut().unwrap().build(NOBLE).phase = Phase::UpToDate;
        journal.images[0].built.0 -= 60;
    });
    site.time_has_come();
    site.next_hook();
    let retry = site.request().unwrap();
    assert_eq!(
        (retry.rebuild, &retry.bases[..], &retry.continues[..]),
        (Rebuild::Always, &[NOBLE.base][..], &[forced.id][..])
    );
}

#[test]
fn a_base_that_is_not_configured_is_refused_by_name() {
    let site = noble_fails(&plan());
    let (asked, before) = (site.request().unwrap().id, told(&site));
    for bases in ["focal", "jammy, 20.04"] {
        let refused = run(&site, json!({"bases": bases}));
        assert_eq!(refused.status, ActionStatus::Failed);
        assert_eq!(refused.message, "Not configured: focal. The option base-image has noble, jammy.");
    }
    assert_eq!((site.request().unwrap().id, told(&site)), (asked, before));
}

#[test]
fn a_target_that_is_not_configured_any_more_fails_no_more() {
    let site = noble_fails(&plan());
    site.app.set_config(&[("base-image", "jammy")]).unwrap();
    site.settle();
    site.next_hook();
    assert_eq!(told(&site).0, 0);
    assert!(site.journal().standings.iter().all(|standing| standing.target == Some(JAMMY)));
    succeeded(site.unit().fire("config-changed").unwrap());
    assert!(!site.worker_lives() && !site.status().contains("failed"), "{}", site.status());
}
