//! The end of a unit: nothing of it is left, whatever its cloud does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rehearsal::agent::{HookRun, Level, processes_below};

use crate::cloud::{NOBODY, hanging};
use crate::deploy::Plan;
use crate::machine::{PROMPT, Site, all_succeeded};

/// The files below `folder`.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path().display().to_string()),
        }
    }
    found
}

#[track_caller]
fn assert_gone(site: &Site, runs: Vec<HookRun>) {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert!(names.ends_with(&["stop", "remove"]), "{names:?}");
    for run in &runs {
        let limit = if run.name == "stop" { Duration::from_secs(120) } else { PROMPT };
        assert!(run.wall < limit, "{} took {:?}", run.name, run.wall);
    }
    all_succeeded(runs);
    assert_eq!(files(site.host().root()), Vec::<String>::new());
    assert_eq!(processes_below(site.host().root()), []);
    assert!(site.app.unit(0).status().is_err(), "the unit is still there");
}

fn told(site: &Site, text: &str) -> bool {
    let log = site.model.debug_log();
    log.iter().any(|line| line.level == Level::Warning && line.message.contains(text))
}

#[test]
fn a_unit_without_configuration_goes_without_a_trace() {
    let site = Plan::new().bare();
    let runs = site.app.remove().unwrap();
    assert_gone(&site, runs);
}

#[test]
fn a_unit_in_the_middle_of_a_build_goes_without_a_trace_and_says_what_it_could_not_reach() {
    let (site, _relation) = Plan::new().keystone(&hanging()).related();
    site.worker();
    let runs = site.app.remove().unwrap();
    let stop = runs.iter().find(|run| run.name == "stop").unwrap();
    assert!(stop.wall > Duration::from_secs(1), "the cloud was not even asked: {:?}", stop.wall);
    assert_gone(&site, runs);
    assert!(told(&site, "left behind: Builders-"), "{:#?}", site.model.debug_log());
}

#[test]
fn a_cloud_that_refuses_delays_nothing() {
    let site = Plan::new().keystone(NOBODY).configured();
    let runs = site.app.remove().unwrap();
    assert!(runs.iter().all(|run| run.wall < Duration::from_secs(60)));
    assert_gone(&site, runs);
    assert!(told(&site, "left behind: Builders-"));
}

#[test]
fn after_stop_nothing_starts_again() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    all_succeeded(vec![site.unit().fire("stop").unwrap()]);
    assert!(!site.worker_lives());
    assert!(!site.host().path("/etc/cron.d/build-runner-image").exists());
    site.assert_status("maintenance: Left behind in the cloud: ");
}

#[test]
fn of_two_units_the_other_goes_on() {
    let (site, relation) = Plan::new().units(2).keystone(NOBODY).related();
    let runs = site.app.remove_unit(0).unwrap();
    assert!(runs.iter().any(|run| run.name == "remove"));
    assert_eq!(files(site.host().root()), Vec::<String>::new());
    let left = site.app.unit(1);
    let root = crate::deploy::root(site.dir.path(), 1);
    assert!(root.join("var/lib/runner-image-builder/request.json").exists(), "it leads now");
    assert_eq!(left.failed_hook().unwrap(), None);
    assert!(relation.id().is_ok());
}

#[test]
fn the_end_of_the_peer_relation_is_the_units() {
    let site = Plan::new().configured();
    let request = site.request();
    all_succeeded(vec![site.unit().fire("units-relation-broken").unwrap()]);
    assert_eq!(site.status(), "maintenance: Being removed.");
    site.next_hook();
    assert_eq!((site.status(), site.request()), ("maintenance: Being removed.".to_owned(), request));
}
