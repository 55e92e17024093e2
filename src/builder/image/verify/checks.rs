//! What must be so in a system of each image.

use std::time::Duration;

/// One thing that must be so in a system of the image. The script gets the runner's home, user and version as `$0`, `$1`,
/// `$2`, then the commands, the snaps, the failed units and the kernel's limits that are
/// [`Expected`](super::Expected), and says on standard error what is not so.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) limit: Duration,
    /// What it can be asked of.
    pub(super) of: Asked,
    pub(super) script: &'static str,
}

/// The systems that a check can be asked of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A machine, whose services run.
    Machine,
    /// Also a system that is not booted.
    Any,
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) const CHECKS: [Check; 12] = [
    Check {
        name: "waiting for cloud-init",
        limit: MINUTE.saturating_mul(10),
        of: Asked::Machine,
        // 2 means done, with something to complain about.
        script: "code=0; cloud-init status --wait >/dev/null || code=$?
            [ $code -eq 0 ] || [ $code -eq 2 ] || { cloud-init status --long >&2; exit 1; }",
    },
    Check {
        name: "checking for failed units",
        limit: MINUTE.saturating_mul(10),
        of: Asked::Machine,
        script: "systemctl is-system-running --wait >/dev/null || true
            failed=$(systemctl list-units --state=failed --plain --no-legend | cut -d' ' -f1)
            for known in $5; do failed=$(grep -vxF -e \"$known\" <<<\"$failed\" || true); done
            [ -z \"$failed\" ] || { echo failed: $failed >&2; exit 1; }",
    },
    Check {
        name: "checking the runner's users",
        limit: MINUTE,
        of: Asked::Any,
        script: "say() { echo \"$*\" >&2; exit 1; }
            for user in \"$1\" runner; do getent passwd \"$user\" >/dev/null || say \"there is no user $user\"; done
            [ \"$(id -u \"$1\")\" = \"$(id -u runner)\" ] || say \"users $1 and runner are not the same\"
            [ \"$(readlink -f /home/runner)\" = \"$(readlink -f \"/home/$1\")\" ] || say \"/home/runner is not the home of $1\"
            for group in runner adm lxd; do
                getent group $group >/dev/null || say \"there is no group $group\"
            done
            groups_of() { id -nG \"$1\" | tr ' ' '\\n' | sort; }
            missing=$(comm -23 <(groups_of \"$1\") <(groups_of runner) | paste -sd' ')
            [ -z \"$missing\" ] || say \"runner is not in the groups of $1: $missing\"",
    },
    Check {
        name: "starting the runner application",
        limit: MINUTE.saturating_mul(5),
        of: Asked::Any,
        script: "for user in \"$1\" runner; do
                said=$(runuser -u \"$user\" -- \"$0/bin/Runner.Listener\" --version | tail -n 1)
                [ \"$said\" = \"$2\" ] || { echo \"its version is '$said', not $2\" >&2; exit 1; }
            done",
    },
    Check {
        name: "checking the runner's files",
        limit: MINUTE,
        of: Asked::Any,
        script: "for file in config.sh run.sh env.sh; do
                [ -x \"$0/$file\" ] || { echo \"$0/$file is missing\" >&2; exit 1; }
            done
            for user in \"$1\" runner; do
                for file in \"$0\" \"$0/.env\"; do
                    runuser -u \"$user\" -- test -w \"$file\" || { echo \"$user may not write to $file\" >&2; exit 1; }
                done
            done",
    },
    Check {
        name: "checking the image information",
        limit: MINUTE,
        of: Asked::Any,
        // Either file will do: a script may have its own for the runner.
        script: "say() { echo \"$*\" >&2; exit 1; }
            for variable in ImageOS ImageVersion RUNNER_TOOL_CACHE AGENT_TOOLSDIRECTORY; do
                grep -qs \"^$variable=.\" \"$0/.env\" /etc/environment || say \"jobs do not find variable $variable\"
            done
            cache=$({ cat /etc/environment \"$0/.env\" 2>/dev/null || true; } | sed -n s/^RUNNER_TOOL_CACHE=//p | tail -n 1)
            for user in \"$1\" runner; do
                runuser -u \"$user\" -- test -s \"$0/.setup_info\" || say \"$user does not find $0/.setup_info\"
                runuser -u \"$user\" -- test -d \"$cache\" -a -w \"$cache\" || say \"$user may not write to $cache\"
            done",
    },
    Check {
        name: "checking the kernel limits",
        limit: MINUTE,
        of: Asked::Machine,
        script: "for limit in $6; do
                name=${limit%%=*}
                found=$(sysctl -n \"$name\" 2>/dev/null || cat \"/proc/sys/${name//.//}\")
                [[ $found =~ ^[0-9]+$ ]] && [ \"$found\" -ge \"${limit#*=}\" ] && continue
                # What a script, a package or a file of the recipe sets there is meant.
                own=$(find /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d -name '*.conf' \
                    ! -name 05-runner-image-builder.conf 2>/dev/null)
                [ -n \"$own\" ] && grep -qsE \"^[[:space:]]*-?${name//./[./]}[[:space:]]*=\" $own && continue
                { echo \"$name is '$found', less than ${limit#*=}\" >&2; exit 1; }
            done",
    },
    Check {
        name: "checking commands",
        limit: MINUTE,
        of: Asked::Any,
        script: "for command in $3; do
                command -v \"$command\" >/dev/null || { echo \"there is no command $command\" >&2; exit 1; }
            done",
    },
    Check {
        name: "checking snaps",
        limit: MINUTE.saturating_mul(5),
        // An image that was not booted installs them at its first boot.
        of: Asked::Machine,
        script: "for snap in $4; do
                snap list \"$snap\" >/dev/null 2>&1 || { echo \"there is no snap $snap\" >&2; exit 1; }
            done",
    },
    Check {
        name: "checking the search path",
        limit: MINUTE,
        of: Asked::Any,
        script: "for user in \"$1\" runner; do
                found=$(runuser -l \"$user\" -c 'printf %s \":$PATH:\"' | tail -n 1)
                [[ $found == *:\"/home/$1/.local/bin\":* ]] ||
                    { echo \"$user does not find commands in ~/.local/bin: $found\" >&2; exit 1; }
            done",
    },
    Check {
        name: "asking sudo",
        limit: MINUTE,
        of: Asked::Any,
        script: "command -v sudo >/dev/null || exit 0
            for user in \"$1\" runner; do
                runuser -u \"$user\" -- sudo --non-interactive true ||
                    { echo \"$user may not use sudo without a password\" >&2; exit 1; }
            done",
    },
    Check {
        name: "asking docker",
        limit: MINUTE.saturating_mul(5),
        of: Asked::Machine,
        script: "command -v docker >/dev/null || exit 0
            for user in \"$1\" runner; do
                runuser -u \"$user\" -- docker version >/dev/null || { echo \"asked by $user\" >&2; exit 1; }
            done",
    },
];

/// What comes before a check of a system that is not booted, so that nothing of the check stays in the image: what it
/// writes to /tmp goes with its mount, the application's log is removed.
pub(super) const TRACELESS: &str = "mount -t tmpfs -o mode=1777 none /tmp
    [ -e \"$0/_diag\" ] || trap 'rm -rf \"$0/_diag\"' EXIT\n";
