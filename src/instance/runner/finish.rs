//! The end of a build: the operator's own script, and the traces that it must not leave.

use super::{COMPLEX, Done, RunnerBase, SIMPLE, UNPREDICTABLE};
use crate::instance::executor::Executor;
use crate::model::Deadline;

/// Where the external script lies while it runs.
const SCRIPT: &str = "/root/runner-image-builder-script";

impl RunnerBase {
    pub(super) fn run_script(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let Some(script) = &self.script else { return Ok(()) };
        executor.push_file(SCRIPT, 0o700, script.content.clone(), deadline)?;
        let variables = self.script_variables.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        let command = self.command(&[SCRIPT]).environment(variables).limit(UNPREDICTABLE);
        let result = self.behind_proxies(executor, deadline, || executor.run(command, deadline).map(drop));
        executor.run(self.command(&["rm", "-f", SCRIPT]), Deadline::after(SIMPLE))?;
        result
    }

    pub(super) fn clean(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        // What must not be the same in two machines, and what was only for us. cloud-init of 2023 and before has no
        // --configs, and removes machine-id altogether: without an empty file systemd makes none while / is still
        // read-only, and networkd without one asks for no address. The keys go last: without them there is no way back
        // in, but this connection lasts.
        let script = "rm -rf /tmp/* /var/tmp/* /root/.cache /root/.npm /root/.bash_history
            apt-get clean
            configs=; ! cloud-init clean --help | grep -q -- --configs || configs='--configs all'
            cloud-init clean --logs --machine-id --seed $configs
            : >/etc/machine-id
            [ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
            rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed
            journalctl --rotate || true; rm -rf /var/log/journal/* /run/log/journal/*
            find /var/log -type f -name '*.gz' -delete; find /var/log -type f -exec truncate --size=0 {} +
            rm -f /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
            sync; fstrim / || true; sync";
        executor.run(self.shell(script).limit(COMPLEX), deadline).map(drop)
    }
}
