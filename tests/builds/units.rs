//! Several units: one builds, all serve, and what one may still name no other prunes.

use rehearsal::agent::{Relation, Unit};
use runner_image_builder::record::Journal;

use crate::scene::{Deployed, Scene, status, told_by, wait_for};

/// Each build stops its VM and takes a snapshot; a verification does neither.
fn builds(scene: &Scene) -> usize {
    scene.requests("POST", "/action") / 2
}

/// Waits until both units name the same image, and returns it.
fn agreed(scene: &Scene, relation: &Relation) -> String {
    let [first, second] = [scene.app.unit(0), scene.app.unit(1)];
    for unit in [&first, &second] {
        scene.job_of(unit);
        unit.wait_idle(crate::scene::PATIENCE).unwrap();
    }
    wait_for("both units to name one image", || {
        let named = told_by(&first, relation, "id");
        named.filter(|id| told_by(&second, relation, "id").as_ref() == Some(id))
    })
}

fn is_in(scene: &Scene, project: &str, id: &str) -> bool {
    scene.cloud.project(project).images().iter().any(|image| image.id == id)
}

#[test]
fn every_unit_serves_what_the_leader_has_built_once() {
    let scene = Scene::of_units(2, &[]);
    let relations = [scene.integrate("upload"), scene.integrate("upload2")];
    assert_eq!(scene.job_ended().failures, []);
    for (relation, project) in relations.iter().zip(["upload-project", "upload2-project"]) {
        let id = agreed(&scene, relation);
        assert!(is_in(&scene, project, &id));
    }
    assert_eq!(builds(&scene), 1);
    let told = status(&scene.app.unit(1));
    assert!(
        told.starts_with("active: noble-x64 ") && told.ends_with("Standing by; the leader builds."),
        "{told}"
    );
    assert_eq!(scene.leftovers(), [] as [String; 0]);
}

#[test]
fn a_unit_that_joins_later_serves_at_once_and_builds_nothing() {
    let scene = Scene::set(&[]);
    let relation = scene.integrate("upload");
    scene.job_ended();
    let id = scene.told(&relation, "id").unwrap();
    scene.app.add_unit(scene.charm()).unwrap();
    assert_eq!(agreed(&scene, &relation), id);
    assert_eq!(builds(&scene), 1);
}

#[test]
fn an_announced_image_with_other_bytes_is_not_taken_over() {
    let scene = Scene::set(&[]);
    let relation = scene.integrate("upload");
    scene.job_ended();
    let host = scene.host(&scene.unit());
    let mut journal = Journal::load(&host).unwrap();
    journal.revisions[0].proof.as_mut().unwrap().sha512 = "0".repeat(128);
    journal.save(&host).unwrap();
    let second = scene.app.add_unit(scene.charm()).unwrap();
    let job = scene.job_of(&second);
    assert!(job.failures[0].message.contains("other bytes"), "{:?}", job.failures);
    second.wait_idle(crate::scene::PATIENCE).unwrap();
    assert_eq!(told_by(&second, &relation, "id"), None);
    let told = status(&second);
    assert!(told.contains("Last job failed: ") && told.contains("other bytes"), "{told}");
}

#[test]
fn leadership_that_moves_in_the_middle_of_a_build_leaves_nothing_behind_and_one_image_named() {
    let scene = Scene::of_units(2, &[]);
    let url = scene.site.serve_script("slow.sh", "#!/bin/bash\nsleep 3\n");
    scene.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = scene.integrate("upload");
    let builder = || scene.cloud.project("builder-project").servers().pop();
    wait_for("the builder VM", || builder().map(drop));
    scene.app.set_leader(1).unwrap();
    assert_eq!(scene.job_of(&scene.app.unit(1)).failures, []);
    let id = agreed(&scene, &relation);
    assert!(is_in(&scene, "upload-project", &id));
    assert_eq!(scene.leftovers(), [] as [String; 0]);
    scene.app.unit(0).update_status().unwrap();
    assert!(scene.status().ends_with("Standing by; the leader builds."), "{}", scene.status());
}

#[test]
fn a_new_leader_takes_what_is_there_and_builds_nothing() {
    let scene = Scene::of_units(2, &[]);
    let relation = scene.integrate("upload");
    scene.job_ended();
    let id = agreed(&scene, &relation);
    scene.app.set_leader(1).unwrap();
    assert_eq!(scene.job_of(&scene.app.unit(1)).failures, []);
    assert_eq!(agreed(&scene, &relation), id);
    assert_eq!(builds(&scene), 1);
}

#[test]
fn old_images_are_pruned_once_every_unit_has_moved_on() {
    let scene = Scene::of_units(2, &[("revision-history-limit", "2")]);
    let relation = scene.integrate("upload");
    let mut revisions = vec![agreed(&scene, &relation)];
    for _ in 0..2 {
        assert_eq!(scene.build_again().failures, []);
        revisions.push(agreed(&scene, &relation));
    }
    let mut kept: Vec<String> =
        scene.cloud.project("upload-project").images().iter().map(|image| image.id.to_string()).collect();
    let mut newest = revisions[1..].to_vec();
    kept.sort();
    newest.sort();
    assert_eq!(kept, newest, "all revisions: {revisions:?}");
}

fn remove(scene: &Scene, units: &[Unit]) -> Vec<String> {
    for unit in units {
        scene.job_of(unit);
    }
    scene.app.remove().unwrap();
    let log = scene.model.debug_log();
    log.iter().filter(|line| line.message.contains("left behind")).map(|line| line.message.clone()).collect()
}

#[test]
fn a_unit_that_goes_leaves_what_the_others_need_and_the_last_takes_it_along() {
    let scene = Scene::of_units(2, &[]);
    let relation = scene.integrate("upload");
    let id = agreed(&scene, &relation);
    let bases = || scene.cloud.project("builder-project").images().len();
    scene.app.remove_unit(0).unwrap();
    assert_eq!(bases(), 2, "the base image and the build stay");
    assert!(is_in(&scene, "upload-project", &id));
    assert_eq!(told_by(&scene.app.unit(1), &relation, "id"), Some(id.clone()));
    let last = scene.app.unit(1);
    assert_eq!(remove(&scene, &[last]), [] as [String; 0]);
    assert_eq!(bases(), 0);
    assert!(is_in(&scene, "upload-project", &id), "published images stay");
}

#[test]
fn published_images_go_with_the_application_where_the_operator_says_so() {
    let scene = Scene::of_units(2, &[("remove-images-on-removal", "true")]);
    let stranger = scene.cloud.project("upload-project").add_image("theirs", b"theirs", &[]).unwrap().id;
    let relation = scene.integrate("upload");
    agreed(&scene, &relation);
    assert_eq!(remove(&scene, &scene.app.units()), [] as [String; 0]);
    let left: Vec<String> =
        scene.cloud.project("upload-project").images().iter().map(|image| image.id.to_string()).collect();
    assert_eq!(left, [stranger.to_string()]);
    assert_eq!(scene.cloud.project("builder-project").images().len(), 0);
}
