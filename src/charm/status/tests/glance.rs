//! What the 120 bytes tell that `juju status` shows.

use super::*;
use crate::instance::{BaseConfigurationError, BaseError, ExecutorError, ProviderError};
use crate::openstack_cloud::OpenStackError;

/// What `juju status` shows of a status.
fn glance(state: &CharmState, journal: &Journal) -> String {
    let shown = status(state, journal, None).message().to_owned();
    without_clock(&shown[..shown.floor_char_boundary(120)])
}

fn without_clock(text: &str) -> String {
    let digits: Vec<usize> = text.match_indices(':').map(|(at, _)| at).collect();
    let is_time = |at: &&usize| text.get(*at - 2..*at + 4).is_some_and(|time| time.ends_with('Z'));
    match digits.iter().find(|at| **at > 2 && is_time(at)) {
        Some(at) => format!("{}HH:MM{}", &text[..at - 2], &text[at + 3..]),
        None => text.to_owned(),
    }
}

/// The journal after a job that has failed so, with these images.
fn failed_with(state: &CharmState, failures: Vec<Failure>, images: Vec<Image>) -> Journal {
    let mut journal = Journal { job: Some(job(state, &[])), images, ..Journal::default() };
    journal.end(&crate::testing::request(state.run.clone()), failures);
    journal
}

fn quota() -> Failure {
    let message = "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances";
    let error = OpenStackError::quota_exceeded("creating server image-builder-jammy-x64-7545f5ee", message);
    Failure::of(&error, true)
}

/// A leader with 16 targets in the project `builder-project`.
fn sixteen() -> CharmState {
    let mut state = state();
    let bases = [BaseImage::Focal, BaseImage::Jammy, BaseImage::Noble, BaseImage::Resolute];
    let arches = [Arch::X64, Arch::Arm64, Arch::S390x, Arch::Ppc64le];
    state.run.targets =
        bases.iter().flat_map(|base| arches.map(|arch| Target { base: *base, arch })).collect();
    let build_cloud = CloudName::new("builder");
    let mut config = state.relations.values().next().unwrap().config.clone();
    config.project_name = "builder-project".into();
    state.clouds.insert(build_cloud.clone(), config);
    state.run.build_cloud = build_cloud;
    state
}

fn all_images(state: &CharmState) -> Vec<Image> {
    state.run.targets.iter().map(|target| image(*target, 300)).collect()
}

#[test]
fn of_many_targets_the_number_the_failure_and_the_next_try_are_shown() {
    let state = sixteen();
    let good = Journal { images: all_images(&state), ..Journal::default() };
    assert_eq!(glance(&state, &good), "16 images current, oldest 5 h; next look HH:MMZ");
    let one = vec![Failure { target: Some(JAMMY), ..quota() }];
    let journal = failed_with(&state, one, all_images(&state));
    let shown = glance(&state, &journal);
    assert!(
        shown.starts_with("15 of 16 images current; jammy-x64 build failed: instance quota exhausted"),
        "{shown}"
    );
    assert!(shown.contains(", next try HH:MMZ"), "{shown}");
    let two = [JAMMY, NOBLE].map(|target| Failure { target: Some(target), ..quota() });
    let journal = failed_with(&state, two.to_vec(), all_images(&state));
    let shown = glance(&state, &journal);
    assert!(
        shown.starts_with("14 of 16 images current; 2 builds failed: instance quota exhausted in project"),
        "{shown}"
    );
    let other = Failure { target: Some(NOBLE), ..Failure::of(&"no luck".to_owned(), false) };
    let both = vec![Failure { target: Some(JAMMY), ..quota() }, other];
    let told = status(&state, &failed_with(&state, both, all_images(&state)), None);
    assert!(told.message().ends_with("; and 1 more; see history"), "{told:?}");
}

#[test]
fn a_failure_of_a_long_command_begins_with_what_the_command_said() {
    let state = state();
    let executor = ExecutorError::Failed {
        command: format!(
            "env DEBIAN_FRONTEND=noninteractive apt-get install --yes {}",
            "package ".repeat(40)
        ),
        instance: "image-builder-image-builder-noble-x64-7545f5ee".into(),
        status: "exit code 100".into(),
        output: "Reading package lists...\nE: Unable to locate package pakage".into(),
    };
    let source = Box::new(ProviderError::Executor(executor));
    let error =
        BaseError::Configuration(BaseConfigurationError::Step { step: "installing packages", source });
    let failure = Failure { target: Some(NOBLE), ..Failure::of(&error, false) };
    let expected = "installing packages: E: Unable to locate package pakage (exit code 100), next try HH:MMZ";
    let first = failed_with(&state, vec![failure.clone()], Vec::new());
    assert_eq!(glance(&state, &first), format!("Build failed: {expected}"));
    let later = failed_with(&state, vec![failure.clone()], vec![image(NOBLE, 200)]);
    assert_eq!(status(&state, &later, None).name(), "active");
    assert!(
        glance(&state, &later)
            .starts_with("noble-x64 3 h old; build failed: installing packages: E: Unable to")
    );
    assert!(glance(&state, &later).contains(", next try HH:MMZ"));
    assert!(failure.message.contains("apt-get install"), "the log has the command");
}

#[test]
fn blocked_says_when_it_retries_by_itself_and_what_to_do() {
    let state = sixteen();
    let journal = failed_with(&state, vec![Failure { target: Some(JAMMY), ..quota() }], Vec::new());
    let told = status(&state, &journal, None);
    assert_eq!(told.name(), "blocked");
    let told = without_clock(told.message());
    let expected = "jammy-x64 build failed: instance quota exhausted in project builder-project, next try HH:MMZ; raise \
                    the quota of the project, or delete what it does not need";
    assert_eq!(told, expected);
    let paused = CharmState { paused: true, ..state };
    let images = all_images(&paused);
    let journal = failed_with(&paused, vec![Failure { target: Some(JAMMY), ..quota() }], images);
    let told = status(&paused, &journal, None);
    assert!(
        !told.message().contains("next try") && told.message().contains("; paused, set paused=false"),
        "{told:?}"
    );
}

#[test]
fn a_project_that_fails_is_named_by_application_and_project() {
    let mut state = state();
    let failure = Failure {
        target: None,
        cloud: Some(CloudName::new("ci-1")),
        ..Failure::of(&"Keystone refuses user ci (HTTP 401); check username".to_owned(), true)
    };
    let journal = failed_with(&state, vec![failure.clone()], vec![image(NOBLE, 200)]);
    let told = "noble-x64 3 h old; delivery to upload-runners (ci) failed: Keystone refuses user ci (HTTP 401), next try \
                HH:MMZ";
    assert!(glance(&state, &journal).starts_with(told), "{}", glance(&state, &journal));
    let mut elsewhere = state.clone();
    for relation in elsewhere.relations.values_mut() {
        relation.application = Some("remote-0123456789abcdef0123456789abcdef".to_owned());
    }
    let told = "noble-x64 3 h old; delivery to another model (ci) failed: Keystone";
    assert!(glance(&elsewhere, &journal).starts_with(told), "{}", glance(&elsewhere, &journal));
    state.run.clouds.push(CloudName::new("other-2"));
    let journal = Journal { images: vec![image(NOBLE, 200)], ..Journal::default() };
    assert_eq!(glance(&state, &journal), "noble-x64 3 h old in 1 of 2 projects; next look HH:MMZ");
    state.run.targets.push(JAMMY);
    assert_eq!(glance(&state, &journal), "1 of 4 images current; next look HH:MMZ");
}

#[test]
fn a_follower_says_so_and_what_it_could_not_check() {
    let state = CharmState { leader: false, ..state() };
    let mut request = crate::testing::request(state.run.clone());
    request.task = crate::record::Task::TakeOver(vec![image(NOBLE, 1)]);
    let mut journal = Journal { images: vec![image(NOBLE, 200)], ..Journal::default() };
    journal.begin(Job::new(&request));
    let failure = Failure {
        target: Some(NOBLE),
        cloud: Some(CloudName::new("ci-1")),
        ..Failure::of(&"it has other bytes (image 1); the last image stays published".to_owned(), false)
    };
    journal.end(&request, vec![failure]);
    let told = status(&state, &journal, None);
    let expected = "Standby: noble-x64 3 h old; check of the leader's image failed: it has other bytes (image 1), next try HH:MMZ; \
                    the last image stays published";
    assert_eq!(without_clock(told.message()), expected);
}

#[test]
fn pins_and_revocations_are_told() {
    let state = sixteen();
    let mut journal = Journal { images: all_images(&state), ..Journal::default() };
    let revision = crate::record::Revision {
        target: JAMMY,
        id: "1".parse().unwrap(),
        job: JobId::random(),
        fingerprint: String::new(),
        built: ago(300),
        proof: None,
        failed_reads: 0,
        contents: None,
        copies: Vec::new(),
    };
    journal.levers.pin(&revision);
    assert_eq!(glance(&state, &journal), "16 images current, oldest 5 h, 1 pinned; next look HH:MMZ");
    let reason = "docker does not start on it, and nobody knows why".to_owned();
    journal.levers.revoke(JAMMY, "1".parse().unwrap(), Default::default(), reason);
    journal.images.retain(|image| image.target() != JAMMY);
    let told = "15 of 16 images current; jammy-x64 revoked (docker does not start on it, and...) and no other build is \
                kept";
    assert!(glance(&state, &journal).starts_with(told), "{}", glance(&state, &journal));
    journal.images.clear();
    let told = status(&state, &journal, None);
    assert_eq!(told.name(), "blocked");
    assert!(told.message().starts_with("jammy-x64 revoked (docker"), "{told:?}");
}

#[test]
fn a_status_does_not_change_with_each_hook() {
    let state = state();
    let told = |minutes| {
        let journal = Journal { images: vec![image(NOBLE, minutes)], ..Journal::default() };
        glance(&state, &journal)
    };
    assert_eq!(told(1), "noble-x64 under 1 h old; next look HH:MMZ");
    assert_eq!(told(1), told(55));
    assert_eq!(told(61), "noble-x64 1 h old; next look HH:MMZ");
}
