//! What a relation's databag says, and when it is written. The worker's part is played: its journal is written here.

use std::fs;

use rehearsal::agent::{Databag, Relation};
use runner_image_builder::record::Journal;
use serde_json::{Value, json};

use crate::cloud::{Credentials, NOBODY};
use crate::deploy::Plan;
use crate::machine::{JAMMY, NOBLE, Site, all_succeeded, image};

pub const FIRST: &str = "11111111-0000-4000-8000-000000000001";
pub const SECOND: &str = "22222222-0000-4000-8000-000000000002";
pub const THIRD: &str = "33333333-0000-4000-8000-000000000003";

pub fn written(site: &Site, relation: &Relation) -> Databag {
    relation.written_by(&site.unit()).unwrap()
}

pub fn images(databag: &Databag) -> Value {
    serde_json::from_str(&databag["images"]).unwrap()
}

/// A site whose relation names the image FIRST, read back already.
fn published(plan: &Plan) -> (Site, Relation) {
    let (site, relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    site.next_hook();
    assert_eq!(written(&site, &relation)["id"], FIRST);
    (site, relation)
}

#[test]
fn a_delivered_image_is_published_by_the_next_hook() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    assert_eq!(written(&site, &relation), Databag::new());
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    let databag = written(&site, &relation);
    assert_eq!(databag.keys().collect::<Vec<_>>(), ["id", "images", "public_keys", "tags"]);
    assert_eq!((databag["id"].as_str(), databag["tags"].as_str()), (FIRST, "x64,noble"));
    assert_eq!(images(&databag), json!([{"id": FIRST, "tags": "x64,noble"}]));
    site.assert_status("active: noble-x64 ");
}

#[test]
fn id_and_tags_are_of_the_first_base_and_then_of_the_first_architecture() {
    let plan = Plan::new().option("base-image", "jammy,noble").option("architecture", "x64,arm64");
    let (site, relation) = plan.related();
    let cloud = plan.project().cloud();
    let jammy_arm64 = site.request().unwrap().config.targets[1];
    site.deliver(&[(FIRST, NOBLE, &cloud), (SECOND, jammy_arm64, &cloud)]);
    site.next_hook();
    let databag = written(&site, &relation);
    let expected = json!([{"id": SECOND, "tags": "arm64,jammy"}, {"id": FIRST, "tags": "x64,noble"}]);
    assert_eq!(images(&databag), expected);
    assert!(
        !databag.contains_key("id") && !databag.contains_key("tags"),
        "another image than the first: {databag:?}"
    );

    site.end_job(Vec::new(), |journal| journal.publish(image(THIRD, JAMMY, &cloud)));
    site.next_hook();
    let databag = written(&site, &relation);
    assert_eq!((databag["id"].as_str(), databag["tags"].as_str()), (THIRD, "x64,jammy"));
    assert_eq!(images(&databag).as_array().unwrap().len(), 3);
}

#[test]
fn nothing_is_written_again_while_nothing_has_changed() {
    let (site, relation) = published(&Plan::new());
    let writes = || {
        let runs = site.model.runs();
        let calls = runs.iter().flat_map(|run| &run.calls).filter(|call| call.tool == "relation-set");
        // What is for other units is none of the relation's.
        calls.filter(|call| !call.argv.iter().any(|word| word == "--app")).count()
    };
    assert_eq!((relation.changes_by(&site.unit()).unwrap(), writes()), (1, 1));
    for hook in ["update-status", "config-changed", "start", "upgrade-charm"] {
        assert!(site.unit().fire(hook).unwrap().succeeded());
    }
    all_succeeded(relation.add_remote_unit(4, &[]).unwrap());
    assert_eq!((relation.changes_by(&site.unit()).unwrap(), writes()), (1, 1));
}

#[test]
fn a_newer_image_takes_the_place_of_the_older() {
    let plan = Plan::new();
    let (site, relation) = published(&plan);
    site.end_job(Vec::new(), |journal| journal.publish(image(SECOND, NOBLE, &plan.project().cloud())));
    site.next_hook();
    let databag = written(&site, &relation);
    assert_eq!(
        (databag["id"].as_str(), images(&databag)),
        (SECOND, json!([{"id": SECOND, "tags": "x64,noble"}]))
    );
}

#[test]
fn a_base_that_is_wanted_no_more_is_named_no_more() {
    let plan = Plan::new().option("base-image", "noble,jammy");
    let (site, relation) = plan.related();
    let cloud = plan.project().cloud();
    site.deliver(&[(FIRST, NOBLE, &cloud), (SECOND, JAMMY, &cloud)]);
    site.next_hook();
    site.app.set_config(&[("base-image", "jammy")]).unwrap();
    let databag = written(&site, &relation);
    assert_eq!(
        (databag["id"].as_str(), images(&databag)),
        (SECOND, json!([{"id": SECOND, "tags": "x64,jammy"}]))
    );
}

#[test]
fn a_lost_journal_keeps_the_last_good_images_in_place() {
    let (site, relation) = published(&Plan::new());
    let before = written(&site, &relation);
    for file in ["journal.json", "databags.json", "request.json"] {
        fs::remove_file(site.state_file(file)).unwrap();
        site.next_hook();
        assert_eq!(written(&site, &relation), before, "without {file}");
        site.kill_worker();
    }
    fs::remove_dir_all(site.host().state_dir()).unwrap();
    site.next_hook();
    assert_eq!((written(&site, &relation), relation.changes_by(&site.unit()).unwrap()), (before, 1));
}

#[test]
fn a_relation_that_moves_to_another_cloud_loses_the_ids_of_the_old_one() {
    let plan = Plan::new();
    let (site, relation) = published(&plan);
    let elsewhere = Credentials::new(NOBODY, "elsewhere");
    all_succeeded(relation.set_remote_unit(0, &elsewhere.data()).unwrap());
    assert_eq!(written(&site, &relation), Databag::new());
    site.assert_status("maintenance: ");
    site.kill_worker();
    let mut journal: Journal = site.journal();
    journal.publish(image(SECOND, NOBLE, &elsewhere.cloud()));
    journal.save(&site.host()).unwrap();
    site.next_hook();
    assert_eq!(written(&site, &relation)["id"], SECOND);
}

#[test]
fn a_hook_that_fails_after_it_published_is_made_good_by_the_next() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.model.fail_tool("status-set", 1, "connection is shut down");
    let failed = site.unit().update_status().unwrap();
    assert!(!failed.succeeded() && failed.tool_counts().contains_key("relation-set"), "{failed:?}");
    assert_eq!(written(&site, &relation), Databag::new(), "Juju drops what a failed hook wrote");
    site.model.heal_tools();
    all_succeeded(site.unit().retry().unwrap());
    assert_eq!(written(&site, &relation)["id"], FIRST);
}

#[test]
fn a_hook_that_fails_after_it_took_ids_away_is_made_good_by_the_next() {
    let (site, relation) = published(&Plan::new());
    let elsewhere = Credentials::new(NOBODY, "elsewhere");
    site.model.fail_tool("status-set", 1, "connection is shut down");
    let runs = relation.set_remote_unit(0, &elsewhere.data()).unwrap();
    assert!(!runs[0].succeeded());
    assert_eq!(written(&site, &relation)["id"], FIRST);
    site.model.heal_tools();
    all_succeeded(site.unit().retry().unwrap());
    assert_eq!(written(&site, &relation), Databag::new(), "ids of a cloud that the relation is not about");
}
