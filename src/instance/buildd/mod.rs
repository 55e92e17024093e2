//! Ubuntu as Launchpad's builders have it (craft-providers: `BuilddBase`).

mod alias;
mod steps;

use std::path::PathBuf;

pub use alias::BuilddBaseAlias;

use super::base::{Base, COMPLEX, CommandEnvironment, InstanceRecord, SIMPLE, Step, StepFn};
use super::error::{BaseCompatibilityError, BaseConfigurationError, ProviderError};
use super::executor::{Command, Executor};
use super::hostname::hostname;
use super::instance_config::INSTANCE_CONFIG_PATH;
use super::os_release::ensure_ubuntu;
use super::snaps::Snap;
use crate::host::Host;
use crate::model::{Deadline, Secret};

/// What instances of this base are set up as; raised by whoever changes what a set-up does.
const COMPATIBILITY_TAG: &str = "buildd-base-v7";

/// What every instance has, unless it is told not to.
const DEFAULT_PACKAGES: [&str; 10] = [
    "apt-utils",
    "build-essential",
    "curl",
    "fuse",
    "udev",
    "python3",
    "python3-dev",
    "python3-pip",
    "python3-wheel",
    "python3-setuptools",
];

/// What a [`BuilddBase`] is made of (craft-providers: the parameters of `BuilddBase`).
#[derive(Clone, Debug)]
pub struct BaseParameters {
    /// The release.
    pub alias: BuilddBaseAlias,
    /// What an instance must have been set up as to be used again; `None` is the base's own.
    pub compatibility_tag: Option<String>,
    /// Variables for `/etc/environment`; `None` leaves one out that would be there.
    pub environment: CommandEnvironment,
    /// The name of the instance; what a host cannot be called by is left out.
    pub hostname: String,
    /// Snaps to install.
    pub snaps: Vec<Snap>,
    /// Packages to install.
    pub packages: Vec<String>,
    /// Whether the packages are installed that builders have.
    pub use_default_packages: bool,
    /// The folder of the cache that instances share, on the host.
    pub cache_path: Option<PathBuf>,
}

impl BaseParameters {
    /// The defaults.
    pub fn new(alias: BuilddBaseAlias) -> Self {
        Self {
            alias,
            compatibility_tag: None,
            environment: CommandEnvironment::new(),
            hostname: "craft-buildd-instance".into(),
            snaps: Vec::new(),
            packages: Vec::new(),
            use_default_packages: true,
            cache_path: None,
        }
    }
}

/// Ubuntu as Launchpad's builders have it.
///
/// It is for machines that builds run in, not for images: it names the host, writes its network and environment, holds
/// back the refreshing of snaps and leaves a record. [`RunnerBase`](super::RunnerBase) does none of that.
#[derive(Debug)]
pub struct BuilddBase {
    host: Host,
    parameters: BaseParameters,
    hostname: String,
}

impl BuilddBase {
    /// Checks the parameters. `host` is the machine that we run on: it has the cache, and snapd's settings that its
    /// instances take over.
    pub fn new(host: &Host, parameters: BaseParameters) -> Result<Self, BaseConfigurationError> {
        let hostname = hostname(&parameters.hostname)?;
        for (name, value) in &parameters.environment {
            let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !name.is_empty()
                && !name.as_bytes()[0].is_ascii_digit();
            let one_line = value.as_ref().is_none_or(|value| !value.expose().contains(['\n', '\r', '\0']));
            if !(named && one_line) {
                return Err(BaseConfigurationError::InvalidVariable { name: name.clone() });
            }
        }
        for name in &parameters.packages {
            // deb-control(5), with a version or an architecture behind; above all no option.
            let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:=~_/".contains(&byte))
                && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
            if !named {
                return Err(BaseConfigurationError::InvalidPackage { name: name.clone() });
            }
        }
        Ok(Self { host: host.clone(), parameters, hostname })
    }

    fn compatibility_tag(&self) -> String {
        self.parameters.compatibility_tag.clone().unwrap_or_else(|| COMPATIBILITY_TAG.into())
    }

    /// The variables of `/etc/environment`, in its order.
    fn variables(&self) -> Vec<(String, Option<Secret<String>>)> {
        let own = |name: &str, value: &str| (name.to_owned(), Some(Secret::new(value.to_owned())));
        let mut default = self.default_command_environment();
        let mut further = self.parameters.environment.clone();
        for (name, value) in &mut default {
            if let Some(other) = further.remove(name) {
                *value = other;
            }
        }
        let quiet = [
            own("DEBIAN_FRONTEND", "noninteractive"),
            own("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            own("DEBIAN_PRIORITY", "critical"),
        ];
        default.into_iter().chain(further).chain(quiet).collect()
    }

    /// A command in the environment of the instance.
    fn command(&self, argv: &[&str]) -> Command {
        Command::new(argv.iter().copied()).environment(self.get_command_environment())
    }

    fn packages(&self) -> Vec<&str> {
        let default: &[&str] = if self.parameters.use_default_packages { &DEFAULT_PACKAGES } else { &[] };
        default.iter().copied().chain(self.parameters.packages.iter().map(String::as_str)).collect()
    }
}

impl Base for BuilddBase {
    fn get_command_environment(&self) -> CommandEnvironment {
        self.variables().into_iter().collect()
    }

    fn instance_record(&self) -> Option<InstanceRecord> {
        let path = INSTANCE_CONFIG_PATH.to_owned();
        Some(InstanceRecord { path, compatibility_tag: self.compatibility_tag() })
    }

    fn ensure_os_compatible(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        if !executor.is_booted() {
            return Err(BaseCompatibilityError::NotBooted { instance: executor.instance() }.into());
        }
        ensure_ubuntu(executor, self.parameters.alias.version(), deadline)
    }

    fn mount_shared_cache(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        self.mount_cache(executor, deadline)
    }

    fn steps(&self) -> Vec<Step<'_>> {
        vec![
            self.step("setting the environment", SIMPLE, Self::set_environment),
            self.step("waiting for the system", SIMPLE, Self::wait_for_system),
            self.step("making /root accessible", SIMPLE, Self::open_home),
            self.step("setting the host name", SIMPLE, Self::set_hostname),
            self.step("setting up name resolution", COMPLEX, Self::set_up_resolved),
            self.step("setting up the network", COMPLEX, Self::set_up_networkd),
            self.step("waiting for the network", SIMPLE, Self::wait_for_network),
            self.step("configuring apt", SIMPLE, Self::configure_apt),
            self.step("upgrading packages", steps::UPGRADE, Self::upgrade),
            self.step("installing packages", steps::UNPREDICTABLE, Self::install_packages),
            self.step("starting udev", COMPLEX, Self::start_udev),
            self.step("installing snapd", COMPLEX, Self::install_snapd),
            self.step("holding snap refreshes", COMPLEX, Self::hold_snaps),
            self.step("setting snapd's proxy", SIMPLE, Self::set_snap_proxy),
            self.step("installing snaps", steps::UNPREDICTABLE, Self::install_snaps),
            self.step("cleaning up", COMPLEX, Self::clean_up),
        ]
    }

    fn warmup_steps(&self) -> Vec<Step<'_>> {
        vec![
            self.step("waiting for the system", SIMPLE, Self::wait_for_system),
            self.step("waiting for the network", SIMPLE, Self::wait_for_network),
            self.step("making /root accessible", SIMPLE, Self::open_home),
            self.step("setting snapd's proxy", SIMPLE, Self::set_snap_proxy),
            self.step("installing snaps", steps::UNPREDICTABLE, Self::install_snaps),
        ]
    }

    fn wait_until_ready(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        self.wait_for_system(executor, deadline)?;
        self.wait_for_network(executor, deadline)
    }
}

/// The work of a step of this base.
type Work = fn(&BuilddBase, &dyn Executor, Deadline) -> Result<(), ProviderError>;

impl BuilddBase {
    fn step(&self, name: &'static str, limit: std::time::Duration, work: Work) -> Step<'_> {
        let run: StepFn<'_> = Box::new(move |executor, deadline| work(self, executor, deadline));
        Step { name, limit, run }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut BaseParameters)) -> Result<BuilddBase, BaseConfigurationError> {
        let mut parameters = BaseParameters::new(BuilddBaseAlias::Noble);
        change(&mut parameters);
        BuilddBase::new(&Host::below("/nowhere"), parameters)
    }

    #[test]
    fn none_takes_a_variable_out_of_the_commands_environment() {
        let base = with(|parameters| drop(parameters.environment.insert("PATH".into(), None))).unwrap();
        assert_eq!(base.get_command_environment()["PATH"], None);
        assert!(base.default_command_environment()["PATH"].is_some());
    }

    #[test]
    fn nothing_that_a_program_would_take_for_something_else_gets_through() {
        for name in ["-oDpkg::Pre-Invoke=id", "", "a b", "a;id", "$(id)", "a\n"] {
            assert!(with(|parameters| parameters.packages = vec![name.into()]).is_err(), "{name:?}");
        }
        for (name, value) in [("A", "x\nB=y"), ("A B", ""), ("", ""), ("1A", ""), ("A=B", "")] {
            let variable = (name.to_owned(), Some(Secret::new(value.to_owned())));
            assert!(with(|parameters| parameters.environment.extend([variable])).is_err(), "{name:?}");
        }
        for name in ["g++", "libc6:armhf", "jq=1.7-1~x", "python3.12", "jq/noble-backports"] {
            assert!(with(|parameters| parameters.packages = vec![name.into()]).is_ok(), "{name:?}");
        }
    }
}
