//! A build that is killed, at whatever moment, leaves no mount, no loop device and no process, and the next one removes
//! its folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fixture::wait_for;
use crate::workbench::Workbench;

/// Seeds the moments; change it to see others.
const SEED: u64 = 0x5eed_0004;

/// How many moments.
const MOMENTS: u32 = 20;

/// Mounts, loop devices and processes that have to do with `root`, whatever namespaces they are in.
pub fn traces(root: &Path) -> Vec<String> {
    let root = root.display().to_string();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        // Everything in the build's namespaces sees its mounts.
        let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
        if words.contains(&root) || mounts.contains(&root) {
            found.push(format!("{}: {words}", process.display()));
        }
    }
    for device in fs::read_dir("/sys/block").unwrap().flatten().map(|entry| entry.path()) {
        let file = fs::read_to_string(device.join("loop/backing_file")).unwrap_or_default();
        if file.contains(&root) {
            found.push(format!("{} on {file}", device.display()));
        }
    }
    found
}

fn kill_and_look(bench: &Workbench, mut child: std::process::Child, when: &str) {
    child.kill().unwrap();
    child.wait().unwrap();
    let started = Instant::now();
    wait_for(&format!("the end of all that a build killed {when} had begun"), || {
        let traces = traces(&bench.root);
        assert!(traces.is_empty() || started.elapsed() < Duration::from_secs(60), "{when}: {traces:?}");
        traces.is_empty().then_some(())
    });
    fs::create_dir_all(bench.folder().join("builds/left")).unwrap();
}

#[test]
fn nothing_outlives_a_killed_build() {
    let bench = Workbench::complete();
    // The first fills the cache, the second says how long the others would take.
    assert!(bench.build(&[]).status.success());
    let whole = bench.start();
    let begun = Instant::now();
    let steps = whole.lines.count();
    let length = begun.elapsed();
    for step in 1..=steps {
        let mut build = bench.start();
        let said = build.lines.nth(step - 1).unwrap();
        assert!(!bench.folder().join("builds/left").exists(), "the folder of the build before is gone");
        kill_and_look(&bench, build.child, &said);
    }
    let mut random = SEED;
    for _ in 0..MOMENTS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = length.mul_f64((random % 1000) as f64 / 1000.0);
        let build = bench.start();
        std::thread::sleep(moment);
        kill_and_look(&bench, build.child, &format!("after {} ms", moment.as_millis()));
    }
    assert!(bench.build(&[]).status.success(), "the next build works");
    assert!(!bench.folder().join("builds/left").exists());
}
