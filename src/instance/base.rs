//! What goes into an instance: a base is an ordered list of named steps (craft-providers: `Base`).
//!
//! The two operations, [`setup`] and [`warmup`], are functions and not methods: no base can change what they promise.
//! What a base does change are its steps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{BaseCompatibilityError, BaseConfigurationError, BaseError, ProviderError};
use super::executor::{Executor, Unhurried};
use super::instance_config::InstanceConfiguration;
use super::timeout::Timeout;
use crate::model::{Deadline, Secret};

/// The environment of a command; `None` removes a variable.
pub type CommandEnvironment = BTreeMap<String, Option<Secret<String>>>;

/// One step of a set-up.
pub struct Step<'a> {
    /// What it does, as a gerund with its object.
    pub name: &'static str,
    /// The longest time that it may take.
    pub limit: Duration,
    /// Does it.
    pub run: StepFn<'a>,
}

/// The work of a step.
pub type StepFn<'a> = Box<dyn Fn(&dyn Executor, Deadline) -> Result<(), ProviderError> + 'a>;

/// Told of each step before it begins.
pub type SetupProgress<'a> = &'a dyn Fn(&'static str, usize, usize);

/// How instances of a base remember what they were set up as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRecord {
    /// The file in the instance (craft-providers: `instance_config_path`).
    pub path: String,
    /// What an instance must have been set up as to be used again (craft-providers: `compatibility_tag`).
    pub compatibility_tag: String,
}

/// Whether the folders of the shared cache are mounted in the instance (craft-providers: `mount_cache`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMount {
    /// They are, if the base has a cache.
    Mount,
    /// They are not.
    Leave,
}

/// What an instance is to become (craft-providers: `Base`).
pub trait Base {
    /// The environment that the image's own `/etc/environment` gives every command
    /// (craft-providers: `default_command_environment`).
    fn default_command_environment(&self) -> CommandEnvironment {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin";
        CommandEnvironment::from([("PATH".into(), Some(Secret::new(path.into())))])
    }

    /// The environment in which the set-up runs its commands (craft-providers: `get_command_environment`).
    fn get_command_environment(&self) -> CommandEnvironment {
        self.default_command_environment()
    }

    /// Where an instance remembers what it was set up as. `None`, which is the default, is for instances that become
    /// images: nothing of the set-up stays in them, and they cannot be warmed up.
    fn instance_record(&self) -> Option<InstanceRecord> {
        None
    }

    /// Refuses an instance whose operating system is not the base's.
    fn ensure_os_compatible(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError>;

    /// Mounts the folders of the shared cache; a base without one has nothing to do. A failure is only a warning.
    fn mount_shared_cache(&self, _executor: &dyn Executor, _deadline: Deadline) -> Result<(), ProviderError> {
        Ok(())
    }

    /// The steps of a set-up, in order.
    fn steps(&self) -> Vec<Step<'_>>;

    /// The steps of a warm-up, in order.
    fn warmup_steps(&self) -> Vec<Step<'_>> {
        let run: StepFn<'_> = Box::new(move |executor, deadline| self.wait_until_ready(executor, deadline));
        vec![Step { name: "waiting for the instance", limit: COMPLEX, run }]
    }

    /// Waits until the instance's services are started and its network answers (craft-providers: `wait_until_ready`).
    fn wait_until_ready(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError>;
}

/// The longest time of a step that answers at once.
pub(super) const SIMPLE: Duration = Duration::from_secs(60);
/// The longest time of a step that works for a while.
pub(super) const COMPLEX: Duration = Duration::from_secs(600);

/// Prepares a new instance (craft-providers: `Base.setup`): marks it unfinished, checks its system, does every step of
/// `base` in order, each within its own limit and all within `timeout`, and marks it finished.
///
/// It is for new instances; one that was set up before is made ready by [`warmup`].
pub fn setup(
    base: &dyn Base,
    executor: &dyn Executor,
    timeout: Timeout,
    cache: CacheMount,
    progress: SetupProgress<'_>,
) -> Result<(), BaseError> {
    in_time(executor, timeout, &|executor, pace| {
        let record = base.instance_record();
        pace.take("checking the instance", SIMPLE, |deadline| {
            mark(executor, record.as_ref(), Some(false), deadline)?;
            base.ensure_os_compatible(executor, deadline)?;
            if let Some(record) = &record {
                ensure_tag_compatible(executor, record, deadline)?;
                let tag = Some(record.compatibility_tag.clone());
                let change = InstanceConfiguration { compatibility_tag: tag, ..Default::default() };
                InstanceConfiguration::update(executor, &record.path, &change, deadline)?;
            }
            Ok(())
        })?;
        if cache == CacheMount::Mount {
            mount_cache(base, executor, pace);
        }
        work_off(&base.steps(), executor, pace, progress)?;
        pace.take("marking the instance as set up", SIMPLE, |deadline| {
            mark(executor, record.as_ref(), Some(true), deadline)
        })
    })
}

/// Makes an instance ready again that was set up earlier (craft-providers: `Base.warmup`). Refuses one whose set-up never
/// came to its end, or that was set up as something else.
pub fn warmup(
    base: &dyn Base,
    executor: &dyn Executor,
    timeout: Timeout,
    progress: SetupProgress<'_>,
) -> Result<(), BaseError> {
    in_time(executor, timeout, &|executor, pace| {
        let record = base.instance_record().ok_or(BaseCompatibilityError::NotKept)?;
        pace.take("checking the instance", SIMPLE, |deadline| {
            ensure_setup_completed(executor, &record, deadline)?;
            base.ensure_os_compatible(executor, deadline)?;
            ensure_tag_compatible(executor, &record, deadline)
        })?;
        mount_cache(base, executor, pace);
        work_off(&base.warmup_steps(), executor, pace, progress)
    })
}

/// The time that an operation has, and that each of its steps has of it.
struct Pace {
    timeout: Timeout,
}

impl Pace {
    fn take(
        &self,
        step: &'static str,
        limit: Duration,
        work: impl FnOnce(Deadline) -> Result<(), ProviderError>,
    ) -> Result<(), BaseError> {
        let result = match self.timeout {
            Timeout::Until(deadline) if deadline.passed() => Err(BaseConfigurationError::TimeIsUp.into()),
            Timeout::Until(deadline) => work(deadline.at_most(limit)),
            Timeout::Unlimited => work(Deadline::never()),
        };
        result.map_err(|error| BaseError::in_step(step, error))
    }
}

/// Runs `work` on `executor`, whose commands lose their own limits where there is no timeout.
fn in_time(
    executor: &dyn Executor,
    timeout: Timeout,
    work: &dyn Fn(&dyn Executor, &Pace) -> Result<(), BaseError>,
) -> Result<(), BaseError> {
    let pace = Pace { timeout };
    match timeout {
        Timeout::Until(_) => work(executor, &pace),
        Timeout::Unlimited => work(&Unhurried(executor), &pace),
    }
}

fn work_off(
    steps: &[Step<'_>],
    executor: &dyn Executor,
    pace: &Pace,
    progress: SetupProgress<'_>,
) -> Result<(), BaseError> {
    let of = steps.len();
    for (index, step) in steps.iter().enumerate() {
        progress(step.name, index + 1, of);
        log::info!("{}: {}, {} of {of}", executor.instance(), step.name, index + 1);
        pace.take(step.name, step.limit, |deadline| (step.run)(executor, deadline))?;
    }
    Ok(())
}

fn mount_cache(base: &dyn Base, executor: &dyn Executor, pace: &Pace) {
    let mounted =
        pace.take("mounting the cache", SIMPLE, |deadline| base.mount_shared_cache(executor, deadline));
    if let Err(error) = mounted {
        log::warn!("{}: {error}; the set-up continues without the cache", executor.instance());
    }
}

fn mark(
    executor: &dyn Executor,
    record: Option<&InstanceRecord>,
    setup: Option<bool>,
    deadline: Deadline,
) -> Result<(), ProviderError> {
    let Some(record) = record else { return Ok(()) };
    let change = InstanceConfiguration { setup, ..Default::default() };
    InstanceConfiguration::update(executor, &record.path, &change, deadline).map(drop)
}

fn ensure_setup_completed(
    executor: &dyn Executor,
    record: &InstanceRecord,
    deadline: Deadline,
) -> Result<(), ProviderError> {
    match InstanceConfiguration::load(executor, &record.path, deadline) {
        Ok(Some(InstanceConfiguration { setup: Some(true), .. })) => Ok(()),
        Ok(Some(_)) => Err(BaseCompatibilityError::Unfinished.into()),
        Ok(None) => Err(BaseCompatibilityError::NeverSetUp { path: record.path.clone() }.into()),
        Err(ProviderError::Configuration(error)) => {
            Err(BaseCompatibilityError::Unreadable { problem: error.to_string() }.into())
        }
        Err(error) => Err(error),
    }
}

/// An instance without a tag, or without any record, is as good as new.
fn ensure_tag_compatible(
    executor: &dyn Executor,
    record: &InstanceRecord,
    deadline: Deadline,
) -> Result<(), ProviderError> {
    let config = InstanceConfiguration::load(executor, &record.path, deadline)?.unwrap_or_default();
    match config.compatibility_tag {
        Some(found) if found != record.compatibility_tag => {
            Err(BaseCompatibilityError::Tag { expected: record.compatibility_tag.clone(), found }.into())
        }
        _ => Ok(()),
    }
}
