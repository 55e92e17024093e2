//! This binary beside another one of ours. What counts as noise is measured in the same run: the other binary is measured
//! twice in each round, as if it were two.

use std::path::Path;
use std::time::Duration;

use crate::Setting;
use crate::charms;
use crate::deployment::Deployment;
use crate::hooks::{Stage, hook, ms};
use crate::pairs::{median, ratio};
use crate::report::{Figure, Report};

/// What is slower by less is not looked at, however sure it is.
const SLACK: f64 = 1.02;

/// What is measured of one binary: a figure, and what can be counted.
type Measured = (f64, usize);

pub fn compare(setting: &Setting, baseline: &Path, report: &mut Report) {
    report.group(&format!("Beside {}", baseline.display()));
    let other = tempfile::tempdir().unwrap();
    let other = charms::with_dispatch(other.path(), &setting.charm, baseline);
    let charms = [setting.charm.as_path(), &other, &other];
    for relations in [1, if setting.quick { 10 } else { 100 }] {
        let stage = Stage::new(&setting.charm);
        let names = ["ours", "theirs", "theirs-again"];
        let apps: Vec<_> =
            names.iter().zip(charms).map(|(name, charm)| stage.ours(name, charm, relations)).collect();
        let measure = |index: usize| {
            let run = hook(&apps[index]);
            (ms(run.cpu), run.calls.len())
        };
        let name = format!("update-status, {relations} relations: CPU");
        tell(&name, "ms", "calls of hook tools", setting.rounds(60, 15), &measure, report);
    }
    let projects = if setting.quick { 3 } else { 10 };
    let deployments = charms.map(|charm| {
        let deployment = Deployment::settled(charm, projects, &[]);
        deployment.slow_down(Duration::from_millis(50));
        deployment
    });
    let measure = |index: usize| {
        let cost = deployments[index].look();
        (cost.wall, cost.requests)
    };
    let name = format!("nothing changed, {projects} projects");
    tell(&name, "s", "requests", setting.rounds(15, 5), &measure, report);
}

/// Measures ours, the other, and the other again, each first as often as the others.
fn tell(
    name: &str,
    unit: &'static str,
    counted: &str,
    rounds: usize,
    measure: &dyn Fn(usize) -> Measured,
    report: &mut Report,
) {
    let mut figures: [Vec<Measured>; 3] = Default::default();
    for round in 0..rounds {
        for index in (0..3).map(|index| (index + round) % 3) {
            figures[index].push(measure(index));
        }
    }
    let [ours, theirs, again] = &figures;
    let pairs = |one: &[Measured]| -> Vec<(f64, f64)> {
        one.iter().zip(theirs).map(|((one, _), (theirs, _))| (*one, *theirs)).collect()
    };
    let (change, noise) = (ratio(&pairs(ours)), ratio(&pairs(again)));
    let value = median(ours.iter().map(|(figure, _)| *figure));
    report.add(Figure::new(name, value, unit).ratio(change, "the other"));
    report.add(Figure::new(format!("{name}, the other twice"), value, unit).ratio(noise, "itself"));
    let bound = noise.high.max(SLACK);
    if change.low > bound {
        report
            .regression(format!("{name}: at least {:.3} of the other; noise ends at {bound:.3}", change.low));
    }
    let count = |measured: &[Measured]| median(measured.iter().map(|(_, count)| *count as f64));
    report.add(Figure::new(format!("{name}: {counted}"), count(ours), ""));
    if count(ours) > count(theirs) {
        report.regression(format!("{name}: {} {counted} instead of {}", count(ours), count(theirs)));
    }
}
