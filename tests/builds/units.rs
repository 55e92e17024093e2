//! Several units: one builds, all serve, and what one may still name no other prunes.

use rehearsal::agent::{Relation, Unit};
use runner_image_builder::record::Journal;
use serde_json::json;

use crate::fixture::{Deployed, Fixture, status, told_by, wait_for};

/// Each build stops its VM and takes a snapshot; a verification does neither.
fn builds(fixture: &Fixture) -> usize {
    fixture.requests("POST", "/action") / 2
}

/// Waits until both units name the same image, and returns it.
fn agreed(fixture: &Fixture, relation: &Relation) -> String {
    let [first, second] = [fixture.app.unit(0), fixture.app.unit(1)];
    for unit in [&first, &second] {
        fixture.job_of(unit);
        unit.wait_idle(crate::fixture::PATIENCE).unwrap();
    }
    wait_for("both units to name one image", || {
        let named = told_by(&first, relation, "id");
        named.filter(|id| told_by(&second, relation, "id").as_ref() == Some(id))
    })
}

fn is_in(fixture: &Fixture, project: &str, id: &str) -> bool {
    fixture.cloud.project(project).images().iter().any(|image| image.id == id)
}

#[test]
fn every_unit_serves_what_the_leader_has_built_once() {
    let fixture = Fixture::of_units(2, &[]);
    let relations = [fixture.integrate("upload"), fixture.integrate("upload2")];
    assert_eq!(fixture.job_ended().failures, []);
    for (relation, project) in relations.iter().zip(["upload-project", "upload2-project"]) {
        let id = agreed(&fixture, relation);
        assert!(is_in(&fixture, project, &id));
    }
    assert_eq!(builds(&fixture), 1);
    let told = status(&fixture.app.unit(1));
    assert!(told.starts_with("active: Standby: noble-x64 "), "{told}");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    // Each counts what it has done itself.
    let counted = |unit: &Unit, metric: &str| {
        let metrics = unit.exec("./dispatch metrics").unwrap().stdout;
        let sample = format!("runner_image_builder_{metric}{{");
        metrics.lines().filter(|line| line.starts_with(&sample)).count()
    };
    let [leader, standby] = [fixture.app.unit(0), fixture.app.unit(1)];
    assert_eq!((counted(&leader, "results_total"), counted(&leader, "delivered_bytes_total")), (3, 1));
    assert_eq!((counted(&standby, "results_total"), counted(&standby, "delivered_bytes_total")), (0, 0));
}

#[test]
fn a_unit_that_joins_later_serves_at_once_and_builds_nothing() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let id = fixture.told(&relation, "id").unwrap();
    fixture.app.add_unit(fixture.charm()).unwrap();
    assert_eq!(agreed(&fixture, &relation), id);
    assert_eq!(builds(&fixture), 1);
}

#[test]
fn an_announced_image_with_other_bytes_is_not_taken_over() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let host = fixture.host(&fixture.unit());
    let mut journal = Journal::load(&host).unwrap();
    journal.revisions[0].proof.as_mut().unwrap().sha512 = "0".repeat(128);
    journal.save(&host).unwrap();
    let second = fixture.app.add_unit(fixture.charm()).unwrap();
    let job = fixture.job_of(&second);
    assert!(job.failures[0].message.contains("content differs"), "{:?}", job.failures);
    second.wait_idle(crate::fixture::PATIENCE).unwrap();
    assert_eq!(told_by(&second, &relation, "id"), None);
    let told = status(&second);
    assert!(
        told.contains("check of the leader's image failed: ") && told.contains("content differs"),
        "{told}"
    );
}

#[test]
fn leadership_that_moves_in_the_middle_of_a_build_leaves_nothing_behind_and_one_image_named() {
    let fixture = Fixture::of_units(2, &[]);
    let url = fixture.site.serve_script("slow.sh", "#!/bin/bash\nsleep 3\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = fixture.integrate("upload");
    let builder = || fixture.cloud.project("builder-project").servers().pop();
    wait_for("the builder VM", || builder().map(drop));
    fixture.app.set_leader(1).unwrap();
    assert_eq!(fixture.job_of(&fixture.app.unit(1)).failures, []);
    let id = agreed(&fixture, &relation);
    assert!(is_in(&fixture, "upload-project", &id));
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    fixture.app.unit(0).update_status().unwrap();
    assert!(fixture.status().starts_with("active: Standby: noble-x64 "), "{}", fixture.status());
}

#[test]
fn a_new_leader_takes_what_is_there_and_builds_nothing() {
    let fixture = Fixture::of_units(2, &[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let id = agreed(&fixture, &relation);
    fixture.app.set_leader(1).unwrap();
    assert_eq!(fixture.job_of(&fixture.app.unit(1)).failures, []);
    assert_eq!(agreed(&fixture, &relation), id);
    assert_eq!(builds(&fixture), 1);
}

#[test]
fn old_images_are_pruned_once_every_unit_has_moved_on() {
    let fixture = Fixture::of_units(2, &[("revision-history-limit", "2")]);
    let relation = fixture.integrate("upload");
    let mut revisions = vec![agreed(&fixture, &relation)];
    for _ in 0..2 {
        assert_eq!(fixture.build_again().failures, []);
        revisions.push(agreed(&fixture, &relation));
    }
    let mut kept: Vec<String> =
        fixture.cloud.project("upload-project").images().iter().map(|image| image.id.to_string()).collect();
    let mut newest = revisions[1..].to_vec();
    kept.sort();
    newest.sort();
    assert_eq!(kept, newest, "all revisions: {revisions:?}");

    // What is gone is no next best, also for who has not pruned it.
    let [leader, standby] = [fixture.app.unit(0), fixture.app.unit(1)];
    fixture.next_hook();
    standby.wait_idle(crate::fixture::PATIENCE).unwrap();
    let listed = standby.exec("./dispatch list-images").unwrap().stdout;
    assert!(listed.contains(&revisions[2]) && !listed.contains(&revisions[0]), "{listed}");
    for (revoked, next) in [(2, Some(&revisions[1])), (1, None)] {
        let parameters = json!({"image": revisions[revoked], "reason": "broken"});
        let action = leader.run_action("revoke", parameters).unwrap();
        assert_eq!(action.results["revoked"].as_str().map(str::is_empty), Some(false), "{action:?}");
        let told = [&leader, &standby].map(|unit| {
            fixture.job_of(unit);
            unit.wait_idle(crate::fixture::PATIENCE).unwrap();
            told_by(unit, &relation, "id")
        });
        assert_eq!(told, [next.cloned(), next.cloned()], "{revoked} is revoked");
    }
}

fn remove(fixture: &Fixture, units: &[Unit]) -> Vec<String> {
    for unit in units {
        fixture.job_of(unit);
    }
    fixture.app.remove().unwrap();
    let log = fixture.model.debug_log();
    log.iter().filter(|line| line.message.contains("left behind")).map(|line| line.message.clone()).collect()
}

#[test]
fn a_unit_that_goes_leaves_what_the_others_need_and_the_last_takes_it_along() {
    let fixture = Fixture::of_units(2, &[]);
    let relation = fixture.integrate("upload");
    let id = agreed(&fixture, &relation);
    let bases = || fixture.cloud.project("builder-project").images().len();
    fixture.app.remove_unit(0).unwrap();
    assert_eq!(bases(), 2, "the base image and the build stay");
    assert!(is_in(&fixture, "upload-project", &id));
    assert_eq!(told_by(&fixture.app.unit(1), &relation, "id"), Some(id.clone()));
    let last = fixture.app.unit(1);
    assert_eq!(remove(&fixture, &[last]), [] as [String; 0]);
    assert_eq!(bases(), 0);
    assert!(is_in(&fixture, "upload-project", &id), "published images stay");
}

#[test]
fn published_images_go_with_the_application_where_the_operator_says_so() {
    let fixture = Fixture::of_units(2, &[("remove-images-on-removal", "true")]);
    let stranger = fixture.cloud.project("upload-project").add_image("theirs", b"theirs", &[]).unwrap().id;
    let relation = fixture.integrate("upload");
    agreed(&fixture, &relation);
    assert_eq!(remove(&fixture, &fixture.app.units()), [] as [String; 0]);
    let left: Vec<String> =
        fixture.cloud.project("upload-project").images().iter().map(|image| image.id.to_string()).collect();
    assert_eq!(left, [stranger.to_string()]);
    assert_eq!(fixture.cloud.project("builder-project").images().len(), 0);
}
