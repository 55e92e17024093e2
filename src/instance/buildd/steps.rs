//! What the steps of a builder's set-up do, in their order. What each runs and writes is held against craft-providers by
//! tests/craft_providers.

use std::time::Duration;

use super::BuilddBase;
use crate::instance::base::{COMPLEX, SIMPLE};
use crate::instance::error::{BaseConfigurationError, ProviderError};
use crate::instance::executor::{Executor, ExecutorError, Output};
use crate::instance::{INSTANCE_CONFIG_PATH, snaps};
use crate::model::{Backoff, Deadline, Secret, poll};

/// The longest time of a step that fetches from elsewhere.
pub(super) const UNPREDICTABLE: Duration = Duration::from_secs(3600);
/// Of one that does so twice.
pub(super) const UPGRADE: Duration = Duration::from_secs(2 * 3600);

/// One question.
const QUESTION: Duration = Duration::from_secs(6);

const NO_CDN: &str = "/etc/systemd/system/snapd.service.d/no-cdn.conf";

impl BuilddBase {
    pub(super) fn mount_cache(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let Some(cache) = &self.parameters.cache_path else { return Ok(()) };
        let asking = self.command(&["bash", "-c", "echo -n ${XDG_CACHE_HOME:-${HOME}/.cache}"]);
        let folder = executor.run(asking, deadline)?.stdout;
        let target = format!("{}/pip", String::from_utf8_lossy(&folder).trim_end_matches('/'));
        self.run(executor, &["mkdir", "-p", &target], deadline)?;
        let source = cache.join(self.compatibility_tag()).join(self.parameters.alias.as_str()).join("pip");
        self.host.private_dir(&source)?;
        Ok(executor.mount(&source, &target, deadline)?)
    }

    pub(super) fn set_environment(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let variables = self.variables().into_iter();
        let set = variables.filter_map(|(name, value)| Some(format!("{name}={}\n", value?.expose())));
        let environment: String = set.collect();
        executor.push_file("/etc/environment", 0o644, environment.into_bytes(), deadline)?;
        let periodic =
            "APT::Periodic::Update-Package-Lists \"10000\";\nAPT::Periodic::Unattended-Upgrade \"0\";\n";
        Ok(executor.push_file("/etc/apt/apt.conf.d/20auto-upgrades", 0o644, periodic.into(), deadline)?)
    }

    pub(super) fn wait_for_system(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        wait_for(executor, "its services did not start", deadline, &|deadline| {
            let asking = self.command(&["systemctl", "is-system-running"]);
            let output = executor.execute(asking, deadline)?;
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            // Degraded is running with a service less; which one is not ours to judge.
            Ok(if ["running", "degraded"].contains(&state.as_str()) {
                Answer::Ready
            } else {
                Answer::Not(state)
            })
        })
    }

    /// Root's folder is closed in cloud images, and tools that run as others are started from it.
    pub(super) fn open_home(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        self.run(executor, &["chmod", "go+x", "/root"], deadline)
    }

    pub(super) fn set_hostname(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let line = format!("{}\n", self.hostname);
        executor.push_file("/etc/hostname", 0o644, line.into_bytes(), deadline)?;
        self.run(executor, &["hostname", "-F", "/etc/hostname"], deadline)
    }

    pub(super) fn set_up_resolved(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let link = ["ln", "-sf", "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];
        self.run(executor, &link, deadline)?;
        self.run(executor, &["systemctl", "enable", "systemd-resolved"], deadline)?;
        self.run(executor, &["systemctl", "restart", "systemd-resolved"], deadline)
    }

    pub(super) fn set_up_networkd(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let network = "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=ipv6\n\n[DHCP]\n\
                       RouteMetric=100\nUseMTU=true\n";
        executor.push_file("/etc/systemd/network/10-eth0.network", 0o644, network.into(), deadline)?;
        self.run(executor, &["systemctl", "enable", "systemd-networkd"], deadline)?;
        self.run(executor, &["systemctl", "restart", "systemd-networkd"], deadline)
    }

    pub(super) fn wait_for_network(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        wait_for(executor, "no name was resolved", deadline, &|deadline| {
            let asking = self.command(&["getent", "hosts", "snapcraft.io"]).limit(QUESTION);
            match executor.execute(asking, deadline) {
                Ok(Output { code: 0, .. }) => Ok(Answer::Ready),
                Ok(output) => Ok(Answer::Not(format!("exit code {} of getent", output.code))),
                // A name server that does not answer is what is waited for.
                Err(ExecutorError::Deadline { .. }) => Ok(Answer::Not("none".into())),
                Err(error) => Err(error.into()),
            }
        })
    }

    pub(super) fn configure_apt(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        for (name, text) in [
            ("00no-recommends", "APT::Install-Recommends \"false\";\n"),
            ("00update-errors", "APT::Update::Error-Mode \"any\";\n"),
        ] {
            let path = format!("/etc/apt/apt.conf.d/{name}");
            executor.push_file(&path, 0o644, text.into(), deadline)?;
        }
        Ok(())
    }

    pub(super) fn upgrade(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        self.run_on_network(executor, &["apt-get", "update"], UNPREDICTABLE, deadline)?;
        self.run_on_network(executor, &["apt-get", "-y", "dist-upgrade"], UNPREDICTABLE, deadline)
    }

    pub(super) fn install_packages(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let packages = self.packages();
        if packages.is_empty() {
            return Ok(());
        }
        let words = [&["apt-get", "install", "-y"], packages.as_slice()].concat();
        self.run_on_network(executor, &words, UNPREDICTABLE, deadline)
    }

    pub(super) fn start_udev(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        self.run(executor, &["systemctl", "enable", "systemd-udevd"], deadline)?;
        self.run(executor, &["systemctl", "start", "systemd-udevd"], deadline)
    }

    pub(super) fn install_snapd(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        if let Some(setting) = self.host.read(&self.host.path(NO_CDN))? {
            executor.push_file(NO_CDN, 0o644, setting, deadline)?;
        }
        self.run_on_network(executor, &["apt-get", "install", "-y", "snapd"], COMPLEX, deadline)?;
        self.run(executor, &["ln", "-sf", "/var/lib/snapd/snap", "/snap"], deadline)?;
        self.run(executor, &["systemctl", "enable", "--now", "snapd.socket"], deadline)?;
        self.run(executor, &["systemctl", "restart", "snapd.service"], deadline)?;
        self.run(executor, &["snap", "wait", "system", "seed.loaded"], deadline)
    }

    pub(super) fn hold_snaps(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        self.run(executor, &["snap", "refresh", "--hold"], deadline)?;
        let watch = self.command(&["snap", "watch", "--last=auto-refresh?"]).limit(COMPLEX);
        executor.run(watch, deadline)?;
        Ok(())
    }

    pub(super) fn set_snap_proxy(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        for (variable, key) in [("http_proxy", "proxy.http"), ("https_proxy", "proxy.https")] {
            match self.variable(variable) {
                Some(proxy) if proxy.contains('@') => {
                    return Err(BaseConfigurationError::ProxyWithCredentials { variable }.into());
                }
                Some(proxy) => {
                    self.run(executor, &["snap", "set", "system", &format!("{key}={proxy}")], deadline)?;
                }
                None => self.run(executor, &["snap", "unset", "system", key], deadline)?,
            }
        }
        Ok(())
    }

    pub(super) fn install_snaps(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        for snap in &self.parameters.snaps {
            let command = |words: &[&str]| self.command(words);
            snaps::install(executor, snap, INSTANCE_CONFIG_PATH, &command, deadline)?;
        }
        Ok(())
    }

    pub(super) fn clean_up(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        for words in [["apt-get", "autoremove", "-y"], ["apt-get", "clean", "-y"]] {
            executor.run(self.command(&words).limit(COMPLEX), deadline)?;
        }
        Ok(())
    }

    fn run(&self, executor: &dyn Executor, words: &[&str], deadline: Deadline) -> Result<(), ProviderError> {
        executor.run(self.command(words).limit(SIMPLE), deadline)?;
        Ok(())
    }

    /// Runs a command that fetches from elsewhere. When it fails, whether there is a network at all is the first
    /// question; behind a proxy there is none, which says nothing.
    fn run_on_network(
        &self,
        executor: &dyn Executor,
        words: &[&str],
        limit: Duration,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        let Err(error) = executor.run(self.command(words).limit(limit), deadline) else { return Ok(()) };
        let failed = matches!(error, ExecutorError::Failed { .. });
        if !failed || self.variable("https_proxy").or(self.variable("HTTPS_PROXY")).is_some() {
            return Err(error.into());
        }
        let dialling = self.command(&["bash", "-c", "exec 3<> /dev/tcp/snapcraft.io/443"]);
        match executor.execute(dialling.limit(Duration::from_secs(10)), deadline) {
            Ok(Output { code: 0, .. }) => Err(error.into()),
            Ok(_) | Err(ExecutorError::Deadline { .. }) => Err(BaseConfigurationError::NoNetwork {
                instance: executor.instance(),
                source: Box::new(error),
            }
            .into()),
            Err(_) => Err(error.into()),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let value = self.parameters.environment.get(name)?.as_ref()?;
        Some(Secret::expose(value).as_str()).filter(|value| !value.is_empty())
    }
}

/// What came of a question.
enum Answer {
    Ready,
    Not(String),
}

/// Asks until it is ready or the time is up.
fn wait_for(
    executor: &dyn Executor,
    what: &'static str,
    deadline: Deadline,
    ask: &dyn Fn(Deadline) -> Result<Answer, ProviderError>,
) -> Result<(), ProviderError> {
    let limit = deadline.remaining();
    let mut last = String::new();
    let ready = poll(Backoff::POLLING, deadline, || match ask(deadline)? {
        Answer::Ready => Ok(Some(())),
        Answer::Not(why) => {
            last = why;
            Ok::<_, ProviderError>(None)
        }
    })?;
    ready.ok_or_else(|| ProviderError::NotReady { instance: executor.instance(), what, last, limit })
}
