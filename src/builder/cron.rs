//! The cron file that makes the charm look for releases every hour, and for work every so many hours.

use sha2::{Digest, Sha256};

use crate::host::{FileError, Host, Written};
use crate::model::Timestamp;

/// Where the cron file lies.
pub const CRON_FILE: &str = "/etc/cron.d/build-runner-image";

/// Configures cron to run the builder (seed `builder`: `configure_cron`): every `interval` hours, at a minute
/// that is this unit's own, so that the units of a cloud do not all fire at once. True when cron was
/// reconfigured.
///
/// Cron itself fires hourly; the lines count hours since the epoch, which makes intervals that do not divide 24
/// even. In the hours between, the unit only looks for releases.
pub fn configure_cron(host: &Host, unit_name: &str, interval: u32) -> Result<bool, FileError> {
    let minute = minute_of(unit_name);
    let (lock, log) = (host.run_dir().join("cron.lock"), host.log_dir().join("cron.log"));
    let (lock, log) = (lock.display(), log.display());
    let line = |test: &str, event: &str| {
        format!(
            "{minute} * * * * root [ $(( $(date +\\%s) / 3600 \\% {interval} )) {test} 0 ] && \
             flock --nonblock {lock} juju-exec {unit_name} \"JUJU_DISPATCH_PATH={event} ./dispatch\" >>{log} 2>&1\n"
        )
    };
    let (look, run) = (line("-ne", "look"), line("-eq", "run"));
    let text = format!(
        "# Written by the charm of {unit_name}; it puts back what you change here. Option: build-interval.\n\
         SHELL=/bin/sh\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin\n\
         {look}{run}"
    );
    Ok(host.write(&host.path(CRON_FILE), text.as_bytes(), 0o644)? == Written::Changed)
}

/// The minute that is a unit's own.
fn minute_of(unit_name: &str) -> u8 {
    Sha256::digest(unit_name)[0] % 60
}

/// When cron looks for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Hours between two looks.
    pub interval: u64,
    minute: u64,
}

impl Schedule {
    /// That of a unit that looks every `interval` hours.
    pub fn of(unit_name: &str, interval: u32) -> Self {
        Self { interval: u64::from(interval.max(1)), minute: u64::from(minute_of(unit_name)) }
    }

    /// What the cron file says; none when there is none, or somebody has rewritten it.
    pub fn load(host: &Host) -> Result<Option<Self>, FileError> {
        let file = host.read(&host.path(CRON_FILE))?.unwrap_or_default();
        Ok(Self::parse(&String::from_utf8_lossy(&file)))
    }

    fn parse(file: &str) -> Option<Self> {
        let line = file.lines().last()?;
        let minute = line.split(' ').next()?.parse().ok().filter(|minute| *minute < 60)?;
        let (_, interval) = line.split_once("\\% ")?;
        let interval = interval.split(' ').next()?.parse().ok().filter(|hours| (1..=24).contains(hours))?;
        Some(Self { interval, minute })
    }

    /// The first look after `now`.
    pub fn next_after(self, now: Timestamp) -> Timestamp {
        let first = now.0 / 3600 / self.interval * self.interval * 3600 + self.minute * 60;
        Timestamp(if first > now.0 { first } else { first + self.interval * 3600 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(unit: &str, interval: u32) -> String {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        configure_cron(&host, unit, interval).unwrap();
        String::from_utf8(host.read(&host.path(CRON_FILE)).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn says_whether_it_changed_anything() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert!(configure_cron(&host, "builder/0", 6).unwrap());
        assert!(!configure_cron(&host, "builder/0", 6).unwrap());
        assert!(configure_cron(&host, "builder/0", 7).unwrap());
    }

    #[test]
    fn the_next_look_is_read_from_the_file_that_cron_reads() {
        let schedule = Schedule::parse(&line("builder/0", 7)).unwrap();
        assert_eq!(schedule.interval, 7);
        let (hour, minute) = (490_000 / 7 * 7, schedule.minute * 60);
        let due = Timestamp(hour * 3600 + minute);
        assert_eq!(schedule.next_after(Timestamp(due.0 - 1)), due);
        assert_eq!(schedule.next_after(due), Timestamp(due.0 + 7 * 3600));
        for other in ["", "# by hand\n", "61 * * * * root [ $(( x / 3600 \\% 6 )) ]", "5 * * * * root \\% 0 "]
        {
            assert_eq!(Schedule::parse(other), None, "{other}");
        }
    }

    #[test]
    fn units_fire_at_minutes_of_their_own() {
        let minutes: std::collections::BTreeSet<String> = (0..20)
            .map(|unit| {
                let text = line(&format!("builder/{unit}"), 6);
                text.lines().last().unwrap().split(' ').next().unwrap().to_owned()
            })
            .collect();
        assert!(minutes.len() > 10, "{minutes:?}");
    }

    #[test]
    fn each_hour_has_one_call_and_every_nth_is_for_work_also_over_midnight() {
        let text = line("builder/0", 7);
        let called = |hour: u64| {
            let is_true = |line: &&str| {
                let guard = &line[line.find('[').unwrap()..=line.find("] ").unwrap()];
                let script =
                    guard.replace("\\%", "%").replace("$(date +%s)", &(hour * 3600 + 1234).to_string());
                std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success()
            };
            let calls = text.lines().filter(|line| line.contains("juju-exec")).filter(is_true);
            let paths = calls
                .map(|line| line.split("JUJU_DISPATCH_PATH=").nth(1).unwrap().split(' ').next().unwrap());
            paths.collect::<Vec<_>>().join(", ")
        };
        let hours: Vec<(u64, String)> = (490_000..490_030).map(|hour| (hour, called(hour))).collect();
        let due: Vec<u64> = hours.iter().filter(|(_, path)| path == "run").map(|(hour, _)| *hour).collect();
        assert!(due.len() >= 4 && due.windows(2).all(|pair| pair[1] - pair[0] == 7), "{hours:?}");
        assert!(hours.iter().all(|(hour, path)| due.contains(hour) || path == "look"), "{hours:?}");
    }
}
