//! What ends a failure, and when it is retried.

use super::*;
use crate::model::{Arch, BaseImage, Cause};
use crate::record::journal::Image;
use crate::record::journal::build_state::{Build, Phase};
use crate::record::run_config::BuildResult;
use crate::testing::{request, run_config};

const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::X64 };

/// A leader's: two targets, two projects.
fn config() -> BuilderRunConfig {
    let clouds = ["ci-1", "ci-2"].map(CloudName::new).to_vec();
    BuilderRunConfig { targets: vec![NOBLE, JAMMY], clouds, ..run_config() }
}

fn failure(target: Option<Target>, cloud: Option<&str>) -> Failure {
    let cloud = cloud.map(CloudName::new);
    Failure {
        target,
        cloud,
        message: "no".into(),
        remedy: Remedy::Retry,
        summary: String::new(),
        cause: Default::default(),
        since: None,
    }
}

fn image(target: Target, cloud: &str, id: &str, built: Timestamp) -> Image {
    let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: CloudName::new(cloud) };
    let result = BuildResult { config, id: id.parse().unwrap() };
    Image { result, fingerprint: String::new(), hash: None, revision: None, built }
}

/// One job, which finds or delivers these images and ends with these failures.
fn job(journal: &mut Journal, request: &Request, images: &[Image], failures: &[Failure]) {
    journal.job = Some(Job::new(request));
    for image in images {
        let BuildConfig { base, arch, .. } = image.result.config;
        let target = Target { base, arch };
        journal.publish(image.clone());
        if request.task == Task::Build {
            let job = journal.job.as_mut().unwrap();
            *job.build(target) = Build { phase: Phase::UpToDate, ..Build::waiting(target) };
        }
    }
    journal.end(request, failures.to_vec());
}

/// `noble-x64 ci-1 2`: what fails, and how often in a row.
fn failing(journal: &Journal) -> Vec<String> {
    let config = config();
    let kinds = [TaskKind::Build, TaskKind::TakeOver, TaskKind::CleanUp];
    let all = kinds.into_iter().flat_map(|kind| journal.failing(&config, kind));
    let mut all: Vec<String> = all
        .map(|(standing, open)| {
            let target = standing.target.map(|target| target.to_string());
            let cloud = standing.cloud.as_ref().map(ToString::to_string);
            let scope: Vec<String> = target.into_iter().chain(cloud).collect();
            format!("{} {}", scope.join(" "), open.in_row)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn only_a_success_of_the_same_target_in_the_same_project_ends_a_failure() {
    let (mut journal, all) = (Journal::default(), request(config()));
    let refused = failure(Some(NOBLE), Some("ci-2"));
    job(&mut journal, &all, &[], std::slice::from_ref(&refused));
    job(&mut journal, &all, &[image(NOBLE, "ci-1", "1", Timestamp::now())], &[refused]);
    assert_eq!(failing(&journal), ["noble-x64 ci-2 2"]);
    let (next, success) = (journal.next_try(&config(), TaskKind::Build), journal.last_success());
    assert!(success.is_some());

    let jammy = Request { bases: vec![JAMMY.base], ..request(config()) };
    let clean_up = Request { task: Task::CleanUp, reason: Reason::Cancel, ..request(config()) };
    let follows = image(NOBLE, "ci-2", "2", Timestamp(1));
    let take_over = Request { task: Task::TakeOver(vec![follows.clone()]), ..request(config()) };
    for (request, images) in [(&jammy, vec![]), (&clean_up, vec![]), (&take_over, vec![follows])] {
        job(&mut journal, request, &images, &[]);
        assert_eq!(failing(&journal), ["noble-x64 ci-2 2"], "{:?}", request.task);
        assert_eq!(journal.next_try(&config(), TaskKind::Build), next);
    }
    job(&mut journal, &all, &[image(NOBLE, "ci-2", "2", Timestamp(1))], &[]);
    assert_eq!(failing(&journal), [] as [&str; 0]);
    assert_eq!(journal.next_try(&config(), TaskKind::Build), None);
}

#[test]
fn what_was_up_to_date_all_along_is_no_success() {
    let (mut journal, all) = (Journal::default(), request(config()));
    let known = image(NOBLE, "ci-1", "1", Timestamp(1));
    job(&mut journal, &all, std::slice::from_ref(&known), &[]);
    let standing = journal.standings.iter_mut().find(|standing| standing.target == Some(NOBLE)).unwrap();
    standing.last_success = Some(Timestamp(7));
    job(&mut journal, &all, std::slice::from_ref(&known), &[]);
    assert_eq!(journal.last_success(), Some(Timestamp(7)));

    // Nor is it the rebuild that was asked for.
    let forced = Request { rebuild: Rebuild::Always, ..request(config()) };
    job(&mut journal, &forced, &[], &[failure(Some(NOBLE), None)]);
    job(&mut journal, &all, std::slice::from_ref(&known), &[]);
    assert_eq!(failing(&journal), ["noble-x64 1"]);
    let (_, open) = journal.failing(&config(), TaskKind::Build).next().unwrap();
    assert_eq!((open.rebuild, &open.jobs), (Rebuild::Always, &vec![forced.id.clone()]));
    job(&mut journal, &forced, &[image(NOBLE, "ci-1", "2", Timestamp::now())], &[]);
    assert_eq!(failing(&journal), [] as [&str; 0]);
}

#[test]
fn a_failure_of_the_whole_job_concerns_each_target_that_it_was_about() {
    let (mut journal, all) = (Journal::default(), request(config()));
    job(&mut journal, &all, &[], &[failure(None, None)]);
    assert_eq!(failing(&journal), ["jammy-x64 1", "noble-x64 1"]);
    let jammy = Request { bases: vec![JAMMY.base], ..request(config()) };
    job(&mut journal, &jammy, &[image(JAMMY, "ci-1", "1", Timestamp(1))], &[failure(None, Some("ci-2"))]);
    assert_eq!(failing(&journal), ["jammy-x64 ci-2 1", "noble-x64 1"]);
    // Nothing is built for anybody where the builders' project is out of reach.
    job(&mut journal, &jammy, &[], &[failure(None, Some("builders-1"))]);
    assert_eq!(failing(&journal), ["jammy-x64 1", "jammy-x64 ci-2 1", "noble-x64 1"]);
}

#[test]
fn what_is_not_configured_or_related_any_more_fails_no_more() {
    let (mut journal, all) = (Journal::default(), request(config()));
    let failures = [failure(Some(JAMMY), None), failure(None, Some("ci-2")), failure(Some(NOBLE), None)];
    job(&mut journal, &all, &[], &failures);
    let less = BuilderRunConfig { targets: vec![NOBLE], clouds: vec![CloudName::new("ci-1")], ..config() };
    assert_eq!(journal.failing(&less, TaskKind::Build).count(), 1);
    job(&mut journal, &request(less), &[], &[]);
    assert_eq!(failing(&journal), ["noble-x64 1"]);
}

#[test]
fn a_job_that_has_lost_its_secrets_has_tried_nothing() {
    let (mut journal, all) = (Journal::default(), request(config()));
    let clean_up = Request { task: Task::CleanUp, reason: Reason::Cancel, ..request(config()) };
    job(&mut journal, &clean_up, &[], &[failure(None, None)]);
    for request in [&all, &clean_up] {
        job(&mut journal, request, &[], &[Failure { remedy: Remedy::Hook, ..failure(None, None) }]);
        assert_eq!(failing(&journal), [" 1"]);
    }
    job(&mut journal, &clean_up, &[], &[]);
    assert_eq!(failing(&journal), [] as [&str; 0]);
}

#[test]
fn retries_come_later_with_each_failure_and_never_more_than_two_hours_apart() {
    let (mut journal, all) = (Journal::default(), request(config()));
    for pause in [300, 600, 1200, 2400, 4800, 7200, 7200] {
        job(&mut journal, &all, &[], &[failure(Some(NOBLE), None)]);
        let (standing, open) = journal.failing(&config(), TaskKind::Build).next().unwrap();
        assert_eq!(open.next_try.0 - standing.last_failure.unwrap().0, pause);
    }
}

#[test]
fn a_cancelled_try_comes_back_later_and_one_that_waits_keeps_its_time() {
    let (mut journal, all) = (Journal::default(), request(config()));
    job(&mut journal, &all, &[], &[failure(Some(NOBLE), None), failure(Some(JAMMY), None)]);
    let now = Timestamp::now();
    let next_tries = [Timestamp(1), Timestamp(now.0 + 299)];
    for (standing, next_try) in journal.standings.iter_mut().zip(next_tries) {
        standing.open.as_mut().unwrap().next_try = next_try;
    }
    let cancel = Request { task: Task::CleanUp, reason: Reason::Cancel, ..request(config()) };
    job(&mut journal, &cancel, &[], &[]);
    let next_try = |standing: &Standing| standing.open.as_ref().unwrap().next_try;
    assert!(next_try(&journal.standings[0]).0 >= now.0 + 300);
    assert_eq!(next_try(&journal.standings[1]), next_tries[1]);
}

#[test]
fn a_clock_that_was_wrong_puts_no_retry_off() {
    let (mut journal, all) = (Journal::default(), request(config()));
    job(&mut journal, &all, &[], &[failure(Some(NOBLE), None)]);
    let now = Timestamp::now();
    journal.standings[0].open.as_mut().unwrap().next_try = Timestamp(now.0 + 1_000_000);
    assert!(journal.next_try(&config(), TaskKind::Build).unwrap() <= Timestamp::now());
}

#[test]
fn what_a_job_was_about_and_did_not_come_to_is_put_off_too() {
    let (mut journal, all) = (Journal::default(), request(config()));
    job(&mut journal, &all, &[], &[failure(Some(NOBLE), Some("ci-2"))]);
    journal.standings[0].open.as_mut().unwrap().next_try = Timestamp(1);
    // The build itself fails: whether that project would take its image now is not known.
    job(&mut journal, &all, &[], &[failure(Some(NOBLE), None)]);
    assert!(journal.next_try(&config(), TaskKind::Build).unwrap() > Timestamp::now());
}

#[test]
fn what_projects_had_before_is_no_success_while_nothing_new_can_be_made() {
    let (mut journal, asked) = (Journal::default(), request(config()));
    job(&mut journal, &asked, &[], &[failure(Some(NOBLE), Some("ci-1"))]);
    let had = image(NOBLE, "ci-1", "a", Timestamp(1));
    job(&mut journal, &asked, &[had], &[failure(Some(NOBLE), None)]);
    assert_eq!(failing(&journal), ["noble-x64 1", "noble-x64 ci-1 1"]);
}

#[test]
fn a_delivery_that_reaches_the_build_project_ends_the_failure_to_reach_it_and_no_other() {
    let (mut journal, asked) = (Journal::default(), request(config()));
    let serve = || Request { task: Task::Serve, ..request(config()) };
    let build_cloud = config().build_cloud;
    let unreached = failure(None, Some(build_cloud.as_str()));
    job(&mut journal, &serve(), &[], &[unreached]);
    job(&mut journal, &asked, &[], &[failure(Some(NOBLE), Some("ci-1"))]);
    assert_eq!(failing(&journal), ["jammy-x64 1", "noble-x64 1", "noble-x64 ci-1 1"]);
    journal.job = Some(Job::new(&serve()));
    journal.job.as_mut().unwrap().build(NOBLE);
    journal.end(&serve(), vec![]);
    assert_eq!(failing(&journal), ["noble-x64 ci-1 1"]);
}

/// The row of failures of noble's build: how many there are, and since when.
fn row(journal: &Journal, config: &BuilderRunConfig) -> (u32, Timestamp) {
    let (standing, open) = journal.failing(config, TaskKind::Build).next().unwrap();
    (open.in_row, standing.fails_since().unwrap())
}

/// Fails once more, an hour after the last time.
fn fail_later(journal: &mut Journal, request: &Request, failure: Failure) {
    for standing in &mut journal.standings {
        standing.last_failure = standing.last_failure.map(|at| Timestamp(at.0 - 3600));
        let failures = standing.open.iter_mut().flat_map(|open| &mut open.failures);
        failures.for_each(|failure| failure.since = failure.since.map(|at| Timestamp(at.0 - 3600)));
    }
    job(journal, request, &[], &[failure]);
}

#[test]
fn a_row_of_failures_is_counted_from_its_first_and_begins_anew_with_other_settings() {
    let (mut journal, mut asked) = (Journal::default(), request(config()));
    let noble = || failure(Some(NOBLE), None);
    fail_later(&mut journal, &asked, noble());
    let begin = row(&journal, &asked.config).1;
    (0..2).for_each(|_| fail_later(&mut journal, &asked, noble()));
    assert_eq!(row(&journal, &asked.config), (3, Timestamp(begin.0 - 7200)));

    // Another related project, or another target, is no setting of this build's.
    asked.config.clouds.push(CloudName::new("ci-3"));
    asked.config.targets.retain(|target| *target == NOBLE);
    fail_later(&mut journal, &asked, noble());
    assert_eq!(row(&journal, &asked.config).0, 4);

    asked.config.vm.flavor = Some("another".into());
    fail_later(&mut journal, &asked, noble());
    let (in_row, since) = row(&journal, &asked.config);
    assert!(in_row == 1 && since >= begin, "another mistake: {in_row} since {since}");
    let (standing, open) = journal.failing(&asked.config, TaskKind::Build).next().unwrap();
    assert_eq!(open.next_try.0 - standing.last_failure.unwrap().0, 300, "its wait, too");
}

#[test]
fn a_new_secret_begins_the_row_anew_of_what_depends_on_secrets_only() {
    let asked = request(config());
    let with_secret = Request { reason: Reason::Secret, ..request(config()) };
    for (cause, in_row) in
        [(Cause::Credentials, 1), (Cause::Github, 1), (Cause::Script, 1), (Cause::Mirror, 3)]
    {
        let mut journal = Journal::default();
        let failure = || Failure { cause, ..failure(Some(NOBLE), None) };
        for request in [&asked, &asked, &with_secret] {
            job(&mut journal, request, &[], &[failure()]);
        }
        assert_eq!(row(&journal, &asked.config).0, in_row, "{cause}");
    }
}

#[test]
fn new_credentials_of_one_project_begin_no_row_of_another_anew() {
    let asked = request(config());
    for (cause, cloud, in_row) in [
        (Cause::Credentials, "ci-1", 1),
        (Cause::Credentials, "ci-2", 3),
        (Cause::Quota, "ci-1", 3),
        (Cause::Script, "ci-1", 3),
        (Cause::Github, "ci-1", 3),
    ] {
        let new_credentials = vec![CloudName::new("ci-1")];
        let with_password = Request { reason: Reason::Secret, new_credentials, ..request(config()) };
        let mut journal = Journal::default();
        let failure = || Failure { cause, ..failure(Some(NOBLE), Some(cloud)) };
        for request in [&asked, &asked, &with_password] {
            job(&mut journal, request, &[], &[failure()]);
        }
        assert_eq!(row(&journal, &asked.config).0, in_row, "{cause} in {cloud}");
    }
}

#[test]
fn a_row_that_an_earlier_version_has_begun_goes_on() {
    let (mut journal, asked) = (Journal::default(), request(config()));
    job(&mut journal, &asked, &[], &[failure(Some(NOBLE), None)]);
    let last = Timestamp(Timestamp::now().0 - 600);
    let standing = &mut journal.standings[0];
    standing.last_failure = Some(last);
    let open = standing.open.as_mut().unwrap();
    (open.config_digest, open.in_row) = (asked.config.digest(), 5);
    open.failures.iter_mut().for_each(|failure| failure.since = None);
    job(&mut journal, &asked, &[], &[failure(Some(NOBLE), None)]);
    assert_eq!(row(&journal, &asked.config), (6, last));
}
