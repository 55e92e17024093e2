//! The proxies of the build for those who do not see the environment of our commands: services, and whoever becomes another
//! user by sudo. Nothing of it stays in the image: addresses are in memory only, where root alone may read them.

use super::{Done, RunnerBase, SIMPLE};
use crate::instance::executor::Executor;
use crate::model::Deadline;

/// The addresses, as an environment file of systemd.
const PROXIES: &str = "/run/runner-image-builder/proxies";
/// The services that fetch something, where they are installed. Their own settings, where there are any, take precedence.
const SERVICES: [&str; 2] = ["snapd.service", "docker.service"];
/// Lets sudo pass the variables on. It names no address.
const SUDOERS: &str = "/etc/sudoers.d/95-runner-image-builder-proxies";

impl RunnerBase {
    /// Does `work` while the services of a booted machine, and what sudo starts, know the proxies; takes them back also
    /// when it fails.
    pub(super) fn behind_proxies(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
        work: impl FnOnce() -> Done,
    ) -> Done {
        if self.environment.is_empty() {
            return work();
        }
        let done = self.lend_proxies(executor, deadline).and_then(|()| work());
        done.and(self.take_proxies_back(executor))
    }

    fn lend_proxies(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let set =
            || self.environment.iter().filter_map(|(name, value)| Some((name, value.as_ref()?.expose())));
        let names: Vec<&str> = set().map(|(name, _)| name.as_str()).collect();
        let rule = format!("Defaults env_keep += \"{}\"\n", names.join(" "));
        executor.push_file(SUDOERS, 0o440, rule.into_bytes(), deadline)?;
        if !executor.is_booted() {
            return Ok(());
        }
        let lines: String = set().map(|(name, value)| format!("{name}=\"{}\"\n", escaped(value))).collect();
        executor.push_file(PROXIES, 0o600, lines.into_bytes(), deadline)?;
        for service in SERVICES {
            let drop_in = format!("[Service]\nEnvironmentFile={PROXIES}\n");
            executor.push_file(&drop_in_of(service), 0o644, drop_in.into_bytes(), deadline)?;
        }
        executor.run(self.shell(&restart()), deadline).map(drop)
    }

    fn take_proxies_back(&self, executor: &dyn Executor) -> Done {
        let mut script = format!("rm -f {SUDOERS}");
        if executor.is_booted() {
            let drop_ins = SERVICES.map(drop_in_of).join(" ");
            script = format!("{script} {PROXIES} {drop_ins}; {}", restart());
        }
        executor.run(self.shell(&script), Deadline::after(SIMPLE)).map(drop)
    }
}

fn drop_in_of(service: &str) -> String {
    format!("/run/systemd/system/{service}.d/runner-image-builder.conf")
}

/// Has the services that run read their environment anew.
fn restart() -> String {
    let services = SERVICES.join(" ");
    format!(
        "systemctl daemon-reload
         for service in {services}; do
             ! systemctl --quiet is-active $service || systemctl restart $service
         done"
    )
}

/// A value between double quotes in an environment file of systemd.
fn escaped(value: &str) -> String {
    let special = |c: char| matches!(c, '\\' | '"' | '`' | '$').then_some('\\');
    value.chars().flat_map(|c| special(c).into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_address_stays_one_value_of_its_file() {
        assert_eq!(escaped(r#"http://u:a"b$c\d@p"#), r#"http://u:a\"b\$c\\d@p"#);
    }
}
