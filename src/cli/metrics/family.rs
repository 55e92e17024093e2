//! The metrics by name: what each tells, and how it is written. The page about them is made from these.

use std::fmt::{self, Write};

use super::runner::RUNNER_REFUSED;
use super::security::{FIXES_CHECKED, FIXES_OPEN};
use crate::record::{BOUNDS, Durations};

/// What a metric's name begins with.
const PREFIX: &str = "runner_image_builder_";

/// A metric with its labels.
#[derive(Debug)]
pub struct Family {
    /// The name, behind the prefix.
    pub name: &'static str,
    /// What its values do.
    pub kind: Kind,
    /// The labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// What the values of a metric do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They go up and down.
    Gauge,
    /// They only grow.
    Counter,
    /// They are counted by their size, and only grow.
    Histogram,
}

impl Kind {
    /// The word of Prometheus for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

pub(super) const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}

pub(super) const BUILD_INFO: Family =
    gauge("build_info", &["version"], "The version of the charm that answers; always 1.");
pub(super) const LEADER: Family = gauge("leader", &[], "1 on the leader, which is the unit that builds.");
pub(super) const PAUSED: Family = gauge("paused", &[], "1 while the option paused is set.");
pub(super) const JOB_RUNNING: Family =
    gauge("job_running", &[], "1 while a job runs; also after its worker died, until the next hook.");
pub(super) const FAILURES_IN_ROW: Family =
    gauge("failures_in_row", &[], "The highest number of consecutive failures of any target in any project.");
pub(super) const LAST_SUCCESS: Family =
    gauge("last_success_timestamp_seconds", &[], "When any target last got a new image in any project.");
pub(super) const LAST_RUN: Family = gauge("last_run_timestamp_seconds", &[], "When the last job started.");
pub(super) const NEXT_RUN: Family =
    gauge("next_run_timestamp_seconds", &[], "When the unit next checks for changes, or retries.");
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
    &["target", "cloud", "reason", "remedy"],
    "Consecutive failures of a target in a project, while it fails; the reason is the class of the cause, as in `history`; \
     the remedy is `operator`, `transient` or `secrets-lost`.",
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
pub(super) const UNNEEDED: Family = gauge(
    "unneeded_resources",
    &["kind"],
    "Resources in the build project that the last `clean-up` has found, that nothing needs and that are not deleted, by kind.",
);
pub(super) const IMAGE_INFO: Family = gauge(
    "image_info",
    &["target", "runner", "base_image"],
    "The version of the runner and the date of the base image in the newest build of a target; always 1.",
);
pub(super) const IMAGE_BOOT: Family = gauge(
    "image_boot_seconds",
    &["target", "phase"],
    "How long a machine of the newest build of a target took to boot when it was verified: `kernel`; `userspace`, until systemd \
     has started all of the boot; `cloud-init`, which is part of userspace; `runner-start`, from the first start of the runner \
     application to its first line, without registration.",
);
pub(super) const IMAGE_BOOT_MEDIAN: Family = gauge(
    "image_boot_median_seconds",
    &["target"],
    "The median of kernel and userspace together of the builds of a target before the newest: up to five, at least three.",
);
pub(super) const IMAGE_PINNED: Family =
    gauge("image_pinned", &["target"], "1 for each target with a pinned build.");
pub(super) const BUILDS_REVOKED: Family =
    gauge("builds_revoked", &["target"], "The revoked builds of a target; at most the last 50.");
pub(super) const PHASE_DURATION: Family = Family {
    name: "phase_duration_seconds",
    kind: Kind::Histogram,
    labels: &["phase"],
    help: "How long the phases of builds took, successful or not; the steps of the installation count as one.",
};
pub(super) const JOBS: Family = counter(
    "jobs_total",
    &["trigger", "outcome"],
    "Jobs that have ended, by what requested them and by outcome: `succeeded`, `failed` or `interrupted`.",
);
pub(super) const RESULTS: Family = counter(
    "results_total",
    &["target", "cloud", "reason"],
    "Builds and deliveries of this unit that have ended. The label cloud is empty for a build. The reason is the class of the \
     failure's cause, and empty for a success. A delivery counts once for a project, and an image that is up to date does \
     not count.",
);
pub(super) const DELIVERED_BYTES: Family = counter(
    "delivered_bytes_total",
    &["target"],
    "The bytes that this unit has sent to related projects; none for shared images.",
);
pub(super) const RETRIES: Family =
    counter("retries_total", &[], "Attempts within jobs that follow a failed attempt at the same operation.");

/// All of them, in the order in which they are written.
pub const FAMILIES: [&Family; 32] = [
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
    &UNNEEDED,
    &IMAGE_INFO,
    &IMAGE_BOOT,
    &IMAGE_BOOT_MEDIAN,
    &IMAGE_PINNED,
    &BUILDS_REVOKED,
    &PHASE_DURATION,
    &JOBS,
    &RESULTS,
    &DELIVERED_BYTES,
    &RETRIES,
    &RUNNER_REFUSED,
    &FIXES_OPEN,
    &FIXES_CHECKED,
];

/// The page of the documentation that describes the metrics.
pub fn page() -> String {
    let mut page = "# Metrics\n\n\
        `dispatch metrics` prints them, and a collector that is related over `cos-agent` scrapes them from\n\
        `127.0.0.1:9473/metrics`. Each unit reports what it knows; the collector adds Juju's topology labels. Times\n\
        are seconds since 1970-01-01 UTC; a metric without a value has no sample. Counters start with the first version that\n\
        has them, and start again at zero after a refresh to an older version and back.\n\n\
        This page is generated from the code by `make manual`.\n\n\
        | metric | type | labels | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for Family { name, kind, labels, help } in FAMILIES {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing into a string never fails.
        let _ = writeln!(page, "| `{PREFIX}{name}` | {} | {} | {help} |", kind.as_str(), labels.join(", "));
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
    pub(super) fn samples<const N: usize, V: fmt::Display>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([String; N], V)>,
    ) {
        let name = self.begin(family);
        for (values, value) in samples {
            self.sample(&name, family.labels.iter().copied().zip(values.iter().map(String::as_str)), value);
        }
    }

    /// Writes a histogram with one label.
    pub(super) fn histogram(&mut self, family: &Family, durations: &[Durations]) {
        let name = self.begin(family);
        let label = family.labels.first().copied().unwrap_or_default();
        for Durations { phase, buckets, count, sum } in durations {
            let phase = (label, phase.as_str());
            let mut below = 0u64;
            for (bound, bucket) in BOUNDS.iter().zip(buckets) {
                below = below.saturating_add(*bucket);
                self.sample(&format!("{name}_bucket"), [phase, ("le", &bound.to_string())], below);
            }
            self.sample(&format!("{name}_bucket"), [phase, ("le", "+Inf")], *count);
            self.sample(&format!("{name}_sum"), [phase], *sum);
            self.sample(&format!("{name}_count"), [phase], *count);
        }
    }

    /// Begins a metric; returns its name.
    fn begin(&mut self, Family { name, kind, help, .. }: &Family) -> String {
        let name = format!("{PREFIX}{name}");
        // Writing into a string never fails.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
        name
    }

    fn sample<'l>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: impl fmt::Display,
    ) {
        let told = labels.into_iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
        let told: Vec<String> = told.collect();
        let told = if told.is_empty() { String::new() } else { format!("{{{}}}", told.join(",")) };
        let _ = writeln!(self.0, "{name}{told} {value}");
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

    #[test]
    fn a_histogram_counts_what_is_below_each_bound() {
        let mut text = Text::default();
        let mut buckets = vec![0; BOUNDS.len()];
        (buckets[0], buckets[3]) = (2, 1);
        text.histogram(
            &PHASE_DURATION,
            &[Durations { phase: "launching".into(), buckets, count: 4, sum: 99 }],
        );
        let sample = |text: &str| format!("runner_image_builder_phase_duration_seconds{text}\n");
        assert!(text.0.starts_with("# HELP ") && text.0.contains(" histogram\n"), "{}", text.0);
        for expected in [
            r#"_bucket{phase="launching",le="1"} 2"#,
            r#"_bucket{phase="launching",le="15"} 2"#,
            r#"_bucket{phase="launching",le="60"} 3"#,
            r#"_bucket{phase="launching",le="10800"} 3"#,
            r#"_bucket{phase="launching",le="+Inf"} 4"#,
            r#"_sum{phase="launching"} 99"#,
            r#"_count{phase="launching"} 4"#,
        ] {
            assert!(text.0.contains(&sample(expected)), "{expected} in {}", text.0);
        }
    }
}
