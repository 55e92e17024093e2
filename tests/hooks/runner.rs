//! Until when GitHub accepts the runner of an image: what the status and the metrics say as the releases in the record grow old.

use rehearsal::agent::Relation;
use runner_image_builder::github::RunnerVersion;
use runner_image_builder::model::Timestamp;
use runner_image_builder::openstack_cloud::ImageId;
use runner_image_builder::record::{Answered, Contents, Image, JobId, Revision, Upstream};

use crate::deploy::Plan;
use crate::machine::{NOBLE, Site, image};
use crate::publishing::FIRST;

const DAY: u64 = 86_400;

/// A site whose relation is told an image with runner 2.335.0.
fn published(plan: &Plan) -> (Site, Relation) {
    let (site, relation) = plan.related();
    site.finish_job(Vec::new(), |journal| {
        let build: ImageId = "build".parse().unwrap();
        let contents = Contents {
            runner: "2.335.0".into(),
            base_image: Timestamp(1),
            base_serial: None,
            manifest: None,
            snapshot_format: None,
        };
        journal.note_revision(Revision {
            target: NOBLE,
            id: build.clone(),
            job: JobId::random(),
            fingerprint: "what it is made of".into(),
            built: Timestamp::now(),
            proof: None,
            failed_reads: 0,
            contents: Some(contents),
            copies: Vec::new(),
        });
        journal.publish(Image { revision: Some(build), ..image(FIRST, NOBLE, &plan.project().cloud()) });
    });
    (site, relation)
}

/// The record after a look, when 2.336.0 came out so many days ago; returns from when on 2.335.0 is refused.
fn released(site: &Site, days_ago: u64) -> Timestamp {
    let published = Timestamp(Timestamp::now().0 - days_ago * DAY);
    let answer = vec![RunnerVersion { version: "2.336.0".into(), published }];
    Upstream::change(&site.host(), |known| {
        known.runner_versions = Answered { answer, ..Answered::default() }
    })
    .unwrap();
    Timestamp(published.0 + 30 * DAY)
}

#[test]
fn a_pinned_runner_is_well_then_warned_of_then_refused() {
    let (site, _relation) = published(&Plan::new().option("runner-version", "2.335.0"));
    released(&site, 10);
    site.next_hook();
    site.assert_status("active: noble-x64 ");
    let at = released(&site, 17);
    site.next_hook();
    let expected =
        format!("active: Runner 2.335.0 is refused by GitHub from {}: unset runner-version; ", at.date());
    site.assert_status(&expected);
    let at = released(&site, 30);
    site.next_hook();
    site.assert_status(&format!("blocked: Runner 2.335.0 is refused by GitHub since {}: unset ", at.date()));
    let metrics = site.unit().exec("./dispatch metrics").unwrap().stdout;
    let sample =
        format!("\nrunner_image_builder_runner_refused_timestamp_seconds{{target=\"noble-x64\"}} {}\n", at.0);
    assert!(metrics.contains(&sample), "{metrics}");
}

#[test]
fn a_paused_unit_says_when_its_images_end_however_long_that_is() {
    let (site, _relation) = published(&Plan::new());
    site.app.set_config(&[("paused", "true")]).unwrap();
    let at = released(&site, 2);
    site.next_hook();
    site.assert_status(&format!(
        "active: Runner 2.335.0 is refused by GitHub from {}; noble-x64 ",
        at.date()
    ));
    std::fs::write(site.state_file("upstream.json"), "{").unwrap();
    site.next_hook();
    site.assert_status("active: noble-x64 ");
}

#[test]
fn cron_has_the_worker_look_in_the_hours_between_and_asks_for_no_job() {
    let (site, _relation) = published(&Plan::new());
    let (job, order) = (site.request().unwrap().id, check(&site));
    assert_eq!(site.unit().exec("JUJU_DISPATCH_PATH=look ./dispatch").unwrap().code, 0);
    assert_ne!(check(&site), order);
    assert_eq!(check(&site)["scope"], "upstream");
    assert_eq!(site.request().unwrap().id, job);
}

fn check(site: &Site) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(site.state_file("check.json")).unwrap()).unwrap()
}
