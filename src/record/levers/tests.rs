//! Which images relations are told, after which decisions.

use super::*;
use crate::record::journal::evidence::Copy;
use crate::record::run_config::JobId;
use crate::testing::run_config;

const CLOUD: &str = "ci-1";

fn id(text: &str) -> ImageId {
    text.parse().unwrap()
}

fn build(name: &str, built: u64) -> Revision {
    Revision {
        target: run_config().targets[0],
        id: id(name),
        job: JobId::random(),
        fingerprint: "f".into(),
        built: Timestamp(built),
        proof: None,
        failed_reads: 0,
        contents: None,
        copies: Vec::new(),
    }
}

/// A journal of builds that one project has got, the newest last.
fn journal(builds: &[&str]) -> Journal {
    let mut journal = Journal::default();
    for (number, name) in (1..).zip(builds) {
        let build = build(name, number);
        journal.note_revision(build.clone());
        journal.publish(build.image(&CloudName::new(CLOUD), id(&format!("{name}-copy"))));
    }
    journal
}

fn told(levers: &Levers, journal: &Journal) -> Vec<String> {
    let told = levers.clone().applied_to(journal.clone());
    told.images.iter().map(|image| image.result.id.to_string()).collect()
}

#[test]
fn a_pinned_build_is_told_and_the_newest_once_it_is_unpinned() {
    let (mut levers, journal) = (Levers::default(), journal(&["a", "b", "c"]));
    assert_eq!(told(&levers, &journal), ["c-copy"]);
    levers.pin(&journal.revisions[0]);
    assert_eq!(told(&levers, &journal), ["a-copy"]);
    levers.pin(&journal.revisions[1]);
    assert_eq!((told(&levers, &journal), levers.pins.len()), (vec!["b-copy".to_owned()], 1));
    levers.unpin(None);
    assert_eq!(told(&levers, &journal), ["c-copy"]);
}

#[test]
fn a_project_that_lacks_the_pinned_build_keeps_what_it_has_and_is_to_be_served() {
    let (mut levers, journal) = (Levers::default(), journal(&["a"]));
    levers.pin(&build("gone", 1));
    assert_eq!(told(&levers, &journal), ["a-copy"]);
    let config = BuilderRunConfig { clouds: vec![CloudName::new(CLOUD)], ..run_config() };
    let choices = levers.choices(&journal, &config);
    assert_eq!(choices[0].clone().where_it_lacks().unwrap().places, [(CloudName::new(CLOUD), None)]);
}

#[test]
fn of_what_is_not_revoked_the_newest_is_told_and_nothing_when_all_is() {
    let (mut levers, journal) = (Levers::default(), journal(&["a", "b", "c"]));
    let target = journal.revisions[0].target;
    levers.pin(&journal.revisions[2]);
    for (revoked, expected) in [("c", vec!["b-copy"]), ("a", vec!["b-copy"]), ("b", vec![])] {
        levers.revoke(target, id(revoked), BTreeSet::from([id(&format!("{revoked}-copy"))]), "r".into());
        assert_eq!(told(&levers, &journal), expected, "{revoked}");
    }
    assert!(levers.pins.is_empty(), "a revoked build is pinned no longer");
    assert!(levers.revocation(&id("a-copy")).is_some());
}

#[test]
fn an_image_that_is_gone_is_told_no_more() {
    let (mut levers, mut journal) = (Levers::default(), journal(&["a", "b"]));
    levers.pin(&journal.revisions[0]);
    journal.is_gone(&CloudName::new(CLOUD), &id("a-copy"));
    assert_eq!(told(&levers, &journal), ["b-copy"]);
}

#[test]
fn what_becomes_known_of_a_build_does_not_lose_its_copies() {
    let mut journal = journal(&["a"]);
    journal.note_revision(Revision { failed_reads: 1, ..build("a", 1) });
    let copy = Copy { cloud: CloudName::new(CLOUD), id: id("a-copy") };
    assert_eq!(journal.revisions[0].copies, [copy]);
}

#[test]
fn the_newest_decisions_are_kept_and_nonsense_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let mut said = Levers::default();
    said.pin(&build("a", 1));
    Levers::hear(&host, &said.text()).unwrap();
    assert_eq!(Levers::load(&host).unwrap(), said);
    for text in [Levers::default().text(), "{".into(), said.text().replace("\"format\":1", "\"format\":9")] {
        Levers::hear(&host, &text).unwrap();
        assert_eq!(Levers::load(&host).unwrap(), said, "{text}");
    }
}
