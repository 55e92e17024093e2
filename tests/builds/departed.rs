//! A project that is not used any more: nothing of ours stays there but published images, nor its credentials here.

use std::fs;

use rehearsal::cloud::{Fault, What};
use runner_image_builder::model::Timestamp;

use crate::fixture::{Deployed, Fixture, wait_for};

const OLD: &str = "builder-project";
const NEW: &str = "builder2-project";

fn hang(fixture: &Fixture, method: &str, url: &str, nth: u32) {
    fixture.cloud.inject(Fault::new(method, url, What::AcceptAndHang).unwrap().from_nth(nth));
}

/// From now on builds are to run in another project.
fn move_away(fixture: &Fixture) {
    fixture.app.set_config(&[("openstack-project-name", NEW)]).unwrap();
}

/// All that is in a project, by name.
fn inventory(fixture: &Fixture, project: &str) -> Vec<String> {
    let view = fixture.cloud.project(project);
    let images = view.images().into_iter().map(|image| image.name.unwrap_or_default());
    let servers = view.servers().into_iter().map(|server| server.name);
    let groups = view.security_groups().into_iter().map(|group| group.name);
    images.chain(servers).chain(groups).collect()
}

/// Whether clouds.yaml names this project.
fn knows(fixture: &Fixture, project: &str) -> bool {
    let clouds = fs::read_to_string(fixture.state_file("clouds.yaml")).unwrap();
    clouds.contains(&format!("project_name: {project}\n"))
}

/// The worker has ended, nothing is left in the old project, and nobody could log in there any more.
fn assert_left(fixture: &Fixture) {
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(inventory(fixture, OLD), [] as [String; 0]);
    assert!(!knows(fixture, OLD) && knows(fixture, NEW), "the credentials went with the last report");
    assert!(!fixture.jobs().contains("left in"), "{}", fixture.jobs());
    assert!(!fixture.status().contains("left in"), "{}", fixture.status());
}

#[test]
fn a_changed_build_project_leaves_nothing_in_the_old_one() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let stays =
        ["image-builder-image-builder-base-noble-x64", "image-builder-image-builder-revision-noble-x64"];
    assert_eq!(inventory(&fixture, OLD), stays);
    let published = fixture.told(&relation, "id").unwrap();
    move_away(&fixture);
    assert_left(&fixture);
    assert_eq!(fixture.told(&relation, "id"), Some(published), "the image is as good as it was");

    fixture.build_again();
    assert_eq!(inventory(&fixture, NEW), stays);
    assert_eq!(fixture.cloud.project("upload-project").images().len(), 2);
}

#[test]
fn what_a_dead_worker_left_in_the_old_project_goes_too() {
    let fixture = Fixture::set(&[]);
    hang(&fixture, "PUT", "/v2/images/.*/file", 2);
    fixture.integrate("upload");
    wait_for("the build", || fixture.images_of_stage(OLD, "revision").pop());
    fixture.kill_worker();
    assert!(!fixture.leftovers().is_empty());
    fixture.cloud.heal();
    move_away(&fixture);
    assert_left(&fixture);
    assert_eq!(fixture.images_of_stage("upload-project", "published").len(), 1);
    assert_eq!(fixture.cloud.project("upload-project").images().len(), 1, "and no part of the first copy");
}

#[test]
fn a_worker_that_is_killed_while_it_leaves_a_project_is_followed_by_one_that_goes_on() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.job_ended();
    hang(&fixture, "DELETE", "/v2/images/", 1);
    move_away(&fixture);
    wait_for("the removal of the base image", || {
        fixture
            .cloud
            .log()
            .iter()
            .any(|entry| entry.method == "DELETE" && entry.url.contains("/v2/images/"))
            .then_some(())
    });
    fixture.kill_worker();
    assert!(knows(&fixture, OLD), "without them nothing could be removed");
    fixture.cloud.heal();
    fixture.next_hook();
    assert_left(&fixture);
}

#[test]
fn what_cannot_be_removed_is_told_by_name_holds_up_no_build_and_is_given_up_after_a_day() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    fixture
        .cloud
        .inject(Fault::new("DELETE", "/v2/images/", What::Status(403, vec![], "locked".into())).unwrap());
    move_away(&fixture);
    assert_eq!(fixture.job_ended().failures, [], "the build is none the worse for it");
    let status = fixture.status();
    let told = "left in builder-project-";
    assert!(status.starts_with("active: noble-x64 ") && status.contains(told), "{status}");
    assert!(status.contains("image-builder-image-builder-base-noble-x64: "), "{status}");
    assert!(knows(&fixture, OLD) && fixture.jobs().contains("tried 1 times since"), "{}", fixture.jobs());

    let tries = || fixture.journal().orphans.iter().map(|leftovers| leftovers.tries).max();
    fixture.next_hook();
    assert_eq!((fixture.worker(), tries()), (None, Some(1)), "not at once again");
    fixture.edit_journal(|journal| {
        let left = journal.orphans.iter_mut().find(|leftovers| leftovers.tries > 0).unwrap();
        (left.since, left.last) = (Some(Timestamp(Timestamp::now().0 - 100_000)), Some(Timestamp(1)));
    });
    fixture.next_hook();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(!knows(&fixture, OLD), "its credentials are kept no longer");
    assert!(!fixture.status().contains("left in"), "{}", fixture.status());
    let jobs = fixture.jobs();
    assert!(jobs.contains("left in builder-project-") && jobs.contains("delete it by hand"), "{jobs}");
    assert!(fixture.told(&relation, "id").is_some());
}

#[test]
fn a_project_that_lets_nobody_in_is_told_with_what_is_there_and_left_once_it_does() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.job_ended();
    let refusal = What::Status(401, vec![], "no longer".into());
    fixture.cloud.inject(Fault::new("POST", "/v3/auth/tokens$", refusal).unwrap().of_project(OLD));
    move_away(&fixture);
    assert_eq!(fixture.job_ended().failures, [], "the build is none the worse for it");
    let status = fixture.status();
    let what = ": base image image-builder-image-builder-base-noble-x64, ";
    assert!(status.contains("left in builder-project-") && status.contains(what), "{status}");
    fixture.cloud.heal();
    fixture.edit_journal(|journal| journal.orphans.iter_mut().for_each(|left| left.last = None));
    fixture.next_hook();
    assert_left(&fixture);
}

#[test]
fn a_project_that_does_not_exist_is_no_reason_to_leave_the_last_one() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.job_ended();
    let before = inventory(&fixture, OLD);
    fixture.app.set_config(&[("openstack-project-name", "biulder-project")]).unwrap();
    assert_eq!(fixture.job_ended().failures.len(), 1);
    assert_eq!(inventory(&fixture, OLD), before);
    fixture.app.set_config(&[("openstack-project-name", OLD)]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(inventory(&fixture, OLD), before);
    assert!(!knows(&fixture, "biulder-project"), "nothing was made there");
    assert!(!fixture.status().contains("left in"), "{}", fixture.status());
}

#[test]
fn another_user_in_the_same_project_removes_nothing_that_is_in_use() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.job_ended();
    let before = fixture.cloud.project(OLD).images().pop().unwrap().id;
    let password = fixture.model.add_secret(&[("password", "admin-password")]).unwrap();
    password.grant(&fixture.app).unwrap();
    fixture
        .app
        .set_config(&[("openstack-user-name", "admin"), ("openstack-password-secret", &password.uri())])
        .unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.cloud.project(OLD).images().pop().map(|image| image.id), Some(before));
    let clouds = fs::read_to_string(fixture.state_file("clouds.yaml")).unwrap();
    assert!(!clouds.contains("builder-user") && clouds.contains("username: admin"), "{clouds}");
}

#[test]
fn a_copy_that_was_half_delivered_goes_when_its_relation_does() {
    let fixture = Fixture::set(&[]);
    hang(&fixture, "PUT", "/v2/images/.*/file", 2);
    let relation = fixture.integrate("upload");
    wait_for("the copy", || {
        let copies = fixture.cloud.project("upload-project").images();
        (!copies.is_empty() && !fixture.images_of_stage(OLD, "revision").is_empty()).then_some(())
    });
    fixture.kill_worker();
    fixture.cloud.heal();
    assert!(relation.remove().unwrap().iter().all(|run| run.succeeded()));
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(inventory(&fixture, "upload-project"), [] as [String; 0]);
    assert!(!knows(&fixture, "upload-project"));
}

#[test]
fn an_application_that_goes_takes_along_what_it_has_in_a_former_project() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.job_ended();
    let refusal = What::Status(403, vec![], "locked".into());
    fixture.cloud.inject(Fault::new("DELETE", "/v2/images/", refusal).unwrap());
    move_away(&fixture);
    fixture.job_ended();
    assert!(!inventory(&fixture, OLD).is_empty());
    fixture.cloud.heal();
    assert!(fixture.app.remove().unwrap().iter().all(|run| run.succeeded()));
    assert_eq!([inventory(&fixture, OLD), inventory(&fixture, NEW)].concat(), [] as [String; 0]);
}
