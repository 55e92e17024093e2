//! Related projects of different owners: what one of them does, plants or lets happen is no other's concern.

use std::collections::BTreeMap;
use std::time::Duration;

use rehearsal::agent::Relation;
use rehearsal::cloud::{CloudSetup, Fault, Image, Script, UserSetup, What};

use crate::fixture::{APPLICATION, Deployed, Fixture, PATIENCE, told_by, wait_for};

const IMAGE: &str = "/v2/images/[^/]+$";
const LIST: &str = "/v2/images\\?";
const DATA: &str = "/v2/images/.*/file";

/// Each build stops its VM and takes a snapshot.
fn builds(fixture: &Fixture) -> usize {
    fixture.requests("POST", "/action") / 2
}

fn bytes(fixture: &Fixture, project: &str, id: &str) -> Vec<u8> {
    fixture.cloud.project(project).image_bytes(id).unwrap()
}

/// The bytes of the only build that the build project keeps.
fn built(fixture: &Fixture) -> Vec<u8> {
    let revisions = fixture.images_of_stage("builder-project", "revision");
    assert_eq!(revisions.len(), 1);
    bytes(fixture, "builder-project", &revisions[0])
}

/// Puts an image of a tenant's own into its project, with all labels that it can read on its copy of ours.
fn plant(fixture: &Fixture, project: &str, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<(&str, &str)> =
        labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let view = fixture.cloud.project(project);
    let planted = view.add_image(&format!("{APPLICATION}-noble-x64"), b"poison", &labels).unwrap();
    view.label_image(&planted.id, "runner_image_builder_self", &planted.id);
    planted.id
}

fn copy(fixture: &Fixture, project: &str) -> Image {
    fixture.cloud.project(project).images().pop().unwrap()
}

#[test]
fn an_image_that_a_tenant_has_labelled_as_ours_is_served_to_nobody() {
    let fixture = Fixture::set(&[]);
    let first = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let ours = fixture.told(&first, "id").unwrap();
    plant(&fixture, "upload-project", &copy(&fixture, "upload-project").properties);
    let second = fixture.integrate("upload2");
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&second, "id").unwrap();
    assert!(bytes(&fixture, "upload2-project", &id) == built(&fixture), "the tenant's bytes");
    assert_eq!((fixture.told(&first, "id"), builds(&fixture)), (Some(ours), 1));
}

#[test]
fn an_image_that_is_planted_ahead_of_the_next_build_is_told_to_nobody() {
    let fixture = Fixture::set(&[]);
    let first = fixture.integrate("upload");
    fixture.job_ended();
    let labels = copy(&fixture, "upload-project").properties;
    let planted = plant(&fixture, "upload-project", &labels);
    fixture.cloud.project("upload-project").remove_image(&fixture.told(&first, "id").unwrap());
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&first, "id").unwrap();
    assert_ne!(id, planted, "its labels are no evidence");
    assert!(bytes(&fixture, "upload-project", &id) == built(&fixture));
    assert_eq!(builds(&fixture), 1, "what was lost is copied again");
}

#[test]
fn a_copy_whose_glance_names_no_digest_is_read_back() {
    let fixture = Fixture::set(&[]);
    let nameless = Script(|body| body.replace("\"sha512\"", "null"));
    fixture
        .cloud
        .inject(Fault::new("GET", IMAGE, What::Distort(nameless)).unwrap().of_project("upload-project"));
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&relation, "id").unwrap();
    assert_eq!(fixture.requests("GET", &format!("/v2/images/{id}/file")), 1);

    let other = What::Distort(Script(|body| "x".repeat(body.len())));
    fixture.cloud.inject(Fault::new("GET", DATA, other).unwrap().of_project("upload-project"));
    let job = fixture.build_again();
    let [failure] = &job.failures[..] else { panic!("{:?}", job.failures) };
    assert!(failure.message.contains("the content differs"), "{failure:?}");
    assert_eq!(fixture.told(&relation, "id"), Some(id));
    assert_eq!(fixture.cloud.project("upload-project").images().len(), 1, "the copy is removed");
}

#[test]
fn an_image_of_before_evidence_was_kept_stays_told_until_the_next_build() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let id = fixture.told(&relation, "id").unwrap();
    let hash = copy(&fixture, "upload-project").hash;
    fixture.edit_journal(|journal| {
        journal.revisions.clear();
        journal.images[0].revision = None;
        journal.images[0].hash = hash;
    });
    fixture.next_hook();
    assert_eq!(fixture.told(&relation, "id"), Some(id.clone()));
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert_ne!(fixture.told(&relation, "id"), Some(id));
    assert_eq!(builds(&fixture), 2, "nothing is believed without evidence");
}

#[test]
fn a_new_leader_without_a_journal_has_the_evidence_of_the_one_before_and_builds_nothing() {
    let fixture = Fixture::of_units(2, &[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&relation, "id").unwrap();
    let second = fixture.app.unit(1);
    let told = || told_by(&second, &relation, "id");
    wait_for("the other unit to follow", || told().filter(|told| *told == id));
    fixture.job_of(&second);
    second.wait_idle(PATIENCE).unwrap();
    for file in ["journal.json", "request.json"] {
        std::fs::remove_file(fixture.host(&second).state_dir().join(file)).unwrap();
    }
    fixture.app.set_leader(1).unwrap();
    assert_eq!(fixture.job_of(&second).failures, []);
    second.wait_idle(PATIENCE).unwrap();
    assert_eq!((told(), builds(&fixture)), (Some(id), 1));
    assert_eq!(fixture.requests("PUT", "/file"), 2, "the base image and one copy");
}

/// One that takes nothing of what is sent, of an image that is larger than what the machines between hold back.
#[test]
fn a_project_that_takes_its_image_slowly_holds_up_no_other() {
    let fixture = Fixture::set(&[]);
    let url =
        fixture.site.serve_script("large.sh", "#!/bin/bash\nhead -c 16000000 /dev/urandom >/opt/large\n");
    fixture.app.set_config(&[("script-url", &url), ("paused", "true")]).unwrap();
    let slow = fixture.integrate("upload2");
    let quick = fixture.integrate("upload");
    fixture.cloud.inject(Fault::new("PUT", DATA, What::ReadSlowly(0)).unwrap().of_project("upload2-project"));
    fixture.app.set_config(&[("paused", "false")]).unwrap();
    wait_for("the other's image", || fixture.told(&quick, "id"));
    assert!(fixture.worker().is_some(), "the slow one is still tried");
    assert_eq!(fixture.told(&slow, "id"), None);
    assert_eq!(builds(&fixture), 1);
}

/// Longer than it takes to give up a project that is slow, twice.
const MINUTES: Duration = Duration::from_secs(300);

#[test]
fn a_project_that_comes_later_does_not_wait_for_one_that_takes_its_image_slowly() {
    let fixture = Fixture::set(&[]);
    let url =
        fixture.site.serve_script("large.sh", "#!/bin/bash\nhead -c 16000000 /dev/urandom >/opt/large\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    fixture.cloud.inject(Fault::new("PUT", DATA, What::ReadSlowly(0)).unwrap().of_project("upload2-project"));
    fixture.integrate("upload2");
    wait_for("the delivery", || (fixture.requests("GET", "/file") > 0).then_some(()));
    let quick = fixture.integrate("upload");
    crate::fixture::deployed::wait_for("the other's image", MINUTES, || fixture.told(&quick, "id"));
    assert_eq!(builds(&fixture), 1);
}

/// A cloud with so many tenants beside the default ones.
fn tenants(names: &[String]) -> CloudSetup {
    let mut setup = CloudSetup::default();
    for name in names {
        setup.projects.push(format!("{name}-project"));
        setup.users.push(UserSetup {
            name: format!("{name}-user"),
            password: format!("{name}-password"),
            projects: vec![format!("{name}-project")],
            roles: vec!["member".into(), "reader".into()],
        });
    }
    setup
}

/// A list without end: each page begins where the last one ended.
fn endless(url: &str) -> String {
    let marker = url.split("marker=").nth(1).and_then(|rest| rest.split('&').next());
    let first: u64 = marker.and_then(|marker| marker.parse().ok()).unwrap_or(0);
    let image = |number: u64| {
        serde_json::json!({"id": number.to_string(), "name": "x", "status": "active", "visibility": "private",
            "owner": "x", "created_at": "2026-05-01T12:00:00Z"})
    };
    let images: Vec<_> = (first + 1..=first + 100).map(image).collect();
    serde_json::json!({"images": images, "next": "/v2/images?marker=more"}).to_string()
}

#[test]
fn of_twenty_projects_those_that_misbehave_hold_up_no_other() {
    let status = |code| What::Status(code, vec![], "no".into());
    let bad = [
        ("errors", Some(("*", "/v2/images", status(500)))),
        ("refuses", Some(("*", "/v2/images", status(403)))),
        ("endless", Some(("GET", LIST, What::Say(Script(endless))))),
        ("trickles", Some(("GET", LIST, What::Trickle))),
        ("slow", Some(("PUT", DATA, What::ReadSlowly(2048)))),
        ("stops", Some(("PUT", DATA, What::ReadSlowly(0)))),
        ("hangs", Some(("POST", "/v3/auth/tokens$", What::AcceptAndHang))),
        ("changed-password", None),
    ];
    let good: Vec<String> = (0..12).map(|number| format!("good{number}")).collect();
    let names: Vec<String> =
        bad.iter().map(|(name, _)| (*name).to_owned()).chain(good.iter().cloned()).collect();
    let mut setup = tenants(&names);
    setup.users.iter_mut().filter(|user| user.name.starts_with("changed-")).for_each(|user| {
        user.password = "another".into();
    });
    let fixture = Fixture::among(setup, &[("paused", "true")]);
    for (name, fault) in bad {
        fixture.integrate(name);
        if let Some((method, url, what)) = fault {
            let project = format!("{name}-project");
            fixture.cloud.inject(Fault::new(method, url, what).unwrap().of_project(&project));
        }
    }
    let relations: Vec<Relation> = good.iter().map(|name| fixture.integrate(name)).collect();
    fixture.app.set_config(&[("paused", "false")]).unwrap();
    wait_for("an image for every good project", || {
        relations.iter().all(|relation| fixture.told(relation, "id").is_some()).then_some(())
    });
    assert!(fixture.worker().is_some(), "those that hang were not waited for");
    let build = built(&fixture);
    for (relation, name) in relations.iter().zip(&good) {
        let id = fixture.told(relation, "id").unwrap();
        assert!(bytes(&fixture, &format!("{name}-project"), &id) == build, "{name}");
    }
    assert_eq!(builds(&fixture), 1);
}
