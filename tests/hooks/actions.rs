//! The operator's action `run`: what it returns, and when it refuses.

use std::fs;
use std::thread;
use std::time::Duration;

use rehearsal::agent::{ActionRun, ActionStatus, Application};
use runner_image_builder::builder::Rebuild;
use serde_json::json;

use crate::cloud::NOBODY;
use crate::deploy::{Plan, script_file};
use crate::machine::{JAMMY, NOBLE, PATIENCE, Site, succeeded};

#[track_caller]
fn run(site: &Site, params: serde_json::Value) -> ActionRun {
    let action = site.unit().run_action("run", params).unwrap();
    assert!(action.run.succeeded(), "the action crashed: {action:?}");
    action
}

#[test]
fn returns_the_jobs_id_at_once_and_the_worker_does_it() {
    let (site, _relation) = Plan::new().settled();
    let before = site.request().unwrap().id;
    let action = run(&site, json!({}));
    assert_eq!((action.status, action.message.as_str()), (ActionStatus::Completed, ""));
    let request = site.request().unwrap();
    assert_eq!(action.results["job"], request.id.as_str());
    assert_ne!(request.id, before);
    assert_eq!((request.rebuild, request.bases.len()), (Rebuild::Due, 0));
    site.worker();
}

#[test]
fn parameters_say_what_is_built() {
    let (site, _relation) = Plan::new().option("base-image", "noble,jammy").settled();
    let action = run(&site, json!({"bases": "22.04, jammy", "force": true}));
    assert_eq!(action.status, ActionStatus::Completed);
    let request = site.request().unwrap();
    assert_eq!((request.rebuild, &request.bases[..1]), (Rebuild::Always, &[JAMMY.base][..]));
    assert!(!request.bases.contains(&NOBLE.base));

    let refused = run(&site, json!({"bases": "warty"}));
    assert_eq!((refused.status, refused.message.as_str()), (ActionStatus::Failed, "Invalid bases: (warty)."));
    assert_eq!(site.request().unwrap(), request);
}

#[test]
fn without_a_relation_that_has_data_it_fails_and_says_so() {
    let site = Plan::new().configured();
    let action = run(&site, json!({}));
    assert_eq!(
        (action.status, action.message.as_str()),
        (ActionStatus::Failed, "Image relation not yet ready.")
    );
    site.app.integrate("image", "runners", &[&[]]).unwrap();
    let action = run(&site, json!({"wait": true}));
    assert_eq!(
        (action.status, action.message.as_str()),
        (ActionStatus::Failed, "Image relation not yet ready.")
    );
    assert_eq!(site.request(), None);
}

/// An application that has nothing to do with us, on our machine.
fn neighbour(site: &Site) -> Application {
    let charm = site.dir.path().join("neighbour");
    fs::create_dir(&charm).unwrap();
    fs::write(charm.join("metadata.yaml"), "{name: neighbour, summary: another}").unwrap();
    script_file(&charm.join("dispatch"), "true");
    site.model.deployment(&charm, "neighbour").beside(&site.unit()).unwrap().run().unwrap()
}

#[test]
fn waiting_ends_before_the_operators_own_patience_and_holds_no_neighbour() {
    let (site, _relation) = Plan::new().related();
    let neighbour = neighbour(&site).unit(0);
    thread::scope(|scope| {
        let action = scope.spawn(|| run(&site, json!({"wait": true})));
        let first = site.request().unwrap().id;
        let asked = || site.request().unwrap().id != first;
        site.model.wait_until("the action", PATIENCE, asked).unwrap();
        succeeded(neighbour.update_status().unwrap());
        assert!(!action.is_finished(), "the neighbour has waited for it");

        let action = action.join().unwrap();
        assert!(action.run.wall < Duration::from_secs(60), "{:?}", action.run.wall);
        assert_eq!((action.status, action.message.as_str()), (ActionStatus::Completed, ""));
        let (job, results) = (site.request().unwrap().id, action.results);
        assert_eq!((&results["job"], &results["state"]), (&json!(job.as_str()), &json!("running")));
        let watch = results["watch"].as_str().unwrap();
        assert!(watch.contains("juju exec --unit image-builder/0 ./dispatch jobs"), "{watch}");
    });
    assert!(site.worker_lives(), "the job goes on");
}

#[test]
fn on_another_unit_than_the_leader_it_fails() {
    let (site, _relation) = Plan::new().units(2).related();
    let action = site.app.unit(1).run_action("run", json!({})).unwrap();
    assert_eq!(action.status, ActionStatus::Failed);
    assert!(action.message.contains("run the action on the leader"), "{}", action.message);
}

#[test]
fn waiting_ends_with_the_job_and_tells_what_went_wrong() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    site.unit().wait_for(|status| status.message.starts_with("Build failed"), PATIENCE).unwrap();
    site.model.wait_until("the worker to end", PATIENCE, || !site.worker_lives()).unwrap();
    assert_failed_job_is_told(&site);
}

#[test]
fn waiting_ends_also_when_another_job_must_end_first() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    site.model.set_hook_deadline(PATIENCE);
    assert_failed_job_is_told(&site);
}

#[track_caller]
fn assert_failed_job_is_told(site: &Site) {
    let action = run(site, json!({"wait": true, "force": true}));
    assert_eq!(action.status, ActionStatus::Failed);
    assert!(action.message.contains("127.0.0.1:1"), "{}", action.message);
    let job = site.journal().job.unwrap();
    assert!(job.finished.is_some());
    assert_eq!(action.results["job"], job.id.as_str());
}
