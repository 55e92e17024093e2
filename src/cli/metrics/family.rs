//! The metrics by name: what each tells, and how it is written. The page about them is made from these.

use std::fmt::Write;

use super::runner::RUNNER_REFUSED;

/// What a metric's name begins with.
const PREFIX: &str = "runner_image_builder_";

/// A metric with its labels.
#[derive(Debug)]
pub struct Family {
    /// The name, behind the prefix.
    pub name: &'static str,
    /// The labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

pub(super) const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, labels, help }
}

pub(super) const BUILD_INFO: Family =
    gauge("build_info", &["version"], "The version of the charm that answers; always 1.");
pub(super) const LEADER: Family = gauge("leader", &[], "1 on the leader, which is the unit that builds.");
pub(super) const PAUSED: Family = gauge("paused", &[], "1 while the option paused is set.");
pub(super) const JOB_RUNNING: Family =
    gauge("job_running", &[], "1 while a job runs; also after its worker died, until the next hook.");
pub(super) const FAILURES_IN_ROW: Family =
    gauge("failures_in_row", &[], "The most consecutive failures of any target in any project.");
pub(super) const LAST_SUCCESS: Family =
    gauge("last_success_timestamp_seconds", &[], "When any target last got a new image in any project.");
pub(super) const LAST_RUN: Family = gauge("last_run_timestamp_seconds", &[], "When the last job started.");
pub(super) const NEXT_RUN: Family =
    gauge("next_run_timestamp_seconds", &[], "When the unit next looks for work, or retries.");
pub(super) const BUILD_INTERVAL: Family = gauge("build_interval_seconds", &[], "The option build-interval.");
pub(super) const MAX_IMAGE_AGE: Family = gauge("max_image_age_seconds", &[], "The option max-image-age.");
pub(super) const IMAGE_WANTED: Family = gauge(
    "image_wanted",
    &["target", "cloud"],
    "1 for each configured target and related project; a target that is removed from the configuration has no sample.",
);
pub(super) const IMAGE_BUILT: Family = gauge(
    "image_built_timestamp_seconds",
    &["target", "cloud"],
    "When the newest image of a target in a project was built.",
);
pub(super) const IMAGE_SIZE: Family =
    gauge("image_size_bytes", &["target"], "The size of the newest build of a target.");
pub(super) const TARGET_SUCCESS: Family = gauge(
    "target_last_success_timestamp_seconds",
    &["target", "cloud"],
    "When a target last got a new image in a project.",
);
pub(super) const TARGET_FAILURE: Family = gauge(
    "target_last_failure_timestamp_seconds",
    &["target", "cloud"],
    "When a target last failed in a project; the label cloud is empty when the build itself failed.",
);
pub(super) const TARGET_FAILURES: Family = gauge(
    "target_failures_in_row",
    &["target", "cloud", "reason"],
    "Consecutive failures of a target in a project, while it fails.",
);
pub(super) const TARGET_RETRY: Family = gauge(
    "target_next_retry_timestamp_seconds",
    &["target", "cloud"],
    "When a failing target is next retried in a project.",
);
pub(super) const ORPHANS: Family = gauge(
    "orphans",
    &["cloud", "state"],
    "Resources that could not be removed from a project that is no longer used; the state is `retrying` or `abandoned`.",
);

/// All of them, in the order in which they are written.
pub const FAMILIES: [&Family; 19] = [
    &BUILD_INFO,
    &LEADER,
    &PAUSED,
    &JOB_RUNNING,
    &FAILURES_IN_ROW,
    &LAST_SUCCESS,
    &LAST_RUN,
    &NEXT_RUN,
    &BUILD_INTERVAL,
    &MAX_IMAGE_AGE,
    &IMAGE_WANTED,
    &IMAGE_BUILT,
    &IMAGE_SIZE,
    &TARGET_SUCCESS,
    &TARGET_FAILURE,
    &TARGET_FAILURES,
    &TARGET_RETRY,
    &ORPHANS,
    &RUNNER_REFUSED,
];

/// The page of the documentation that describes the metrics.
pub fn page() -> String {
    let mut page = "# Metrics\n\n\
        `dispatch metrics` prints them, and a collector that is related over `cos-agent` scrapes them from\n\
        `127.0.0.1:9473/metrics`. Each unit tells what it knows; Juju's topology labels are added by the collector. All are\n\
        gauges. Times are seconds since 1970-01-01 UTC; a metric without a value has no sample.\n\n\
        This page is made from the code: `make manual`.\n\n\
        | metric | labels | meaning |\n|---|---|---|\n"
        .to_owned();
    for Family { name, labels, help } in FAMILIES {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing into a string never fails.
        let _ = writeln!(page, "| `{PREFIX}{name}` | {} | {help} |", labels.join(", "));
    }
    page
}

/// Metrics being written, in the text format of Prometheus.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// Writes a metric without labels.
    pub(super) fn value(&mut self, family: &Family, value: impl IntoIterator<Item = u64>) {
        self.samples(family, value.into_iter().map(|value| ([], value)));
    }

    /// Writes a metric with the values of its labels.
    pub(super) fn samples<const N: usize>(
        &mut self,
        Family { name, labels, help }: &Family,
        samples: impl IntoIterator<Item = ([String; N], u64)>,
    ) {
        let name = format!("{PREFIX}{name}");
        // Writing into a string never fails.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (values, value) in samples {
            let told =
                labels.iter().zip(&values).map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
            let told: Vec<String> = told.collect();
            let told = if told.is_empty() { String::new() } else { format!("{{{}}}", told.join(",")) };
            let _ = writeln!(self.0, "{name}{told} {value}");
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_code() {
        let written = include_str!("../../../docs/reference/metrics.md");
        assert!(written == page(), "docs/reference/metrics.md: run `make manual`");
    }

    #[test]
    fn a_label_cannot_end_its_sample() {
        let mut text = Text::default();
        text.samples(&BUILD_INFO, [(["a\"b\\\nc".to_owned()], 1)]);
        assert!(text.0.ends_with("{version=\"a\\\"b\\\\\\nc\"} 1\n"), "{}", text.0);
    }
}
