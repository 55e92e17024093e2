//! Images that the build project shares with projects of the same Keystone: who can use them, for how long, and what
//! becomes of those that cannot have them so.

use rehearsal::agent::Relation;
use rehearsal::cloud::{CloudSetup, Fault, Image, RehearsalCloud, Script, What};
use runner_image_builder::record::Job;

use crate::fixture::{Deployed, Fixture};

pub const BUILD: &str = "builder-project";
pub const MEMBERS: &str = "/v2/images/[^/]+/members";
pub const AUTO: &[(&str, &str)] = &[("delivery", "auto"), ("verify-image", "false")];
pub const NOTHING: [String; 0] = [];

/// The builds that the build project keeps, oldest first.
pub fn builds(fixture: &Fixture) -> Vec<Image> {
    let label = "runner_image_builder_stage";
    let mut images = fixture.cloud.project(BUILD).images();
    images.retain(|image| image.properties.get(label).is_some_and(|stage| stage == "revision"));
    images
}

/// `upload-project accepted`, for each member of an image.
pub fn members(fixture: &Fixture, image: &Image) -> Vec<String> {
    let projects = ["upload-project", "upload2-project", BUILD];
    let name = |id: &str| projects.into_iter().find(|name| fixture.cloud.project(name).id() == id);
    let member = |(project, status): (&String, &String)| format!("{} {status}", name(project).unwrap());
    let mut members: Vec<String> =
        image.members.iter().map(|member| (&member.project, &member.status)).map(member).collect();
    members.sort();
    members
}

/// Those of the only build.
pub fn members_of_the_build(fixture: &Fixture) -> Vec<String> {
    let builds = builds(fixture);
    assert_eq!(builds.len(), 1);
    members(fixture, &builds[0])
}

pub fn copies(fixture: &Fixture, project: &str) -> Vec<String> {
    fixture.images_of_stage(project, "published")
}

pub fn told(fixture: &Fixture, relation: &Relation) -> String {
    fixture.told(relation, "id").expect("an id in the relation")
}

pub fn ended(fixture: &Fixture) -> Job {
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    job
}

/// The credentials of `NAME-user` for `PROJECT`, at this address.
pub fn integrate(fixture: &Fixture, app: &str, auth_url: &str, name: &str, project: &str) -> Relation {
    let (user, password) = (format!("{name}-user"), format!("{name}-password"));
    let data = [
        ("auth_url", auth_url),
        ("username", &user),
        ("password", &password),
        ("user_domain_name", "Default"),
        ("project_name", project),
        ("project_domain_name", "Default"),
    ];
    fixture.app.integrate("image", app, &[&data]).unwrap()
}

/// What the cloud answers to a matching request of a project, instead of doing it.
pub fn refuse(fixture: &Fixture, method: &str, url: &str, status: u16, project: &str) {
    let body = "<html><body>Not allowed</body></html>".to_owned();
    let what = What::Status(status, Vec::new(), body);
    fixture.cloud.inject(Fault::new(method, url, what).unwrap().of_project(project));
}

#[test]
fn projects_of_the_same_keystone_use_the_builds_own_image_and_no_byte_moves() {
    let fixture = Fixture::set(AUTO);
    let relations = ["upload", "upload2"].map(|name| fixture.integrate(name));
    ended(&fixture);
    let [build] = &builds(&fixture)[..] else { panic!("{}", fixture.cloud.inventory()) };
    for relation in &relations {
        assert_eq!(told(&fixture, relation), build.id);
    }
    assert_eq!(members(&fixture, build), ["upload-project accepted", "upload2-project accepted"]);
    for project in ["upload-project", "upload2-project"] {
        assert!(fixture.cloud.project(project).images().is_empty());
    }
    let data = format!("/v2/images/{}/file", build.id);
    assert_eq!(fixture.requests("PUT", "/file"), 1, "the base image");
    assert_eq!(fixture.requests("GET", &data), 1, "the build is proven once, however many use it");
    assert!(fixture.journal().revisions[0].proof.is_some());

    fixture.look_for_work();
    ended(&fixture);
    assert_eq!(
        (fixture.requests("GET", &data), fixture.requests("POST", "/members")),
        (1, 2),
        "all is there"
    );

    fixture.build_again();
    let newest = &builds(&fixture)[1];
    for relation in &relations {
        assert_eq!(told(&fixture, relation), newest.id);
    }
    assert_eq!(members(&fixture, newest).len(), 2);
}

#[test]
fn above_the_limit_of_members_projects_get_copies() {
    for delivery in ["auto", "share"] {
        let cloud = CloudSetup { image_members: 1, ..CloudSetup::default() };
        let fixture = Fixture::among(cloud, &[("delivery", delivery), ("verify-image", "false")]);
        let first = fixture.integrate("upload");
        ended(&fixture);
        let second = fixture.integrate("upload2");
        ended(&fixture);
        assert_eq!(told(&fixture, &first), builds(&fixture)[0].id);
        let copy = told(&fixture, &second);
        assert_eq!(copies(&fixture, "upload2-project"), [copy.clone()]);
        for _ in 0..2 {
            fixture.look_for_work();
            ended(&fixture);
        }
        assert_eq!(told(&fixture, &second), copy, "{delivery}: it does as long as it is current");
        assert_eq!(copies(&fixture, "upload2-project"), [copy]);
    }
}

#[test]
fn a_project_of_another_cloud_gets_a_copy_or_a_clear_word_and_concerns_nobody_else() {
    let elsewhere = RehearsalCloud::start(CloudSetup::default()).unwrap();
    let copies = || elsewhere.project("upload-project").images().len();
    let fixture = Fixture::set(&[("delivery", "share"), ("verify-image", "false")]);
    let near = fixture.integrate("upload2");
    let far = integrate(&fixture, "far", &elsewhere.auth_url(), "upload", "upload-project");
    let failures = fixture.job_ended().failures;
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert!(failure.to_string().contains("set delivery to auto or copy"), "{failure}");
    assert!(failure.to_string().contains(&far.id().unwrap()), "{failure}");
    assert_eq!((fixture.told(&far, "id"), copies()), (None, 0));
    assert_eq!(told(&fixture, &near), builds(&fixture)[0].id);
    fixture.set_options(&[("delivery", "auto")]);
    ended(&fixture);
    assert_eq!((fixture.told(&far, "id").is_some(), copies()), (true, 1));
    assert_eq!(members_of_the_build(&fixture), ["upload2-project accepted"]);
}

#[test]
fn a_user_who_may_not_accept_gets_a_copy_unless_sharing_is_all_that_is_wanted() {
    let fixture = Fixture::set(AUTO);
    refuse(&fixture, "PUT", MEMBERS, 403, "upload-project");
    let refused = fixture.integrate("upload");
    let other = fixture.integrate("upload2");
    ended(&fixture);
    assert_eq!(copies(&fixture, "upload-project"), [told(&fixture, &refused)]);
    assert_eq!(told(&fixture, &other), builds(&fixture)[0].id);
    assert_eq!(
        members_of_the_build(&fixture),
        ["upload2-project accepted"],
        "what was refused is taken back"
    );

    let before = told(&fixture, &refused);
    fixture.set_options(&[("delivery", "share")]);
    let failures = fixture.job_ended().failures;
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert!(failure.message.starts_with("accepting image "), "{failure}");
    assert_eq!(told(&fixture, &refused), before);
    assert_eq!(copies(&fixture, "upload-project"), [before]);
}

#[test]
fn where_the_cloud_does_not_share_at_all_everybody_gets_a_copy() {
    let fixture = Fixture::set(AUTO);
    refuse(&fixture, "POST", MEMBERS, 403, BUILD);
    let relations = ["upload", "upload2"].map(|name| (fixture.integrate(name), format!("{name}-project")));
    ended(&fixture);
    for (relation, project) in &relations {
        assert_eq!(copies(&fixture, project), [told(&fixture, relation)]);
    }
    assert_eq!(members_of_the_build(&fixture), NOTHING);
}

#[test]
fn what_a_users_catalog_says_leads_nobody_away_from_the_builds_own_glance() {
    let fixture = Fixture::set(AUTO);
    let away = Script(|body| {
        let mut token: serde_json::Value = serde_json::from_str(body).unwrap();
        for service in token["token"]["catalog"].as_array_mut().unwrap() {
            for endpoint in service["endpoints"].as_array_mut().unwrap() {
                endpoint["url"] = "http://127.0.0.1:1/".into();
            }
        }
        token.to_string()
    });
    let fault = Fault::new("POST", "/v3/auth/tokens", What::Distort(away)).unwrap();
    fixture.cloud.inject(fault.of_project("upload-project"));
    let relation = fixture.integrate("upload");
    ended(&fixture);
    assert_eq!(told(&fixture, &relation), builds(&fixture)[0].id);
}

/// The operator's address, however it is written, is what is called; and no other cloud is taken for it.
#[test]
fn only_the_operators_own_keystone_says_which_project_becomes_a_member() {
    let hostile = RehearsalCloud::start(CloudSetup::default()).unwrap();
    let fixture = Fixture::set(AUTO);
    let ours = fixture.cloud.auth_url();
    let near = integrate(&fixture, "near", &ours.replace("/v3", "//"), "upload", "upload-project");
    let trick = ours.replace("http://", &format!("{}?@", hostile.auth_url()));
    let tricky = integrate(&fixture, "tricky", &trick, "upload2", "upload2-project");
    let guess = integrate(&fixture, "guess", &ours, "upload2", "upload-project");
    let failures = fixture.job_ended().failures;
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert!(failure.to_string().contains(&guess.id().unwrap()), "{failure}");
    assert_eq!(told(&fixture, &near), builds(&fixture)[0].id);
    assert_eq!(fixture.told(&guess, "id"), None);
    let theirs = told(&fixture, &tricky);
    assert!(hostile.project("upload2-project").images().iter().any(|image| image.id == theirs));
    assert_eq!(members_of_the_build(&fixture), ["upload-project accepted"]);
}

#[test]
fn a_relation_to_the_build_project_is_told_the_build_itself() {
    let fixture = Fixture::set(AUTO);
    let own = integrate(&fixture, "own", &fixture.cloud.auth_url(), "builder", BUILD);
    ended(&fixture);
    for _ in 0..2 {
        assert_eq!(told(&fixture, &own), builds(&fixture)[0].id);
        assert_eq!(members_of_the_build(&fixture), NOTHING);
        assert_eq!(copies(&fixture, BUILD), NOTHING);
        fixture.look_for_work();
        ended(&fixture);
    }
}
