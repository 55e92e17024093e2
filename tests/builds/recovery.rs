//! A worker that is killed: the next one goes on from where it was, as the cloud's labels tell.

use rehearsal::agent::Relation;
use rehearsal::cloud::{Fault, What};

use crate::scene::{Deployed, Scene, wait_for};

/// Requests of this kind hang, from the `nth` on.
fn hang(scene: &Scene, method: &str, url: &str, nth: u32) {
    scene.cloud.inject(Fault::new(method, url, What::AcceptAndHang).unwrap().from_nth(nth));
}

const DATA: &str = "/v2/images/.*/file";
const IMAGE: &str = "/v2/images/[^/]+$";

/// The actions of one build: the builder VM is stopped, and a snapshot is taken. Verifications have none.
const BUILD: usize = 2;

/// The worker is dead and the cloud well: the next hook's worker ends the job with one build in all.
fn recovers(scene: &Scene, relation: &Relation) -> String {
    scene.kill_worker();
    assert!(!scene.leftovers().is_empty(), "it was killed before it could clean up");
    scene.cloud.heal();
    scene.next_hook();
    let job = scene.job_ended();
    assert_eq!(job.failures, []);
    assert_eq!(scene.requests("POST", "/action"), BUILD, "nothing is built twice");
    assert_eq!(scene.leftovers(), [] as [String; 0]);
    assert!(scene.jobs().contains(&format!("job {}: configuration", job.id)), "{}", scene.jobs());
    scene.told(relation, "id").expect("an id in the relation")
}

#[test]
fn a_snapshot_that_was_taken_is_delivered_without_another_build() {
    let scene = Scene::set(&[]);
    hang(&scene, "PUT", DATA, 2);
    let relation = scene.integrate("upload");
    let snapshot = wait_for("the delivery", || {
        scene.journal().resources().any(|resource| resource.kind.as_str() == "copy").then_some(())?;
        scene.images_of_stage("builder-project", "snapshot").pop()
    });
    let jobs = scene.jobs();
    assert!(jobs.contains("noble-x64: delivering") && jobs.contains(&snapshot), "{jobs}");
    let id = recovers(&scene, &relation);
    assert_eq!(scene.images_of_stage("upload-project", "published"), [id]);
    assert_eq!(scene.cloud.project("upload-project").images().len(), 1);
}

#[test]
fn a_snapshot_whose_seal_was_not_noted_is_delivered_too() {
    let scene = Scene::set(&[]);
    hang(&scene, "PATCH", IMAGE, 2);
    let relation = scene.integrate("upload");
    wait_for("the snapshot", || scene.images_of_stage("builder-project", "snapshot").pop());
    recovers(&scene, &relation);
}

/// A job with `script` whose worker is killed before its snapshot was verified; returns the snapshot.
fn killed_before_verification(scene: &Scene, script: &str) -> (Relation, String) {
    let url = scene.site.serve_script("script.sh", &format!("#!/bin/bash\n{script}\n"));
    scene.app.set_config(&[("script-url", &url)]).unwrap();
    hang(scene, "POST", "/servers$", 2);
    let relation = scene.integrate("upload");
    wait_for("the verification", || {
        let of_it = |kind: &str| scene.journal().resources().any(|resource| resource.kind.as_str() == kind);
        of_it("verification VM").then_some(())
    });
    scene.await_status("verifying image");
    let snapshot = scene.images_of_stage("builder-project", "snapshot").remove(0);
    (relation, snapshot)
}

#[test]
fn a_snapshot_of_a_dead_worker_is_verified_before_it_is_delivered() {
    let scene = Scene::set(&[]);
    let (relation, _) = killed_before_verification(&scene, "true");
    recovers(&scene, &relation);
    assert_eq!(scene.requests("POST", "/servers"), 3, "the builder, a verification that hung, and another");
}

#[test]
fn a_snapshot_of_a_dead_worker_that_does_not_work_is_kept_aside_and_not_taken_up_again() {
    let scene = Scene::set(&[]);
    let (relation, snapshot) = killed_before_verification(&scene, "rm -r /home/ubuntu/actions-runner/bin");
    scene.kill_worker();
    scene.cloud.heal();
    scene.next_hook();
    let [failure] = &scene.job_ended().failures[..] else { panic!("{}", scene.jobs()) };
    assert!(failure.message.ends_with(&format!("kept as hidden image {snapshot}")), "{failure:?}");
    assert_eq!(scene.images_of_stage("builder-project", "rejected"), std::slice::from_ref(&snapshot));
    assert_eq!(scene.requests("POST", "/action"), BUILD);
    assert_eq!(scene.journal().resources().count(), 0, "{}", scene.jobs());
    assert_eq!(scene.leftovers(), [] as [String; 0]);

    scene.edit_journal(|journal| journal.swept = None);
    scene.look_for_work();
    assert_eq!(scene.job_ended().failures.len(), 1);
    assert_eq!(scene.requests("POST", "/action"), 2 * BUILD, "what failed is built anew");
    let kept = scene.images_of_stage("builder-project", "rejected");
    assert!(kept.len() == 1 && kept[0] != snapshot, "{kept:?}");
    assert_eq!(scene.told(&relation, "id"), None);
}

#[test]
fn a_copy_that_was_complete_is_published_and_one_that_was_not_is_sent_again() {
    let scene = Scene::set(&[]);
    let relations = [scene.integrate("upload"), scene.integrate("upload2")];
    scene.job_ended();
    // Both copies of the next image: one is complete but not published, of the other a part is there.
    let before = relations.each_ref().map(|relation| scene.told(relation, "id").unwrap());
    hang(&scene, "PUT", DATA, 2);
    hang(&scene, "PATCH", IMAGE, 2);
    let action = scene.unit().run_action("run", serde_json::json!({"force": true})).unwrap();
    assert!(action.results.contains_key("job"), "{action:?}");
    let copies = || {
        let of = |project| scene.images_of_stage(project, "delivering");
        [of("upload-project"), of("upload2-project")].concat()
    };
    let complete = wait_for("one complete copy", || copies().pop());
    scene.kill_worker();
    scene.cloud.heal();
    scene.next_hook();
    assert_eq!(scene.job_ended().failures, []);
    let after = relations.each_ref().map(|relation| scene.told(relation, "id").unwrap());
    assert!(after.contains(&complete) && !after.iter().any(|id| before.contains(id)), "{before:?} {after:?}");
    assert_eq!(scene.requests("POST", "/action"), 2 * BUILD, "one for each job");
    for project in ["upload-project", "upload2-project"] {
        assert_eq!(scene.cloud.project(project).images().len(), 2, "two revisions and no part in {project}");
    }
    assert_eq!(scene.leftovers(), [] as [String; 0]);
}

#[test]
fn a_snapshot_that_no_project_takes_is_kept_for_the_next_try() {
    let scene = Scene::set(&[]);
    let refusal = What::Status(403, vec![], "quota".into());
    scene.cloud.inject(Fault::new("POST", "/v2/images$", refusal).unwrap().from_nth(2));
    let relation = scene.integrate("upload");
    let job = scene.job_ended();
    assert_eq!(job.failures.len(), 1, "{:?}", job.failures);
    let kept = scene.images_of_stage("builder-project", "snapshot");
    assert_eq!(kept.len(), 1);
    assert!(scene.jobs().contains(&kept[0]), "{}", scene.jobs());
    assert!(scene.status().contains("for upload-project (image:1)"), "{}", scene.status());
    scene.cloud.heal();
    scene.look_for_work();
    assert_eq!(scene.job_ended().failures, []);
    assert!(scene.told(&relation, "id").is_some());
    assert_eq!(scene.requests("POST", "/action"), BUILD);
    assert_eq!(scene.leftovers(), [] as [String; 0]);
}

#[test]
fn a_worker_that_died_is_cleaned_up_after_when_nobody_wants_images_any_more() {
    let scene = Scene::set(&[]);
    hang(&scene, "PUT", DATA, 2);
    let relation = scene.integrate("upload");
    wait_for("the snapshot", || scene.images_of_stage("builder-project", "snapshot").pop());
    scene.kill_worker();
    scene.cloud.heal();
    assert!(relation.remove().unwrap().iter().all(|run| run.succeeded()));
    assert_eq!(scene.job_ended().failures, []);
    assert_eq!(scene.leftovers(), [] as [String; 0]);
}
