//! The operator's levers: back to an earlier build and forward again, and a build that is never told again.

use rehearsal::agent::{ActionRun, ActionStatus, Relation};
use runner_image_builder::github::RunnerVersion;
use runner_image_builder::model::Timestamp;
use runner_image_builder::record::{Answered, Upstream};
use serde_json::{Value, json};

use crate::fixture::{Deployed, Fixture, PATIENCE, told_by, wait_for};

/// A charm with two builds, of which its relation is told the second.
fn with_two_builds(options: &[(&str, &str)]) -> (Fixture, Relation, String, String) {
    let fixture = Fixture::set(options);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let first = told(&fixture, &relation);
    assert_eq!(fixture.build_again().failures, []);
    let second = told(&fixture, &relation);
    assert_ne!(first, second);
    (fixture, relation, first, second)
}

fn told(fixture: &Fixture, relation: &Relation) -> String {
    fixture.told(relation, "id").expect("an id in the relation")
}

#[track_caller]
fn act(fixture: &Fixture, action: &str, params: Value) -> ActionRun {
    let done = fixture.unit().run_action(action, params).unwrap();
    assert_eq!((done.status, done.message.as_str()), (ActionStatus::Completed, ""), "{action}: {done:?}");
    done
}

/// The rows of list-images.
fn listed(fixture: &Fixture) -> Vec<Value> {
    let text = act(fixture, "list-images", json!({})).results["json"].as_str().unwrap().to_owned();
    serde_json::from_str(&text).unwrap()
}

fn row(fixture: &Fixture, id: &str) -> Value {
    let rows = listed(fixture);
    rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is not listed: {rows:?}")).clone()
}

#[test]
fn what_was_rolled_back_stays_so_until_it_is_unpinned() {
    let (fixture, relation, first, second) = with_two_builds(&[]);
    let pinned = act(&fixture, "pin", json!({"image": first[..8]}));
    assert_eq!(told(&fixture, &relation), first, "the action itself tells it");
    assert!(!pinned.results.contains_key("waiting"), "{pinned:?}");
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.status().contains(" old, pinned"), "{}", fixture.status());

    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(told(&fixture, &relation), first, "a schedule later");
    assert_eq!(fixture.build_again().failures, []);
    assert_eq!(told(&fixture, &relation), first, "a build later");

    let row = row(&fixture, &first);
    assert_eq!(
        (&row["state"], &row["pinned"], &row["named_by"][0]),
        (&json!("told"), &json!(true), &json!("image:1"))
    );
    for known in ["size", "runner", "base_image", "built"] {
        assert!(!row[known].is_null(), "{known}: {row}");
    }

    act(&fixture, "unpin", json!({}));
    let newest = told(&fixture, &relation);
    assert!(newest != first && newest != second, "the newest is told");
}

#[test]
fn a_project_without_the_pinned_build_is_served_from_the_build_project() {
    let (fixture, relation, first, _) = with_two_builds(&[]);
    let build = row(&fixture, &first)["build"].as_str().unwrap().to_owned();
    fixture.app.set_config(&[("paused", "true")]).unwrap();
    let late = fixture.integrate("upload2");
    let pinned = act(&fixture, "pin", json!({"image": build}));
    let waiting = pinned.results["waiting"].as_str().unwrap();
    assert!(waiting.starts_with("noble-x64 upload2-project"), "{waiting}");
    assert_eq!(told(&fixture, &relation), first);
    let copy = wait_for("the project's copy", || {
        fixture.job_ended();
        fixture.told(&late, "id")
    });
    assert_eq!(row(&fixture, &copy)["build"], build.as_str());
    assert_eq!(fixture.requests("POST", "/action"), 4, "nothing was built");

    let told = act(&fixture, "history", json!({})).results;
    let past: Value = serde_json::from_str(told["json"].as_str().unwrap()).unwrap();
    assert_eq!(past["jobs"][0]["asked"]["action"], "pin");
    assert_eq!(past["jobs"][0]["result"]["delivered"][0]["id"], copy.as_str(), "and not the newest");
    let published = format!(": image {first} of build {build} is published, built 2");
    assert!(told["outcomes"].as_str().unwrap().contains(&published), "{published}: {told:?}");
    let shown = act(&fixture, "show-image", json!({"image": "noble-x64"})).results;
    assert!(shown["text"].as_str().unwrap().starts_with(&format!("build {build} of noble-x64")), "{shown:?}");
    let oldest = fixture.unit().run_action("diff-images", json!({"image": build})).unwrap();
    assert_eq!(
        oldest.message,
        format!(
            "build {build} is the oldest of noble-x64 that is kept; name the build to compare it with (list-images)."
        )
    );
}

#[test]
fn a_pinned_build_is_not_pruned_and_goes_like_others_afterwards() {
    let (fixture, relation, first, _) = with_two_builds(&[("revision-history-limit", "2")]);
    let build = row(&fixture, &first)["build"].as_str().unwrap().to_owned();
    let is_kept = || {
        let is_in = |project: &str, id: &str| {
            fixture.cloud.project(project).images().iter().any(|image| image.id == id)
        };
        (is_in("upload-project", &first), is_in("builder-project", &build))
    };
    act(&fixture, "pin", json!({"image": first}));
    for _ in 0..2 {
        assert_eq!(fixture.build_again().failures, []);
    }
    assert_eq!((told(&fixture, &relation), is_kept()), (first.clone(), (true, true)));
    act(&fixture, "unpin", json!({"target": "noble-x64"}));
    assert_eq!(fixture.build_again().failures, []);
    assert_eq!(is_kept(), (false, false));
}

#[test]
fn a_revoked_build_is_never_told_again_and_the_next_best_is() {
    let (fixture, relation, first, second) = with_two_builds(&[]);
    act(&fixture, "revoke", json!({"image": second, "reason": "its docker does not start"}));
    assert_eq!(told(&fixture, &relation), first);
    fixture.job_ended();
    assert_eq!(row(&fixture, &second)["revoked"], "its docker does not start");
    let status = fixture.status();
    assert!(status.contains("noble-x64 newest build revoked (its docker does not start)"), "{status}");
    let table = act(&fixture, "list-images", json!({})).results["images"].as_str().unwrap().to_owned();
    let row_of = |words: &str| table.lines().any(|line| line.ends_with(words));
    assert!(row_of("published") && row_of("revoked: its docker does not start"), "{table}");
    assert!(table.contains("pin with its ID") && table.contains("show-image"), "{table}");
    act(&fixture, "revoke", json!({"image": first, "reason": "neither"}));
    assert_eq!(fixture.told(&relation, "id"), None);
    assert_eq!(fixture.told(&relation, "images"), None);
    fixture.job_ended();
    assert!(fixture.status().starts_with("blocked: noble-x64 revoked (neither)"), "{}", fixture.status());
    let refused = fixture.unit().run_action("pin", json!({"image": first})).unwrap();
    assert!(refused.message.contains("was revoked"), "{refused:?}");

    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    let third = told(&fixture, &relation);
    assert!(third != first && third != second, "what was revoked counts as not built");
}

#[test]
fn a_build_whose_runner_github_refuses_is_pinned_by_force_only() {
    let (fixture, relation, first, second) = with_two_builds(&[]);
    fixture.edit_journal(|journal| {
        journal.revisions[0].contents.as_mut().unwrap().runner = "2.335.0".into();
    });
    // The one that follows has been out for more than thirty days.
    let published = Timestamp(Timestamp::now().0 - 31 * 86_400);
    Upstream::change(&fixture.host(&fixture.unit()), |known| {
        let answer = vec![RunnerVersion { version: "2.336.0".into(), published }];
        known.runner_versions = Answered { answer, ..known.runner_versions.clone() };
    })
    .unwrap();
    let refused = fixture.unit().run_action("pin", json!({"image": first})).unwrap();
    assert_eq!(refused.status, ActionStatus::Failed);
    assert!(
        refused.message.contains("runner 2.335.0") && refused.message.contains("force=true"),
        "{refused:?}"
    );
    assert_eq!(told(&fixture, &relation), second);
    act(&fixture, "pin", json!({"image": first, "force": true}));
    assert_eq!(told(&fixture, &relation), first);
}

#[test]
fn a_new_leader_keeps_to_what_was_decided() {
    let fixture = Fixture::of_units(2, &[]);
    let relation = fixture.integrate("upload");
    let units = [fixture.app.unit(0), fixture.app.unit(1)];
    let all_tell = |id: &str| {
        wait_for("both units to tell one image", || {
            units.iter().for_each(|unit| unit.wait_idle(PATIENCE).unwrap());
            units.iter().all(|unit| told_by(unit, &relation, "id").as_deref() == Some(id)).then_some(())
        });
    };
    assert_eq!(fixture.job_ended().failures, []);
    let first = told(&fixture, &relation);
    all_tell(&first);
    assert_eq!(fixture.build_again().failures, []);
    let second = told(&fixture, &relation);
    all_tell(&second);
    act(&fixture, "pin", json!({"image": first}));
    all_tell(&first);
    fixture.app.set_leader(1).unwrap();
    assert_eq!(fixture.job_of(&units[1]).failures, []);
    all_tell(&first);
    let unpinned = units[1].run_action("unpin", json!({})).unwrap();
    assert_eq!(unpinned.status, ActionStatus::Completed, "{unpinned:?}");
    all_tell(&second);
    let revoked = units[1].run_action("revoke", json!({"image": second, "reason": "broken"})).unwrap();
    assert_eq!(revoked.status, ActionStatus::Completed, "{revoked:?}");
    all_tell(&first);
}

#[test]
fn a_leader_that_came_late_can_go_back_to_builds_that_it_has_not_seen() {
    let (fixture, relation, _, second) = with_two_builds(&[]);
    let oldest = fixture.journal().revisions.into_iter().min_by_key(|build| build.built).unwrap().id;
    let late = fixture.app.add_unit(fixture.charm()).unwrap();
    wait_for("the late unit to tell the newest image", || {
        late.wait_idle(PATIENCE).unwrap();
        (told_by(&late, &relation, "id").as_deref() == Some(&*second)).then_some(())
    });
    fixture.app.set_leader(1).unwrap();
    assert_eq!(fixture.job_of(&late).failures, []);
    late.wait_idle(PATIENCE).unwrap();
    let pinned = late.run_action("pin", json!({"image": oldest})).unwrap();
    assert_eq!(pinned.status, ActionStatus::Completed, "{pinned:?}");
    wait_for("an image of the older build", || {
        late.wait_idle(PATIENCE).unwrap();
        told_by(&late, &relation, "id").filter(|id| *id != second)
    });
}

#[test]
fn an_action_that_waits_shows_its_jobs_progress_and_not_the_failure_before() {
    let fixture = Fixture::set(&[]);
    let missing =
        format!("{}/no-such-script.sh", fixture.site.serve_script("ok.sh", "#!/bin/bash\nsleep 4\n"));
    fixture.app.set_config(&[("script-url", &missing)]).unwrap();
    fixture.integrate("upload");
    assert_ne!(fixture.job_ended().failures, []);
    fixture.next_hook();
    assert!(fixture.status().contains("failed: "), "{}", fixture.status());
    std::thread::scope(|scope| {
        let action = scope.spawn(|| {
            let url = fixture.site.serve_script("ok.sh", "#!/bin/bash\nsleep 4\n");
            fixture.app.set_config(&[("script-url", &url)]).unwrap();
            fixture.unit().run_action("run", json!({"wait": true})).unwrap()
        });
        wait_for("the progress of what is waited for", || {
            fixture.status().contains("Building").then_some(())
        });
        assert!(!fixture.status().contains("failed: "), "{}", fixture.status());
        let action = action.join().unwrap();
        // On a busy machine the job may go on for longer than the action waits.
        if action.results.get("state").is_some_and(|state| state == "done") {
            let status = fixture.status();
            assert!(status.starts_with("active: noble-x64 ") && !status.contains("failed"), "{status}");
        }
    });
}

#[test]
fn history_tells_who_asked_what_was_built_and_why_it_failed() {
    let (fixture, _relation, _, second) = with_two_builds(&[]);
    let build = row(&fixture, &second)["build"].as_str().unwrap().to_owned();
    fixture
        .app
        .set_config(&[("script-url", &format!("{}nothing", fixture.site.serve_script("s.sh", "")))])
        .unwrap();
    assert_ne!(fixture.job_ended().failures, []);
    let told = act(&fixture, "history", json!({})).results;
    let past: Value = serde_json::from_str(told["json"].as_str().unwrap()).unwrap();
    let [failed, rebuilt, first] = [0, 1, 2].map(|number| past["jobs"][number].clone());
    assert_eq!((&failed["state"], &failed["asked"]["reason"]), (&json!("failed"), &json!("configuration")));
    assert_eq!(failed["asked"]["changed"], json!(["script-url"]));
    assert_eq!(failed["result"]["failures"][0]["cause"], "script");
    assert_eq!((&rebuilt["state"], &rebuilt["asked"]["reason"]), (&json!("succeeded"), &json!("action")));
    assert_eq!(
        (&rebuilt["asked"]["forced"], &rebuilt["result"]["builds"][0]["built"]),
        (&json!(true), &json!(build))
    );
    assert_eq!(rebuilt["result"]["delivered"][0]["id"], second.as_str());
    assert!(rebuilt["result"]["delivered"][0]["bytes"].as_u64() > Some(0), "{rebuilt}");
    assert_eq!(first["state"], "succeeded");
    let outcome =
        past["outcomes"].as_array().unwrap().iter().find(|outcome| outcome["cause"] == "script").unwrap();
    assert_eq!(outcome["failures_in_row"], 1);
    assert!(!outcome["next_try"].is_null(), "{outcome}");
    let text = told["history"].as_str().unwrap();
    assert!(text.contains("failed (script): fetching script-url"), "{text}");
}

#[test]
fn clean_up_lists_what_nothing_needs_and_deletes_what_is_named() {
    let (fixture, relation, _, second) = with_two_builds(&[]);
    let builds = fixture.images_of_stage("builder-project", "revision");
    // The unit forgets one of its builds: nothing is ever delivered from it again.
    let forgotten = builds.iter().find(|id| row(&fixture, &second)["build"] != id.as_str()).unwrap().clone();
    fixture.edit_journal(|journal| journal.revisions.retain(|build| build.id.as_str() != forgotten));
    let stranger = fixture.cloud.project("builder-project").add_image("theirs", b"theirs", &[]).unwrap().id;
    let found = |params: Value| {
        let results = act(&fixture, "clean-up", params).results;
        serde_json::from_str::<Vec<Value>>(results["json"].as_str().unwrap()).unwrap()
    };
    let by_hand = |words: &str| {
        let output = fixture.unit().exec(&format!("./dispatch clean-up {words} --format json")).unwrap();
        assert_eq!(output.code, 0, "{}", output.stderr);
        serde_json::from_str::<Vec<Value>>(&output.stdout).unwrap()
    };
    let counted = |count: u32| {
        let metrics = fixture.unit().exec("./dispatch metrics").unwrap().stdout;
        metrics.contains(&format!("\nrunner_image_builder_unneeded_resources{{kind=\"image\"}} {count}\n"))
    };
    let listed = found(json!({}));
    let ids: Vec<&str> = listed.iter().map(|found| found["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&forgotten]);
    let is_there =
        |id: &str| fixture.cloud.project("builder-project").images().iter().any(|image| image.id == id);
    assert_eq!(by_hand(""), listed, "the same on the unit");
    assert!(is_there(&forgotten) && counted(1), "nothing was named");
    let kept = builds.iter().find(|id| **id != forgotten).unwrap();
    let deleted = by_hand(&format!("{forgotten} {kept} {stranger}"));
    assert_eq!(deleted[0]["outcome"], "deleted");
    assert!(!counted(1), "what is deleted is there no more");
    let again = found(json!({"ids": format!("{kept}, {stranger}")}));
    assert!(again.iter().all(|answer| answer["outcome"] == "not deleted"), "{again:?}");
    assert!(!is_there(&forgotten) && is_there(kept) && is_there(&stranger), "only what was listed goes");
    assert_eq!(told(&fixture, &relation), second);
}
