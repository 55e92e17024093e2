//! Publishing and pruning, and clouds that fail alone.

use rehearsal::cloud::{Fault, What};

use crate::fixture::{Deployed, Fixture};

#[test]
fn a_project_that_refuses_its_copy_holds_up_no_other_and_gets_it_later_without_a_build() {
    let fixture = Fixture::set(&[]);
    // The second project's Keystone user is fine, its image quota is not: its creations alone are refused.
    let other = fixture.cloud.project("upload2-project").id().to_owned();
    let first = fixture.integrate("upload");
    fixture.job_ended();
    let fault = fixture
        .cloud
        .inject(Fault::new("POST", "/v2/images$", What::Status(403, vec![], "quota".into())).unwrap());
    let second = fixture.integrate("upload2");
    let job = fixture.job_ended();
    let failed: Vec<String> =
        job.failures.iter().filter_map(|failure| failure.cloud.as_ref().map(ToString::to_string)).collect();
    assert!(failed.len() == 1 && failed[0] == "upload2-project (image:2)", "{failed:?} ({other})");
    assert!(fixture.told(&first, "id").is_some() && fixture.told(&second, "id").is_none());
    let status = fixture.status();
    assert!(status.starts_with("active: ") && status.contains("(upload2-project) failed: "), "{status}");
    fixture.cloud.lift(fault);
    let servers = || {
        fixture
            .cloud
            .log()
            .iter()
            .filter(|entry| entry.method == "POST" && entry.url.ends_with("/servers"))
            .count()
    };
    let before = servers();
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&second, "id").is_some());
    assert_eq!(servers(), before, "copied from the build project");
}

#[test]
fn an_upload_that_breaks_off_leaves_no_part_behind_and_the_last_image_published() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let id = fixture.told(&relation, "id").unwrap();
    let fault = Fault::new("PUT", "/v2/images/.*/file", What::DropConnection).unwrap();
    fixture.cloud.inject(fault);
    let job = fixture.build_again();
    assert_eq!(job.failures.len(), 1, "{:?}", job.failures);
    fixture.cloud.heal();
    assert_eq!(fixture.told(&relation, "id"), Some(id));
    assert_eq!(fixture.cloud.project("upload-project").images().len(), 1);
    // Nobody has taken the new image: the build waits for the next try.
    assert_eq!(fixture.images_of_stage("builder-project", "revision").len(), 2);
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

/// What a project holds is known from the journal: nothing of it depends on a list that its owner may refuse.
#[track_caller]
fn is_served_without_a_list(status: u16) {
    let fixture = Fixture::set(&[]);
    let first = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let before = fixture.told(&first, "id");
    let other = fixture.cloud.project("upload2-project").id().to_owned();
    let lists = format!("/v2/images\\?.*owner={other}");
    let refused = What::Status(status, vec![], "no".into());
    fixture.cloud.inject(Fault::new("GET", &lists, refused).unwrap());
    let second = fixture.integrate("upload2");
    // An image for all is due: another base is.
    fixture.set_options(&[("base-image", "jammy")]);
    assert_eq!(fixture.job_ended().failures, []);
    assert_ne!(fixture.told(&first, "id"), before);
    assert!(fixture.told(&second, "id").is_some());
}

#[test]
fn a_project_that_refuses_to_list_its_images_is_served() {
    is_served_without_a_list(403);
}

#[test]
fn a_project_whose_lists_fail_is_served() {
    is_served_without_a_list(500);
}
