//! The operator's levers: back to an earlier build and forward again, and a build that is never told again.

use rehearsal::agent::{ActionRun, ActionStatus, Relation};
use runner_image_builder::model::Timestamp;
use serde_json::{Value, json};

use crate::scene::{Deployed, PATIENCE, Scene, told_by, wait_for};

/// A charm with two builds, of which its relation is told the second.
fn with_two_builds(options: &[(&str, &str)]) -> (Scene, Relation, String, String) {
    let scene = Scene::set(options);
    let relation = scene.integrate("upload");
    assert_eq!(scene.job_ended().failures, []);
    let first = told(&scene, &relation);
    assert_eq!(scene.build_again().failures, []);
    let second = told(&scene, &relation);
    assert_ne!(first, second);
    (scene, relation, first, second)
}

fn told(scene: &Scene, relation: &Relation) -> String {
    scene.told(relation, "id").expect("an id in the relation")
}

#[track_caller]
fn act(scene: &Scene, action: &str, params: Value) -> ActionRun {
    let done = scene.unit().run_action(action, params).unwrap();
    assert_eq!((done.status, done.message.as_str()), (ActionStatus::Completed, ""), "{action}: {done:?}");
    done
}

/// The rows of list-images.
fn listed(scene: &Scene) -> Vec<Value> {
    let text = act(scene, "list-images", json!({})).results["json"].as_str().unwrap().to_owned();
    serde_json::from_str(&text).unwrap()
}

fn row(scene: &Scene, id: &str) -> Value {
    let rows = listed(scene);
    rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is not listed: {rows:?}")).clone()
}

#[test]
fn what_was_rolled_back_stays_so_until_it_is_unpinned() {
    let (scene, relation, first, second) = with_two_builds(&[]);
    let pinned = act(&scene, "pin", json!({"image": first[..8]}));
    assert_eq!(told(&scene, &relation), first, "the action itself tells it");
    assert!(!pinned.results.contains_key("waiting"), "{pinned:?}");
    assert_eq!(scene.job_ended().failures, []);
    assert!(scene.status().contains(" old, pinned"), "{}", scene.status());

    scene.look_for_work();
    assert_eq!(scene.job_ended().failures, []);
    assert_eq!(told(&scene, &relation), first, "a schedule later");
    assert_eq!(scene.build_again().failures, []);
    assert_eq!(told(&scene, &relation), first, "a build later");

    let row = row(&scene, &first);
    assert_eq!((&row["state"], &row["pinned"], &row["named_by"][0]), (&json!("told"), &json!(true), &json!("image:1")));
    for known in ["size", "runner", "base_image", "built"] {
        assert!(!row[known].is_null(), "{known}: {row}");
    }

    act(&scene, "unpin", json!({}));
    let newest = told(&scene, &relation);
    assert!(newest != first && newest != second, "the newest is told");
}

#[test]
fn a_project_without_the_pinned_build_is_served_from_the_build_project() {
    let (scene, relation, first, _) = with_two_builds(&[]);
    let build = row(&scene, &first)["build"].as_str().unwrap().to_owned();
    scene.app.set_config(&[("paused", "true")]).unwrap();
    let late = scene.integrate("upload2");
    let pinned = act(&scene, "pin", json!({"image": build}));
    let waiting = pinned.results["waiting"].as_str().unwrap();
    assert!(waiting.starts_with("noble-x64 upload2-project"), "{waiting}");
    assert_eq!(told(&scene, &relation), first);
    let copy = wait_for("the project's copy", || {
        scene.job_ended();
        scene.told(&late, "id")
    });
    assert_eq!(row(&scene, &copy)["build"], build.as_str());
    assert_eq!(scene.requests("POST", "/action"), 4, "nothing was built");
}

#[test]
fn a_pinned_build_is_not_pruned_and_goes_like_others_afterwards() {
    let (scene, relation, first, _) = with_two_builds(&[("revision-history-limit", "2")]);
    let build = row(&scene, &first)["build"].as_str().unwrap().to_owned();
    let is_kept = || {
        let is_in = |project: &str, id: &str| scene.cloud.project(project).images().iter().any(|image| image.id == id);
        (is_in("upload-project", &first), is_in("builder-project", &build))
    };
    act(&scene, "pin", json!({"image": first}));
    for _ in 0..2 {
        assert_eq!(scene.build_again().failures, []);
    }
    assert_eq!((told(&scene, &relation), is_kept()), (first.clone(), (true, true)));
    act(&scene, "unpin", json!({"target": "noble-x64"}));
    assert_eq!(scene.build_again().failures, []);
    assert_eq!(is_kept(), (false, false));
}

#[test]
fn a_revoked_build_is_never_told_again_and_the_next_best_is() {
    let (scene, relation, first, second) = with_two_builds(&[]);
    act(&scene, "revoke", json!({"image": second, "reason": "its docker does not start"}));
    assert_eq!(told(&scene, &relation), first);
    scene.job_ended();
    assert_eq!(row(&scene, &second)["revoked"], "its docker does not start");
    act(&scene, "revoke", json!({"image": first, "reason": "neither"}));
    assert_eq!(scene.told(&relation, "id"), None);
    assert_eq!(scene.told(&relation, "images"), None);
    scene.job_ended();
    assert!(scene.status().starts_with("blocked: noble-x64 revoked (neither)"), "{}", scene.status());
    let refused = scene.unit().run_action("pin", json!({"image": first})).unwrap();
    assert!(refused.message.contains("was revoked"), "{refused:?}");

    scene.look_for_work();
    assert_eq!(scene.job_ended().failures, []);
    let third = told(&scene, &relation);
    assert!(third != first && third != second, "what was revoked counts as not built");
}

#[test]
fn a_build_whose_runner_github_refuses_is_pinned_by_force_only() {
    let (scene, relation, first, second) = with_two_builds(&[]);
    scene.edit_journal(|journal| {
        let month_ago = Timestamp(Timestamp::now().0 - 31 * 86_400);
        journal.revisions[0].contents.as_mut().unwrap().runner = "2.9.0".into();
        journal.revisions[1].built = month_ago;
    });
    let refused = scene.unit().run_action("pin", json!({"image": first})).unwrap();
    assert_eq!(refused.status, ActionStatus::Failed);
    assert!(refused.message.contains("runner 2.9.0") && refused.message.contains("force=true"), "{refused:?}");
    assert_eq!(told(&scene, &relation), second);
    act(&scene, "pin", json!({"image": first, "force": true}));
    assert_eq!(told(&scene, &relation), first);
}

#[test]
fn a_new_leader_keeps_to_what_was_decided() {
    let scene = Scene::of_units(2, &[]);
    let relation = scene.integrate("upload");
    let units = [scene.app.unit(0), scene.app.unit(1)];
    let all_tell = |id: &str| {
        wait_for("both units to tell one image", || {
            units.iter().for_each(|unit| unit.wait_idle(PATIENCE).unwrap());
            units.iter().all(|unit| told_by(unit, &relation, "id").as_deref() == Some(id)).then_some(())
        });
    };
    assert_eq!(scene.job_ended().failures, []);
    let first = told(&scene, &relation);
    all_tell(&first);
    assert_eq!(scene.build_again().failures, []);
    let second = told(&scene, &relation);
    all_tell(&second);
    act(&scene, "pin", json!({"image": first}));
    all_tell(&first);
    scene.app.set_leader(1).unwrap();
    assert_eq!(scene.job_of(&units[1]).failures, []);
    all_tell(&first);
    let unpinned = units[1].run_action("unpin", json!({})).unwrap();
    assert_eq!(unpinned.status, ActionStatus::Completed, "{unpinned:?}");
    all_tell(&second);
    let revoked = units[1].run_action("revoke", json!({"image": second, "reason": "broken"})).unwrap();
    assert_eq!(revoked.status, ActionStatus::Completed, "{revoked:?}");
    all_tell(&first);
}
