//! Workers and hooks that are killed at any moment: all that they have made is noted, and the next ones end the job.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rehearsal::agent::Process;
use runner_image_builder::record::{Build, JobId, Journal, Phase, Remedy};
use serde_json::json;

use super::{Environment, Scenario};
use crate::deployed::{APPLICATION, all_succeeded, wait_for};

/// Between two looks at the journal.
const LOOK: Duration = Duration::from_millis(3);
/// The longest time that a hook lives that is to be killed, in milliseconds: about as long as most of them need.
const HOOK: u64 = 200;
/// The same for one that a worker asks for, when it is seen.
const REPORT: u64 = 60;

/// Numbers that the same seed brings again.
pub struct Dice(u64);

impl Dice {
    /// Seeded by SCENARIO_SEED, or by the clock; tells the seed.
    pub fn new() -> Self {
        let given =
            std::env::var("SCENARIO_SEED").ok().map(|seed| seed.parse().expect("SCENARIO_SEED: a number"));
        let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
        let seed = given.unwrap_or_else(clock);
        println!("    SCENARIO_SEED={seed}");
        Self(seed)
    }

    /// Two steps of [`Scenario::survives_two_kills`].
    pub fn two_steps(&mut self) -> [usize; 2] {
        [3 + self.below(17), self.below(9)].map(|step| usize::try_from(step).expect("a small number"))
    }

    /// The first step of an installation, and two by chance, for [`Scenario::survives_a_kill_at_each_step`].
    pub fn three_of_the_installation(&mut self) -> [usize; 3] {
        [1, 2 + self.below(6), 8 + self.below(7)].map(|step| usize::try_from(step).expect("a small number"))
    }

    /// Below `limit`: splitmix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The build that is under way.
fn running(journal: &Journal) -> Option<&Build> {
    journal.running()?.builds.first()
}

/// Where it is, as the journal tells: its phase, and what it has made or is about to make.
fn step(Build { phase, resources, .. }: &Build) -> String {
    let phase = match phase {
        Phase::Installing { step, .. } => step.clone(),
        other => format!("{other:?}").to_lowercase(),
    };
    let made = resources.iter().map(|resource| {
        let state = if resource.id.is_none() { " to come" } else { "" };
        format!("{}{state}", resource.kind.as_str())
    });
    [phase].into_iter().chain(made.collect::<BTreeSet<_>>()).collect::<Vec<_>>().join(", ")
}

impl<E: Environment> Scenario<E> {
    /// The worker dies twice in one build: after its `first` step, and after the `second` since there was a snapshot.
    pub fn survives_two_kills(&mut self, [first, second]: [usize; 2], dice: &mut Dice) {
        let (mut seen, mut seen_since_snapshot) = (BTreeSet::new(), BTreeSet::new());
        let mut due = (true, true);
        self.build_and_kill(dice, &mut |build, _| {
            seen.insert(step(build));
            if !seen_since_snapshot.is_empty() || build.phase == Phase::Snapshotting {
                seen_since_snapshot.insert(step(build));
            }
            let now = (seen.len() > first, seen_since_snapshot.len() > second);
            let dies = (due.0 && now.0) || (due.1 && now.1);
            due = (due.0 && !now.0, due.1 && !now.1);
            dies
        });
        assert_eq!(due, (false, false), "killed before there was a snapshot and after");
    }

    /// The worker dies once at each step that the journal tells of, and the build goes on to the next. Of the steps of the
    /// installation, which leave nothing of their own in the cloud, it dies at these `installing`, by their numbers.
    pub fn survives_a_kill_at_each_step(&mut self, installing: &[usize], dice: &mut Dice) {
        let mut killed_at = BTreeSet::new();
        self.build_and_kill(dice, &mut |build, _| match &build.phase {
            Phase::Installing { number, .. } if !installing.contains(number) => false,
            _ => killed_at.insert(step(build)),
        });
        assert!(killed_at.len() >= 10 + installing.len(), "{killed_at:?}");
    }

    /// The worker dies at so many random moments, each at most `longest` after its beginning; in one build, as long as that
    /// lasts.
    pub fn survives_kills_at_random_moments(&mut self, moments: usize, longest: Duration, dice: &mut Dice) {
        let longest = u64::try_from(longest.as_millis()).expect("hours at most");
        let moment = |dice: &mut Dice| Duration::from_millis(dice.below(longest));
        let mut moments: Vec<_> = (0..moments).map(|_| moment(dice)).collect();
        while !moments.is_empty() {
            let left = moments.len();
            self.build_and_kill(dice, &mut |_, runs| {
                moments.last().is_some_and(|moment| runs >= *moment) && moments.pop().is_some()
            });
            // The build was over before it came.
            if moments.len() == left {
                moments[left - 1] = moment(dice);
            }
        }
    }

    /// Builds an image, unless the first is under way, and kills the worker whenever `dies` says so of the build and of the
    /// time that it takes; with each worker the hook that comes next, and now and then one that the worker asks for.
    fn build_and_kill(&mut self, dice: &mut Dice, dies: &mut dyn FnMut(&Build, Duration) -> bool) {
        let (before, last) = (self.published(), self.last_job());
        if before.iter().all(Option::is_some) {
            let action = self.environment.unit().run_action("run", json!({"force": true})).expect("action");
            assert!(action.results.contains_key("job"), "{action:?}");
        }
        let (started, mut began, mut kills, mut hooks) = (Instant::now(), Instant::now(), 0, 0);
        let (mut version, mut journal) = (self.environment.journal_version(), self.environment.journal());
        loop {
            let all_new = || self.published().iter().zip(&before).all(|(new, old)| new != old);
            // Reading it is dear, and it changes once in a while.
            let written = self.environment.journal_version();
            if written != version {
                (version, journal) = (written, self.environment.journal());
            }
            let build = running(&journal);
            match (build, self.environment.worker()) {
                (Some(build), Some(_)) if build.phase != Phase::Failed && dies(build, began.elapsed()) => {
                    self.environment.kill_worker();
                    kills += 1;
                    println!("    killed at {} s: {}", started.elapsed().as_secs(), step(build));
                    self.all_is_noted();
                    hooks += usize::from(self.a_hook_dies(dice));
                    began = Instant::now();
                }
                (Some(Build { phase: Phase::Delivering | Phase::Done, .. }), Some(_)) => {
                    hooks += usize::from(self.a_report_dies(dice));
                }
                (None, None) if all_new() => break,
                // The hook that would have published it was killed.
                (None, None) if self.last_job() != last => hooks += usize::from(self.a_hook_dies(dice)),
                // It has only just been started.
                (Some(_), None) => wait_for("the worker", self.environment.patience(), || {
                    self.environment.worker().map(drop)
                }),
                _ => std::thread::sleep(LOOK),
            }
            let failures = journal.job.iter().flat_map(|job| &job.failures);
            // The script's secrets go with the worker that had them; the next hook brings them again.
            let failures: Vec<_> = failures.filter(|failure| failure.remedy != Remedy::Hook).collect();
            assert!(failures.is_empty(), "{failures:?} after {kills} kills");
            assert!(
                began.elapsed() < self.environment.patience() * 2,
                "no image after {kills} kills: {build:?}"
            );
        }
        self.environment.job_ended();
        self.note_revision();
        self.no_leftovers();
        println!("    {kills} workers and {hooks} hooks killed in {} s", started.elapsed().as_secs());
    }

    /// The job that ended last.
    fn last_job(&self) -> Option<JobId> {
        self.environment.journal().job.filter(|job| job.finished.is_some()).map(|job| job.id)
    }

    /// The processes of hooks, whoever asked for them. A worker has nothing of its hook's environment.
    fn hooks(&self) -> Vec<Process> {
        let mut processes = self.environment.unit().processes().expect("processes");
        processes.retain(|process| {
            let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(b"JUJU_CONTEXT_ID="))
        });
        processes
    }

    /// The next hook, which starts the next worker or publishes, dies before or after that; Juju runs it again. Returns
    /// whether it lived for long enough to be killed.
    fn a_hook_dies(&self, dice: &mut Dice) -> bool {
        let unit = self.environment.unit();
        let moment = Duration::from_millis(dice.below(HOOK));
        let run = std::thread::scope(|scope| {
            let hook = scope.spawn(|| unit.update_status().expect("hook"));
            std::thread::sleep(moment);
            self.hooks().iter().for_each(Process::kill);
            hook.join().expect("the hook's thread")
        });
        let died = unit.failed_hook().expect("the unit").is_some();
        assert_ne!(died, run.succeeded(), "{} after {moment:?}: {}", run.ending, run.stderr);
        if died {
            all_succeeded(&unit.retry().expect("the hook again"));
        }
        died
    }

    /// A hook that the worker has asked for, if there is one now; Juju does not run it again.
    fn a_report_dies(&self, dice: &mut Dice) -> bool {
        if self.hooks().is_empty() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(dice.below(REPORT)));
        let hooks = self.hooks();
        hooks.iter().for_each(Process::kill);
        !hooks.is_empty()
    }

    /// The worker is dead: whatever it has made in the build project is in the journal, or is what jobs have in common.
    fn all_is_noted(&self) {
        // A hook that it had asked for may start the next one while we look.
        let (before, made, after) = (self.environment.journal(), self.made(), self.environment.journal());
        let builds = before.revisions.iter().chain(&after.revisions).map(|build| build.id.as_str());
        let noted: BTreeSet<&str> = before
            .resources()
            .chain(after.resources())
            .flat_map(|resource| [Some(resource.name.as_str()), resource.id.as_deref()])
            .flatten()
            .chain(builds)
            .collect();
        for line in made {
            let words: Vec<&str> = line.split(' ').collect();
            let known = match words[..] {
                ["server", id, name, ..] => noted.contains(id) || noted.contains(name),
                ["image", id, name, ..] => {
                    let kept =
                        ["base", "rejected"].map(|word| format!("{APPLICATION}-image-builder-{word}-"));
                    kept.iter().any(|kept| name.starts_with(kept))
                        || noted.contains(id)
                        || noted.contains(name)
                }
                ["security-group", _, name, ..] => name.starts_with(APPLICATION),
                ["port", ..] => true,
                _ => false,
            };
            assert!(known, "{line} is not in the journal: {noted:?}");
        }
    }
}
