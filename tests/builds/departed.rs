//! A project that is not used any more: nothing of ours stays there but published images, nor its credentials here.

use std::fs;

use rehearsal::cloud::{Fault, What};
use runner_image_builder::model::Timestamp;

use crate::scene::{Deployed, Scene, wait_for};

const OLD: &str = "builder-project";
const NEW: &str = "builder2-project";

fn hang(scene: &Scene, method: &str, url: &str, nth: u32) {
    scene.cloud.inject(Fault::new(method, url, What::AcceptAndHang).unwrap().from_nth(nth));
}

/// From now on builds are to run in another project.
fn move_away(scene: &Scene) {
    scene.app.set_config(&[("openstack-project-name", NEW)]).unwrap();
}

/// All that is in a project, by name.
fn inventory(scene: &Scene, project: &str) -> Vec<String> {
    let view = scene.cloud.project(project);
    let images = view.images().into_iter().map(|image| image.name.unwrap_or_default());
    let servers = view.servers().into_iter().map(|server| server.name);
    let groups = view.security_groups().into_iter().map(|group| group.name);
    images.chain(servers).chain(groups).collect()
}

/// Whether clouds.yaml names this project.
fn knows(scene: &Scene, project: &str) -> bool {
    let clouds = fs::read_to_string(scene.state_file("clouds.yaml")).unwrap();
    clouds.contains(&format!("project_name: {project}\n"))
}

/// The worker has ended, nothing is left in the old project, and nobody could log in there any more.
fn assert_left(scene: &Scene) {
    assert_eq!(scene.job_ended().failures, []);
    assert_eq!(inventory(scene, OLD), [] as [String; 0]);
    assert!(!knows(scene, OLD) && knows(scene, NEW), "the credentials went with the last report");
    assert!(!scene.jobs().contains("left in"), "{}", scene.jobs());
    assert!(!scene.status().contains("Left in"), "{}", scene.status());
}

#[test]
fn a_changed_build_project_leaves_nothing_in_the_old_one() {
    let scene = Scene::set(&[]);
    let relation = scene.integrate("upload");
    assert_eq!(scene.job_ended().failures, []);
    let stays =
        ["image-builder-image-builder-base-noble-x64", "image-builder-image-builder-revision-noble-x64"];
    assert_eq!(inventory(&scene, OLD), stays);
    let published = scene.told(&relation, "id").unwrap();
    move_away(&scene);
    assert_left(&scene);
    assert_eq!(scene.told(&relation, "id"), Some(published), "the image is as good as it was");

    scene.build_again();
    assert_eq!(inventory(&scene, NEW), stays);
    assert_eq!(scene.cloud.project("upload-project").images().len(), 2);
}

#[test]
fn what_a_dead_worker_left_in_the_old_project_goes_too() {
    let scene = Scene::set(&[]);
    hang(&scene, "PUT", "/v2/images/.*/file", 2);
    scene.integrate("upload");
    wait_for("the build", || scene.images_of_stage(OLD, "revision").pop());
    scene.kill_worker();
    assert!(!scene.leftovers().is_empty());
    scene.cloud.heal();
    move_away(&scene);
    assert_left(&scene);
    assert_eq!(scene.images_of_stage("upload-project", "published").len(), 1);
    assert_eq!(scene.cloud.project("upload-project").images().len(), 1, "and no part of the first copy");
}

#[test]
fn a_worker_that_is_killed_while_it_leaves_a_project_is_followed_by_one_that_goes_on() {
    let scene = Scene::set(&[]);
    scene.integrate("upload");
    scene.job_ended();
    hang(&scene, "DELETE", "/v2/images/", 1);
    move_away(&scene);
    wait_for("the removal of the base image", || {
        scene
            .cloud
            .log()
            .iter()
            .any(|entry| entry.method == "DELETE" && entry.url.contains("/v2/images/"))
            .then_some(())
    });
    scene.kill_worker();
    assert!(knows(&scene, OLD), "without them nothing could be removed");
    scene.cloud.heal();
    scene.next_hook();
    assert_left(&scene);
}

#[test]
fn what_cannot_be_removed_is_told_by_name_holds_up_no_build_and_is_given_up_after_a_day() {
    let scene = Scene::set(&[]);
    let relation = scene.integrate("upload");
    scene.job_ended();
    scene
        .cloud
        .inject(Fault::new("DELETE", "/v2/images/", What::Status(403, vec![], "locked".into())).unwrap());
    move_away(&scene);
    assert_eq!(scene.job_ended().failures, [], "the build is none the worse for it");
    let status = scene.status();
    let told = "Left in builder-project-";
    assert!(status.starts_with("active: noble-x64 ") && status.contains(told), "{status}");
    assert!(status.contains("image-builder-image-builder-base-noble-x64: "), "{status}");
    assert!(knows(&scene, OLD) && scene.jobs().contains("tried 1 times since"), "{}", scene.jobs());

    let tries = || scene.journal().orphans.iter().map(|leftovers| leftovers.tries).max();
    scene.next_hook();
    assert_eq!((scene.worker(), tries()), (None, Some(1)), "not at once again");
    scene.edit_journal(|journal| {
        let left = journal.orphans.iter_mut().find(|leftovers| leftovers.tries > 0).unwrap();
        (left.since, left.last) = (Some(Timestamp(Timestamp::now().0 - 100_000)), Some(Timestamp(1)));
    });
    scene.next_hook();
    assert_eq!(scene.job_ended().failures, []);
    assert!(!knows(&scene, OLD), "its credentials are kept no longer");
    assert!(!scene.status().contains("Left in"), "{}", scene.status());
    let jobs = scene.jobs();
    assert!(jobs.contains("left in builder-project-") && jobs.contains("it is yours to remove"), "{jobs}");
    assert!(scene.told(&relation, "id").is_some());
}

#[test]
fn a_project_that_lets_nobody_in_is_told_with_what_is_there_and_left_once_it_does() {
    let scene = Scene::set(&[]);
    scene.integrate("upload");
    scene.job_ended();
    let refusal = What::Status(401, vec![], "no longer".into());
    scene.cloud.inject(Fault::new("POST", "/v3/auth/tokens$", refusal).unwrap().of_project(OLD));
    move_away(&scene);
    assert_eq!(scene.job_ended().failures, [], "the build is none the worse for it");
    let status = scene.status();
    let what = ": base image image-builder-image-builder-base-noble-x64, ";
    assert!(status.contains("Left in builder-project-") && status.contains(what), "{status}");
    scene.cloud.heal();
    scene.edit_journal(|journal| journal.orphans.iter_mut().for_each(|left| left.last = None));
    scene.next_hook();
    assert_left(&scene);
}

#[test]
fn a_project_that_does_not_exist_is_no_reason_to_leave_the_last_one() {
    let scene = Scene::set(&[]);
    scene.integrate("upload");
    scene.job_ended();
    let before = inventory(&scene, OLD);
    scene.app.set_config(&[("openstack-project-name", "biulder-project")]).unwrap();
    assert_eq!(scene.job_ended().failures.len(), 1);
    assert_eq!(inventory(&scene, OLD), before);
    scene.app.set_config(&[("openstack-project-name", OLD)]).unwrap();
    assert_eq!(scene.job_ended().failures, []);
    assert_eq!(inventory(&scene, OLD), before);
    assert!(!knows(&scene, "biulder-project"), "nothing was made there");
    assert!(!scene.status().contains("Left in"), "{}", scene.status());
}

#[test]
fn another_user_in_the_same_project_removes_nothing_that_is_in_use() {
    let scene = Scene::set(&[]);
    scene.integrate("upload");
    scene.job_ended();
    let before = scene.cloud.project(OLD).images().pop().unwrap().id;
    let password = scene.model.add_secret(&[("password", "admin-password")]).unwrap();
    password.grant(&scene.app).unwrap();
    scene
        .app
        .set_config(&[("openstack-user-name", "admin"), ("openstack-password-secret", &password.uri())])
        .unwrap();
    assert_eq!(scene.job_ended().failures, []);
    assert_eq!(scene.cloud.project(OLD).images().pop().map(|image| image.id), Some(before));
    let clouds = fs::read_to_string(scene.state_file("clouds.yaml")).unwrap();
    assert!(!clouds.contains("builder-user") && clouds.contains("username: admin"), "{clouds}");
}

#[test]
fn a_copy_that_was_half_delivered_goes_when_its_relation_does() {
    let scene = Scene::set(&[]);
    hang(&scene, "PUT", "/v2/images/.*/file", 2);
    let relation = scene.integrate("upload");
    wait_for("the copy", || {
        let copies = scene.cloud.project("upload-project").images();
        (!copies.is_empty() && !scene.images_of_stage(OLD, "revision").is_empty()).then_some(())
    });
    scene.kill_worker();
    scene.cloud.heal();
    assert!(relation.remove().unwrap().iter().all(|run| run.succeeded()));
    assert_eq!(scene.job_ended().failures, []);
    assert_eq!(inventory(&scene, "upload-project"), [] as [String; 0]);
    assert!(!knows(&scene, "upload-project"));
}

#[test]
fn an_application_that_goes_takes_along_what_it_has_in_a_former_project() {
    let scene = Scene::set(&[]);
    scene.integrate("upload");
    scene.job_ended();
    let refusal = What::Status(403, vec![], "locked".into());
    scene.cloud.inject(Fault::new("DELETE", "/v2/images/", refusal).unwrap());
    move_away(&scene);
    scene.job_ended();
    assert!(!inventory(&scene, OLD).is_empty());
    scene.cloud.heal();
    assert!(scene.app.remove().unwrap().iter().all(|run| run.succeeded()));
    assert_eq!([inventory(&scene, OLD), inventory(&scene, NEW)].concat(), [] as [String; 0]);
}
