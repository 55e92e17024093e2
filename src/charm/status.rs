//! The unit's status, a pure function of configuration, relations and journal.

use std::cmp::Reverse;
use std::time::Duration;

use super::options::InvalidOption;
use super::state::CharmState;
use crate::builder::{Failure, Job, Journal, Phase, Reason, Remedy, Schedule, TaskKind, Timestamp};
use crate::juju::Status;

/// `juju status` shows about this much of a message.
const LENGTH: usize = 400;

/// What is said while builds are not to be started.
const PAUSED: &str = "Paused: no builds are started. Set paused=false to go on.";

/// What is said while nothing is built, but something removed.
const REMOVING: &str = "Removing what a job has left.";

/// What the unit shows while its configuration is refused.
pub fn invalid(reason: &InvalidOption) -> Status {
    Status::Blocked(cut(reason.to_string()))
}

/// What the unit shows while its machine does not let it work.
pub fn machine_in_trouble(remedy: &str) -> Status {
    Status::Blocked(cut(format!("The unit cannot work: {remedy}.")))
}

/// What the unit shows.
pub fn status(state: &CharmState, journal: &Journal) -> Status {
    if state.relations.is_empty() {
        let why = match (state.too_near.first(), state.relation_ids.is_empty()) {
            (Some(id), _) => {
                format!(" The auth_url of {id} leads to this unit's own machine or link; it is not used.")
            }
            (None, false) => {
                " The related application has not given its OpenStack credentials yet.".to_owned()
            }
            (None, true) => String::new(),
        };
        return Status::Blocked(format!("image integration required.{why}"));
    }
    let trouble = trouble(state, journal);
    if !state.leader {
        let mut parts = ages(state, journal);
        parts.push("Standing by; the leader builds.".into());
        parts.extend(trouble.map(|(_, text)| text));
        parts.extend(left_behind(state, journal));
        return Status::Active(cut(parts.join("; ")));
    }
    let progress = journal.running().map(progress);
    let mut published = ages(state, journal);
    if published.is_empty() {
        let with_leftovers = |text: String| {
            cut([text].into_iter().chain(left_behind(state, journal)).collect::<Vec<_>>().join(" "))
        };
        return match (progress, trouble) {
            (Some(progress), _) => Status::Maintenance(cut(progress)),
            (None, _) if state.paused => Status::Blocked(PAUSED.into()),
            (None, Some((Remedy::Operator, text))) => Status::Blocked(with_leftovers(text)),
            (None, Some((_, text))) => Status::Maintenance(with_leftovers(text)),
            (None, None) => Status::Maintenance(with_leftovers("Waiting for first image.".into())),
        };
    }
    let is_idle = progress.is_none() && trouble.is_none() && !state.paused;
    published.extend(is_idle.then(|| next_look(state)));
    published.extend(progress);
    published.extend(trouble.map(|(_, text)| text));
    published.extend(state.paused.then(|| PAUSED.to_owned()));
    published.extend(left_behind(state, journal));
    Status::Active(cut(published.join("; ")))
}

/// `next look 14:15Z`: a time and no span, so that a status stays as it is until it comes.
fn next_look(state: &CharmState) -> String {
    let owner = &state.run.owner;
    let schedule = Schedule::of(&format!("{}/{}", owner.application, owner.unit), state.build_interval);
    format!("next look {}", schedule.next_after(Timestamp::now()).time_of_day())
}

/// The newest image of each wanted target that has one, and its age.
fn ages(state: &CharmState, journal: &Journal) -> Vec<String> {
    let newest = state.run.targets.iter().filter_map(|target| {
        let images = state.run.clouds.iter().filter_map(|cloud| journal.image(*target, cloud));
        images.map(|image| (image.built, *target)).max()
    });
    newest.map(|(built, target)| format!("{target} {} old", age(built.age()))).collect()
}

/// `Building noble-x64: installing packages, 3 of 9, 4 min`, for the target that is furthest behind.
pub fn progress(job: &Job) -> String {
    if matches!(job.reason, Some(Reason::Cancel | Reason::Abandoned)) {
        return REMOVING.into();
    }
    let working = job.builds.iter().filter(|build| {
        !matches!(build.phase, Phase::Waiting | Phase::Done | Phase::UpToDate | Phase::Failed)
    });
    let Some(build) = working.min_by_key(|build| build.since) else {
        return match job.reason {
            Some(Reason::Leftovers) => REMOVING.into(),
            _ => "Building image.".into(),
        };
    };
    let step = match &build.phase {
        Phase::Checking => "looking for changes".to_owned(),
        Phase::Preparing => "preparing base image".to_owned(),
        Phase::Launching => "launching builder VM".to_owned(),
        Phase::Installing { step, number, of } => format!("{step}, {number} of {of}"),
        Phase::Snapshotting => "taking snapshot".to_owned(),
        Phase::Verifying => "verifying image".to_owned(),
        Phase::Packing => "packing image".to_owned(),
        Phase::Delivering => "delivering image".to_owned(),
        Phase::Waiting | Phase::Done | Phase::UpToDate | Phase::Failed => "waiting".to_owned(),
    };
    let others = match job.builds.len() {
        0 | 1 => String::new(),
        all => format!(
            " ({} of {all} images done)",
            job.builds.iter().filter(|build| is_over(&build.phase)).count()
        ),
    };
    format!("Building {}: {step}, {}{others}", build.target, age(build.since.age()))
}

fn is_over(phase: &Phase) -> bool {
    matches!(phase, Phase::Done | Phase::UpToDate | Phase::Failed)
}

/// What has failed and not succeeded since, and who can mend it: what the operator can mend comes first, then what failed
/// last.
fn trouble(state: &CharmState, journal: &Journal) -> Option<(Remedy, String)> {
    // While a job runs its progress is told.
    if journal.running().is_some() {
        return None;
    }
    let task = if state.leader { TaskKind::Build } else { TaskKind::TakeOver };
    let failing = [task, TaskKind::CleanUp].into_iter().flat_map(|task| journal.failing(&state.run, task));
    // A job of another configuration has nothing to say about this one.
    let digest = state.run.digest();
    let mut failing: Vec<_> = failing.filter(|(_, open)| open.config_digest == digest).collect();
    failing.sort_by_key(|(standing, _)| Reverse(standing.last_failure));
    // That a project cannot be reached concerns each target, and is told once.
    let mut failures: Vec<&Failure> = Vec::new();
    for failure in failing.iter().flat_map(|(_, open)| &open.failures) {
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
    let first = failures.iter().find(|failure| failure.remedy == Remedy::Operator).or(failures.first())?;
    let more = match failures.len() {
        1 => String::new(),
        count => format!(" (and {} more, see the unit's log)", count - 1),
    };
    let next = match (first.remedy, failing.iter().map(|(_, open)| open.next_try()).min()) {
        (Remedy::Operator, _) | (_, None) => String::new(),
        (_, Some(at)) => format!(" Next try {}.", at.time_of_day()),
    };
    let what = if state.leader { "Build" } else { "Last job" };
    Some((first.remedy, format!("{what} failed: {}{more}.{next}", first.to_string().trim_end_matches('.'))))
}

/// What had to stay in a cloud that is not used any more.
fn left_behind(state: &CharmState, journal: &Journal) -> impl Iterator<Item = String> {
    journal.left_behind(&state.run).map(|leftovers| format!("Left in {leftovers}"))
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LENGTH {
        text.truncate(text.floor_char_boundary(LENGTH - 3));
        text.push_str("...");
    }
    // One line: Juju shows a status in a table.
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::builder::{
        Build, BuildConfig, BuildResult, BuildSecrets, BuilderRunConfig, CloudName, Clouds, Image, JobId,
    };
    use crate::charm::image_relation::ImageRelation;
    use crate::juju::RelationId;
    use crate::openstack_cloud::{CloudConfig, Interface};
    use crate::secret::Secret;
    use crate::target::{Arch, BaseImage, Target};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
    const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::X64 };

    /// A leader with one related cloud and one target.
    fn state() -> CharmState {
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
            password: Secret::default(),
        };
        let relation = RelationId::parse("image:1").unwrap();
        CharmState {
            leader: true,
            paused: false,
            build_interval: 6,
            relations: BTreeMap::from([(relation.clone(), ImageRelation { cloud: cloud.clone(), config })]),
            relation_ids: vec![relation],
            too_near: Vec::new(),
            clouds: Clouds::new(),
            run: BuilderRunConfig {
                build_cloud: cloud.clone(),
                clouds: vec![cloud],
                ..crate::testing::run_config()
            },
            secrets: BuildSecrets::default(),
            script_secret: None,
        }
    }

    fn ago(minutes: u64) -> Timestamp {
        Timestamp(Timestamp::now().0 - minutes * 60)
    }

    fn image(target: Target, minutes: u64) -> Image {
        let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: CloudName::new("ci-1") };
        let result = BuildResult { config, id: "1".parse().unwrap() };
        Image { result, fingerprint: String::new(), hash: None, built: ago(minutes) }
    }

    fn job(state: &CharmState, builds: &[(Target, Phase)]) -> Job {
        let builds = builds.iter().map(|(target, phase)| Build {
            target: *target,
            phase: phase.clone(),
            since: ago(4),
            resources: Vec::new(),
        });
        Job {
            id: JobId::random(),
            reason: None,
            config_digest: state.run.digest(),
            owner: state.run.owner.clone(),
            started: ago(5),
            finished: None,
            builds: builds.collect(),
            found: Vec::new(),
            delivered: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The journal after a job that has failed so.
    fn failed(state: &CharmState, remedies: &[Remedy]) -> Journal {
        let failure = |remedy: &Remedy| Failure {
            target: Some(NOBLE),
            cloud: Some(CloudName::new("ci-1")),
            message: format!("{remedy:?}."),
            remedy: *remedy,
        };
        let mut journal = Journal { job: Some(job(state, &[])), ..Journal::default() };
        let request = crate::testing::request(state.run.clone());
        journal.end(&request, remedies.iter().map(failure).collect());
        journal
    }

    #[track_caller]
    fn assert_shown(state: &CharmState, journal: &Journal, expected: &str) {
        let shown = status(state, journal);
        assert_eq!(format!("{}: {}", shown.name(), shown.message()), expected);
    }

    #[test]
    fn without_usable_relations_the_operator_must_integrate_whatever_the_journal_says() {
        let mut state = state();
        let journal = Journal { images: vec![image(NOBLE, 1)], ..Journal::default() };
        state.relations.clear();
        let silent = "blocked: image integration required. The related application has not given its OpenStack \
            credentials yet.";
        assert_shown(&state, &journal, silent);
        state.relation_ids.clear();
        state.leader = false;
        assert_shown(&state, &journal, "blocked: image integration required.");
    }

    #[test]
    fn a_unit_that_does_not_lead_is_active() {
        let state = CharmState { leader: false, ..state() };
        assert_shown(&state, &Journal::default(), "active: Standing by; the leader builds.");
    }

    #[test]
    fn without_an_image_the_unit_works_waits_or_is_blocked() {
        let state = state();
        let installing = Phase::Installing { step: "installing packages".into(), number: 3, of: 9 };
        let with = |job: Option<Job>| Journal { job, ..Journal::default() };
        let cases = [
            (with(None), "maintenance: Waiting for first image."),
            (with(Some(job(&state, &[]))), "maintenance: Building image."),
            (with(Some(job(&state, &[(NOBLE, Phase::Waiting)]))), "maintenance: Building image."),
            (
                with(Some(job(&state, &[(NOBLE, installing)]))),
                "maintenance: Building noble-x64: installing packages, 3 of 9, 4 min",
            ),
            (
                with(Some(job(&state, &[(NOBLE, Phase::UpToDate), (JAMMY, Phase::Delivering)]))),
                "maintenance: Building jammy-x64: delivering image, 4 min (1 of 2 images done)",
            ),
            (
                failed(&state, &[Remedy::Retry]),
                "maintenance: Build failed: noble-x64 for ci-1: Retry. Next try AT.",
            ),
            (
                failed(&state, &[Remedy::Retry, Remedy::Operator]),
                "blocked: Build failed: noble-x64 for ci-1: Operator (and 1 more, see the unit's log).",
            ),
            (failed(&state, &[]), "maintenance: Waiting for first image."),
        ];
        for (journal, expected) in cases {
            let at =
                journal.next_try(&state.run, TaskKind::Build).map_or(String::new(), Timestamp::time_of_day);
            let shown = status(&state, &journal);
            let shown = format!("{}: {}", shown.name(), shown.message());
            // The clock may have ticked between the two.
            assert_eq!(
                shown.replace("4 min", "5 min"),
                expected.replace("4 min", "5 min").replace("AT", &at)
            );
        }
    }

    #[test]
    fn with_an_image_the_unit_is_active_and_says_what_else_there_is() {
        let mut state = state();
        state.run.targets = vec![JAMMY, NOBLE];
        let images = vec![image(NOBLE, 125), image(JAMMY, 3 * 24 * 60)];
        let with_images = |journal: Journal| Journal { images: images.clone(), ..journal };
        let well = status(&state, &with_images(Journal::default())).message().to_owned();
        let (ages, next) = well.split_once("; next look ").expect(&well);
        assert_eq!(ages, "jammy-x64 3 days old; noble-x64 2 h old");
        assert!(next.len() == 6 && next.ends_with('Z'), "{well}");
        let running = job(&state, &[(JAMMY, Phase::Launching)]);
        let expected = "active: jammy-x64 3 days old; noble-x64 2 h old; Building jammy-x64: launching builder VM, 4 min";
        let running = Journal { job: Some(running), ..failed(&state, &[Remedy::Retry]) };
        assert_shown(&state, &with_images(running), expected);
        let expected =
            "active: jammy-x64 3 days old; noble-x64 2 h old; Build failed: noble-x64 for ci-1: Operator.";
        assert_shown(&state, &with_images(failed(&state, &[Remedy::Operator])), expected);
    }

    #[test]
    fn what_is_left_in_a_cloud_that_is_not_used_any_more_is_told_with_whatever_else_there_is() {
        let state = state();
        let mut journal = Journal::default();
        let (old, current) = (CloudName::new("old-1"), state.run.build_cloud.clone());
        journal.works_in(&old, ["base image b".to_owned()]);
        journal.works_in(&current, ["base image b".to_owned()]);
        assert_shown(&state, &journal, "maintenance: Waiting for first image.");
        journal.could_not_leave(&old, None, Some("the password is refused".into()));
        let left = "Left in old-1: base image b (the password is refused)";
        assert_shown(&state, &journal, &format!("maintenance: Waiting for first image. {left}"));
        journal.publish(image(NOBLE, 125));
        let well = status(&state, &journal);
        assert!(well.name() == "active" && well.message().ends_with(&format!("Z; {left}")), "{well:?}");
        let standing_by = CharmState { leader: false, ..state };
        let expected = format!("active: noble-x64 2 h old; Standing by; the leader builds.; {left}");
        assert_shown(&standing_by, &journal, &expected);
    }

    #[test]
    fn an_image_of_a_target_or_a_cloud_that_is_not_wanted_does_not_count() {
        let mut state = state();
        let journal = Journal { images: vec![image(JAMMY, 1)], ..Journal::default() };
        assert_shown(&state, &journal, "maintenance: Waiting for first image.");
        let journal = Journal { images: vec![image(NOBLE, 1)], ..Journal::default() };
        state.run.clouds = vec![CloudName::new("other-2")];
        assert_shown(&state, &journal, "maintenance: Waiting for first image.");
    }

    #[test]
    fn a_failure_of_another_configuration_is_not_told() {
        let mut state = state();
        let journal = failed(&state, &[Remedy::Operator]);
        state.run.revision_history_limit = 6;
        assert_shown(&state, &journal, "maintenance: Waiting for first image.");
    }
}
