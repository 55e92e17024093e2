//! The end of a job as a log tells it: the same words in the worker's log and in the unit's. One line of the job, and one of
//! each failure.

use std::fmt;

use super::past::{PastBuild, PastFailure, PastJob};
use crate::model::Elapsed;

/// How many failures of one job are told; `history` lists the others.
const MANY: usize = 20;

impl PastJob {
    /// How it has ended: `succeeded`, `had nothing due`, `failed` or `was interrupted`.
    pub fn ending(&self) -> &'static str {
        let is_up_to_date = |build: &PastBuild| build.phase == "up to date";
        match self.outcome.as_str() {
            "failed" => "failed",
            "succeeded" if self.builds.is_empty() || !self.delivered.is_empty() => "succeeded",
            "succeeded" if self.builds.iter().all(is_up_to_date) => "had nothing due",
            "succeeded" => "succeeded",
            _ => "was interrupted",
        }
    }

    /// Logs how it has ended, which of its builds boot slowly, and each of its failures.
    pub fn log(&self) {
        match self.outcome.as_str() {
            "succeeded" => log::info!("{self}"),
            "failed" => log::error!("{self}"),
            _ => log::warn!("{self}"),
        }
        for (target, slow) in
            self.builds.iter().filter_map(|build| Some((build.target, build.slow_boot.as_ref()?)))
        {
            log::warn!("job {}: {target}: {slow}", self.id);
        }
        for failure in self.failures.iter().take(MANY) {
            log::error!("job {}: {failure}", self.id);
        }
        if let Some(more) = self.failures.len().checked_sub(MANY).filter(|more| *more > 0) {
            log::error!("job {}: {more} more failures; `history` lists them", self.id);
        }
    }
}

/// `job 1a2b succeeded after 12 min 3 s: noble-x64 built as 5d1f...; 2 images delivered, 3221225472 bytes sent`
impl fmt::Display for PastJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} {}", self.id, self.ending())?;
        if let Some(finished) = self.finished {
            // The wall clock may have been set back meanwhile.
            let took = Elapsed::seconds(finished.0.saturating_sub(self.started.0));
            write!(f, " after {took}")?;
        }
        let built = |build: &PastBuild| Some(format!("{} built as {}", build.target, build.built.as_ref()?));
        let mut parts: Vec<String> = self.builds.iter().filter_map(built).collect();
        let sent = self.delivered.iter().filter(|delivered| delivered.bytes.is_some()).count();
        match sent {
            0 => (),
            1 => parts.push(format!("1 image delivered, {} bytes sent", self.bytes())),
            many => parts.push(format!("{many} images delivered, {} bytes sent", self.bytes())),
        }
        match self.delivered.len() - sent {
            0 => (),
            1 => parts.push("1 image published without a transfer".to_owned()),
            many => parts.push(format!("{many} images published without a transfer")),
        }
        match self.failures.len() {
            0 => (),
            1 => parts.push("1 failure".to_owned()),
            many => parts.push(format!("{many} failures")),
        }
        if parts.is_empty() { Ok(()) } else { write!(f, ": {}", parts.join("; ")) }
    }
}

/// `noble-x64 in ci-1: quota: creating server: ...; next try 2026-05-01T12:05:00Z`
impl fmt::Display for PastFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.target, &self.project) {
            (Some(target), Some(project)) => write!(f, "{target} in {project}: ")?,
            (Some(target), None) => write!(f, "{target}: ")?,
            (None, Some(project)) => write!(f, "{project}: ")?,
            (None, None) => (),
        }
        write!(f, "reason {}: {}", self.cause, self.message.trim_end_matches('.'))?;
        self.next_try.iter().try_for_each(|at| write!(f, "; next try {at}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage, Target, Timestamp};
    use crate::record::history::Delivered;
    use crate::record::run_config::{CloudName, JobId};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };

    fn job(outcome: &str, phase: &str) -> PastJob {
        let (builds, target) = (Vec::new(), NOBLE);
        let build = PastBuild {
            target,
            phase: phase.into(),
            built: None,
            built_on: None,
            preparation: None,
            changes: None,
            size: None,
            boot: None,
            slow_boot: None,
            seconds: Default::default(),
            phases: Vec::new(),
        };
        PastJob {
            id: JobId::random(),
            reason: None,
            started: Timestamp(1000),
            finished: Some(Timestamp(1723)),
            outcome: outcome.into(),
            builds: if phase.is_empty() { builds } else { vec![build] },
            delivered: Vec::new(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn no_two_outcomes_have_the_same_words() {
        let words = |job: PastJob| job.to_string().replace(job.id.as_str(), "X");
        assert_eq!(words(job("succeeded", "done")), "job X succeeded after 12 min 3 s");
        assert_eq!(words(job("succeeded", "")), "job X succeeded after 12 min 3 s");
        assert_eq!(words(job("succeeded", "up to date")), "job X had nothing due after 12 min 3 s");
        assert_eq!(words(job("failed", "up to date")), "job X failed after 12 min 3 s");
        let interrupted = PastJob { finished: None, ..job("interrupted", "installing") };
        assert_eq!(words(interrupted), "job X was interrupted");
    }

    #[test]
    fn what_another_unit_has_delivered_is_not_called_delivered() {
        let delivered = |bytes: Option<u64>| Delivered {
            target: NOBLE,
            project: CloudName::new("ci-1"),
            id: "i".parse().unwrap(),
            bytes,
        };
        let words = |delivered: Vec<Delivered>| {
            let job = PastJob { delivered, ..job("succeeded", "") }.to_string();
            job.split_once(": ").unwrap().1.to_owned()
        };
        assert_eq!(words(vec![delivered(None)]), "1 image published without a transfer");
        assert_eq!(
            words(vec![delivered(Some(5)), delivered(Some(0)), delivered(None)]),
            "2 images delivered, 5 bytes sent; 1 image published without a transfer"
        );
    }

    #[test]
    fn a_failure_has_target_project_reason_and_next_try() {
        let failure = PastFailure {
            target: Some(NOBLE),
            project: Some(CloudName::new("ci-1")),
            cause: "quota".into(),
            message: "creating server x: Quota exceeded.".into(),
            next_try: Some(Timestamp(0)),
        };
        let expected = "noble-x64 in ci-1: reason quota: creating server x: Quota exceeded; next try \
                        1970-01-01T00:00:00Z";
        assert_eq!(failure.to_string(), expected);
        let whole = PastFailure { target: None, project: None, next_try: None, ..failure };
        assert_eq!(whole.to_string(), "reason quota: creating server x: Quota exceeded");
    }
}
