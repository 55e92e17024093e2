//! Whatever is long, the 120 bytes that `juju status` shows have how many images there are, what fails, why, and when it is
//! tried or looked at again.

use super::*;
use crate::model::Cause;
use crate::record::{Request, Task};

const FOCAL: Target = Target { base: BaseImage::Focal, arch: Arch::Ppc64le };
const RESOLUTE: Target = Target { base: BaseImage::Resolute, arch: Arch::Ppc64le };

fn long(words: &str) -> String {
    words.repeat(63 / words.len() + 1)
}

/// A leader of three targets, whose names are long.
fn named_at_length() -> CharmState {
    let mut state = state();
    state.run.targets = vec![FOCAL, RESOLUTE, JAMMY];
    let relation = state.relations.values_mut().next().unwrap();
    relation.application = Some(long("upload-runners-"));
    relation.config.project_name = long("department ");
    let mut builders = relation.config.clone();
    builders.project_name = long("builders ");
    state.run.build_cloud = CloudName::new("builders-1");
    state.clouds.insert(state.run.build_cloud.clone(), builders);
    state
}

fn images(state: &CharmState) -> Vec<Image> {
    state.run.targets.iter().map(|target| image(*target, 200 * 24 * 60)).collect()
}

/// The journal after `request` has failed so, with these images.
fn failed_at(request: &Request, failures: Vec<Failure>, images: Vec<Image>) -> Journal {
    let mut journal = Journal { images, ..Journal::default() };
    journal.begin(Job::new(request));
    journal.end(request, failures);
    journal
}

/// A failure with a long text, in the project of this cloud.
fn failure(target: Option<Target>, cloud: Option<&CloudName>, cause: Cause) -> Failure {
    let text =
        format!("no answer from {}; {}", long("https://keystone.example/v3 "), long("do this or that "));
    Failure { target, cloud: cloud.cloned(), cause, ..Failure::of(&text, true) }
}

/// The first 120 bytes, which must have all of these words, and a whole time behind one that ends in a blank.
#[track_caller]
fn assert_shown_of(status: &Status, words: &[&str]) {
    let message = status.message();
    let shown = &message[..message.floor_char_boundary(120)];
    for word in words {
        let found = shown.find(word).unwrap_or_else(|| panic!("{word:?} is not in {shown:?} of {message:?}"));
        let time = shown.get(found + word.len()..found + word.len() + "14:15Z".len());
        let is_whole = !word.ends_with(' ') || time.is_some_and(|time| time.ends_with('Z'));
        assert!(is_whole, "no time behind {word:?} in {shown:?}");
    }
}

const NEXT_TRY: &str = ", next try ";
const NEXT_LOOK: &str = ", next look ";

#[test]
fn failures_of_builds_and_deliveries() {
    let state = named_at_length();
    let request = crate::testing::request(state.run.clone());
    let related = &state.run.clouds[0];
    let shown = |failures: Vec<Failure>, images: Vec<Image>| {
        status(&state, &failed_at(&request, failures, images), None)
    };
    let delivery = |target| failure(Some(target), Some(related), Cause::Network);
    let build = |target, cause| failure(Some(target), None, cause);
    let count = "2 of 3 images current";

    let all = images(&state);
    let one = shown(vec![delivery(RESOLUTE)], all.clone());
    assert_shown_of(&one, &[count, "resolute-ppc64le delivery to upload-run", "failed: no answer", NEXT_TRY]);
    let one = shown(vec![build(RESOLUTE, Cause::Quota)], all.clone());
    assert_shown_of(&one, &[count, "resolute-ppc64le build failed: no answer from", NEXT_TRY]);
    let each = state.run.targets.iter().map(|target| delivery(*target)).collect::<Vec<_>>();
    let each = shown(each, all.clone());
    assert_shown_of(&each, &["0 of 3 images current", "3 deliveries to upload-run", "no answer", NEXT_TRY]);
    let first = shown(vec![build(FOCAL, Cause::Other)], Vec::new());
    assert_eq!(first.name(), "blocked");
    assert_shown_of(&first, &["focal-ppc64le build failed: no answer from https://", NEXT_TRY]);

    let mut journal = failed_at(&request, vec![delivery(FOCAL)], all);
    let pinned = crate::record::Revision {
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
    journal.levers.pin(&pinned);
    let shown = status(&state, &journal, None);
    assert_shown_of(&shown, &[count, "focal-ppc64le delivery to upload-run", "no answer", NEXT_TRY]);
    assert!(shown.message().contains("1 pinned"), "{shown:?}");
}

#[test]
fn a_target_that_some_projects_lack() {
    let mut state = named_at_length();
    state.run.targets = vec![RESOLUTE];
    let related = state.run.clouds[0].clone();
    state.run.clouds.extend((0..19).map(|number| CloudName::new(format!("other-{number}"))));
    let request = crate::testing::request(state.run.clone());
    let failures = vec![failure(Some(RESOLUTE), Some(&related), Cause::Network)];
    let shown = status(&state, &failed_at(&request, failures, images(&state)), None);
    let words = ["resolute-ppc64le in 1 of 20 projects", "delivery to upload-run", "no answer", NEXT_TRY];
    assert_shown_of(&shown, &words);
}

#[test]
fn what_an_earlier_job_has_left() {
    let state = named_at_length();
    let request = Request { task: Task::CleanUp, ..crate::testing::request(state.run.clone()) };
    let left = vec![failure(None, Some(&state.run.build_cloud), Cause::Network)];
    let shown = status(&state, &failed_at(&request, left, images(&state)), None);
    assert_shown_of(&shown, &["3 images current", "removing orphans in project bui", "no answer", NEXT_TRY]);
}

#[test]
fn a_standby_that_cannot_check_the_leaders_image() {
    let state = CharmState { leader: false, ..named_at_length() };
    let images = images(&state);
    let request =
        Request { task: Task::TakeOver(images.clone()), ..crate::testing::request(state.run.clone()) };
    let failures = vec![failure(Some(RESOLUTE), Some(&state.run.clouds[0]), Cause::Image)];
    let shown = status(&state, &failed_at(&request, failures, images), None);
    let words = ["Standby: 2 of 3 images", "check of the leader's image failed: no answer", NEXT_TRY];
    assert_shown_of(&shown, &words);
}

#[test]
fn findings_of_checks() {
    let state = named_at_length();
    let flavor =
        format!("build-flavor {:?} does not exist in project {}", long("c1.huge-"), long("builders "));
    let of_flavor = found(&state, &[&flavor]);
    let mut of_project = found(&state, &[&flavor]);
    of_project.findings[0].cloud = Some(state.run.clouds[0].clone());
    let journal = Journal { images: images(&state), ..Journal::default() };
    let told = |journal: &Journal, findings: &Findings| status(&state, journal, Some(findings));
    let words = ["3 images current", "flavor check failed: build-flavor", "does not exist", NEXT_LOOK];
    assert_shown_of(&told(&journal, &of_flavor), &words);
    let words = ["3 images current", "flavor check of upload-run", "failed: build-flavor", NEXT_LOOK];
    assert_shown_of(&told(&journal, &of_project), &words);
    let first = told(&Journal::default(), &of_flavor);
    assert_shown_of(&first, &["Flavor check failed: build-flavor", "does not exist in project", NEXT_LOOK]);
    let unrelated = CharmState { relations: BTreeMap::new(), relation_ids: Vec::new(), ..named_at_length() };
    let shown = status(&unrelated, &Journal::default(), Some(&of_flavor));
    let words = ["image integration required. Flavor check failed: build-flavor", "does not exist"];
    assert_shown_of(&shown, &words);
}

#[test]
fn progress_that_is_hampered() {
    let state = named_at_length();
    let mut job = job(&state, &[(RESOLUTE, Phase::Launching), (JAMMY, Phase::Done)]);
    job.builds[0].hampered = Some(long("connect to host builder.example port 22: Connection refused "));
    let journal = Journal { images: images(&state), job: Some(job), ..Journal::default() };
    let shown = status(&state, &journal, None);
    let words = [
        "3 images current",
        "building resolute-ppc64le: launching builder VM (connect to",
        " min (1 of 2 done)",
    ];
    assert_shown_of(&shown, &words);
}

#[test]
fn a_revoked_build_and_what_is_published_in_its_place() {
    let state = named_at_length();
    let build = |id: &str, minutes| crate::record::Revision {
        target: FOCAL,
        id: id.parse().unwrap(),
        job: JobId::random(),
        fingerprint: String::new(),
        built: ago(minutes),
        proof: None,
        failed_reads: 0,
        contents: None,
        copies: Vec::new(),
    };
    let mut journal = Journal { images: images(&state), ..Journal::default() };
    journal.revisions.push(build("newest", 60));
    journal.levers.revoke(
        FOCAL,
        "newest".parse().unwrap(),
        Default::default(),
        long("docker does not start "),
    );
    let shown = status(&state, &journal, None);
    assert_shown_of(
        &shown,
        &["3 images current", "focal-ppc64le newest build revoked (docker does not start"],
    );
    assert!(shown.message().contains("; next look "), "{shown:?}");
    // Once a newer one is published, nobody need know.
    journal.images.iter_mut().for_each(|image| image.built = ago(30));
    assert!(!status(&state, &journal, None).message().contains("revoked"));
}

#[test]
fn an_option_with_a_long_value() {
    let of_flavor =
        format!("Invalid base-image-keyring {:?}: use the absolute path of a keyring file.", long("keys/"));
    let shown = invalid(&InvalidOption::new(of_flavor));
    assert_shown_of(
        &shown,
        &["Invalid base-image-keyring \"keys/", ": use the absolute path of a keyring file."],
    );
}
