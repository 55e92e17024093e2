//! What the charm removes, what it takes over, and what it never touches.

use std::collections::BTreeMap;

use rehearsal::cloud::{Fault, What};
use runner_image_builder::model::Timestamp;

use crate::fixture::{APPLICATION, Deployed, Fixture};

type Properties = BTreeMap<String, String>;

fn label(name: &str) -> String {
    format!("runner_image_builder_{name}")
}

fn ids(fixture: &Fixture, project: &str) -> Vec<String> {
    fixture.cloud.project(project).images().iter().map(|image| image.id.clone()).collect()
}

/// Adds an image with these properties; returns its id.
fn add(fixture: &Fixture, project: &str, name: &str, properties: &Properties) -> String {
    let properties: Vec<(&str, &str)> =
        properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fixture.cloud.project(project).add_image(name, b"bytes", &properties).unwrap().id
}

/// As Nova copies an image's properties into a snapshot of a server that was booted from it.
fn snapshot_of_a_server(image: &Properties, server: &str) -> Properties {
    let mut properties = image.clone();
    properties.insert("image_type".into(), "snapshot".into());
    properties.insert("instance_uuid".into(), server.into());
    properties
}

/// A job as the schedule asks for it, which searches the clouds for what is left.
fn sweep(fixture: &Fixture) {
    fixture.edit_journal(|journal| journal.swept = None);
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.journal().swept.is_some());
}

#[test]
fn snapshots_that_a_tenant_made_of_our_machines_stay_and_our_own_leftovers_go() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.job_ended();
    let properties_of = |project: &str| fixture.cloud.project(project).images()[0].properties.clone();
    let (published, base) = (properties_of("upload-project"), properties_of("builder-project"));
    let mut snapshot = base.clone();
    snapshot.extend([
        (label("stage"), "snapshot".into()),
        (label("target"), "noble-x64".into()),
        (label("server"), "the-builder".into()),
    ]);
    let sealed = Properties::from_iter(
        snapshot.clone().into_iter().chain([(label("self"), "the-snapshot".to_owned())]),
    );
    let mut neighbour = snapshot_of_a_server(&snapshot, "the-builder");
    neighbour.insert(label("owner"), published[&label("owner")].clone() + "-2");

    let theirs = [
        add(&fixture, "upload-project", "of-a-runner", &snapshot_of_a_server(&published, "a-runner")),
        add(&fixture, "builder-project", "of-the-builder", &snapshot_of_a_server(&base, "the-builder")),
        add(&fixture, "builder-project", "of-a-verified", &snapshot_of_a_server(&sealed, "a-verifier")),
        add(&fixture, "builder-project", "of-a-booted", &snapshot_of_a_server(&snapshot, "their-own")),
        add(&fixture, "builder-project", "of-a-neighbour", &neighbour),
    ];
    let ours = add(&fixture, "builder-project", "left", &snapshot_of_a_server(&snapshot, "the-builder"));
    sweep(&fixture);
    let left = [ids(&fixture, "upload-project"), ids(&fixture, "builder-project")].concat();
    assert!(theirs.iter().all(|id| left.contains(id)), "{theirs:?} in {left:?}");
    assert!(!left.contains(&ours));
}

#[test]
fn clouds_are_searched_for_leftovers_at_most_hourly_as_long_as_nothing_died() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.job_ended();
    // Of the build cloud and of the related one.
    let searches =
        || fixture.cloud.log().iter().filter(|entry| entry.url.contains("/servers/detail")).count() / 2;
    let before = searches();
    fixture.build_again();
    assert_eq!(searches(), before);
    sweep(&fixture);
    assert_eq!(searches(), before + 1);
    // A time in the future is of a clock that was wrong.
    fixture.edit_journal(|journal| journal.swept = Some(Timestamp(Timestamp::now().0 + 100_000)));
    fixture.build_again();
    assert_eq!(searches(), before + 2);
}

#[test]
fn images_of_the_python_charm_are_taken_over_only_when_the_operator_says_so() {
    let fixture = Fixture::set(&[("revision-history-limit", "2")]);
    let name = format!("{APPLICATION}-noble-x64");
    let old = [(); 3].map(|()| add(&fixture, "upload-project", &name, &Properties::new()));
    let snapshot = snapshot_of_a_server(&Properties::new(), "a-runner");
    let snapshot = add(&fixture, "upload-project", &name, &snapshot);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    assert_eq!(ids(&fixture, "upload-project").len(), 5, "nothing is pruned that is not ours");
    fixture.app.set_config(&[("adopt", "true")]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    let left = ids(&fixture, "upload-project");
    assert!(left.contains(&fixture.told(&relation, "id").unwrap()) && left.contains(&snapshot));
    assert_eq!(left.iter().filter(|id| old.contains(id)).count(), 1, "two revisions: ours and one of theirs");
}

#[test]
fn a_revision_in_use_is_hidden_and_tried_again_later() {
    let fixture = Fixture::set(&[("revision-history-limit", "2")]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let oldest = fixture.told(&relation, "id").unwrap();
    let url = format!("/v2/images/{oldest}$");
    let conflict = What::Status(409, vec![], "in use".into());
    fixture.cloud.inject(Fault::new("DELETE", &url, conflict).unwrap());
    for _ in 0..3 {
        assert_eq!(fixture.build_again().failures, [], "a prune that fails is no failure");
    }
    let image =
        |id: &str| fixture.cloud.project("upload-project").images().into_iter().find(|image| image.id == id);
    assert!(image(&oldest).unwrap().hidden);
    assert_eq!(fixture.requests("DELETE", &format!("/v2/images/{oldest}")), 1, "not tried at each job");
    assert_eq!(fixture.journal().in_use.len(), 1);
    fixture.cloud.heal();
    fixture.edit_journal(|journal| journal.in_use[0].last = Timestamp(0));
    fixture.build_again();
    assert!(image(&oldest).is_none());
    assert_eq!(fixture.journal().in_use, []);
}
