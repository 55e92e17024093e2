//! What workers cost: looked at in /proc while they live, so that at most the last two hundredths of a second are missed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runner_image_builder::host::Host;

use crate::deployment::worker;

/// How often a worker is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// The clock of /proc: ticks in a second.
const TICKS: f64 = 100.0;

/// What all workers of a machine have cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerCost {
    /// Seconds of processor time, their own and that of programs that they waited for.
    pub cpu: f64,
    /// What they wrote, in MB: to files and to the network.
    pub written: f64,
}

/// What the workers of `host` cost during `work`.
pub fn during(host: &Host, work: impl FnOnce()) -> WorkerCost {
    let over = AtomicBool::new(false);
    let costs: BTreeMap<i32, WorkerCost> = std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            let mut costs = BTreeMap::new();
            while !over.load(Ordering::Relaxed) {
                if let Some((process, cost)) =
                    worker(host).and_then(|process| Some((process, cost(process)?)))
                {
                    costs.insert(process, cost);
                }
                std::thread::sleep(LOOK);
            }
            costs
        });
        work();
        over.store(true, Ordering::Relaxed);
        watched.join().unwrap()
    });
    costs.values().fold(WorkerCost::default(), |all, cost| WorkerCost {
        cpu: all.cpu + cost.cpu,
        written: all.written + cost.written,
    })
}

fn cost(process: i32) -> Option<WorkerCost> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // utime, stime, cutime, cstime
    let ticks: f64 = fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    let io = fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    let written: f64 = io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()?;
    Some(WorkerCost { cpu: ticks / TICKS, written: written / 1e6 })
}
