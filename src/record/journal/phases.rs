//! The phases of a build as a state machine: which may follow which, and how long each took.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::build_state::{Build, Phase};
use crate::model::{Elapsed, Target, Timestamp};

/// Of how many phases and steps it is kept how long they took: more than any build has.
const KEPT: usize = 32;

/// A phase cannot follow another.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the build of {target} cannot go from {from:?} to {to:?}; please report this")]
pub struct ImpossibleTransition {
    /// What is built.
    pub target: Target,
    /// The phase that it was in.
    pub from: String,
    /// The phase that was said to follow.
    pub to: String,
}

/// How long a phase took, or a step of the installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// The phase's name, or the step's.
    pub phase: String,
    /// How long it took.
    pub seconds: u64,
}

/// `installing packages 4 min 12 s`
impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.phase, Elapsed::seconds(self.seconds))
    }
}

impl Phase {
    /// The phase in one or two words.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Checking => "checking",
            Self::Preparing => "preparing",
            Self::Launching => "launching",
            Self::Installing { .. } => "installing",
            Self::Snapshotting => "snapshotting",
            Self::Verifying => "verifying",
            Self::Packing => "packing",
            Self::Delivering => "delivering",
            Self::Done => "done",
            Self::UpToDate => "up to date",
            Self::Failed => "failed",
        }
    }

    /// What is told of the time that it takes: of the installation, each step.
    fn part(&self) -> &str {
        match self {
            Self::Installing { step, .. } => step,
            phase => phase.word(),
        }
    }

    /// Whether the build has come to its end.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::UpToDate | Self::Failed)
    }

    /// Whether `next` may follow. What works may fail; what a builder VM does not need is left out, and so is what an
    /// earlier build has done already.
    fn leads_to(&self, next: &Self) -> bool {
        use Phase::{
            Checking, Delivering, Done, Failed, Installing, Launching, Packing, Preparing, Snapshotting,
            UpToDate, Verifying, Waiting,
        };
        match (self, next) {
            (Waiting, next) => matches!(next, Waiting | Checking),
            (Done | UpToDate | Failed, _) => false,
            (_, Failed) => true,
            (Checking, next) => matches!(next, Preparing | Verifying | Delivering | UpToDate),
            (Preparing, next) => matches!(next, Preparing | Launching | Installing { .. }),
            (Launching, next) => matches!(next, Installing { .. }),
            (Installing { number, .. }, Installing { number: next, .. }) => next > number,
            (Installing { .. }, next) => matches!(next, Snapshotting | Verifying | Packing | Delivering),
            (Snapshotting, next) => matches!(next, Verifying | Delivering),
            (Verifying, next) => matches!(next, Packing | Delivering),
            (Packing, next) => matches!(next, Delivering),
            (Delivering, next) => matches!(next, Done),
        }
    }
}

impl Build {
    /// Goes on to `phase` and keeps how long the one before took. An impossible transition is made all the same: no build
    /// is lost by what is told of it.
    pub fn enter(&mut self, phase: Phase) -> Result<(), ImpossibleTransition> {
        let now = Timestamp::now();
        let known = self.phase.leads_to(&phase);
        let from = self.phase.part().to_owned();
        if self.phase == Phase::Waiting {
            self.since = now;
        }
        if from != phase.part() || self.entered.is_none() {
            self.took(&from, now);
            self.entered = (!phase.is_over() && phase != Phase::Waiting).then_some(now);
        }
        self.phase = phase;
        self.hampered = None;
        let to = || self.phase.part().to_owned();
        if known { Ok(()) } else { Err(ImpossibleTransition { target: self.target, from, to: to() }) }
    }

    fn took(&mut self, part: &str, now: Timestamp) {
        let Some(entered) = self.entered else { return };
        // The wall clock may have been set back meanwhile.
        let seconds = now.0.saturating_sub(entered.0);
        let is_full = self.took.len() >= KEPT;
        match self.took.last_mut() {
            Some(last) if is_full => last.seconds = last.seconds.saturating_add(seconds),
            _ => self.took.push(Took { phase: part.to_owned(), seconds }),
        }
    }

    /// `checking 2 s, preparing 40 s, ...`; empty as long as no phase has ended.
    pub fn times(&self) -> String {
        self.took.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// How long the ended phases took together.
    pub fn total(&self) -> Duration {
        Duration::from_secs(self.took.iter().map(|took| took.seconds).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage};

    fn build() -> Build {
        Build::waiting(Target { base: BaseImage::Noble, arch: Arch::X64 })
    }

    fn step(number: usize) -> Phase {
        Phase::Installing { step: format!("step {number}"), number, of: 9 }
    }

    /// The parts of which it is kept how long they took.
    fn parts(build: &Build) -> Vec<&str> {
        build.took.iter().map(|took| took.phase.as_str()).collect()
    }

    #[test]
    fn every_way_that_a_build_goes_is_possible_and_each_part_of_it_is_kept() {
        use Phase::{
            Checking, Delivering, Done, Failed, Launching, Packing, Preparing, Snapshotting, UpToDate,
            Verifying, Waiting,
        };
        let ways = [
            // In a builder VM; without verification; from an earlier run's snapshot.
            vec![
                Waiting,
                Checking,
                Preparing,
                Launching,
                step(1),
                step(2),
                Snapshotting,
                Verifying,
                Delivering,
                Done,
            ],
            vec![Checking, Preparing, Launching, step(1), Snapshotting, Delivering, Done],
            vec![Checking, Verifying, Delivering, Failed],
            // On this machine.
            vec![Checking, Preparing, Preparing, step(1), step(3), Verifying, Packing, Delivering, Done],
            // Nothing to build.
            vec![Checking, Delivering, Done],
            vec![Checking, UpToDate],
            vec![Checking, Failed],
        ];
        for way in ways {
            let mut build = build();
            for phase in &way {
                assert_eq!(build.enter(phase.clone()), Ok(()), "{way:?}");
            }
            let ended = way.iter().filter(|phase| !phase.is_over() && **phase != Waiting);
            let mut ended: Vec<&str> = ended.map(Phase::part).collect();
            ended.dedup();
            assert_eq!(parts(&build), ended);
        }
    }

    #[test]
    fn an_impossible_transition_is_an_error_and_is_made_all_the_same() {
        use Phase::{
            Checking, Delivering, Done, Failed, Launching, Preparing, Snapshotting, UpToDate, Waiting,
        };
        for (from, to) in [
            (Waiting, Delivering),
            (Checking, Done),
            (Preparing, Checking),
            (Launching, Snapshotting),
            (step(3), step(2)),
            (Snapshotting, step(1)),
            (Delivering, UpToDate),
            (Delivering, Waiting),
            (Done, Checking),
            (Failed, Done),
            (Done, Failed),
        ] {
            let mut build = Build { phase: from.clone(), ..build() };
            let error = build.enter(to.clone()).unwrap_err();
            assert_eq!((error.from.as_str(), error.to.as_str()), (from.part(), to.part()));
            assert_eq!(build.phase, to);
        }
    }

    #[test]
    fn how_long_each_part_took_is_bounded_and_never_negative() {
        let mut build = build();
        build.enter(Phase::Checking).unwrap();
        build.entered = Some(Timestamp(Timestamp::now().0 - 252));
        build.enter(Phase::Preparing).unwrap();
        build.entered = Some(Timestamp(Timestamp::now().0 + 1000));
        build.enter(Phase::Launching).unwrap();
        let text = build.times();
        assert!(text.starts_with("checking 4 min 1") && text.ends_with("s, preparing 0 s"), "{text}");
        for number in 1..100 {
            build.enter(step(number)).unwrap();
        }
        assert_eq!(build.took.len(), KEPT);
        assert!(build.total() >= Duration::from_secs(252));
    }
}
