//! Records that this version cannot read: a newer version's after a refresh back, or damaged ones.

use std::fs;

use runner_image_builder::record::Published;
use serde_json::json;

use crate::deploy::Plan;
use crate::machine::{JAMMY, NOBLE, Site, image};
use crate::publishing::{FIRST, SECOND, THIRD, images, written};

const NEWER: &str = r#"{"format": 99, "jobs": [], "leftovers": [{"cloud": "old-1", "work": "builds",
    "what": ["base image b"], "tries": 0, "why": null, "since": null, "last": null, "given_up": null}]}"#;

fn kept(site: &Site, name: &str) -> String {
    fs::read_to_string(site.state_file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn assert_warned(site: &Site, of: &str) {
    let log = site.model.debug_log();
    assert!(log.iter().any(|line| format!("{line:?}").contains(of)), "{of}: {log:?}");
}

#[test]
fn a_newer_journal_is_put_aside_and_what_relations_name_stays_until_it_is_proven_again() {
    let plan = Plan::new().option("base-image", "noble,jammy");
    let (site, relation) = plan.related();
    let cloud = plan.project().cloud();
    site.deliver(&[(FIRST, NOBLE, &cloud), (SECOND, JAMMY, &cloud)]);
    site.next_hook();
    site.next_hook();
    let before = written(&site, &relation);
    fs::write(site.state_file("journal.json"), NEWER).unwrap();
    site.next_hook();
    assert_eq!(
        (kept(&site, "journal.json.format-99").as_str(), &written(&site, &relation)),
        (NEWER, &before)
    );
    assert_warned(&site, "journal.json cannot be read: format 99, but this version reads 1 to 3");
    site.assert_status("maintenance: ");
    let output = site.unit().exec("./dispatch metrics").unwrap();
    assert!(
        output.code == 0 && output.stdout.contains("runner_image_builder_failures_in_row 0"),
        "{output:?}"
    );

    // The worker looks for itself; what it has not found yet stays told, and is not pruned.
    site.worker();
    assert_eq!(site.journal().orphans.len(), 1, "nobody else knows of them");
    site.deliver(&[(THIRD, JAMMY, &cloud)]);
    site.next_hook();
    let databag = written(&site, &relation);
    assert_eq!(databag["id"], FIRST);
    let expected = json!([{"id": FIRST, "tags": "x64,noble"}, {"id": THIRD, "tags": "x64,jammy"}]);
    assert_eq!(images(&databag), expected);
    site.next_hook();
    assert!(Published::known(&site.host()).unwrap().unwrap().named_images().contains(FIRST));
    site.end_job(Vec::new(), |journal| journal.publish(image(FIRST, NOBLE, &cloud)));
    site.next_hook();
    assert_eq!(written(&site, &relation), databag);
    site.assert_status("active: ");
}

#[test]
fn damaged_records_are_put_aside() {
    let (site, _relation) = Plan::new().settled();
    for file in ["journal.json", "request.json"] {
        for (text, name) in
            [("{", "unreadable"), (r#"{"format": 3}"#, "format-3"), ("\u{0}\u{0}", "unreadable")]
        {
            site.kill_worker();
            fs::write(site.state_file(file), text).unwrap();
            site.next_hook();
            assert_eq!(kept(&site, &format!("{file}.{name}")), text);
            site.assert_status("maintenance: ");
        }
        assert_warned(&site, &format!("{file} cannot be read"));
        site.worker();
    }
}

#[test]
fn the_records_of_a_newer_worker_that_lives_are_left_to_it() {
    let (site, _relation) = Plan::new().related();
    site.worker();
    fs::write(site.state_file("journal.json"), NEWER).unwrap();
    site.next_hook();
    assert_eq!(kept(&site, "journal.json"), NEWER);
    site.assert_status("maintenance: ");
    site.kill_worker();
    site.next_hook();
    assert_eq!(kept(&site, "journal.json.format-99"), NEWER);
    site.worker();
}
