//! The GitHub Actions runner image: what the Python charm puts into its images, as steps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::base::{Base, CommandEnvironment, Step, StepFn};
use super::executor::{Command, Executor, ExecutorError};
use crate::deadline::Deadline;
use crate::secret::Secret;
use crate::target::{Arch, Target};

/// Raised whenever a change to the steps makes a different image: part of every image's fingerprint.
pub const RECIPE_VERSION: u32 = 1;

/// The user that Ubuntu's cloud images have, and that runs the runner.
pub const RUNNER_USER: &str = "ubuntu";

/// Where the runner application is.
pub const RUNNER_HOME: &str = "/home/ubuntu/actions-runner";

/// A step that answers at once.
const SIMPLE: Duration = Duration::from_secs(120);
/// A step that works for a while.
const COMPLEX: Duration = Duration::from_secs(600);
/// A step that fetches from elsewhere.
const UNPREDICTABLE: Duration = Duration::from_secs(3600);

/// What is installed from the Ubuntu archive, for every architecture.
const PACKAGES: [&str; 18] = [
    "build-essential",
    "docker.io",
    "gh",
    "jq",
    "npm",
    "pkg-config",
    "python-is-python3",
    "python3-dev",
    "python3-pip",
    "shellcheck",
    "socat",
    "tar",
    "time",
    "unzip",
    "wget",
    "cargo",
    "rustc",
    "curl",
];

const RUST_PACKAGES: [&str; 2] = ["cargo", "rustc"];
const DOTNET_PACKAGES: [&str; 1] = ["dotnet-runtime-8.0"];
const ARM_PACKAGES: [&str; 5] =
    ["rustup", "docker-buildx", "libc6:armhf", "libatomic1:armhf", "libicu-dev:armhf"];

/// The groups of the runner's user.
const GROUPS: [&str; 4] = ["docker", "microk8s", "lxd", "sudo"];

/// Where the external script lies while it runs.
const SCRIPT: &str = "/root/runner-image-builder-script";
/// Where the image's own apt sources lie while a mirror is used.
const SOURCES_ASIDE: &str = "/var/lib/runner-image-builder-sources";
/// The mirror's own source file.
const MIRROR_SOURCE: &str = "/etc/apt/sources.list.d/runner-image-builder.sources";

/// The runner application, by address and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerTarball {
    /// Its version, without `v`.
    pub version: String,
    /// Where the instance fetches it.
    pub url: String,
    /// The SHA-256 that its publisher gives, in hexadecimal.
    pub sha256: String,
}

/// The operator's own script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalScript {
    /// What it says.
    pub content: Vec<u8>,
    /// The SHA-256 of that, in hexadecimal.
    pub sha256: String,
}

/// The base of runner images.
#[derive(Clone, Debug)]
pub struct RunnerBase {
    /// The release and architecture.
    pub target: Target,
    /// The runner application.
    pub runner: RunnerTarball,
    /// The external script, if any.
    pub script: Option<ExternalScript>,
    /// The script's variables.
    pub script_variables: BTreeMap<String, Secret<String>>,
    /// Further variables for every command, for the time of the build: proxies.
    pub environment: CommandEnvironment,
    /// An Ubuntu archive mirror for the time of the build.
    pub apt_mirror: Option<String>,
}

impl RunnerBase {
    /// The packages of this architecture.
    pub fn packages(&self) -> Vec<&'static str> {
        let arm = self.target.arch == Arch::Arm;
        let common = PACKAGES.into_iter().filter(|package| !(arm && RUST_PACKAGES.contains(package)));
        let special: &[&str] = match self.target.arch {
            Arch::S390x | Arch::Ppc64le => &DOTNET_PACKAGES,
            Arch::Arm => &ARM_PACKAGES,
            Arch::X64 | Arch::Arm64 => &[],
        };
        common.chain(special.iter().copied()).collect()
    }

    fn command(&self, argv: &[&str]) -> Command {
        Command::new(argv.iter().copied()).environment(self.get_command_environment())
    }

    fn shell(&self, script: &str) -> Command {
        Command::shell(script).environment(self.get_command_environment())
    }

    fn apt(&self, arguments: &[&str]) -> Command {
        let fixed = [
            "apt-get",
            "--yes",
            "--quiet",
            "--option=DPkg::Lock::Timeout=600",
            "--option=Dpkg::Use-Pty=0",
            "--option=Dpkg::Options::=--force-confold",
            "--option=APT::Update::Error-Mode=any",
        ];
        self.command(&[&fixed, arguments].concat()).limit(UNPREDICTABLE)
    }

    fn wait_until_ready(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        // Exit code 2 means ready, with something to complain about; that is not ours to judge.
        let script =
            "code=0; cloud-init status --wait >/dev/null || code=$?; [ $code -eq 0 ] || [ $code -eq 2 ]";
        executor.run(self.shell(script).limit(COMPLEX), deadline).map(drop)
    }

    fn use_mirror(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        let Some(mirror) = &self.apt_mirror else { return Ok(()) };
        let aside = format!(
            "mkdir -p {SOURCES_ASIDE}/d; cd /etc/apt
             [ ! -e sources.list ] || mv -f sources.list {SOURCES_ASIDE}/
             find sources.list.d -maxdepth 1 -type f -exec mv -f -t {SOURCES_ASIDE}/d {{}} +"
        );
        executor.run(self.shell(&aside), deadline)?;
        let base = self.target.base;
        let source = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {base} {base}-updates {base}-security\n\
             Components: main restricted universe multiverse\n\
             Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
        );
        executor.push_file(MIRROR_SOURCE, 0o644, source.into_bytes(), deadline)
    }

    fn leave_mirror(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        if self.apt_mirror.is_none() {
            return Ok(());
        }
        let back = format!(
            "rm -f {MIRROR_SOURCE}; cd {SOURCES_ASIDE}
             [ ! -e sources.list ] || mv -f sources.list /etc/apt/
             find d -maxdepth 1 -type f -exec mv -f -t /etc/apt/sources.list.d {{}} +
             rm -rf {SOURCES_ASIDE} /var/lib/apt/lists/*"
        );
        executor.run(self.shell(&back), deadline).map(drop)
    }

    fn upgrade(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        if self.target.arch == Arch::Arm {
            executor.run(self.command(&["dpkg", "--add-architecture", "armhf"]), deadline)?;
        }
        // The image's own timers would take apt's lock, now and in every runner's first minutes.
        let timers = "systemctl disable --now apt-daily.timer apt-daily-upgrade.timer || true
                      systemctl mask apt-daily.service apt-daily-upgrade.service
                      systemctl stop unattended-upgrades.service || true";
        executor.run(self.shell(timers), deadline)?;
        executor.run(self.apt(&["update"]), deadline)?;
        let unattended = self.command(&["dpkg-query", "--show", "unattended-upgrades"]);
        if executor.execute(unattended, deadline)?.code == 0 {
            executor.run(self.apt(&["purge", "unattended-upgrades"]), deadline)?;
        }
        executor.run(self.apt(&["dist-upgrade"]), deadline).map(drop)
    }

    fn install_packages(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        let packages = self.packages();
        executor.run(
            self.apt(&[&["install", "--no-install-recommends"], packages.as_slice()].concat()),
            deadline,
        )?;
        executor.run(self.apt(&["clean"]), deadline).map(drop)
    }

    fn configure(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        let sysctl = "net.core.default_qdisc=fq\nnet.ipv4.tcp_congestion_control=bbr\n";
        executor.push_file("/etc/sysctl.d/60-runner-image-builder.conf", 0o644, sysctl.into(), deadline)?;
        // Jobs install tools there without root.
        executor.run(self.command(&["chmod", "777", "/usr/local/bin"]), deadline).map(drop)
    }

    fn create_users(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        let mut script = String::new();
        for group in GROUPS {
            script.push_str(&format!(
                "groupadd --force --system {group}; usermod --append --groups {group} {RUNNER_USER}\n"
            ));
        }
        // GARM wants a user `runner` and its home: the same person under another name.
        script.push_str(&format!(
            "mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/{RUNNER_USER}
             uid=$(id -u {RUNNER_USER}); gid=$(id -g {RUNNER_USER})
             getent passwd runner >/dev/null ||
                 useradd --non-unique --uid $uid --gid $gid --no-create-home --home-dir /home/{RUNNER_USER} --shell /bin/bash runner
             [ -e /home/runner ] || ln -s /home/{RUNNER_USER} /home/runner"
        ));
        executor.run(self.shell(&script), deadline).map(drop)
    }

    fn install_runner(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        let RunnerTarball { url, sha256, .. } = &self.runner;
        let script = "tarball=$(mktemp); trap 'rm -f \"$tarball\"' EXIT
            curl --fail --silent --show-error --location --proto '=http,https' --retry 5 --retry-connrefused \
                --connect-timeout 30 --output \"$tarball\" -- \"$0\"
            echo \"$1  $tarball\" | sha256sum --check --quiet
            rm -rf \"$2\"; mkdir -p \"$2\"
            tar -xzf \"$tarball\" -C \"$2\" --no-same-owner
            chown -R \"$3:$3\" \"$2\"";
        let command =
            self.command(&["bash", "-euo", "pipefail", "-c", script, url, sha256, RUNNER_HOME, RUNNER_USER]);
        executor.run(command.limit(UNPREDICTABLE), deadline).map(drop)
    }

    fn run_script(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        let Some(script) = &self.script else { return Ok(()) };
        executor.push_file(SCRIPT, 0o700, script.content.clone(), deadline)?;
        let variables = self.script_variables.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        let command = self.command(&[SCRIPT]).environment(variables).limit(UNPREDICTABLE);
        let result = executor.run(command, deadline);
        executor.run(self.command(&["rm", "-f", SCRIPT]), Deadline::after(SIMPLE))?;
        result.map(drop)
    }

    fn clean(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ExecutorError> {
        // What must not be the same in two machines, and what was only for us. cloud-init of 2023 and before has no
        // --configs, and removes machine-id altogether: without an empty file systemd makes none while / is still
        // read-only, and networkd without one asks for no address. The keys go last: without them there is no way back
        // in, but this connection lasts.
        let script = "rm -rf /tmp/* /var/tmp/* /root/.cache /root/.bash_history
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

impl Base for RunnerBase {
    fn get_command_environment(&self) -> CommandEnvironment {
        let mut environment = self.default_command_environment();
        let mut set = |name: &str, value: Secret<String>| environment.insert(name.into(), Some(value));
        set("DEBIAN_FRONTEND", Secret::new("noninteractive".into()));
        set("LC_ALL", Secret::new("C.UTF-8".into()));
        // Only in the environment of our own commands, so that no file of the image remembers it.
        environment.extend(self.environment.clone());
        environment
    }

    fn steps(&self) -> Vec<Step<'_>> {
        type Work = fn(&RunnerBase, &dyn Executor, Deadline) -> Result<(), ExecutorError>;
        let step = |name, limit, work: Work| {
            let run: StepFn<'_> = Box::new(move |executor, deadline| work(self, executor, deadline));
            Step { name, limit, run }
        };
        vec![
            step("waiting for cloud-init", COMPLEX, Self::wait_until_ready),
            step("choosing package sources", SIMPLE, Self::use_mirror),
            step("upgrading packages", UNPREDICTABLE, Self::upgrade),
            step("installing packages", UNPREDICTABLE, Self::install_packages),
            step("configuring the system", SIMPLE, Self::configure),
            step("creating users", SIMPLE, Self::create_users),
            step("installing the runner", UNPREDICTABLE, Self::install_runner),
            step("running the external script", UNPREDICTABLE, Self::run_script),
            step("restoring package sources", SIMPLE, Self::leave_mirror),
            step("cleaning up", COMPLEX, Self::clean),
        ]
    }
}
