//! The system itself: units, users, files, commands.

use super::{COMPLEX, Done, RUNNER_USER, RunnerBase};
use crate::instance::executor::Executor;
use crate::instance::recipe::{AccountName, File, User};
use crate::model::Deadline;

/// Who may do everything without a password.
const SUDOERS: &str = "/etc/sudoers.d/90-runner-image";
/// Where kernel parameters are set for each boot.
const SYSCTL: &str = "/etc/sysctl.d/60-runner-image-builder.conf";

impl RunnerBase {
    pub(super) fn wait_for_cloud_init(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        if !executor.is_booted() {
            return Ok(());
        }
        // Exit code 2 means ready, with something to complain about; that is not ours to judge.
        let script =
            "code=0; cloud-init status --wait >/dev/null || code=$?; [ $code -eq 0 ] || [ $code -eq 2 ]";
        executor.run(self.shell(script).limit(COMPLEX), deadline).map(drop)
    }

    pub(super) fn mask_units(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let units: Vec<&str> = self.recipe.masked_units.iter().map(|unit| unit.as_str()).collect();
        executor.run(self.command(&[&["systemctl", "mask"], units.as_slice()].concat()), deadline)?;
        // A service that runs is let finish: it may hold apt's lock for a good reason.
        let timers: Vec<&str> = units.into_iter().filter(|unit| unit.ends_with(".timer")).collect();
        if executor.is_booted() && !timers.is_empty() {
            let script = "systemctl stop \"$@\" || true";
            executor.run(self.shell_with(script, &timers), deadline)?;
        }
        Ok(())
    }

    pub(super) fn create_users(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        // GARM wants a user `runner`, a group of that name, and its home: the same person under another name. Made first,
        // so that what a recipe says of either user is said of this one.
        let both = "id -u \"$1\" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash \"$1\"
             uid=$(id -u \"$1\"); gid=$(id -g \"$1\")
             getent group runner >/dev/null || groupadd --non-unique --gid $gid runner
             getent passwd runner >/dev/null ||
                 useradd --non-unique --uid $uid --gid $gid --no-create-home --home-dir \"/home/$1\" --shell /bin/bash runner
             [ -e /home/runner ] || ln -s \"/home/$1\" /home/runner
             # github-runner puts the user into these at each boot, and fails without them.
             for group in adm lxd; do getent group $group >/dev/null || groupadd --system $group; done";
        executor.run(self.shell_with(both, &[RUNNER_USER]), deadline)?;
        self.configure_accounts(executor, deadline)?;
        let add_group = |group: &AccountName| {
            let command = self.command(&["groupadd", "--force", "--system", group.as_str()]);
            executor.run(command, deadline).map(drop)
        };
        self.recipe.groups.iter().try_for_each(add_group)?;
        for User { name, groups, linger, .. } in &self.recipe.users {
            groups.iter().try_for_each(add_group)?;
            let make = "id -u \"$1\" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash \"$1\"
                 [ -z \"$2\" ] || usermod --append --groups \"$2\" \"$1\"
                 [ -z \"$3\" ] || { mkdir -p /var/lib/systemd/linger; touch \"/var/lib/systemd/linger/$1\"; }";
            let groups: Vec<&str> = groups.iter().map(|group| group.as_str()).collect();
            let linger = if *linger { "linger" } else { "" };
            executor.run(self.shell_with(make, &[name.as_str(), &groups.join(","), linger]), deadline)?;
        }
        self.share_groups(executor, deadline)
    }

    /// What both names may do, and where they look for commands: a machine's first boot gives sudo's rule to one of them at
    /// most, and sudo knows the other by the number that they share.
    fn configure_accounts(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let rules = format!("{RUNNER_USER} ALL=(ALL) NOPASSWD:ALL\nrunner ALL=(ALL) NOPASSWD:ALL\n");
        executor.push_file(SUDOERS, 0o440, rules.into_bytes(), deadline)?;
        let script = "cd \"/home/$1\"
             for folder in .local .local/bin; do
                 [ -d $folder ] || install -d --owner=\"$1\" --group=\"$1\" $folder
             done
             for file in .profile .bashrc; do
                 [ -e $file ] || install --owner=\"$1\" --group=\"$1\" --mode=0644 /dev/null $file
                 grep -q -F '.local/bin' $file || echo 'PATH=\"$HOME/.local/bin:$PATH\"' >>$file
             done";
        executor.run(self.shell_with(script, &[RUNNER_USER]), deadline).map(drop)
    }

    /// Puts either of the two names into the groups of the other. A group counts its members by name: the number that the
    /// two share makes nobody a member.
    pub(super) fn share_groups(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let script = "groups_of() {
                 getent group | awk -F: -v user=\"$1\" 'index(\",\" $4 \",\", \",\" user \",\") {print $1}' | paste -sd,
             }
             give() { [ -z \"$2\" ] || usermod --append --groups \"$2\" \"$1\"; }
             give runner \"$(groups_of \"$1\")\"; give \"$1\" \"$(groups_of runner)\"";
        executor.run(self.shell_with(script, &[RUNNER_USER]), deadline).map(drop)
    }

    pub(super) fn write_files(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let parameters = self.recipe.sysctl.iter().map(|(name, value)| format!("{name} = {value}\n"));
        let parameters: String = parameters.collect();
        if !parameters.is_empty() {
            executor.push_file(SYSCTL, 0o644, parameters.into_bytes(), deadline)?;
        }
        for File { path, mode, owner, content, .. } in &self.recipe.files {
            let content = content.clone().into_bytes();
            executor.push_file_for(owner.as_str(), path.as_str(), mode.bits(), content, deadline)?;
        }
        Ok(())
    }

    pub(super) fn run_commands(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        for command in &self.recipe.commands {
            let limit = command.minutes.duration();
            let run = || executor.run(self.shell(command.run.as_str()).limit(limit), deadline).map(drop);
            self.behind_proxies(executor, deadline, run)?;
        }
        Ok(())
    }
}
