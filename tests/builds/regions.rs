//! Clouds with several regions: consumers name none.

use rehearsal::cloud::CloudSetup;

use crate::fixture::{Deployed, Fixture};

/// Of three regions, the first has no Glance.
fn regions() -> CloudSetup {
    let regions = ["A", "B", "C"].map(str::to_owned).into();
    CloudSetup { regions, without_glance: vec!["A".into()], ..CloudSetup::default() }
}

/// The regions in which `upload-project` has images.
fn regions_with_images(fixture: &Fixture) -> Vec<&'static str> {
    let has_images = |region: &&str| !fixture.cloud.project_in("upload-project", region).images().is_empty();
    ["A", "B", "C"].into_iter().filter(has_images).collect()
}

#[test]
fn a_project_that_names_no_region_gets_its_image_in_the_build_projects() {
    let fixture = Fixture::among(regions(), &[("openstack-region-name", "C")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(regions_with_images(&fixture), ["C"]);
    let id = fixture.told(&relation, "id").expect("an id");
    assert!(fixture.cloud.project_in("upload-project", "C").images().iter().any(|image| image.id == id));
}

#[test]
fn where_nobody_names_a_region_the_first_that_has_glance_is_used_and_the_log_says_so() {
    let fixture = Fixture::among(regions(), &[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(regions_with_images(&fixture), ["B"]);
    assert!(fixture.told(&relation, "id").is_some());
    let log = fixture.host(&fixture.unit()).log_dir().join("worker.log");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("using region B, the first of B, C with Glance, because none is configured"),
        "{log}"
    );
}

#[test]
fn an_image_is_not_shared_into_another_region_than_the_one_that_was_chosen() {
    let fixture = Fixture::among(regions(), &[("delivery", "auto")]);
    let auth_url = fixture.cloud.auth_url();
    let data = [
        ("auth_url", auth_url.as_str()),
        ("username", "upload-user"),
        ("password", "upload-password"),
        ("user_domain_name", "Default"),
        ("project_name", "upload-project"),
        ("project_domain_name", "Default"),
        ("region_name", "C"),
    ];
    let relation = fixture.app.integrate("image", "upload-runners", &[&data]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&relation, "id").expect("an id");
    let here = fixture.cloud.project_in("upload-project", "C").images();
    assert!(here.iter().any(|image| image.id == id), "builds are made in B");
}
