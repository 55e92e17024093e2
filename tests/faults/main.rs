//! The fault sweep (`make test-faults`): every call that a build makes goes wrong once, in every way that its kind can,
//! and the worker is killed just before and just after each. Each time the same must come of it as without a fault: an
//! image in every project, nothing left behind, a true status, no secret told.
//!
//! `--list` prints the calls, `--sample N [--seed TEXT]` runs some of the cases, `--only TEXT` those whose name contains
//! it (any of several), `--without FILE` leaves out those that passed in an earlier output, `--side-by-side N` runs that
//! many at a time.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects")]

mod case;
mod disk;
mod files;
mod outcome;
mod run;
mod site;
mod table;
mod wrappers;

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use case::Case;
use run::Recorded;

/// Cases at a time, which share the processors.
const SIDE_BY_SIDE: usize = 6;
/// And beside each of them so many of those that mostly wait.
const WAITING: usize = 3;

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    list: bool,
    side_by_side: usize,
    only: Vec<String>,
    without: String,
    sample: Option<usize>,
    seed: String,
}

impl Wanted {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self { seed: "1".into(), side_by_side: SIDE_BY_SIDE, ..Self::default() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let number = |text: String| text.parse::<usize>().map_err(|_| format!("{text} is no number"));
            match word.as_str() {
                "--list" => wanted.list = true,
                "--only" => wanted.only.push(value()?),
                "--without" => {
                    let path = value()?;
                    wanted.without =
                        std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
                }
                "--sample" => wanted.sample = Some(number(value()?)?),
                "--side-by-side" => wanted.side_by_side = number(value()?)?,
                "--seed" => wanted.seed = value()?,
                other => return Err(format!("unknown: {other}")),
            }
        }
        Ok(wanted)
    }

    fn choose(&self, mut cases: Vec<Case>) -> Vec<Case> {
        let passed: BTreeSet<&str> = self
            .without
            .lines()
            .filter_map(|line| line.strip_prefix("ok ")?.split_once(" s  "))
            .map(|(_, case)| case)
            .collect();
        cases.retain(|case| {
            let name = case.to_string();
            let is_wanted = self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()));
            // A sample is to be quick; what takes too long for it is left to the whole, and to those who name it.
            let is_quick = self.sample.is_none() || !self.only.is_empty() || !case.takes_minutes();
            is_wanted && is_quick && !passed.contains(name.as_str())
        });
        // A generator of its own (xorshift, seeded by FNV-1a), so that a seed means the same everywhere.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut state = self.seed.bytes().fold(0xcbf2_9ce4_8422_2325, hash) | 1;
        let mut chosen = Vec::new();
        while chosen.len() < self.sample.unwrap_or(usize::MAX) && !cases.is_empty() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let index = usize::try_from(state % cases.len() as u64).unwrap_or_default();
            chosen.push(cases.swap_remove(index));
        }
        // First what takes longest: nothing shall be waited for alone at the end.
        chosen.sort_by_key(|case| !case.takes_minutes());
        chosen
    }
}

fn main() -> ExitCode {
    let wanted = match Wanted::parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(problem) => {
            eprintln!(
                "{problem}; known: --list, --only TEXT, --without FILE, --sample N, --seed TEXT, --side-by-side N"
            );
            return ExitCode::from(2);
        }
    };
    if let Some(problem) = disk::unshare() {
        eprintln!("the sweep needs root, for disks of its own: {problem}");
        return ExitCode::FAILURE;
    }
    let started = Instant::now();
    let recorded = Recorded::record();
    let sites = recorded.sites();
    let missing = site::missing(&sites);
    if !missing.is_empty() {
        eprintln!("calls that a build must make and that were not seen: {missing:#?}");
        return ExitCode::FAILURE;
    }
    if wanted.list {
        sites.iter().for_each(|site| println!("{site}"));
        return ExitCode::SUCCESS;
    }
    let cases = wanted.choose(case::all(&sites));
    println!("{} calls, {} cases, seed {}", sites.len(), cases.len(), wanted.seed);
    let (waiting, busy): (VecDeque<Case>, VecDeque<Case>) =
        cases.into_iter().partition(|case| case.fault.mostly_waits() || case.takes_minutes());
    let (waiting, busy) = (Mutex::new(waiting), Mutex::new(busy));
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let busy = std::iter::repeat_n(&busy, wanted.side_by_side);
        for queue in busy.chain(std::iter::repeat_n(&waiting, WAITING * wanted.side_by_side)) {
            let (recorded, results) = (&recorded, &results);
            scope.spawn(move || {
                while let Some(case) = { queue.lock().unwrap().pop_front() } {
                    let begun = Instant::now();
                    let run = || run::run(&case, recorded);
                    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err("it panicked".into()));
                    let seconds = begun.elapsed().as_secs();
                    match &result {
                        Ok(()) => println!("ok {seconds:4} s  {case}"),
                        Err(problem) => println!("FAILED {seconds:4} s  {case}: {problem}"),
                    }
                    results.lock().unwrap().push((case, result.is_ok()));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    table::print(&results);
    let failed: Vec<&Case> = results.iter().filter(|(_, passed)| !passed).map(|(case, _)| case).collect();
    println!(
        "{} of {} passed in {} s",
        results.len() - failed.len(),
        results.len(),
        started.elapsed().as_secs()
    );
    for case in &failed {
        println!("again: make test-faults ONLY='{case}'");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
