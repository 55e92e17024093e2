//! What the charm costs, each figure as a ratio of two things that are measured in turn in one run: `make bench`.
//! docs/reference/performance.md says how, and what came of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark says what it needs")]

mod baseline;
mod charms;
mod deliveries;
mod deployment;
mod hooks;
mod images;
mod local;
mod pairs;
mod python;
mod report;
mod transfers;
mod unchanged;
mod worker_cost;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use self::python::Python;
use self::report::Report;

/// Measures the charm.
#[derive(Parser)]
struct Arguments {
    /// Two minutes instead of twenty.
    #[arg(long)]
    quick: bool,
    /// Another `dispatch` of ours: fails where this one is slower.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// What cargo tells every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Only these: hooks, transfers, delivery, unchanged, images, builds, local.
    only: Vec<String>,
}

/// What a measurement is made with.
pub struct Setting {
    /// The unpacked charm.
    pub charm: PathBuf,
    /// Where files may be put that stay.
    pub target: PathBuf,
    /// Whether there is little time.
    pub quick: bool,
}

impl Setting {
    /// So many rounds, or so many in a hurry.
    pub fn rounds(&self, rounds: usize, quick: usize) -> usize {
        if self.quick { quick } else { rounds }
    }
}

fn main() -> ExitCode {
    let Arguments { quick, baseline, only, .. } = Arguments::parse();
    let charm = std::env::var_os("RUNNER_IMAGE_BUILDER_CHARM").map(PathBuf::from);
    let charm = charm.expect("RUNNER_IMAGE_BUILDER_CHARM, which `make bench` sets");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&target).expect("a folder for the figures");
    let setting = Setting { charm, target, quick };
    let mut report = Report::new(quick);
    if let Some(baseline) = baseline {
        baseline::compare(&setting, &baseline, &mut report);
        report.save(&setting.target.join("baseline.json"));
        return if report.has_regressions() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let wants = |group: &str| only.is_empty() || only.iter().any(|wanted| wanted == group);
    let python =
        ["hooks", "transfers", "delivery"].into_iter().any(wants).then(|| Python::get(&setting.target));
    let python = python.unwrap_or_else(|| Err("it is not asked for".to_owned()));
    let python = python.as_ref();
    if wants("hooks") {
        hooks::measure(&setting, python, &mut report);
    }
    if wants("transfers") {
        transfers::measure(&setting, python, &mut report);
    }
    if wants("delivery") {
        deliveries::measure(&setting, python, &mut report);
    }
    if wants("unchanged") {
        unchanged::measure(&setting, &mut report);
    }
    if wants("images") {
        images::measure(&setting, &mut report);
    }
    if wants("builds") {
        report.group("A build from a prepared image, and a cold one");
        report.leave_out("prepared against cold", "this version prepares no images");
    }
    if wants("local") {
        local::measure(&setting, &mut report);
    }
    report.save(&setting.target.join("figures.json"));
    ExitCode::SUCCESS
}
