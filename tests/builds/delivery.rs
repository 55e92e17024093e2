//! Publishing and pruning, and clouds that fail alone.

use std::time::Duration;

use rehearsal::agent::Relation;
use rehearsal::cloud::{Fault, What};

use crate::scene::{Deployed, Scene, deployed};

#[test]
fn a_project_that_refuses_its_copy_holds_up_no_other_and_gets_it_later_without_a_build() {
    let scene = Scene::set(&[]);
    // The second project's Keystone user is fine, its image quota is not: its creations alone are refused.
    let other = scene.cloud.project("upload2-project").id().to_owned();
    let first = scene.integrate("upload");
    scene.job_ended();
    let fault = scene
        .cloud
        .inject(Fault::new("POST", "/v2/images$", What::Status(403, vec![], "quota".into())).unwrap());
    let second = scene.integrate("upload2");
    let job = scene.job_ended();
    let failed: Vec<String> =
        job.failures.iter().filter_map(|failure| failure.cloud.as_ref().map(ToString::to_string)).collect();
    assert!(failed.len() == 1 && failed[0] == "upload2-project (image:2)", "{failed:?} ({other})");
    assert!(scene.told(&first, "id").is_some() && scene.told(&second, "id").is_none());
    let status = scene.status();
    assert!(status.starts_with("active: ") && status.contains("for upload2-project (image:2)"), "{status}");
    scene.cloud.lift(fault);
    let servers = || {
        scene
            .cloud
            .log()
            .iter()
            .filter(|entry| entry.method == "POST" && entry.url.ends_with("/servers"))
            .count()
    };
    let before = servers();
    scene.look_for_work();
    assert_eq!(scene.job_ended().failures, []);
    assert!(scene.told(&second, "id").is_some());
    assert_eq!(servers(), before, "copied from the project that has it");
}

#[test]
fn an_upload_that_breaks_off_leaves_no_part_behind_and_the_last_image_published() {
    let scene = Scene::set(&[]);
    let relation = scene.integrate("upload");
    scene.job_ended();
    let id = scene.told(&relation, "id").unwrap();
    let fault = Fault::new("PUT", "/v2/images/.*/file", What::DropConnection).unwrap();
    scene.cloud.inject(fault);
    let job = scene.build_again();
    assert_eq!(job.failures.len(), 1, "{:?}", job.failures);
    scene.cloud.heal();
    assert_eq!(scene.told(&relation, "id"), Some(id));
    assert_eq!(scene.cloud.project("upload-project").images().len(), 1);
    // Nobody has taken the new image: its snapshot waits for the next try, alone.
    assert_eq!(scene.images_of_stage("builder-project", "snapshot").len(), 1);
    assert_eq!(scene.leftovers().len(), 1, "{:?}", scene.leftovers());
}

/// Builds for two projects of which the second answers lists so: the first is served, and the second alone fails.
#[track_caller]
fn is_served_while_another_answers(what: What, words: &str) {
    let scene = Scene::set(&[]);
    let first = scene.integrate("upload");
    assert_eq!(scene.job_ended().failures, []);
    let before = scene.told(&first, "id").unwrap();
    let other = scene.cloud.project("upload2-project").id().to_owned();
    let lists = Fault::new("GET", &format!("/v2/images\\?.*owner={other}"), what).unwrap();
    let fault = scene.cloud.inject(lists);
    let second = scene.integrate("upload2");
    // An image for all is due: another base is.
    scene.set_options(&[("base-image", "jammy")]);
    let new = wait_for_told(&scene, &first, &before);
    let job = deployed::job_ended(&scene.machine(), LONG);
    let [failure] = &job.failures[..] else { panic!("{:?}", job.failures) };
    let told = failure.to_string();
    assert!(told.starts_with("jammy-x64 for upload2-project-") && told.contains(words), "{told}");
    assert!(scene.told(&second, "id").is_none());
    scene.next_hook();
    let status = scene.status();
    assert!(status.starts_with("active: jammy-x64 ") && status.contains(" for upload2-project-"), "{status}");

    scene.cloud.lift(fault);
    scene.look_for_work();
    assert_eq!(scene.job_ended().failures, []);
    assert!(scene.told(&second, "id").is_some());
    assert_eq!(scene.told(&first, "id"), Some(new));
    assert!(!scene.status().contains("failed"), "{}", scene.status());
}

/// Longer than a project that does not answer holds a job up.
const LONG: Duration = Duration::from_secs(600);

fn wait_for_told(scene: &Scene, relation: &Relation, before: &str) -> String {
    deployed::wait_for("another image", LONG, || scene.told(relation, "id").filter(|id| id != before))
}

#[test]
fn a_project_that_refuses_to_list_its_images_holds_up_no_other() {
    is_served_while_another_answers(What::Status(403, vec![], "no".into()), "403");
}

#[test]
fn a_project_whose_lists_fail_holds_up_no_other() {
    is_served_while_another_answers(What::Status(500, vec![], "no".into()), "500");
}

#[test]
fn a_project_whose_lists_never_end_holds_up_no_other_for_long() {
    is_served_while_another_answers(What::AcceptAndHang, "listing images");
}
