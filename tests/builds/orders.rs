//! What an operator orders beside builds: to cancel, to pause, to be told.

use rehearsal::agent::ActionStatus;
use serde_json::json;

use crate::fixture::{Deployed, Fixture};

#[test]
fn a_cancelled_job_leaves_nothing_and_does_not_come_back_by_itself() {
    let fixture = Fixture::set(&[]);
    let url = fixture.site.serve_script("slow.sh", "#!/bin/bash\nsleep 300\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = fixture.integrate("upload");
    fixture.await_status("running the external script");
    let running = fixture.journal().job.unwrap().id;
    let action = fixture.unit().run_action("cancel", json!({})).unwrap();
    assert_eq!(action.status, ActionStatus::Completed, "{action:?}");
    assert_eq!(action.results["cancelled"], running.as_str());
    let removed = action.results["removed"].as_str().unwrap();
    assert!(removed.starts_with("builder VM image-builder-image-builder-noble-x64-"), "{removed}");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    fixture.job_ended();
    fixture.next_hook();
    assert!(fixture.worker().is_none());
    let clean_up = action.results["removed-by"].as_str().unwrap();
    assert!(fixture.jobs().starts_with(&format!("job {clean_up}: cancel")), "{}", fixture.jobs());
    // An order to build is an order to build.
    let url = fixture.site.serve_script("quick.sh", "#!/bin/bash\ntrue\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    let action = fixture.unit().run_action("cancel", json!({})).unwrap();
    assert_eq!(action.results["cancelled"], "nothing: no job runs or waits");
}

#[test]
fn while_paused_nothing_is_started_and_what_there_is_stays_published() {
    let fixture = Fixture::set(&[("paused", "true")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.status(), "blocked: Paused, set paused=false to resume builds");
    fixture.look_for_work();
    let action = fixture.unit().run_action("run", json!({})).unwrap();
    assert_eq!(action.status, ActionStatus::Failed);
    assert!(action.message.contains("Set paused=false"), "{}", action.message);
    assert!(fixture.journal().job.is_none());
    fixture.app.set_config(&[("paused", "false")]).unwrap();
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    let id = fixture.told(&relation, "id").expect("an id");
    fixture.app.set_config(&[("paused", "true"), ("base-image", "jammy")]).unwrap();
    assert_eq!(fixture.job_ended().id, job.id, "only what builds stand on is checked");
    fixture.app.set_config(&[("base-image", "noble")]).unwrap();
    assert_eq!(fixture.told(&relation, "id"), Some(id));
    let status = fixture.status();
    assert!(status.starts_with("active: noble-x64 ") && status.contains("; paused, "), "{status}");
}

#[test]
fn jobs_are_told_to_programs_too() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let output = fixture.unit().exec("./dispatch jobs --json").unwrap();
    let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(told["journal"]["images"][0]["id"], fixture.told(&relation, "id").unwrap().as_str());
    assert_eq!(told["journal"]["job"]["builds"][0]["resources"], json!([]));
    assert_eq!(told["worker_lives"], false);
}
