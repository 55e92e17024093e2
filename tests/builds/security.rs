//! Security fixes: an image is built when the archive's pocket has one for it, once, and whatever a mirror serves instead is told
//! of and starts nothing.

use std::fs;

use rehearsal::agent::Unit;
use rehearsal::servers::http::{Fault, LogEntry, What};
use runner_image_builder::record::Revision;
use serde_json::{Value, json};

use crate::fixture::{Deployed, Fixture, wait_for};
use crate::releases::look;

const SSH: (&str, &str) = ("openssh-server", "1:9.6p1-3ubuntu13.5");
const JQ: (&str, &str) = ("jq", "1.7.1-3ubuntu0.24.04.1");
const IN_RELEASE: &str = "/archive/dists/noble-security/InRelease";

/// A charm that looks for fixes at `/archive`, which its builder VMs do not use: what appears there, no image gets.
fn beside() -> Fixture {
    let fixture = Fixture::set(&[]);
    let mirror = fixture.site.publish_fixes("archive", "noble", &[]).unwrap();
    fixture.app.set_config(&[("rebuild-on", "security"), ("security-mirror", &mirror)]).unwrap();
    fixture
}

/// What is asked of the mirror.
fn asked(entries: &[LogEntry]) -> Vec<String> {
    let entries = entries.iter().filter(|entry| entry.url.contains("/dists/"));
    let file = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    entries.map(|entry| format!("{} {}", file(&entry.url), entry.status)).collect()
}

fn metric(unit: &Unit) -> Option<String> {
    let told = unit.exec("./dispatch metrics").unwrap().stdout;
    let sample = "runner_image_builder_security_fixes_open{target=\"noble-x64\"} ";
    told.lines().find_map(|line| line.strip_prefix(sample).map(str::to_owned))
}

fn job(fixture: &Fixture) -> String {
    fixture.next_hook();
    fixture.job_ended();
    fixture.journal().job.unwrap().id.to_string()
}

fn worker_log(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap()
}

fn shown(fixture: &Fixture) -> Value {
    let shown = fixture.unit().run_action("show-image", json!({"image": "noble-x64"})).unwrap();
    serde_json::from_str(shown.results["json"].as_str().unwrap()).unwrap()
}

/// The version of a package in an image, by its manifest.
fn version(shown: &Value, name: &str) -> String {
    let packages = shown["manifest"]["packages"].as_array().unwrap().iter();
    let package = packages.into_iter().find(|package| package["name"] == name);
    package.unwrap_or_else(|| panic!("no {name}"))["version"].as_str().unwrap().to_owned()
}

#[test]
fn a_fix_starts_one_build_after_one_look_and_the_image_has_it() {
    let fixture = Fixture::set(&[]);
    let mirror = fixture.site.serve_mirror("noble");
    fixture.site.publish_fixes("ubuntu", "noble", &[]).unwrap();
    // A mirror may have left out what is named by its digest.
    let missing = What::Status(404, Vec::new(), String::new());
    let missing = fixture.site.inject(Fault::new("GET", "/by-hash/", missing).unwrap());
    fixture.app.set_config(&[("rebuild-on", "security,age"), ("build-apt-mirror", &mirror)]).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let (first, unit) = (fixture.told(&relation, "id").unwrap(), fixture.unit());
    look(&fixture);
    let before = job(&fixture);
    assert_eq!(metric(&unit).as_deref(), Some("0"));

    fixture.site.publish_fixes("ubuntu", "noble", &[SSH, ("not-installed", "9")]).unwrap();
    look(&fixture);
    wait_for("an image with the fix", || fixture.told(&relation, "id").filter(|told| *told != first));
    assert_eq!(fixture.job_ended().failures, []);
    let shown = shown(&fixture);
    assert_eq!(version(&shown, SSH.0), SSH.1);
    assert_eq!((metric(&unit).as_deref(), &shown["security_fixes"]), (Some("0"), &json!([])));
    let found = "noble-x64: build ";
    let log = worker_log(&fixture);
    assert!(
        log.contains(found) && log.contains("lacks security fixes: openssh-server 1.1-noble -> 1:9.6p1"),
        "{log}"
    );
    let history = unit.run_action("history", json!({})).unwrap();
    assert!(history.results["history"].as_str().unwrap().contains("security"), "{history:?}");
    let after = job(&fixture);
    assert_ne!(before, after);
    look(&fixture);
    assert_eq!(job(&fixture), after, "it is built once");
    assert!(fixture.site.struck(missing) > 0);
}

#[test]
fn a_fix_that_no_rebuild_brings_is_built_for_once_and_stays_open() {
    let fixture = beside();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    look(&fixture);
    let mut last = (fixture.told(&relation, "id").unwrap(), job(&fixture));
    for (fixes, open) in [(&[SSH][..], "1"), (&[SSH, JQ], "2")] {
        fixture.site.publish_fixes("archive", "noble", fixes).unwrap();
        look(&fixture);
        let told = wait_for("another image", || fixture.told(&relation, "id").filter(|told| *told != last.0));
        assert_eq!(fixture.job_ended().failures, []);
        last = (told, job(&fixture));
        for _ in 0..2 {
            look(&fixture);
            assert_eq!(job(&fixture), last.1, "another build would not bring it");
        }
        assert_eq!(metric(&fixture.unit()).as_deref(), Some(open));
    }
    let lacking = shown(&fixture)["security_fixes"].clone();
    let names: Vec<&str> =
        lacking.as_array().unwrap().iter().map(|fix| fix["package"].as_str().unwrap()).collect();
    assert_eq!(names, [JQ.0, SSH.0]);
    assert_eq!(lacking[1]["fixed"], SSH.1);
    assert!(fixture.status().starts_with("active: "), "{}", fixture.status());
}

#[test]
fn a_list_that_is_not_to_be_believed_starts_nothing_and_is_told_once() {
    let fixture = beside();
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    look(&fixture);
    let (before, site) = (job(&fixture), &fixture.site);
    let with_fix = |dated: &str| {
        site.publish_fixes_dated("archive", "noble", &[SSH], dated).unwrap();
        String::from_utf8(site.served(IN_RELEASE).unwrap()).unwrap()
    };
    let serve = |list: Vec<u8>| drop(site.serve(IN_RELEASE, "text/plain", list));
    let unsigned = || {
        let list = with_fix("now");
        let signed = list.split("\n\n").nth(1).unwrap().split("-----BEGIN").next().unwrap();
        signed.to_owned()
    };
    let truncated = || {
        let list = with_fix("now");
        let line = list.lines().find(|line| line.ends_with(" main/binary-amd64/Packages.gz")).unwrap();
        let digest = line.split_whitespace().next().unwrap();
        let path = format!("/archive/dists/noble-security/main/binary-amd64/by-hash/SHA256/{digest}");
        let mut bytes = site.served(&path).unwrap();
        bytes.truncate(bytes.len() / 2);
        site.serve(&path, "application/octet-stream", bytes);
    };
    let spoil: [(&dyn Fn(), &str); 5] = [
        (&|| serve(unsigned().into_bytes()), "not one signed document"),
        (&|| serve(site.forged(&unsigned()).unwrap()), "is not in the keyring"),
        (&|| drop(with_fix("yesterday")), "the mirror serves an old list"),
        (&truncated, "by-hash/SHA256/"),
        (&|| serve(b"<html>".to_vec()), "not one signed document"),
    ];
    for (spoil, problem) in spoil {
        let logged = worker_log(&fixture).len();
        spoil();
        look(&fixture);
        look(&fixture);
        let log = worker_log(&fixture).split_off(logged);
        let told: Vec<&str> =
            log.lines().filter(|line| line.contains(" WARN ") && line.contains("security")).collect();
        assert!(told.len() == 1 && told[0].contains(problem), "{problem}: {told:?}");
        assert_eq!(job(&fixture), before, "{problem}");
        assert_eq!(metric(&fixture.unit()).as_deref(), Some("0"), "what was known before counts: {problem}");
        fixture.site.publish_fixes("archive", "noble", &[]).unwrap();
        look(&fixture);
    }
    assert!(fixture.status().starts_with("active: "), "{}", fixture.status());
}

#[test]
fn nothing_is_read_again_while_it_has_not_changed_and_a_mirror_without_a_pocket_is_told_once() {
    let fixture = beside();
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    look(&fixture);
    let first = asked(&fixture.site.log());
    let count = |is_it: fn(&str) -> bool| first.iter().filter(|asked| is_it(asked)).count();
    assert_eq!(count(|asked| asked == "InRelease 200"), 1, "{first:?}");
    assert_eq!(count(|asked| !asked.starts_with("InRelease")), 4, "one list for each component: {first:?}");
    assert_eq!(asked(&look(&fixture)), ["InRelease 304"]);
    fixture.site.publish_fixes_dated("archive", "noble", &[], "tomorrow").unwrap();
    assert_eq!(asked(&look(&fixture)), ["InRelease 200"], "the digests of its lists are the same");

    fixture.app.set_config(&[("rebuild-on", "age")]).unwrap();
    fixture.job_ended();
    fixture.site.publish_fixes("archive", "noble", &[SSH]).unwrap();
    let before = job(&fixture);
    assert_eq!(asked(&look(&fixture)), [] as [&str; 0]);
    assert_eq!((job(&fixture), metric(&fixture.unit())), (before, None));

    let nowhere = format!("{}/nowhere", fixture.site.url());
    fixture.app.set_config(&[("rebuild-on", "security,age"), ("security-mirror", &nowhere)]).unwrap();
    fixture.job_ended();
    let before = job(&fixture);
    (0..3).for_each(|_| drop(look(&fixture)));
    let log = worker_log(&fixture);
    let told = log.lines().filter(|line| line.contains(" WARN ") && line.contains("has no security pocket"));
    assert_eq!(told.count(), 1, "{log}");
    assert_eq!((job(&fixture), metric(&fixture.unit())), (before, None));
    assert!(fixture.status().starts_with("active: "), "{}", fixture.status());
}

#[test]
fn without_its_manifest_an_image_is_built_anew_for_its_age() {
    let fixture = beside();
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    look(&fixture);
    fixture.edit_journal(|journal| journal.revisions.iter_mut().for_each(|build| build.built.0 -= 25 * 3600));
    let builds = || {
        fixture.look_for_work();
        assert_eq!(fixture.job_ended().failures, []);
        fixture.journal().revisions.len()
    };
    assert_eq!(builds(), 1, "it lacks no fix");
    let forget =
        |build: &mut Revision| build.contents.iter_mut().for_each(|contents| contents.manifest = None);
    fixture.edit_journal(|journal| journal.revisions.iter_mut().for_each(forget));
    assert_eq!(builds(), 2, "which fixes it lacks is not known");
}

#[test]
fn while_builds_are_paused_a_fix_is_only_counted_and_a_pinned_image_stays_without_it() {
    let fixture = beside();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    look(&fixture);
    let (id, before) = (fixture.told(&relation, "id").unwrap(), job(&fixture));
    fixture.unit().run_action("pin", json!({"image": id})).unwrap();
    fixture.job_ended();
    fixture.app.set_config(&[("paused", "true")]).unwrap();
    fixture.site.publish_fixes("archive", "noble", &[SSH]).unwrap();
    look(&fixture);
    job(&fixture);
    let revisions = fixture.journal().revisions.len();
    assert_eq!((revisions, metric(&fixture.unit()).as_deref()), (1, Some("1")));

    fixture.app.set_config(&[("paused", "false")]).unwrap();
    wait_for("another build", || (fixture.journal().revisions.len() == 2).then_some(()));
    assert_eq!(fixture.job_ended().failures, []);
    let after = job(&fixture);
    assert_ne!(after, before);
    look(&fixture);
    assert_eq!(job(&fixture), after, "it is built once");
    assert_eq!(fixture.told(&relation, "id").unwrap(), id, "the pinned one stays");
    assert_eq!(metric(&fixture.unit()).as_deref(), Some("1"), "and lacks the fix");
}
