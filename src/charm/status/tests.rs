//! Which status follows from which state.

use std::collections::BTreeMap;

use super::*;
use crate::builder::Clouds;
use crate::charm::image_relation::ImageRelation;
use crate::juju::RelationId;
use crate::model::{Arch, BaseImage, Secret, Target};
use crate::openstack_cloud::{CloudConfig, Interface};
use crate::record::{
    Build, BuildConfig, BuildResult, BuildSecrets, BuilderRunConfig, Check, CloudName, Failure, Finding,
    Image, Job, JobId, Phase, Verdict,
};

pub(super) const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
pub(super) const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::X64 };

/// A leader with one related cloud and one target.
pub(super) fn state() -> CharmState {
    let cloud = CloudName::new("ci-1");
    let text = |text: &str| text.to_owned();
    let config = CloudConfig {
        auth_url: text("https://k/v3"),
        region_name: None,
        interface: Interface::Public,
        ca_certificate: None,
        project_name: text("ci"),
        project_domain_name: text("Default"),
        user_domain_name: text("Default"),
        username: text("ci"),
        application_credential: None,
        password: Secret::default(),
    };
    let relation = RelationId::parse("image:1").unwrap();
    let application = Some(text("upload-runners"));
    let related = ImageRelation { cloud: cloud.clone(), config, application };
    CharmState {
        leader: true,
        paused: false,
        build_interval: 6,
        relations: BTreeMap::from([(relation.clone(), related)]),
        relation_ids: vec![relation],
        refused: BTreeMap::new(),
        clouds: Clouds::new(),
        run: BuilderRunConfig {
            build_cloud: cloud.clone(),
            clouds: vec![cloud],
            ..crate::testing::run_config()
        },
        secrets: BuildSecrets::default(),
        script_secret: None,
        last_hook: Default::default(),
        installed: Default::default(),
    }
}

fn ago(minutes: u64) -> Timestamp {
    Timestamp(Timestamp::now().0 - minutes * 60)
}

pub(super) fn image(target: Target, minutes: u64) -> Image {
    let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: CloudName::new("ci-1") };
    let result = BuildResult { config, id: "1".parse().unwrap() };
    Image { result, fingerprint: String::new(), hash: None, revision: None, built: ago(minutes) }
}

fn job(state: &CharmState, builds: &[(Target, Phase)]) -> Job {
    let builds = builds.iter().map(|(target, phase)| Build {
        phase: phase.clone(),
        hampered: None,
        since: ago(4),
        ..Build::waiting(*target)
    });
    Job {
        reason: None,
        started: ago(5),
        builds: builds.collect(),
        ..Job::new(&crate::testing::request(state.run.clone()))
    }
}

/// The journal after a job that has failed so.
pub(super) fn failed(state: &CharmState, remedies: &[Remedy]) -> Journal {
    let failure = |remedy: &Remedy| Failure {
        target: Some(NOBLE),
        cloud: Some(CloudName::new("ci-1")),
        message: format!("{remedy:?}."),
        remedy: *remedy,
        summary: String::new(),
        cause: Default::default(),
        since: None,
    };
    let mut journal = Journal { job: Some(job(state, &[])), ..Journal::default() };
    let request = crate::testing::request(state.run.clone());
    journal.end(&request, remedies.iter().map(failure).collect());
    journal
}

#[track_caller]
fn assert_shown(state: &CharmState, journal: &Journal, expected: &str) {
    let shown = status(state, journal, None);
    assert_eq!(format!("{}: {}", shown.name(), shown.message()), expected);
}

/// A status without what changes with the clock.
fn shown(state: &CharmState, journal: &Journal) -> String {
    without_times(&status(state, journal, None))
}

/// The same where a check has found this.
fn checked(state: &CharmState, journal: &Journal, findings: &Findings) -> String {
    without_times(&status(state, journal, Some(findings)))
}

fn without_times(status: &Status) -> String {
    let text = format!("{}: {}", status.name(), status.message()).replace(", 5 min", ", 4 min");
    let is_time = |word: &str| word.len() == 6 && word.ends_with('Z') && word.as_bytes()[2] == b':';
    let words = text.split(' ').map(|word| match word.trim_end_matches(['.', ';', ',']) {
        time if is_time(time) => word.replace(time, "HH:MMZ"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn operators_read_these_statuses() {
    let state = state();
    let unrelated = CharmState { relations: BTreeMap::new(), ..self::state() };
    let follower = CharmState { leader: false, ..self::state() };
    let paused = CharmState { paused: true, ..self::state() };
    let mut two = self::state();
    two.run.targets = vec![JAMMY, NOBLE];
    let installing = Phase::Installing { step: "installing packages".into(), number: 3, of: 9 };
    let working =
        |builds: &[(Target, Phase)]| Journal { job: Some(job(&state, builds)), ..Journal::default() };
    let with = |images: &[Image], journal: Journal| Journal { images: images.to_vec(), ..journal };
    let (one, both) = ([image(NOBLE, 125)], [image(NOBLE, 125), image(JAMMY, 3 * 24 * 60)]);
    let again = Journal { job: working(&[(JAMMY, Phase::Launching)]).job, ..failed(&two, &[Remedy::Retry]) };
    let unrelated_at_all = CharmState { relation_ids: Vec::new(), leader: false, ..unrelated.clone() };
    let cases = [
        ("no relation, whatever is published", &unrelated_at_all, with(&one, Journal::default())),
        ("a relation without data", &unrelated, with(&one, Journal::default())),
        ("a unit that does not lead", &follower, Journal::default()),
        ("the same with an image", &follower, with(&one, Journal::default())),
        ("paused before the first image", &paused, Journal::default()),
        ("paused with an image", &paused, with(&one, Journal::default())),
        ("nothing yet", &state, Journal::default()),
        ("a job that begins", &state, working(&[])),
        ("a build that waits", &state, working(&[(NOBLE, Phase::Waiting)])),
        ("checking", &state, working(&[(NOBLE, Phase::Checking)])),
        ("preparing", &state, working(&[(NOBLE, Phase::Preparing)])),
        ("launching", &state, working(&[(NOBLE, Phase::Launching)])),
        ("installing", &state, working(&[(NOBLE, installing)])),
        ("snapshotting", &state, working(&[(NOBLE, Phase::Snapshotting)])),
        ("verifying", &state, working(&[(NOBLE, Phase::Verifying)])),
        ("packing", &state, working(&[(NOBLE, Phase::Packing)])),
        ("one of two is done", &state, working(&[(NOBLE, Phase::UpToDate), (JAMMY, Phase::Delivering)])),
        ("a failure that time mends", &state, failed(&state, &[Remedy::Retry])),
        ("two failures", &state, failed(&state, &[Remedy::Retry, Remedy::Operator])),
        ("a job without failures and images", &state, failed(&state, &[])),
        ("all is well", &two, with(&both, Journal::default())),
        ("a build after a failure", &two, with(&both, again)),
        ("a failure beside images", &two, with(&both, failed(&two, &[Remedy::Operator]))),
    ];
    let lines = cases.iter().map(|(case, state, journal)| format!("{case}\n    {}\n", shown(state, journal)));
    insta::assert_snapshot!(lines.collect::<String>(), @r#"
    no relation, whatever is published
        blocked: image integration required.
    a relation without data
        blocked: image integration required. The related application has not given its OpenStack credentials yet.
    a unit that does not lead
        active: Standby: no image from the leader yet
    the same with an image
        active: Standby: noble-x64 2 h old
    paused before the first image
        blocked: Paused, set paused=false to resume builds
    paused with an image
        active: noble-x64 2 h old; paused, set paused=false to resume builds
    nothing yet
        maintenance: Waiting for first image
    a job that begins
        maintenance: Building image
    a build that waits
        maintenance: Building image
    checking
        maintenance: Building noble-x64: looking for changes, 4 min
    preparing
        maintenance: Building noble-x64: preparing base image, 4 min
    launching
        maintenance: Building noble-x64: launching builder VM, 4 min
    installing
        maintenance: Building noble-x64: installing packages, 3 of 9, 4 min
    snapshotting
        maintenance: Building noble-x64: taking snapshot, 4 min
    verifying
        maintenance: Building noble-x64: verifying image, 4 min
    packing
        maintenance: Building noble-x64: packing image, 4 min
    one of two is done
        maintenance: Building jammy-x64: delivering image, 4 min (1 of 2 done)
    a failure that time mends
        maintenance: Delivery to upload-runners (ci) failed: Retry, next try HH:MMZ
    two failures
        blocked: Delivery to upload-runners (ci) failed: Operator, next try HH:MMZ; and 1 more; see history
    a job without failures and images
        maintenance: Waiting for first image
    all is well
        active: 2 images current, oldest 3 days; next look HH:MMZ
    a build after a failure
        active: 1 of 2 images current; building jammy-x64: launching builder VM, 4 min
    a failure beside images
        active: 1 of 2 images current; noble-x64 delivery to upload-runners (ci) failed: Operator, next try HH:MMZ
    "#);
}

#[test]
fn what_is_left_in_a_cloud_that_is_not_used_any_more_is_told_with_whatever_else_there_is() {
    let state = state();
    let mut journal = Journal::default();
    let (old, current) = (CloudName::new("old-1"), state.run.build_cloud.clone());
    journal.works_in(&old, ["base image b".to_owned()]);
    journal.works_in(&current, ["base image b".to_owned()]);
    assert_shown(&state, &journal, "maintenance: Waiting for first image");
    journal.could_not_leave(&old, None, Some("the password is refused".into()));
    let left = "left in old-1: base image b (the password is refused)";
    assert_shown(&state, &journal, &format!("maintenance: Waiting for first image; {left}"));
    journal.publish(image(NOBLE, 125));
    let well = status(&state, &journal, None);
    assert!(well.name() == "active" && well.message().ends_with(&format!("Z; {left}")), "{well:?}");
    let standing_by = CharmState { leader: false, ..state };
    let expected = format!("active: Standby: noble-x64 2 h old; {left}");
    assert_shown(&standing_by, &journal, &expected);
}

#[test]
fn an_image_of_a_target_or_a_cloud_that_is_not_wanted_does_not_count() {
    let mut state = state();
    let journal = Journal { images: vec![image(JAMMY, 1)], ..Journal::default() };
    assert_shown(&state, &journal, "maintenance: Waiting for first image");
    let journal = Journal { images: vec![image(NOBLE, 1)], ..Journal::default() };
    state.run.clouds = vec![CloudName::new("other-2")];
    assert_shown(&state, &journal, "maintenance: Waiting for first image");
}

#[test]
fn a_failure_of_another_configuration_is_not_told() {
    let mut state = state();
    let journal = failed(&state, &[Remedy::Operator]);
    state.run.revision_history_limit = 6;
    assert_shown(&state, &journal, "maintenance: Waiting for first image");
}

/// What a check of the configuration of `state` has found to be wrong.
fn found(state: &CharmState, texts: &[&str]) -> Findings {
    let finding = |text: &&str| Finding::new(Check::Flavor, Verdict::Failure, text);
    let ok = Finding::new(Check::Network, Verdict::Ok, "there is one");
    Findings {
        order: JobId::random(),
        at: Timestamp::now(),
        config_digest: state.run.digest(),
        findings: texts.iter().map(finding).chain([ok]).collect(),
    }
}

#[test]
fn what_a_check_finds_is_told_whatever_jobs_do_and_once() {
    let mut state = state();
    let up_to_date = Journal { images: vec![image(NOBLE, 125)], ..Journal::default() };
    let wrong = found(&state, &["no such flavor; set build-flavor."]);
    let next = "lavor check failed: no such flavor, next look HH:MMZ; set build-flavor";
    assert_eq!(checked(&state, &up_to_date, &wrong), format!("active: noble-x64 2 h old; f{next}"));
    let first = Journal::default();
    assert_eq!(checked(&state, &first, &wrong), format!("blocked: F{next}"));
    let two = found(&state, &["no such flavor", "another"]);
    assert!(
        checked(&state, &first, &two).ends_with("no such flavor, next look HH:MMZ; and 1 more; see check")
    );
    let failed = failed(&state, &[Remedy::Operator]);
    let same = found(&state, &["Operator."]);
    assert!(!checked(&state, &failed, &same).contains("check failed"), "the job's failure says it");
    assert!(!checked(&state, &first, &found(&state, &[])).contains("check failed"));

    let running = Journal { job: Some(job(&state, &[(NOBLE, Phase::Launching)])), ..up_to_date };
    let told = "lavor check failed: no such flavor; set build-flavor";
    assert!(checked(&state, &running, &wrong).ends_with(&format!("; f{told}")));
    state.relations.clear();
    state.relation_ids.clear();
    assert_eq!(checked(&state, &first, &wrong), format!("blocked: image integration required. F{told}"));
    state.run.vm.flavor = Some("another".into());
    assert_eq!(checked(&state, &first, &wrong), "blocked: image integration required.");
}

#[test]
fn progress_tells_why_a_step_takes_long() {
    let state = state();
    let mut job = job(&state, &[(NOBLE, Phase::Launching)]);
    job.builds[0].hampered = Some("connect to host 10.0.0.7 port 22: Connection refused".into());
    let told = progress(&job);
    assert!(
        told.starts_with("Building noble-x64: launching builder VM (connect to host 10.0.0.7 port 22: C"),
        "{told}"
    );
    let installing = Phase::Installing { step: "packages".into(), number: 1, of: 9 };
    job.build(NOBLE).enter(installing).unwrap();
    assert!(!progress(&job).contains("refused"));
}

mod glance;
mod long_names;
