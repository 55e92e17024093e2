//! How long a machine took to boot and its runner application to start. The machine says it itself: it is evidence of nothing
//! else, and whatever of it makes no sense is left out. No image is refused for it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::POLICY;
use crate::instance::{Command, Executor, ExecutorError, RUNNER_HOME, RUNNER_USER};
use crate::model::{Deadline, Verdict, printable_line, retry};
use crate::record::BootTimes;

/// How long the machine may take to say it.
const LIMIT: Duration = Duration::from_secs(180);
/// The longest time that is believed: twice as long as a boot may take (option boot-timeout).
const LONGEST: u64 = 4 * 3600 * 1000;
/// The stages of cloud-init, in all versions.
const STAGES: [&str; 4] = ["init-local", "init", "modules-config", "modules-final"];

/// Asked once the boot is over, and before anything else starts the runner: a second start finds the application in memory.
/// `$0` is the runner's home, `$1` its user. Clocks are those that nobody sets while the machine boots. The answer of
/// cloud-init, which is JSON, comes last.
const SCRIPT: &str = r#"echo '[systemd]'
    systemctl show --property=UserspaceTimestampMonotonic --property=FinishTimestampMonotonic || true
    echo '[runner]'
    read -r from _ </proc/uptime
    exec 3< <(timeout 120 runuser -u "$1" -- "$0/bin/Runner.Listener" --version 2>/dev/null)
    if IFS= read -r -n 200 _ <&3; then
        read -r to _ </proc/uptime
        printf '%s\t%s\n' "$from" "$to"
    fi
    exec 3<&-
    echo '[cloud-init]'
    [ ! -r /run/cloud-init/status.json ] || head -c 65536 /run/cloud-init/status.json"#;

/// Asks a machine that has booted. What it does not say is absent.
pub(super) fn measure(executor: &dyn Executor, deadline: Deadline) -> BootTimes {
    let words = ["bash", "-uo", "pipefail", "-c", SCRIPT, RUNNER_HOME, RUNNER_USER];
    let ask = || executor.run(Command::new(words).limit(LIMIT).unlogged(), deadline);
    let worth_another = |_: &ExecutorError| true;
    let said = match retry(POLICY, deadline, || Verdict::of(ask(), worth_another)) {
        Ok(output) => output.stdout,
        Err(gave_up) => {
            log::warn!("how long the machine took to boot is not known: {gave_up}");
            return BootTimes::default();
        }
    };
    let (times, problems) = parse(&said);
    let instance = executor.instance();
    problems.iter().for_each(|problem| log::warn!("{instance}: its boot times: {problem}"));
    times
}

/// What the machine says, and what of it makes no sense, fit for a log.
fn parse(said: &[u8]) -> (BootTimes, Vec<String>) {
    let text = String::from_utf8_lossy(said);
    let (lines, cloud_init) = text.split_once("[cloud-init]\n").unwrap_or((&text, ""));
    let (systemd, runner) = lines.split_once("[runner]\n").unwrap_or((lines, ""));
    let mut problems = Vec::new();
    // Microseconds since the start of the kernel; 0 is what has not happened.
    let mut moment = |name: &str| {
        let value = systemd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let moment = value
            .and_then(number)
            .map(|moment| moment / 1000)
            .filter(|moment| (1..=LONGEST).contains(moment));
        if moment.is_none() {
            let value = shown(value.unwrap_or("nothing"));
            problems.push(format!("{name} is {value}"));
        }
        moment
    };
    let (kernel_ms, end) = (moment("UserspaceTimestampMonotonic"), moment("FinishTimestampMonotonic"));
    let userspace_ms = kernel_ms.zip(end).and_then(|(begin, end)| end.checked_sub(begin));
    if userspace_ms.is_none() && kernel_ms.is_some() && end.is_some() {
        problems.push("userspace ended before it began".to_owned());
    }
    let runner_start_ms = runner_start(runner);
    if runner_start_ms.is_none() {
        problems.push(format!("the runner application's start is {}", shown(runner)));
    }
    let cloud_init_ms = match stages(cloud_init) {
        // It is part of the boot.
        Ok(time) if end.is_none_or(|end| time <= end) => Some(time),
        Ok(time) => {
            problems.push(format!("cloud-init took {time} ms, longer than the boot"));
            None
        }
        Err(problem) => {
            problems.push(format!("cloud-init: {problem}"));
            None
        }
    };
    (BootTimes { kernel_ms, userspace_ms, cloud_init_ms, runner_start_ms }, problems)
}

/// Two readings of the machine's uptime, `12.34<tab>12.97`.
fn runner_start(line: &str) -> Option<u64> {
    let (from, to) = line.trim_end().split_once('\t')?;
    uptime(to)?.checked_sub(uptime(from)?).filter(|time| *time <= LONGEST)
}

/// Seconds with two decimals, in milliseconds.
fn uptime(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_once('.').filter(|(_, hundredths)| hundredths.len() == 2)?;
    number(seconds)?.checked_mul(1000)?.checked_add(number(hundredths)? * 10)
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What cloud-init keeps in `status.json`.
#[derive(Deserialize)]
struct Status {
    v1: BTreeMap<String, serde_json::Value>,
}

/// When a stage began and ended: seconds, since the epoch or since the boot, as the version has it.
#[derive(Deserialize)]
struct Stage {
    start: Option<f64>,
    finished: Option<f64>,
}

/// How long all stages took together, in milliseconds.
fn stages(json: &str) -> Result<u64, String> {
    let status: Status = serde_json::from_str(json).map_err(|error| shown(&error.to_string()))?;
    let mut took = Duration::ZERO;
    for name in STAGES {
        let stage = status.v1.get(name).cloned().unwrap_or_default();
        let stage = serde_json::from_value::<Stage>(stage).ok();
        let times = stage.and_then(|stage| Some((stage.start?, stage.finished?)));
        let stage = times.and_then(|(start, finished)| Duration::try_from_secs_f64(finished - start).ok());
        took = stage.and_then(|stage| took.checked_add(stage)).ok_or(format!("stage {name} has no times"))?;
    }
    u64::try_from(took.as_millis()).ok().filter(|time| *time <= LONGEST).ok_or("it took too long".to_owned())
}

fn shown(text: &str) -> String {
    printable_line(&text.chars().take(80).collect::<String>().replace(['\t', '\n'], " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd 245 (focal), 249 (jammy) and 255 (noble) show them, and cloud-init of the same releases: wall clock until
    /// 23.4, uptime since.
    const FOCAL: &str = "[systemd]\nUserspaceTimestampMonotonic=3318466\nFinishTimestampMonotonic=21944180\n[runner]\n25.61\t26.44\n\
        [cloud-init]\n{\n \"v1\": {\n  \"datasource\": \"DataSourceConfigDrive [net,ver=2][source=/dev/sr0]\",\n  \"init\": {\n   \
        \"errors\": [],\n   \"finished\": 1732792831.4471202,\n   \"start\": 1732792829.8110847\n  },\n  \"init-local\": {\n   \
        \"errors\": [],\n   \"finished\": 1732792824.991,\n   \"start\": 1732792824.091\n  },\n  \"modules-config\": {\n   \
        \"errors\": [],\n   \"finished\": 1732792835.6,\n   \"start\": 1732792834.6\n  },\n  \"modules-final\": {\n   \"errors\": \
        [],\n   \"finished\": 1732792838.5,\n   \"start\": 1732792837.0\n  },\n  \"stage\": null\n }\n}\n";
    const JAMMY: &str = "[systemd]\nUserspaceTimestampMonotonic=2114522\nFinishTimestampMonotonic=14268031\n[runner]\n17.02\t17.51\n\
        [cloud-init]\n{\"v1\": {\"datasource\": \"DataSourceOpenStackLocal [net,ver=2]\", \"init\": {\"errors\": [], \"finished\": \
        7.5, \"recoverable_errors\": {}, \"start\": 6.25}, \"init-local\": {\"errors\": [], \"finished\": 5.0, \
        \"recoverable_errors\": {}, \"start\": 4.5}, \"modules-config\": {\"errors\": [], \"finished\": 9.5, \
        \"recoverable_errors\": {\"WARNING\": [\"x\"]}, \"start\": 9.0}, \"modules-final\": {\"errors\": [], \"finished\": 10.75, \
        \"recoverable_errors\": {}, \"start\": 10.0}, \"stage\": null}}";
    const NOBLE: &str = "[systemd]\nUserspaceTimestampMonotonic=1873006\nFinishTimestampMonotonic=9120447\n[runner]\n11.20\t11.68\n\
        [cloud-init]\n{\"v1\": {\"datasource\": \"DataSourceConfigDrive [net,ver=2][source=/dev/vdb]\", \"stage\": null, \"init-local\": \
        {\"errors\": [], \"recoverable_errors\": {}, \"start\": 3.5, \"finished\": 3.75}, \"init\": {\"errors\": [], \
        \"recoverable_errors\": {}, \"start\": 4.5, \"finished\": 5.5}, \"modules-config\": {\"errors\": [], \
        \"recoverable_errors\": {}, \"start\": 6.0, \"finished\": 6.25}, \"modules-final\": {\"errors\": [], \
        \"recoverable_errors\": {}, \"start\": 7.0, \"finished\": 7.5}}}";

    /// What an emulated machine has said, with systemd 252 and cloud-init 22.4.2.
    const EMULATED: &str = r#"[systemd]
UserspaceTimestampMonotonic=10763916
FinishTimestampMonotonic=148578057
[runner]
149.20	150.14
[cloud-init]
{
 "v1": {
  "datasource": "DataSourceNoCloud [seed=/dev/sr0][dsmode=net]",
  "init": {
   "errors": [],
   "finished": 1795881275.614842,
   "start": 1795881256.9310246
  },
  "init-local": {
   "errors": [],
   "finished": 1795881241.5789366,
   "start": 1795881223.1863875
  },
  "modules-config": {
   "errors": [],
   "finished": 1795881296.6633193,
   "start": 1795881287.0626476
  },
  "modules-final": {
   "errors": [],
   "finished": 1795881320.5760942,
   "start": 1795881305.9681544
  },
  "modules-init": {
   "errors": [],
   "finished": null,
   "start": null
  },
  "stage": null
 }
}
"#;

    fn known(said: &str) -> Vec<(&'static str, u64)> {
        parse(said.as_bytes()).0.known().collect()
    }

    #[test]
    fn the_boots_of_each_release_are_read() {
        for (said, times) in [
            (
                EMULATED,
                [("kernel", 10_763), ("userspace", 137_815), ("cloud-init", 61_284), ("runner-start", 940)],
            ),
            (FOCAL, [("kernel", 3318), ("userspace", 18_626), ("cloud-init", 5036), ("runner-start", 830)]),
            (JAMMY, [("kernel", 2114), ("userspace", 12_154), ("cloud-init", 3000), ("runner-start", 490)]),
            (NOBLE, [("kernel", 1873), ("userspace", 7247), ("cloud-init", 2000), ("runner-start", 480)]),
        ] {
            assert_eq!(known(said), times);
            assert_eq!(parse(said.as_bytes()).1, [] as [&str; 0]);
        }
    }

    #[test]
    fn what_makes_no_sense_is_left_out_told_of_in_print_and_spoils_nothing_else() {
        for (text, other, lost) in [
            // A boot that is not over.
            ("FinishTimestampMonotonic=9120447", "FinishTimestampMonotonic=0", "userspace"),
            ("FinishTimestampMonotonic=9120447", "FinishTimestampMonotonic=-9", "userspace"),
            ("FinishTimestampMonotonic=9120447", "FinishTimestampMonotonic=99999999999999", "userspace"),
            ("FinishTimestampMonotonic=9120447", "FinishTimestampMonotonic=9e6", "userspace"),
            ("FinishTimestampMonotonic=9120447\n", "", "userspace"),
            ("11.20\t11.68", "11.20\t11.10", "runner-start"),
            ("11.20\t11.68", "11.20\t99999999.00", "runner-start"),
            ("11.20\t11.68", "11.2\t\u{1b}[2J", "runner-start"),
            ("11.20\t11.68\n", "", "runner-start"),
            ("\"finished\": 7.5", "\"finished\": null", "cloud-init"),
            ("\"finished\": 7.5", "\"finished\": 6.5", "cloud-init"),
            ("\"finished\": 7.5", "\"finished\": \"7.5\"", "cloud-init"),
            ("\"finished\": 7.5", "\"finished\": 1e308", "cloud-init"),
            // Somebody has set the clock.
            ("\"finished\": 7.5", "\"finished\": 77.5", "cloud-init"),
            ("modules-final", "modules-last", "cloud-init"),
            ("{\"v1\"", "\u{1b}{\"v1\"", "cloud-init"),
        ] {
            assert!(NOBLE.contains(text), "{text}");
            let (times, problems) = parse(NOBLE.replace(text, other).as_bytes());
            let left: Vec<&str> = times.known().map(|(name, _)| name).collect();
            let all = ["kernel", "userspace", "cloud-init", "runner-start"];
            assert_eq!(left, all.into_iter().filter(|name| *name != lost).collect::<Vec<_>>(), "{other}");
            assert_eq!(problems.len(), 1, "{other}: {problems:?}");
            assert!(crate::model::is_printable_line(&problems[0]), "{problems:?}");
        }
        assert_eq!((known(""), parse(&[0xff; 1000]).0), (Vec::new(), BootTimes::default()));
    }
}
