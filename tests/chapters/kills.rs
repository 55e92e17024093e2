//! Workers that are killed at any moment: all that they have made is noted, and the next one ends the job.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use runner_image_builder::builder::{Build, Journal, Phase, Remedy};
use serde_json::json;

use super::{Stage, Story};
use crate::deployed::{APPLICATION, wait_for};

/// Between two looks at the journal.
const LOOK: Duration = Duration::from_millis(3);
/// How many random moments the full set has.
const MOMENTS: u64 = 10;
/// The longest time that a worker then lives, in milliseconds: about as long as a build takes.
const LONGEST: u64 = 300_000;

/// Numbers that the same seed brings again.
pub struct Dice(u64);

impl Dice {
    /// Seeded by STORY_SEED, or by the clock; tells the seed.
    pub fn new() -> Self {
        let given = std::env::var("STORY_SEED").ok().map(|seed| seed.parse().expect("STORY_SEED: a number"));
        let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
        let seed = given.unwrap_or_else(clock);
        println!("    STORY_SEED={seed}");
        Self(seed)
    }

    /// Two steps of [`Story::survives_two_kills`].
    pub fn two_steps(&mut self) -> [usize; 2] {
        [3 + self.below(17), self.below(9)].map(|step| usize::try_from(step).expect("a small number"))
    }

    /// Below `limit`: splitmix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Where a build is, as the journal tells: its phase, and what it has made or is about to make.
fn step(journal: &Journal) -> Option<String> {
    let Build { phase, resources, .. } = journal.running()?.builds.first()?;
    let phase = match phase {
        Phase::Installing { step, .. } => step.clone(),
        other => format!("{other:?}").to_lowercase(),
    };
    let made = resources.iter().map(|resource| {
        let state = if resource.id.is_none() { " to come" } else { "" };
        format!("{}{state}", resource.kind.as_str())
    });
    Some([phase].into_iter().chain(made.collect::<BTreeSet<_>>()).collect::<Vec<_>>().join(", "))
}

impl<S: Stage> Story<S> {
    /// The worker dies twice in one build: after its `first` step, and after the `second` since there was a snapshot.
    pub fn survives_two_kills(&mut self, [first, second]: [usize; 2]) {
        let (mut seen, mut seen_since_snapshot) = (BTreeSet::new(), BTreeSet::new());
        let mut due = (true, true);
        self.build_and_kill(&mut |step, _| {
            seen.insert(step.to_owned());
            if !seen_since_snapshot.is_empty() || step.starts_with("snapshotting") {
                seen_since_snapshot.insert(step.to_owned());
            }
            let now = (seen.len() > first, seen_since_snapshot.len() > second);
            let dies = (due.0 && now.0) || (due.1 && now.1);
            due = (due.0 && !now.0, due.1 && !now.1);
            dies
        });
        assert_eq!(due, (false, false), "killed before there was a snapshot and after");
    }

    /// The worker dies once at each step that the journal tells of, and at random moments.
    pub fn survives_every_kill(&mut self, dice: &mut Dice) {
        let mut killed_at = BTreeSet::new();
        let kills = self.build_and_kill(&mut |step, _| killed_at.insert(step.to_owned()));
        assert!(kills > 20, "{killed_at:?}");
        let mut moments: Vec<Duration> =
            (0..MOMENTS).map(|_| Duration::from_millis(dice.below(LONGEST))).collect();
        while !moments.is_empty() {
            self.build_and_kill(&mut |_, runs| {
                moments.last().is_some_and(|moment| runs >= *moment) && moments.pop().is_some()
            });
        }
    }

    /// Builds an image, and kills the worker whenever `dies` says so of the step and of the time that the build takes.
    /// Returns how often.
    fn build_and_kill(&mut self, dies: &mut dyn FnMut(&str, Duration) -> bool) -> usize {
        let before = self.published();
        let action = self.stage.unit().run_action("run", json!({"force": true})).expect("action");
        assert!(action.results.contains_key("job"), "{action:?}");
        let (started, mut began, mut kills) = (Instant::now(), Instant::now(), 0);
        let (mut version, mut journal) = (self.stage.journal_version(), self.stage.journal());
        loop {
            let all_new = || self.published().iter().zip(&before).all(|(new, old)| new != old);
            // Reading it is dear, and it changes once in a while.
            let written = self.stage.journal_version();
            if written != version {
                (version, journal) = (written, self.stage.journal());
            }
            let step = step(&journal);
            match (&step, self.stage.worker()) {
                (Some(step), Some(_)) if dies(step, began.elapsed()) => {
                    self.stage.kill_worker();
                    kills += 1;
                    println!("    killed at {} s: {step}", started.elapsed().as_secs());
                    self.all_is_noted();
                    self.stage.next_hook();
                    began = Instant::now();
                }
                (None, None) if all_new() => break,
                // It has only just been started.
                (Some(_), None) => {
                    wait_for("the worker", self.stage.patience(), || self.stage.worker().map(drop))
                }
                _ => std::thread::sleep(LOOK),
            }
            let failures = journal.job.iter().flat_map(|job| &job.failures);
            // The script's secrets go with the worker that had them; the next hook brings them again.
            let failures: Vec<_> = failures.filter(|failure| failure.remedy != Remedy::Hook).collect();
            assert!(failures.is_empty(), "{failures:?} after {kills} kills");
            assert!(began.elapsed() < self.stage.patience() * 2, "no image after {kills} kills, at {step:?}");
        }
        self.stage.job_ended();
        self.note_revision();
        self.no_leftovers();
        kills
    }

    /// The worker is dead: whatever it has made in the build project is in the journal, or is what jobs have in common.
    fn all_is_noted(&self) {
        let journal = self.stage.journal();
        let noted: BTreeSet<&str> = journal
            .resources()
            .flat_map(|resource| [Some(resource.name.as_str()), resource.id.as_deref()])
            .flatten()
            .collect();
        for line in self.made() {
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
