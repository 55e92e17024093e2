//! Images that relations are told and that somebody has deleted by hand: the next look for work sees it and mends it, also
//! while nothing can be built.

use rehearsal::agent::Relation;
use rehearsal::cloud::{Fault, What};
use runner_image_builder::record::Job;
use serde_json::json;

use crate::fixture::{Deployed, Fixture};
use crate::sharing::{AUTO, BUILD, builds, ended, told};

const PROJECT: &str = "upload-project";

/// A charm whose relation is told an image.
fn delivered(options: &[(&str, &str)]) -> (Fixture, Relation, String) {
    let fixture = Fixture::set(options);
    let relation = fixture.integrate("upload");
    ended(&fixture);
    let id = told(&fixture, &relation);
    (fixture, relation, id)
}

/// The job of the next look for work.
fn look(fixture: &Fixture) -> Job {
    fixture.look_for_work();
    fixture.job_ended()
}

fn is_there(fixture: &Fixture, project: &str, id: &str) -> bool {
    fixture.cloud.project(project).images().iter().any(|image| image.id == id && image.status == "active")
}

/// From now on, what a build would be made of cannot be found out.
fn hide_base_images(fixture: &Fixture) {
    let gone = What::Status(404, vec![], String::new());
    fixture.site.inject(Fault::new("GET", "/cloud-images/", gone).unwrap());
}

fn vms(fixture: &Fixture) -> usize {
    fixture.requests("POST", "/servers")
}

#[test]
fn a_shared_image_that_was_deleted_is_built_anew() {
    let (fixture, relation, first) = delivered(AUTO);
    assert!(is_there(&fixture, BUILD, &first), "it is the build project's own");
    fixture.cloud.project(BUILD).remove_image(&first);
    assert_eq!(look(&fixture).failures, []);
    let second = told(&fixture, &relation);
    assert!(second != first && is_there(&fixture, BUILD, &second));
}

#[test]
fn a_copy_that_was_deleted_is_delivered_again_while_the_base_image_cannot_be_looked_up() {
    let (fixture, relation, first) = delivered(&[]);
    hide_base_images(&fixture);
    fixture.cloud.project(PROJECT).remove_image(&first);
    let job = look(&fixture);
    let second = told(&fixture, &relation);
    assert!(second != first && is_there(&fixture, PROJECT, &second));
    let [failure] = job.failures.as_slice() else { panic!("one failure: {:?}", job.failures) };
    assert!(failure.message.contains("SHA256SUMS"), "{failure:?}");
    let log = std::fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    assert!(log.contains(&format!("image {first} is missing, or differs from what was delivered")), "{log}");
}

#[test]
fn a_copy_that_was_deleted_is_delivered_again_while_the_script_cannot_be_fetched() {
    let (fixture, relation, first) = delivered(&[]);
    fixture.cloud.project(PROJECT).remove_image(&first);
    let url = format!("{}/script/missing.sh", fixture.site.url());
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!(fixture.job_ended().failures.len(), 1);
    let second = told(&fixture, &relation);
    assert!(second != first && is_there(&fixture, PROJECT, &second));
}

#[test]
fn a_copy_that_was_deleted_is_delivered_again_when_the_build_that_is_due_fails() {
    let (fixture, relation, first) = delivered(&[]);
    fixture.site.publish_images("noble", 2).unwrap();
    fixture.cloud.fail_next_build("No valid host was found.");
    fixture.cloud.project(PROJECT).remove_image(&first);
    assert_eq!(look(&fixture).failures.len(), 1);
    let second = told(&fixture, &relation);
    assert!(second != first && is_there(&fixture, PROJECT, &second));
    // It is what was told before, until the build succeeds.
    assert_eq!(builds(&fixture).len(), 1);
}

#[test]
fn an_image_that_is_gone_everywhere_is_said_to_be_and_built_anew_as_soon_as_that_is_possible() {
    let (fixture, relation, first) = delivered(&[]);
    let build = builds(&fixture)[0].id.clone();
    hide_base_images(&fixture);
    fixture.cloud.project(PROJECT).remove_image(&first);
    fixture.cloud.project(BUILD).remove_image(&build);
    let job = look(&fixture);
    let said = format!("build {build} is no longer in the build project");
    let told_so = |failure: &runner_image_builder::record::Failure| failure.message.contains(&said);
    assert!(job.failures.len() == 2 && job.failures.iter().any(told_so), "{:?}", job.failures);
    fixture.site.heal();
    assert_eq!(look(&fixture).failures, []);
    let second = told(&fixture, &relation);
    assert!(second != first && is_there(&fixture, PROJECT, &second));
}

#[test]
fn a_project_that_cannot_be_reached_is_one_failure_however_many_images_it_is_told() {
    let (fixture, ..) = delivered(&[("base-image", "noble,jammy")]);
    hide_base_images(&fixture);
    let refused = What::Status(401, vec![], String::new());
    fixture.cloud.inject(Fault::new("POST", "/v3/auth/tokens$", refused).unwrap().of_project(PROJECT));
    let job = look(&fixture);
    let (of_project, others): (Vec<_>, Vec<_>) =
        job.failures.iter().partition(|failure| failure.cloud.is_some());
    assert_eq!((of_project.len(), others.len()), (1, 2), "{:?}", job.failures);
    assert_eq!(of_project[0].target, None);
}

#[test]
fn a_pinned_image_that_was_deleted_is_delivered_again() {
    let (fixture, relation, first) = delivered(&[]);
    assert_eq!(fixture.build_again().failures, []);
    let pinned = fixture.unit().run_action("pin", json!({"image": first})).unwrap();
    assert_eq!(pinned.message, "");
    ended(&fixture);
    assert_eq!(told(&fixture, &relation), first);
    let (before, delivered) = (vms(&fixture), fixture.journal().job.unwrap().delivered.len());
    assert_eq!((look(&fixture).delivered.len(), delivered), (0, 0), "it is there");
    fixture.cloud.project(PROJECT).remove_image(&first);
    assert_eq!(look(&fixture).failures, []);
    let second = told(&fixture, &relation);
    assert!(second != first && is_there(&fixture, PROJECT, &second));
    assert_eq!(vms(&fixture), before, "nothing was built");
    assert!(fixture.status().contains(" old, pinned"), "{}", fixture.status());
    fixture.app.set_config(&[("paused", "true")]).unwrap();
    fixture.cloud.project(PROJECT).remove_image(&second);
    assert_eq!(look(&fixture).failures, []);
    let third = told(&fixture, &relation);
    assert!(third != second && is_there(&fixture, PROJECT, &third), "also while builds are paused");
}
