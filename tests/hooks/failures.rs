//! Failures of targets and projects: what ends them, and when they are tried again.

use rehearsal::agent::{ActionRun, ActionStatus};
use runner_image_builder::model::{Cause, Target};
use runner_image_builder::record::{Failure, Phase, Rebuild, Remedy, TaskKind};
use serde_json::json;

use crate::cloud::{Credentials, NOBODY};
use crate::deploy::Plan;
use crate::machine::{JAMMY, NOBLE, Site, all_succeeded, image, succeeded};
use crate::publishing::{FIRST, SECOND};

fn failed(target: Target) -> Failure {
    Failure {
        target: Some(target),
        cloud: None,
        message: "no route to host".into(),
        remedy: Remedy::Retry,
        summary: String::new(),
        cause: Default::default(),
        since: None,
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

#[test]
fn a_new_password_retries_what_depends_on_it_at_once_and_its_failures_are_counted_anew() {
    let (site, _relation) = Plan::new().related();
    let refused = |cause| Failure { cause, ..failed(NOBLE) };
    let reason = || serde_json::to_value(site.request().unwrap().reason).unwrap();
    site.finish_job(vec![refused(Cause::Credentials)], |_| ());
    site.time_has_come();
    site.next_hook();
    assert_eq!(reason(), "retry");
    site.finish_job(vec![refused(Cause::Credentials)], |_| ());
    assert_eq!(told(&site).0, 2);
    all_succeeded(site.password.update(&[("password", "another")]).unwrap());
    assert_eq!(reason(), "secret");
    site.finish_job(vec![refused(Cause::Credentials)], |_| ());
    assert_eq!(told(&site).0, 1);
    let history = site.unit().run_action("history", json!({})).unwrap();
    let text = history.results["history"].as_str().unwrap();
    for line in [
        "requested by: retry of noble-x64 (credentials); 2",
        "requested by: new secret or credentials, retry of noble-x64 (credentials); 2",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }

    // A mirror is none of it.
    site.time_has_come();
    site.next_hook();
    site.finish_job(vec![refused(Cause::Mirror)], |_| ());
    let before = (site.request().unwrap().id, told(&site));
    all_succeeded(site.password.update(&[("password", "a third")]).unwrap());
    assert_eq!((site.request().unwrap().id, told(&site)), before);
}

#[test]
fn another_option_begins_the_count_anew_and_another_related_project_does_not() {
    let (site, _relation) = Plan::new().related();
    site.finish_job(vec![failed(NOBLE)], |_| ());
    let other = Credentials::new(NOBODY, "others");
    site.app.integrate("image", "others", &[&other.data()]).unwrap();
    site.finish_job(vec![failed(NOBLE)], |_| ());
    site.next_hook();
    assert_eq!(told(&site).0, 2);
    assert!(site.status().contains("uild failed: no route to host, next try "), "{}", site.status());
    site.app.set_config(&[("build-flavor", "large")]).unwrap();
    let jobs = site.unit().exec("./dispatch jobs").unwrap().stdout;
    assert!(jobs.contains("failed before the last change of options: noble-x64, 2 in a row"), "{jobs}");
    site.finish_job(vec![failed(NOBLE)], |_| ());
    assert_eq!(told(&site).0, 1);
    let jobs = site.unit().exec("./dispatch jobs").unwrap().stdout;
    assert!(jobs.contains("\nfailing: noble-x64, 1 in a row since "), "{jobs}");
}
