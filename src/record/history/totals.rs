//! What all jobs have come to, for metrics: counts that only grow, beside the last jobs, which make room for newer ones.
//! Labels are bounded: by the configured targets and projects, and by fixed lists of words.

use serde::{Deserialize, Serialize};

use super::past::PastJob;
use crate::record::journal::build_state::{Job, Sent};
use crate::record::run_config::BuilderRunConfig;

/// The upper bounds of the histogram's buckets, in seconds.
pub const BOUNDS: [u64; 10] = [1, 5, 15, 60, 180, 600, 1800, 3600, 7200, 10800];

/// The counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How long phases took, by the phase.
    #[serde(default)]
    pub phases: Vec<Durations>,
    /// Jobs that have ended, by why they were asked for and how they ended.
    #[serde(default)]
    pub jobs: Vec<Count<JobKind>>,
    /// Builds and deliveries of this unit that have ended. A delivery is counted once for a project.
    #[serde(default)]
    pub results: Vec<Count<ResultKind>>,
    /// The bytes that this unit has sent to related projects, by the target.
    #[serde(default)]
    pub bytes: Vec<Count<String>>,
    /// The attempts that followed failed ones.
    #[serde(default)]
    pub retries: u64,
}

/// How often something was seen, or how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count<K> {
    /// What.
    #[serde(rename = "of")]
    pub kind: K,
    /// How often, or how much.
    pub count: u64,
}

/// What kind of job has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobKind {
    /// Why it was asked for: the word of a [`Reason`](crate::record::Reason).
    pub trigger: String,
    /// `succeeded`, `failed` or `interrupted`.
    pub outcome: String,
}

/// What kind of build or delivery has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultKind {
    /// The target; empty of what concerns all.
    pub target: String,
    /// The project; empty of a build.
    pub project: String,
    /// The class of the failure's cause; empty of a success.
    pub reason: String,
}

/// How long a phase took in all builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// The phase.
    pub phase: String,
    /// How often it took at most as long as each of [`BOUNDS`] and longer than the one before.
    pub buckets: Vec<u64>,
    /// How often it has ended.
    pub count: u64,
    /// How long it took in all, in seconds.
    pub sum: u64,
}

/// The phases of a build. The rest of what a build keeps the time of are steps of its installation.
const PHASES: [&str; 7] =
    ["checking", "preparing", "launching", "snapshotting", "verifying", "packing", "delivering"];

impl Totals {
    /// Counts `job`, which has ended as `past` tells. What `config` does not name any more is counted no longer.
    pub(super) fn add(&mut self, job: &Job, past: &PastJob, config: &BuilderRunConfig, retries: u64) {
        for build in &job.builds {
            for phase in PHASES {
                let took = build.took.iter().filter(|took| took.phase == phase);
                took.for_each(|took| self.took(phase, took.seconds));
            }
            let steps = build.took.iter().filter(|took| !PHASES.contains(&took.phase.as_str()));
            if let Some(installing) = steps.map(|step| step.seconds).reduce(u64::saturating_add) {
                self.took("installing", installing);
            }
        }
        let trigger = past.reason.clone().unwrap_or_default();
        increase(&mut self.jobs, JobKind { trigger, outcome: past.outcome.clone() }, 1);
        let mut result = |target: String, project: &str, reason: &str| {
            let kind = ResultKind { target, project: project.to_owned(), reason: reason.to_owned() };
            increase(&mut self.results, kind, 1);
        };
        for build in past.builds.iter().filter(|build| build.built.is_some()) {
            result(build.target.to_string(), "", "");
        }
        for Sent { place, .. } in &job.sent {
            result(place.target().to_string(), place.cloud_name.as_str(), "");
        }
        for failure in &past.failures {
            let target = failure.target.map(|target| target.to_string()).unwrap_or_default();
            let project = failure.project.as_ref().map_or("", |project| project.as_str());
            result(target, project, &failure.cause);
        }
        // What is shared adds no series to the bytes.
        for Sent { place, bytes } in job.sent.iter().filter(|sent| sent.bytes > 0) {
            increase(&mut self.bytes, place.target().to_string(), *bytes);
        }
        self.retries = self.retries.saturating_add(retries);
        self.keep(config);
    }

    /// Forgets targets and projects that are configured no more.
    fn keep(&mut self, config: &BuilderRunConfig) {
        let targets: Vec<String> = config.targets.iter().map(ToString::to_string).collect();
        let is_target = |target: &str| target.is_empty() || targets.iter().any(|known| known == target);
        let is_project = |project: &str| {
            let mut known = config.clouds.iter().chain([&config.build_cloud]);
            project.is_empty() || known.any(|known| known.as_str() == project)
        };
        self.results.retain(|Count { kind, .. }| is_target(&kind.target) && is_project(&kind.project));
        self.bytes.retain(|bytes| is_target(&bytes.kind));
    }

    fn took(&mut self, phase: &str, seconds: u64) {
        // Other bounds are of another version.
        self.phases.retain(|known| known.buckets.len() == BOUNDS.len());
        let index = self.phases.iter().position(|known| known.phase == phase).unwrap_or_else(|| {
            let (phase, buckets) = (phase.to_owned(), vec![0; BOUNDS.len()]);
            self.phases.push(Durations { phase, buckets, count: 0, sum: 0 });
            self.phases.len() - 1
        });
        let known = &mut self.phases[index];
        known.count = known.count.saturating_add(1);
        known.sum = known.sum.saturating_add(seconds);
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            known.buckets[bucket] = known.buckets[bucket].saturating_add(1);
        }
    }
}

fn increase<K: PartialEq>(counts: &mut Vec<Count<K>>, kind: K, by: u64) {
    match counts.iter_mut().find(|known| known.kind == kind) {
        Some(known) => known.count = known.count.saturating_add(by),
        None => counts.push(Count { kind, count: by }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::model::{Arch, BaseImage, Cause, Target, Timestamp};
    use crate::record::history::History;
    use crate::record::journal::build_state::{Failure, Remedy};
    use crate::record::journal::phases::Took;
    use crate::record::journal::{Image, Journal};
    use crate::record::run_config::{BuildConfig, BuildResult, CloudName};
    use crate::testing::{request, run_config};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };

    fn count(host: &Host, config: BuilderRunConfig) -> Totals {
        let request = request(config);
        let mut journal = Journal::default();
        journal.begin(Job::new(&request));
        let build = journal.job.as_mut().unwrap().build(NOBLE);
        let took = [
            ("checking", 2),
            ("waiting for cloud-init", 30),
            ("installing packages", 50),
            ("launching", 90_000),
        ];
        build.took =
            took.map(|(phase, seconds)| Took { phase: phase.to_owned(), seconds }).into_iter().collect();
        let failure = Failure {
            target: Some(NOBLE),
            cloud: request.config.clouds.first().cloned(),
            message: "m".into(),
            summary: String::new(),
            remedy: Remedy::Retry,
            cause: Cause::Quota,
            since: None,
        };
        journal.end(&request, vec![failure]);
        History::note(host, &journal, &request.config, 3).unwrap();
        // The same job again is no other.
        History::note(host, &journal, &request.config, 0).unwrap();
        History::load(host).unwrap().totals
    }

    #[test]
    fn jobs_are_counted_once_and_what_is_configured_no_more_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let config = |cloud: &str| BuilderRunConfig {
            targets: vec![NOBLE],
            clouds: vec![CloudName::new(cloud)],
            ..run_config()
        };
        count(&host, config("ci-1"));
        let totals = count(&host, config("ci-1"));
        let of = |phase: &str| totals.phases.iter().find(|known| known.phase == phase).unwrap();
        assert_eq!((of("installing").sum, of("installing").buckets[4]), (160, 2), "its steps together");
        assert_eq!((of("launching").count, of("launching").buckets.iter().sum::<u64>()), (2, 0));
        assert_eq!((of("checking").buckets[1], totals.phases.len(), totals.retries), (2, 3, 6));
        assert_eq!(
            (totals.jobs.len(), totals.jobs[0].count, totals.jobs[0].kind.outcome.as_str()),
            (1, 2, "failed")
        );
        assert_eq!((totals.results.len(), totals.results[0].count), (1, 2));
        assert_eq!(totals.results[0].kind.reason, "quota");
        let totals = count(&host, config("ci-2"));
        assert_eq!((totals.results.len(), totals.results[0].kind.project.as_str()), (1, "ci-2"));
    }

    #[test]
    fn a_delivery_is_counted_by_the_unit_that_has_made_it_and_once_for_a_project() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let clouds = ["first", "second"].map(CloudName::new);
        let config = BuilderRunConfig { targets: vec![NOBLE], clouds: clouds.to_vec(), ..run_config() };
        let count = |is_sent: bool| {
            let request = request(config.clone());
            let mut journal = Journal::default();
            journal.begin(Job::new(&request));
            for cloud in &clouds {
                let place = BuildConfig { base: NOBLE.base, arch: NOBLE.arch, cloud_name: cloud.clone() };
                let result = BuildResult { config: place.clone(), id: "i".parse().unwrap() };
                let (fingerprint, hash, revision) = (String::new(), None, Some("b".parse().unwrap()));
                journal.publish(Image { result, fingerprint, hash, revision, built: Timestamp(1) });
                let job = journal.job.as_mut().unwrap();
                if is_sent && job.sent.is_empty() {
                    job.sent.push(Sent { place, bytes: 7 });
                }
            }
            journal.end(&request, Vec::new());
            let job = History::note(&host, &journal, &request.config, 0).unwrap().unwrap();
            let bytes: Vec<Option<u64>> = job.delivered.iter().map(|delivered| delivered.bytes).collect();
            (bytes, History::load(&host).unwrap().totals)
        };
        // What another unit has delivered is only published here.
        let (bytes, totals) = count(false);
        assert_eq!((bytes, totals.bytes.len(), totals.results.len()), (vec![None, None], 0, 0));
        let (bytes, totals) = count(true);
        assert_eq!(bytes, [Some(7), None]);
        assert_eq!(totals.bytes, [Count { kind: NOBLE.to_string(), count: 7 }]);
        let results: Vec<_> =
            totals.results.iter().map(|known| (known.kind.project.as_str(), known.count)).collect();
        assert_eq!(results, [("first", 1)]);
    }

    #[test]
    fn a_record_of_the_version_before_has_counted_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let file = host.state_dir().join("history.json");
        host.write(&file, br#"{"format": 1, "jobs": []}"#, 0o600).unwrap();
        assert_eq!(History::load(&host).unwrap().totals, Totals::default());
    }
}
