//! What an operator orders beside builds: to cancel, to pause, to be told.

use rehearsal::agent::ActionStatus;
use serde_json::json;

use crate::scene::{Deployed, Scene};

#[test]
fn a_cancelled_job_leaves_nothing_and_does_not_come_back_by_itself() {
    let scene = Scene::set(&[]);
    let url = scene.site.serve_script("slow.sh", "#!/bin/bash\nsleep 300\n");
    scene.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = scene.integrate("upload");
    scene.await_status("running the external script");
    let running = scene.journal().job.unwrap().id;
    let action = scene.unit().run_action("cancel", json!({})).unwrap();
    assert_eq!(action.status, ActionStatus::Completed, "{action:?}");
    assert_eq!(action.results["cancelled"], running.as_str());
    let removed = action.results["removed"].as_str().unwrap();
    assert!(removed.starts_with("builder VM image-builder-image-builder-noble-x64-"), "{removed}");
    assert_eq!(scene.leftovers(), [] as [String; 0]);
    scene.job_ended();
    scene.next_hook();
    assert!(scene.worker().is_none());
    let clean_up = action.results["removed-by"].as_str().unwrap();
    assert!(scene.jobs().starts_with(&format!("job {clean_up}: cancel")), "{}", scene.jobs());
    // An order to build is an order to build.
    let url = scene.site.serve_script("quick.sh", "#!/bin/bash\ntrue\n");
    scene.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!(scene.job_ended().failures, []);
    assert!(scene.told(&relation, "id").is_some());
    let action = scene.unit().run_action("cancel", json!({})).unwrap();
    assert_eq!(action.results["cancelled"], "nothing: no job runs or waits");
}

#[test]
fn while_paused_nothing_is_started_and_what_there_is_stays_published() {
    let scene = Scene::set(&[("paused", "true")]);
    let relation = scene.integrate("upload");
    assert_eq!(scene.status(), "blocked: Paused: no builds are started. Set paused=false to go on.");
    scene.look_for_work();
    let action = scene.unit().run_action("run", json!({})).unwrap();
    assert_eq!(action.status, ActionStatus::Failed);
    assert!(action.message.contains("Set paused=false"), "{}", action.message);
    assert!(scene.worker().is_none() && scene.journal().job.is_none());
    scene.app.set_config(&[("paused", "false")]).unwrap();
    assert_eq!(scene.job_ended().failures, []);
    let id = scene.told(&relation, "id").expect("an id");
    scene.app.set_config(&[("paused", "true"), ("base-image", "jammy")]).unwrap();
    assert!(scene.worker().is_none());
    scene.app.set_config(&[("base-image", "noble")]).unwrap();
    assert_eq!(scene.told(&relation, "id"), Some(id));
    let status = scene.status();
    assert!(status.starts_with("active: noble-x64 ") && status.contains("Paused: "), "{status}");
}

#[test]
fn jobs_are_told_to_programs_too() {
    let scene = Scene::set(&[]);
    let relation = scene.integrate("upload");
    scene.job_ended();
    let output = scene.unit().exec("./dispatch jobs --json").unwrap();
    let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(told["journal"]["images"][0]["id"], scene.told(&relation, "id").unwrap().as_str());
    assert_eq!(told["journal"]["job"]["builds"][0]["resources"], json!([]));
    assert_eq!(told["worker_lives"], false);
}
