//! What an operator reads in `juju status` while builds run, fail and succeed.

use runner_image_builder::model::{Target, Timestamp};
use runner_image_builder::record::{Build, Failure, Phase, Remedy};

use crate::deploy::Plan;
use crate::machine::{JAMMY, NOBLE, Site, image};
use crate::publishing::FIRST;

fn failed(target: Option<Target>, message: &str, remedy: Remedy) -> Failure {
    Failure {
        target,
        cloud: None,
        message: message.into(),
        remedy,
        summary: String::new(),
        cause: Default::default(),
        since: None,
    }
}

fn ago(minutes: u64) -> Timestamp {
    Timestamp(Timestamp::now().0 - minutes * 60)
}

/// The journal of a worker that works: these builds, each since some minutes.
fn at_work(site: &Site, builds: &[(Target, Phase, u64)]) {
    let mut journal = site.journal();
    let builds = builds.iter().map(|(target, phase, minutes)| Build {
        phase: phase.clone(),
        hampered: None,
        since: ago(*minutes),
        ..Build::waiting(*target)
    });
    journal.job.as_mut().unwrap().builds = builds.collect();
    journal.save(&site.host()).unwrap();
}

fn installing() -> Phase {
    Phase::Installing { step: "installing packages".into(), number: 3, of: 9 }
}

#[test]
fn the_first_builds_progress_is_shown_step_by_step() {
    let (site, _relation) = Plan::new().related();
    site.worker();
    for (phase, shown) in [
        (Phase::Checking, "looking for changes"),
        (Phase::Preparing, "preparing base image"),
        (Phase::Launching, "launching builder VM"),
        (installing(), "installing packages, 3 of 9"),
        (Phase::Snapshotting, "taking snapshot"),
        (Phase::Delivering, "delivering image"),
    ] {
        at_work(&site, &[(NOBLE, phase, 4)]);
        site.next_hook();
        assert_eq!(site.status(), format!("maintenance: Building noble-x64: {shown}, 4 min"));
    }
}

#[test]
fn of_several_builds_the_one_that_is_behind_is_shown_and_how_many_are_done() {
    let (site, _relation) = Plan::new().option("base-image", "noble,jammy").related();
    site.worker();
    at_work(&site, &[(NOBLE, Phase::Done, 9), (JAMMY, installing(), 5)]);
    site.next_hook();
    let expected = "maintenance: Building jammy-x64: installing packages, 3 of 9, 5 min (1 of 2 done)";
    assert_eq!(site.status(), expected);
}

#[test]
fn with_an_image_the_unit_is_active_also_while_the_next_is_built() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    site.worker();
    let mut journal = site.journal();
    let cloud = plan.project().cloud();
    journal.publish(runner_image_builder::record::Image { built: ago(180), ..image(FIRST, NOBLE, &cloud) });
    journal.save(&site.host()).unwrap();
    at_work(&site, &[(NOBLE, installing(), 4)]);
    site.next_hook();
    let expected = "active: noble-x64 3 h old; building noble-x64: installing packages, 3 of 9, 4 min";
    assert_eq!(site.status(), expected);
}

#[test]
fn a_retry_that_is_pending_is_told_and_takes_nothing_away() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    let failure = failed(Some(NOBLE), "waiting for the builder VM: no route to host.", Remedy::Retry);
    let cloud = plan.project().cloud();
    site.finish_job(vec![failure.clone()], |journal| journal.publish(image(FIRST, NOBLE, &cloud)));
    site.next_hook();
    site.assert_status("active: noble-x64 ");
    let rest = " old; build failed: waiting for the builder VM: no route to host, next try ";
    assert!(site.status().contains(rest), "{}", site.status());
    assert!(!site.worker_lives());

    site.end_job(vec![failure], |journal| journal.images.clear());
    site.next_hook();
    site.assert_status("maintenance: Build failed: waiting for the builder VM");
}

#[test]
fn what_the_operator_must_mend_blocks_without_an_image_and_warns_with_one() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    let failures = vec![
        failed(None, "reaching the mirror: timed out", Remedy::Retry),
        failed(None, "quota of the project is used up; raise it", Remedy::Operator),
    ];
    site.finish_job(failures.clone(), |_| ());
    site.next_hook();
    let told = "uild failed: quota of the project is used up, next try ";
    let rest = "; raise it; and 1 more; see history";
    site.assert_status(&format!("blocked: B{told}"));
    assert!(site.status().ends_with(rest), "{}", site.status());
    let cloud = plan.project().cloud();
    site.end_job(failures, |journal| journal.publish(image(FIRST, NOBLE, &cloud)));
    site.next_hook();
    site.assert_status("active: noble-x64 ");
    assert!(site.status().contains(&format!("; b{told}")), "{}", site.status());
    assert!(site.status().ends_with(rest), "{}", site.status());
}

#[test]
fn a_failure_of_another_configuration_says_nothing_about_this_one() {
    let (site, _relation) = Plan::new().related();
    site.finish_job(vec![failed(None, "no flavor of this name: big", Remedy::Operator)], |_| ());
    site.next_hook();
    site.assert_status("blocked: ");
    site.app.set_config(&[("build-flavor", "small")]).unwrap();
    site.assert_status("maintenance: ");
    assert!(!site.status().contains("big"), "{}", site.status());
}

#[test]
fn a_long_message_is_one_line_of_bounded_length() {
    let (site, _relation) = Plan::new().related();
    let long = format!("first line\nsecond line {}", "\u{e9}".repeat(600));
    site.finish_job(vec![failed(None, &long, Remedy::Operator)], |_| ());
    site.next_hook();
    let message = site.unit().status().unwrap().message;
    assert!(message.len() <= 400 && !message.contains('\n'), "{message}");
    assert!(message.starts_with("Build failed: first line second line \u{e9}"), "{message}");
    let next = message.find(", next try ").expect("the next try");
    assert!(next + ", next try 14:15Z".len() <= 120, "juju status shows it: {message}");
}
