//! A worker that is killed: the next one goes on from where it was, as the cloud's labels tell.

use rehearsal::agent::Relation;
use rehearsal::cloud::{Fault, What};

use crate::fixture::{Deployed, Fixture, wait_for};

/// Requests of this kind hang, from the `nth` on.
fn hang(fixture: &Fixture, method: &str, url: &str, nth: u32) {
    fixture.cloud.inject(Fault::new(method, url, What::AcceptAndHang).unwrap().from_nth(nth));
}

const DATA: &str = "/v2/images/.*/file";
const IMAGE: &str = "/v2/images/[^/]+$";

/// The actions of one build: the builder VM is stopped, and a snapshot is taken. Verifications have none.
const BUILD: usize = 2;

/// The worker is dead and the cloud well: the next hook's worker ends the job with one build in all.
fn recovers(fixture: &Fixture, relation: &Relation) -> String {
    fixture.kill_worker();
    assert!(!fixture.leftovers().is_empty(), "it was killed before it could clean up");
    fixture.cloud.heal();
    fixture.next_hook();
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    assert_eq!(fixture.requests("POST", "/action"), BUILD, "nothing is built twice");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    assert!(fixture.jobs().contains(&format!("job {}: configuration", job.id)), "{}", fixture.jobs());
    fixture.told(relation, "id").expect("an id in the relation")
}

#[test]
fn a_build_that_is_finished_is_delivered_without_another() {
    let fixture = Fixture::set(&[]);
    hang(&fixture, "PUT", DATA, 2);
    let relation = fixture.integrate("upload");
    wait_for("the delivery", || {
        fixture.journal().resources().any(|resource| resource.kind.as_str() == "copy").then_some(())
    });
    let builds = fixture.images_of_stage("builder-project", "revision");
    assert_eq!(builds.len(), 1);
    assert!(fixture.jobs().contains("noble-x64: delivering"), "{}", fixture.jobs());
    let id = recovers(&fixture, &relation);
    assert_eq!(fixture.images_of_stage("builder-project", "revision"), builds);
    assert_eq!(fixture.images_of_stage("upload-project", "published"), [id]);
    assert_eq!(fixture.cloud.project("upload-project").images().len(), 1);
}

#[test]
fn a_snapshot_that_was_not_yet_kept_as_a_build_is_delivered_without_another() {
    let fixture = Fixture::set(&[]);
    hang(&fixture, "PATCH", IMAGE, 3);
    let relation = fixture.integrate("upload");
    wait_for("the build", || fixture.journal().revisions.pop());
    let snapshot = fixture.images_of_stage("builder-project", "snapshot");
    recovers(&fixture, &relation);
    assert_eq!(fixture.images_of_stage("builder-project", "revision"), snapshot);
}

#[test]
fn a_snapshot_whose_seal_was_not_noted_is_delivered_too() {
    let fixture = Fixture::set(&[]);
    hang(&fixture, "PATCH", IMAGE, 2);
    let relation = fixture.integrate("upload");
    wait_for("the snapshot", || fixture.images_of_stage("builder-project", "snapshot").pop());
    recovers(&fixture, &relation);
}

/// A job with `script` whose worker is killed before its snapshot was verified; returns the snapshot.
fn killed_before_verification(fixture: &Fixture, script: &str) -> (Relation, String) {
    let url = fixture.site.serve_script("script.sh", &format!("#!/bin/bash\n{script}\n"));
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    hang(fixture, "POST", "/servers$", 2);
    let relation = fixture.integrate("upload");
    wait_for("the verification", || {
        let of_it = |kind: &str| fixture.journal().resources().any(|resource| resource.kind.as_str() == kind);
        of_it("verification VM").then_some(())
    });
    fixture.await_status("verifying image");
    let snapshot = fixture.images_of_stage("builder-project", "snapshot").remove(0);
    (relation, snapshot)
}

#[test]
fn a_snapshot_of_a_dead_worker_is_verified_before_it_is_delivered() {
    let fixture = Fixture::set(&[]);
    let (relation, _) = killed_before_verification(&fixture, "true");
    recovers(&fixture, &relation);
    assert_eq!(fixture.requests("POST", "/servers"), 3, "the builder, a verification that hung, and another");
}

#[test]
fn a_snapshot_of_a_dead_worker_that_does_not_work_is_kept_aside_and_not_taken_up_again() {
    let fixture = Fixture::set(&[]);
    let (relation, snapshot) = killed_before_verification(&fixture, "rm -r /home/ubuntu/actions-runner/bin");
    fixture.kill_worker();
    fixture.cloud.heal();
    fixture.next_hook();
    let [failure] = &fixture.job_ended().failures[..] else { panic!("{}", fixture.jobs()) };
    assert!(failure.message.ends_with(&format!("kept as hidden image {snapshot}")), "{failure:?}");
    assert_eq!(fixture.images_of_stage("builder-project", "rejected"), std::slice::from_ref(&snapshot));
    assert_eq!(fixture.requests("POST", "/action"), BUILD);
    assert_eq!(fixture.journal().resources().count(), 0, "{}", fixture.jobs());
    assert_eq!(fixture.leftovers(), [] as [String; 0]);

    fixture.edit_journal(|journal| journal.swept = None);
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures.len(), 1);
    assert_eq!(fixture.requests("POST", "/action"), 2 * BUILD, "what failed is built anew");
    let kept = fixture.images_of_stage("builder-project", "rejected");
    assert!(kept.len() == 1 && kept[0] != snapshot, "{kept:?}");
    assert_eq!(fixture.told(&relation, "id"), None);
}

#[test]
fn a_copy_that_was_complete_is_published_and_one_that_was_not_is_sent_again() {
    let fixture = Fixture::set(&[]);
    let relations = [fixture.integrate("upload"), fixture.integrate("upload2")];
    fixture.job_ended();
    let base = &fixture.images_of_stage("builder-project", "base")[0];
    fixture.cloud.project("builder-project").label_image(base, "hw_qemu_guest_agent", "yes");
    // Both copies of the next image: one is complete but not published, of the other a part is there.
    let before = relations.each_ref().map(|relation| fixture.told(relation, "id").unwrap());
    hang(&fixture, "PUT", DATA, 2);
    // The snapshot is sealed, and becomes a finished build.
    hang(&fixture, "PATCH", IMAGE, 3);
    let action = fixture.unit().run_action("run", serde_json::json!({"force": true})).unwrap();
    assert!(action.results.contains_key("job"), "{action:?}");
    let copies = || {
        let of = |project| fixture.images_of_stage(project, "delivering");
        [of("upload-project"), of("upload2-project")].concat()
    };
    let complete = wait_for("one complete copy", || copies().pop());
    fixture.kill_worker();
    fixture.cloud.heal();
    fixture.next_hook();
    assert_eq!(fixture.job_ended().failures, []);
    let after = relations.each_ref().map(|relation| fixture.told(relation, "id").unwrap());
    assert!(after.contains(&complete) && !after.iter().any(|id| before.contains(id)), "{before:?} {after:?}");
    assert_eq!(fixture.requests("POST", "/action"), 2 * BUILD, "one for each job");
    for project in ["upload-project", "upload2-project"] {
        let images = fixture.cloud.project(project).images();
        assert_eq!(images.len(), 2, "two revisions and no part in {project}");
        let published = images.iter().find(|image| after.contains(&image.id)).unwrap();
        assert_eq!(published.properties["hw_qemu_guest_agent"], "yes", "{published:?}");
    }
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn a_build_that_no_project_takes_is_kept_for_the_next_try() {
    let fixture = Fixture::set(&[]);
    let refusal = What::Status(403, vec![], "quota".into());
    fixture.cloud.inject(Fault::new("POST", "/v2/images$", refusal).unwrap().from_nth(2));
    let relation = fixture.integrate("upload");
    let job = fixture.job_ended();
    assert_eq!(job.failures.len(), 1, "{:?}", job.failures);
    assert_eq!(fixture.images_of_stage("builder-project", "revision").len(), 1);
    assert!(fixture.status().contains("(upload-project) failed: "), "{}", fixture.status());
    fixture.cloud.heal();
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    assert_eq!(fixture.requests("POST", "/action"), BUILD);
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn a_worker_that_died_is_cleaned_up_after_when_nobody_wants_images_any_more() {
    let fixture = Fixture::set(&[]);
    hang(&fixture, "PUT", DATA, 2);
    let relation = fixture.integrate("upload");
    wait_for("the build", || fixture.images_of_stage("builder-project", "revision").pop());
    fixture.kill_worker();
    fixture.cloud.heal();
    assert!(relation.remove().unwrap().iter().all(|run| run.succeeded()));
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn one_bad_moment_of_each_server_costs_no_builder_vm() {
    let fixture = Fixture::set(&[]);
    let mirror = fixture.site.serve_mirror("noble");
    fixture.app.set_config(&[("build-apt-mirror", &mirror)]).unwrap();
    let runner = "/actions-runner-linux-x64-[^/]*\\.tar\\.gz$";
    let faults = [
        ("/noble-updates/InRelease$", What::DropConnection),
        ("/yq_linux_amd64$", What::DropConnection),
        (runner, What::TruncateBody),
    ];
    let faults =
        faults.map(|(path, what)| fixture.site.inject(Fault::new("GET", path, what).unwrap().times(1)));
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(faults.map(|fault| fixture.site.struck(fault)), [1, 1, 1]);
    assert_eq!(fixture.requests("POST", "/servers"), 2, "one to build in, and one that verified the image");
    let log =
        std::fs::read_to_string(fixture.root(0).join("var/log/runner-image-builder/worker.log")).unwrap();
    for reason in ["Empty reply from server", "transfer closed", "Failed to fetch"] {
        let told = |line: &str| line.contains("attempt 1 of 5 failed: ") && line.contains(reason);
        assert!(log.lines().any(told), "no attempt with {reason:?} is logged");
    }
}
