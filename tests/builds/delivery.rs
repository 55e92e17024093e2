//! Publishing and pruning, and clouds that fail alone.

use rehearsal::cloud::{Fault, What};

use crate::scene::{Deployed, Scene};

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
    assert_eq!(servers(), before, "copied from the build project");
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
    // Nobody has taken the new image: the build waits for the next try.
    assert_eq!(scene.images_of_stage("builder-project", "revision").len(), 2);
    assert_eq!(scene.leftovers(), [] as [String; 0]);
}

/// What a project holds is known from the journal: nothing of it depends on a list that its owner may refuse.
#[track_caller]
fn is_served_without_a_list(status: u16) {
    let scene = Scene::set(&[]);
    let first = scene.integrate("upload");
    assert_eq!(scene.job_ended().failures, []);
    let before = scene.told(&first, "id");
    let other = scene.cloud.project("upload2-project").id().to_owned();
    let lists = format!("/v2/images\\?.*owner={other}");
    let refused = What::Status(status, vec![], "no".into());
    scene.cloud.inject(Fault::new("GET", &lists, refused).unwrap());
    let second = scene.integrate("upload2");
    // An image for all is due: another base is.
    scene.set_options(&[("base-image", "jammy")]);
    assert_eq!(scene.job_ended().failures, []);
    assert_ne!(scene.told(&first, "id"), before);
    assert!(scene.told(&second, "id").is_some());
}

#[test]
fn a_project_that_refuses_to_list_its_images_is_served() {
    is_served_without_a_list(403);
}

#[test]
fn a_project_whose_lists_fail_is_served() {
    is_served_without_a_list(500);
}
