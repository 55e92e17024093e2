//! The operator's action `run`: what it returns, and when it refuses.

use std::fs;
use std::thread;
use std::time::Duration;

use rehearsal::agent::{ActionRun, ActionStatus, Application};
use runner_image_builder::record::Rebuild;
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

#[test]
fn operators_are_told_why_an_action_does_nothing() {
    let mut told = String::new();
    let mut tell = |case: &str, site: &Site, unit: u32, name: &str, params: serde_json::Value| {
        let action = site.app.unit(unit).run_action(name, params).unwrap();
        let results = serde_json::to_string(&action.results).unwrap();
        let text = match action.status {
            ActionStatus::Failed => format!("failed: {}", action.message),
            _ => format!("completed: {results}"),
        };
        told.push_str(&format!("{name}, {case}\n    {text}\n"));
    };
    let site = Plan::new().configured();
    tell("no relation has data", &site, 0, "run", json!({}));
    tell("no job runs", &site, 0, "cancel", json!({}));
    let launch = |path: &str| json!({"path": path, "token-secret-id": "secret:abc"});
    tell("a path that GitHub cannot have", &site, 0, "launch-runner", launch("octo/engine/room"));
    tell("a base that does not exist", &site, 0, "run", json!({"bases": "warty"}));
    site.app.set_config(&[("base-image", "warty")]).unwrap();
    tell("an option is wrong", &site, 0, "run", json!({}));
    let (site, _relation) = Plan::new().units(2).related();
    tell("on a unit that does not lead", &site, 1, "run", json!({}));
    tell("a base that is not configured", &site, 0, "run", json!({"bases": "jammy"}));
    tell("an id that is no secret's", &site, 0, "launch-runner", launch("octo/engine"));
    site.app.set_config(&[("paused", "true")]).unwrap();
    tell("paused", &site, 0, "run", json!({}));
    insta::assert_snapshot!(told, @r#"
    run, no relation has data
        failed: Image relation not yet ready.
    cancel, no job runs
        completed: {"cancelled":"nothing: no job runs or waits","return-code":0}
    launch-runner, a path that GitHub cannot have
        failed: Invalid path: "octo/engine/room" is not a GitHub path: use ORGANIZATION or OWNER/REPOSITORY.
    run, a base that does not exist
        failed: Invalid bases: (warty).
    run, an option is wrong
        failed: Invalid bases: (warty). Set base-image to one or more of focal, jammy, noble, resolute or their versions, separated by commas, each alone or with a release date (noble@20261115).
    run, on a unit that does not lead
        failed: This unit is not the leader; run the action on the leader.
    run, a base that is not configured
        failed: Not configured: jammy. The option base-image has noble.
    launch-runner, an id that is no secret's
        failed: Secret secret:abc cannot be read: secret URI "secret:abc" not valid. Check the secret and its grant.
    run, paused
        failed: Paused. Set paused=false, then run the action again.
    "#);
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
