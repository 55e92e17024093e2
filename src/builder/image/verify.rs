//! The proof of an image: a VM that was booted from it comes up and can do what a runner needs. Of an image that is made on
//! this machine, what a system that is not booted can tell. Without it no image is delivered, unless the operator says so.

mod checks;

use std::time::Duration;

use self::checks::{Asked, CHECKS, Check, MINUTE, TRACELESS};

use super::vm::{Launcher, Purpose, VmError};
use crate::builder::ownership::identity::{Identity, Origin};
use crate::builder::ownership::labels::{self, Stage};
use crate::instance::{Command, Executor, ExecutorError, LIMITS, RUNNER_HOME, RUNNER_USER, RunnerBase};
use crate::model::{
    Attempts, Backoff, Cause, Classified, Deadline, GaveUp, RetryPolicy, Target, Verdict, retry,
};
use crate::openstack_cloud::{Cloud, Image, ImageId, OpenStackError};
use crate::record::Owner;

/// How long all of it may take, the boot included.
const LIMIT: Duration = Duration::from_secs(3600);
/// How often it is looked: the next command opens another connection, and waits for it by itself.
const POLICY: RetryPolicy = RetryPolicy { attempts: 2, backoff: Backoff::steady(Duration::ZERO) };
/// How long it takes to put a failed image aside.
const ASIDE: Duration = Duration::from_secs(300);

/// An image was not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// No VM could be had: nothing is known of the image.
    #[error("verifying the image: {0}")]
    Vm(#[from] VmError),
    /// The image does not do what it should.
    #[error("verifying the image: {check}: {problem}; the image is not published{}", kept(kept_as))]
    Failed {
        /// What was checked, as a gerund.
        check: &'static str,
        /// What was found.
        problem: String,
        /// The image, when it could be kept for inspection.
        kept_as: Option<ImageId>,
    },
}

fn kept(image: &Option<ImageId>) -> String {
    image.as_ref().map_or(String::new(), |id| format!(" and is kept as hidden image {id}"))
}

impl VerificationError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        matches!(self, Self::Vm(error) if error.operator_must_act())
    }
}

/// What is expected of a system of the image, beside what is so in all images.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The version of the runner.
    pub runner_version: String,
    /// The commands that consumers call, as far as the recipe has them.
    commands: Vec<&'static str>,
    /// The recipe's snaps.
    snaps: Vec<String>,
    /// The units that had failed in the base image already.
    failed_units: String,
    /// The least of the kernel's limits, where the recipe sets none: `vm.max_map_count=262144`.
    limits: Vec<String>,
}

impl Expected {
    /// What `base` promises.
    pub fn of(base: &RunnerBase) -> Self {
        let has = |name: &str| base.recipe.packages.iter().any(|package| package.name.as_str() == name);
        let snaps: Vec<String> = base.recipe.snaps.iter().map(|snap| snap.name.to_string()).collect();
        let mut commands = vec!["curl", "tar"];
        commands.extend(has("jq").then_some("jq"));
        // Without it nothing is sent to aproxy.
        commands.extend(snaps.iter().any(|snap| snap == "aproxy").then_some("nft"));
        let limits = LIMITS
            .iter()
            .filter(|(name, _)| !base.recipe.sysctl.iter().any(|(own, _)| own.as_str() == *name));
        let limits = limits.map(|(name, least)| format!("{name}={least}")).collect();
        let (runner_version, failed_units) = (base.runner.version.clone(), String::new());
        Self { runner_version, commands, snaps, failed_units, limits }
    }
}

/// The units that have failed before anything was installed: they say nothing of what is built. None when that cannot be
/// told. As many as a label may hold.
pub fn failed_units(executor: &dyn Executor, deadline: Deadline) -> String {
    let script =
        "cloud-init status --wait >/dev/null || true; systemctl is-system-running --wait >/dev/null || true
        systemctl list-units --state=failed --plain --no-legend | cut -d' ' -f1";
    let asked = executor.run(Command::shell(script).limit(MINUTE.saturating_mul(5)), deadline);
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let said = said.unwrap_or_else(|error| {
        log::warn!("the failed units of the base image could not be listed: {error}");
        String::new()
    });
    let mut failed = said.split_whitespace().collect::<Vec<_>>().join(" ");
    if !failed.is_empty() {
        log::warn!("{}: units that fail already in the base image: {failed}", executor.instance());
    }
    if failed.len() > LABEL {
        let whole = failed[..failed.floor_char_boundary(LABEL)].rfind(' ').unwrap_or(0);
        failed.truncate(whole);
    }
    failed
}

impl Classified for VerificationError {
    fn cause(&self) -> Cause {
        match self {
            Self::Vm(error) => error.cause(),
            Self::Failed { .. } => Cause::Image,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Vm(error) => format!("verifying the image: {}", error.summary()),
            Self::Failed { .. } => self.to_string(),
        }
    }
}

/// What a label may hold.
const LABEL: usize = 255;

/// Looks whether a system of the image can do what a runner needs: a machine, or one that is not booted, as far as that
/// goes.
pub fn check(
    executor: &dyn Executor,
    expected: &Expected,
    deadline: Deadline,
) -> Result<(), VerificationError> {
    let Expected { runner_version, commands, snaps, failed_units, limits } = expected;
    let (commands, snaps, limits) = (commands.join(" "), snaps.join(" "), limits.join(" "));
    let booted = executor.is_booted();
    for Check { name, limit, script, .. } in
        CHECKS.into_iter().filter(|check| booted || check.of == Asked::Any)
    {
        log::info!("{}: {name}", executor.instance());
        let script = if booted { script.to_owned() } else { format!("{TRACELESS}{script}") };
        let arguments = [RUNNER_HOME, RUNNER_USER, runner_version, &commands, &snaps, failed_units, &limits];
        let words = [&["bash", "-euo", "pipefail", "-c", script.as_str()], &arguments[..]].concat();
        let look = || executor.run(Command::new(words.iter().copied()).limit(limit), deadline);
        once_more(deadline, look).map_err(|gave_up| failed(name, &gave_up))?;
    }
    Ok(())
}

/// A snapshot that is to be proven.
pub struct Verification<'a> {
    /// What launches VMs for it.
    pub launcher: &'a Launcher<'a>,
    /// What is expected of it.
    pub expected: Expected,
}

impl Verification<'_> {
    /// Proves `image`. One that fails is kept aside for inspection, in the place of the last that failed.
    pub fn run(&self, image: &Image, deadline: Deadline) -> Result<(), VerificationError> {
        let Launcher { cloud, owner, tracker, .. } = *self.launcher;
        let deadline = deadline.at_most(LIMIT);
        let proof = self.launcher.with_vm(Purpose::Verification, &image.id, deadline, |vm| {
            let executor = match vm.connect(deadline) {
                Err(VmError::Executor(error)) => {
                    return Err(failed("booting", &GaveUp { error, attempts: Attempts(1) }));
                }
                other => other?,
            };
            let Origin { identity, failed_units } = labels::origin(image);
            let expected = Expected { failed_units, ..self.expected.clone() };
            check(&executor, &expected, deadline)?;
            is_a_machine_of_its_own(&executor, &identity, deadline)
        });
        match proof {
            Err(VerificationError::Failed { check, problem, .. }) => {
                let kept = keep_aside(cloud, owner, tracker.target, &image.id);
                let kept_as = match kept {
                    Ok(()) => Some(image.id.clone()),
                    Err(error) => {
                        log::warn!("the image could not be kept for inspection: {error}");
                        None
                    }
                };
                Err(VerificationError::Failed { check, problem, kept_as })
            }
            other => other,
        }
    }
}

/// Whether a machine shares nothing with the builder that its image was made of.
fn is_a_machine_of_its_own(
    executor: &dyn Executor,
    origin: &Identity,
    deadline: Deadline,
) -> Result<(), VerificationError> {
    let name = "comparing the machine with its builder";
    let identity = once_more(deadline, || Identity::of(executor, deadline));
    let identity = identity.map_err(|gave_up| failed(name, &gave_up))?;
    match identity.problem(origin) {
        Some(problem) => Err(VerificationError::Failed { check: name, problem, kept_as: None }),
        None => Ok(()),
    }
}

/// Looks again when the connection broke: once may be the network, which says nothing of the image.
fn once_more<T>(
    deadline: Deadline,
    look: impl Fn() -> Result<T, ExecutorError>,
) -> Result<T, GaveUp<ExecutorError>> {
    let broke = |error: &ExecutorError| {
        matches!(error, ExecutorError::Unreachable { .. } | ExecutorError::Stuck { .. })
    };
    retry(POLICY, deadline, || Verdict::of(look(), broke))
}

fn failed(check: &'static str, gave_up: &GaveUp<ExecutorError>) -> VerificationError {
    let problem = match &gave_up.error {
        // What the check itself says; the command around it is ours and says nothing.
        ExecutorError::Failed { output, .. } if !output.is_empty() => output.replace('\n', "; "),
        _ => gave_up.to_string(),
    };
    VerificationError::Failed { check, problem, kept_as: None }
}

/// Hides `image` from ordinary lists and marks it as one that failed; those of the target that failed before it go, now or
/// with the next sweep.
fn keep_aside(cloud: &Cloud, owner: &Owner, target: Target, image: &ImageId) -> Result<(), OpenStackError> {
    let (images, deadline) = (cloud.images(), Deadline::after(ASIDE));
    let name = labels::rejected_name(owner, target);
    images.update(image, &labels::reject(image, &name), deadline)?;
    let kept = labels::hidden_images(cloud, owner, Stage::Rejected, Some(&name), deadline);
    let kept = kept.unwrap_or_else(|error| {
        log::warn!("looking for an earlier failed image: {error}");
        Vec::new()
    });
    for old in kept.iter().filter(|old| old.id != *image && labels::is_of_this_unit(owner, old)) {
        if let Err(error) = images.delete(&old.id, deadline) {
            log::warn!("an earlier failed image could not be deleted: {error}");
        }
    }
    Ok(())
}
