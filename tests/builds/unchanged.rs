//! A job in which nothing has changed: it asks each project for little, and nobody for anything twice.

use std::collections::BTreeMap;

use rehearsal::cloud::{CloudSetup, LogEntry};

use crate::fixture::{Deployed, Fixture};

/// What the build project is asked besides, however many projects are related: a token and two lists; and by the check that
/// follows each job, a token, flavors, limits, networks and subnets.
const BUILD_PROJECT: usize = 3 + 5;
/// The same for the search of the clouds: servers, images of each stage, security groups.
const SEARCH: usize = 8;

/// A deployment with images in so many projects, and nothing left to do.
fn settled(projects: usize, delivery: &str) -> Fixture {
    let names: Vec<String> = (1..=projects).map(|number| format!("p{number}")).collect();
    let cloud = CloudSetup::default().with_projects(names.clone());
    let fixture = Fixture::among(cloud, &[("delivery", delivery), ("base-image", "jammy,noble")]);
    names.iter().for_each(|name| drop(fixture.integrate(name)));
    assert_eq!(fixture.job_ended().failures, []);
    // Sees what relations name since.
    fixture.next_hook();
    asked_in_a_job(&fixture);
    fixture
}

/// What a job asks the cloud.
fn asked_in_a_job(fixture: &Fixture) -> Vec<LogEntry> {
    let before = fixture.cloud.log().len();
    let last = fixture.job_ended().id;
    fixture.look_for_work();
    let job = fixture.job_ended();
    assert_ne!(job.id, last);
    assert_eq!((job.failures, job.delivered), (vec![], vec![]));
    fixture.cloud.log().split_off(before)
}

/// Nothing is asked twice: of what names no project, each is asked once, and the build project once more by the check.
#[track_caller]
fn assert_once(asked: &[LogEntry], projects: usize) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for entry in asked {
        *counts.entry((&entry.method, &entry.url)).or_default() += 1;
    }
    for ((method, url), count) in counts {
        let names_none = url.ends_with("/auth/tokens") || url.contains("/servers/detail");
        let allowed = if names_none { projects + 2 } else { 1 };
        assert!(count <= allowed, "{method} {url}: {count} times");
        assert!(method == "GET" || url.ends_with("/auth/tokens"), "{method} {url}");
    }
}

/// Each project is asked for a token and for the image of each of two targets, and for two lists in a search.
#[track_caller]
fn assert_asks_little(projects: usize, delivery: &str) {
    let fixture = settled(projects, delivery);
    let asked = asked_in_a_job(&fixture);
    assert_once(&asked, projects);
    assert!(asked.len() <= BUILD_PROJECT + 3 * projects, "{}: {asked:#?}", asked.len());
    fixture.edit_journal(|journal| journal.swept = None);
    let asked = asked_in_a_job(&fixture);
    assert_once(&asked, projects);
    assert!(asked.len() <= BUILD_PROJECT + SEARCH + 5 * projects, "{}: {asked:?}", asked.len());
}

#[test]
fn one_project_that_has_a_copy_is_asked_little() {
    assert_asks_little(1, "copy");
}

#[test]
fn ten_projects_that_have_copies_are_asked_as_little_each() {
    assert_asks_little(10, "copy");
}

#[test]
fn fifty_projects_that_share_an_image_are_asked_as_little_each() {
    assert_asks_little(50, "share");
}

#[test]
fn old_images_are_looked_for_once_after_what_may_go_has_changed() {
    let fixture = settled(1, "copy");
    let looked_for = |asked: &[LogEntry]| {
        asked.iter().filter(|entry| entry.url.contains("runner_image_builder_stage=published")).count()
    };
    assert_eq!(looked_for(&asked_in_a_job(&fixture)), 0);
    let before = fixture.cloud.log().len();
    fixture.set_options(&[("revision-history-limit", "3")]);
    asked_in_a_job(&fixture);
    assert_eq!(looked_for(&fixture.cloud.log()[before..]), 2, "listed and hidden ones");
    assert_eq!(looked_for(&asked_in_a_job(&fixture)), 0);
}
