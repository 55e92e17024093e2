//! Snaps. snapd installs them, and it runs in a booted machine only: in an image that is not booted, a unit installs
//! them at the first boot of each machine that is made from it.

use super::{Done, RunnerBase, UNPREDICTABLE};
use crate::instance::executor::Executor;
use crate::instance::recipe::Snap;
use crate::model::Deadline;

/// The unit that installs the snaps at the first boot.
const UNIT: &str = "runner-image-builder-snaps.service";

impl RunnerBase {
    pub(super) fn install_snaps(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        if !executor.is_booted() {
            return self.install_snaps_at_first_boot(executor, deadline);
        }
        let wait = self.command(&["snap", "wait", "system", "seed.loaded"]);
        executor.run(wait.limit(UNPREDICTABLE), deadline)?;
        self.behind_proxies(executor, deadline, || {
            self.recipe.snaps.iter().try_for_each(|snap| self.install_snap(snap, executor, deadline))
        })
    }

    fn install_snap(&self, snap: &Snap, executor: &dyn Executor, deadline: Deadline) -> Done {
        let script = "name=$1 channel=$2 classic=$3 disabled=$4
            notes=$(snap list \"$name\" 2>/dev/null | awk 'NR == 2 {print $NF}') || notes=absent
            case ,$notes, in
                ,absent,) snap install --channel=\"$channel\" $classic \"$name\" ;;
                *,disabled,*) snap enable \"$name\"; snap refresh --channel=\"$channel\" $classic \"$name\" ;;
                *) snap refresh --channel=\"$channel\" $classic \"$name\" ;;
            esac
            [ -z \"$disabled\" ] || snap disable \"$name\"";
        let classic = if snap.classic { "--classic" } else { "" };
        let disabled = if snap.disabled { "disabled" } else { "" };
        let arguments = [snap.name.as_str(), snap.channel.as_str(), classic, disabled];
        self.fetch_with(executor, script, &arguments, deadline).map(drop)
    }

    fn install_snaps_at_first_boot(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let path = format!("/etc/systemd/system/{UNIT}");
        let unit = first_boot_unit(&self.recipe.snaps).into_bytes();
        executor.push_file(&path, 0o644, unit, deadline)?;
        executor.run(self.command(&["systemctl", "enable", UNIT]), deadline).map(drop)
    }
}

/// Tries until it has worked once: the machine may have to wait for its network.
fn first_boot_unit(snaps: &[Snap]) -> String {
    let mut lines = String::new();
    for Snap { name, channel, classic, disabled, .. } in snaps {
        let flags = format!("--channel={channel}{}", if *classic { " --classic" } else { "" });
        lines.push_str(&format!("ExecStart=/usr/bin/snap install {flags} {name}\n"));
        match disabled {
            // It may have been done by the attempt before.
            true => lines.push_str(&format!("ExecStart=-/usr/bin/snap disable {name}\n")),
            // One that the base image had already may follow another channel.
            false => lines.push_str(&format!("ExecStart=/usr/bin/snap refresh {flags} {name}\n")),
        }
    }
    format!(
        "[Unit]\n\
         Description=Install the snaps of the runner image\n\
         Wants=network-online.target\n\
         After=network-online.target snapd.seeded.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/usr/bin/snap wait system seed.loaded\n\
         {lines}\
         ExecStart=/usr/bin/systemctl disable {UNIT}\n\
         TimeoutStartSec=30min\n\
         Restart=on-failure\n\
         RestartSec=30\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::recipe::Recipe;

    #[test]
    fn the_first_boot_installs_each_snap_as_the_recipe_says() {
        let recipe: Recipe = "snaps: [{name: aproxy, channel: latest/edge}, {name: otel, disabled: true}, \
                              {name: go, classic: true}]\nrunner: []"
            .parse()
            .unwrap();
        let unit = first_boot_unit(&recipe.snaps);
        let commands: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
        assert_eq!(
            commands[1..7],
            [
                "/usr/bin/snap install --channel=latest/edge aproxy",
                "/usr/bin/snap refresh --channel=latest/edge aproxy",
                "/usr/bin/snap install --channel=latest/stable otel",
                "-/usr/bin/snap disable otel",
                "/usr/bin/snap install --channel=latest/stable --classic go",
                "/usr/bin/snap refresh --channel=latest/stable --classic go",
            ]
        );
    }
}
