//! When there is something to build, and when there is not.

use rehearsal::agent::{HookRun, Relation};
use runner_image_builder::record::{JobId, Rebuild, Request};
use serde_json::json;

use crate::cloud::{Credentials, NOBODY};
use crate::deploy::Plan;
use crate::machine::{Site, all_succeeded};

fn settled() -> (Site, Relation, JobId) {
    let (site, relation) = Plan::new().settled();
    let last = site.request().unwrap().id;
    (site, relation, last)
}

/// The request that these hooks have made.
#[track_caller]
fn asked(site: &Site, last: &JobId, runs: Vec<HookRun>) -> Request {
    all_succeeded(runs);
    let request = site.request().unwrap();
    assert_ne!(request.id, *last, "nothing was asked for");
    site.worker();
    request
}

#[track_caller]
fn reason(request: &Request) -> String {
    serde_json::to_value(request.reason).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn a_changed_base_image_asks_for_a_job_and_the_same_configuration_does_not() {
    let (site, relation, last) = settled();
    site.next_hook();
    all_succeeded(vec![site.unit().fire("config-changed").unwrap()]);
    all_succeeded(relation.set_remote_unit(0, &[("unrelated", "x")]).unwrap());
    assert_eq!((site.request().unwrap().id, site.worker_lives()), (last.clone(), false));

    let request = asked(&site, &last, site.app.set_config(&[("base-image", "noble,jammy")]).unwrap());
    assert_eq!((reason(&request).as_str(), request.config.targets.len()), ("configuration", 2));
}

#[test]
fn each_option_that_is_part_of_an_image_asks_for_a_job() {
    let (site, _relation, mut last) = settled();
    for (option, value) in [
        ("architecture", "arm64"),
        ("build-flavor", "large"),
        ("runner-version", "2.337.1"),
        ("script-url", "https://example.com/s.sh"),
        ("openstack-project-name", "Elsewhere"),
    ] {
        last = asked(&site, &last, site.app.set_config(&[(option, value)]).unwrap()).id;
        site.settle();
    }
}

#[test]
fn a_changed_interval_alone_builds_nothing() {
    let (site, _relation, last) = settled();
    all_succeeded(site.app.set_config(&[("build-interval", "12")]).unwrap());
    assert_eq!(site.request().unwrap().id, last);
}

#[test]
fn cron_asks_for_a_look_each_time_unless_one_is_under_way() {
    let (site, _relation, last) = settled();
    let cron = || site.unit().exec("JUJU_DISPATCH_PATH=run ./dispatch").unwrap();
    assert_eq!(cron().code, 0);
    let request = site.request().unwrap();
    assert_ne!(request.id, last);
    assert_eq!(reason(&request), "schedule");
    site.worker();
    assert_eq!(cron().code, 0);
    assert_eq!(site.request().unwrap().id, request.id);
}

#[test]
fn a_request_waits_while_a_worker_is_busy_and_the_newest_wins() {
    let (site, _relation, last) = settled();
    let first = asked(&site, &last, site.app.set_config(&[("base-image", "jammy")]).unwrap());
    let worker = site.worker();
    site.app.set_config(&[("base-image", "focal")]).unwrap();
    let action = site.unit().run_action("run", json!({})).unwrap();
    let waiting = site.request().unwrap();
    assert_eq!(action.results["job"], waiting.id.as_str());
    assert_eq!(site.journal().running().unwrap().id, first.id);
    assert_eq!(site.workers(), [worker]);
    assert_eq!(waiting.config.targets[0].base.as_str(), "focal");
}

#[test]
fn a_request_that_waits_is_done_with_the_one_that_takes_its_place() {
    let (site, _relation) = Plan::new().option("base-image", "noble,jammy,focal").settled();
    site.app.set_config(&[("runner-version", "2.337.1")]).unwrap();
    site.worker();
    let taken_up = || site.journal().running().is_some_and(|job| job.id == site.request().unwrap().id);
    site.model.wait_until("the worker to take it up", crate::machine::PATIENCE, taken_up).unwrap();
    let run = |bases: &str| {
        let action = site.unit().run_action("run", json!({"bases": bases, "force": true})).unwrap();
        let result = |name: &str| action.results.get(name).and_then(|id| id.as_str()).map(str::to_owned);
        (result("job").unwrap(), result("replaced"))
    };
    let [(first, _), (second, replaced)] = ["jammy", "noble"].map(run);
    assert_eq!(replaced.as_ref(), Some(&first), "whoever has its id learns what became of it");
    let said = format!("job {first} was replaced by job {second} before it started");
    assert!(site.model.debug_log().iter().any(|line| line.message.contains(&said)), "{said}");
    let request = site.request().unwrap();
    let mut bases: Vec<&str> = request.bases.iter().map(|base| base.as_str()).collect();
    bases.sort_unstable();
    assert_eq!((request.rebuild, bases), (Rebuild::Always, vec!["jammy", "noble"]));
    let history = site.unit().run_action("history", json!({})).unwrap();
    let text = history.results["history"].as_str().unwrap();
    assert!(text.contains(&format!("job {first}: replaced by job {second}")), "{text}");
    for told in [
        "  requested by: action run, force=true, only jammy; 2",
        "  requested by: configuration: runner-version; 2",
        "  Building ",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn a_worker_takes_up_what_was_asked_while_it_worked() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    let first = site.request().unwrap().id;
    all_succeeded(site.app.set_config(&[("base-image", "jammy")]).unwrap());
    let second = site.request().unwrap().id;
    assert_ne!(first, second);
    let done = || site.journal().job.is_some_and(|job| job.id == second && job.finished.is_some());
    site.model.wait_until("the second job", crate::machine::PATIENCE, done).unwrap();
}

#[test]
fn another_related_project_asks_for_a_job_and_one_that_goes_too() {
    let (site, _relation, last) = settled();
    let other = Credentials::new(NOBODY, "others");
    let second = site.app.integrate("image", "others", &[&other.data()]).unwrap();
    let request = site.request().unwrap();
    assert_ne!(request.id, last);
    assert_eq!(request.config.clouds.len(), 2);
    site.settle();
    all_succeeded(second.remove().unwrap());
    assert_eq!(site.request().unwrap().config.clouds.len(), 1);
}

#[test]
fn without_usable_relation_data_nothing_is_built() {
    let site = Plan::new().configured();
    site.app.integrate("image", "runners", &[&[]]).unwrap();
    assert_eq!(site.unit().exec("JUJU_DISPATCH_PATH=run ./dispatch").unwrap().code, 0);
    assert_eq!(site.request(), None, "a worker only checks what is configured");
}

#[test]
fn a_unit_that_does_not_lead_stands_by_until_it_does() {
    let (site, _relation) = Plan::new().units(2).settled();
    let second = site.app.unit(1);
    let status = || second.status().unwrap().to_string();
    assert_eq!(status(), "active: Standby: no image from the leader yet");
    assert_eq!(second.exec("JUJU_DISPATCH_PATH=run ./dispatch").unwrap().code, 0);
    let root = crate::deploy::root(site.dir.path(), 1).join("var/lib/runner-image-builder");
    assert!(root.join("clouds.yaml").exists() && !root.join("request.json").exists());
    assert!(!second.processes().unwrap().iter().any(|process| process.command.contains(" work")));

    all_succeeded(site.app.set_leader(1).unwrap());
    assert!(root.join("request.json").exists());
    assert!(status().starts_with("maintenance: "), "{}", status());
    site.next_hook();
    assert_eq!(site.status(), "active: Standby: no image from the leader yet");
}
