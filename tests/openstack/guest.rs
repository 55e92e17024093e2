//! The charm on a machine of its own with systemd and cron: a VM of the cloud, whose agent is restarted and which loses
//! its power in the middle of builds.
//!
//! The controller's side of the agent is the test's own, and answers hook tools through a tunnel. The machine's side is a
//! service like jujud's, which runs hooks as its children: `machine-agent.py`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rehearsal::agent::{Application, JujuVersion, Model, Relation, RunKind, Secret, Unit};
use serde_json::{Value, json};

use crate::charm::{BUILD, SCRIPT_SECRET, charm_folder, keyring, options_of_user, proxies};
use crate::cloud::{Project, state_dir};
use crate::deployed::{all_succeeded, wait_for};
use crate::machine::Machine;
use crate::scenario::{added, case};

const APPLICATION: &str = "guest-builder";
/// As jujud's own unit: how its processes are killed is left to systemd.
const SERVICE: &str = "jujud-machine-0";
/// Where the machine's agent listens, on the machine and, through the tunnel, here.
const AGENT: &str = "127.0.0.1:17070";
/// What the charm finds on the machine's own address: OpenStack's services, as their catalog has it, and the site.
const PORTS: [u16; 6] = [5000, 9292, 8774, 9696, 8778, 8080];
/// Between two looks at the machine, which cost it something.
const LOOK: Duration = Duration::from_secs(3);
/// How long a boot may take on an emulated processor.
const BOOT: Duration = Duration::from_secs(900);
/// Another one for each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What Juju keeps on the machine; the test's agent believes it to lie elsewhere.
const MODEL: &str = "/var/lib/juju/model";

#[test]
#[ignore = "46 minutes on a busy machine: run.sh --ignored a_build_outlives"]
fn a_build_outlives_the_agent_and_a_power_cut_on_a_machine_with_systemd() {
    let mut guest = Guest::deploy();
    case("installs what it needs", || guest.has_cron_and_rotates_logs());
    case("builds on while the agent is restarted", || guest.builds_on_without_the_agent());
    case("answers collectors of metrics", || guest.answers_collectors());
    case("ends the next build after a power cut", || guest.builds_after_a_power_cut());
    case("is called by cron", || guest.is_called_by_cron());
    case("leaves published images and nothing else when it is removed", || guest.is_removed());
}

struct Guest {
    app: Application,
    password: Secret,
    script: Secret,
    relation: Option<Relation>,
    build: Project,
    consumer: Project,
    before: [BTreeSet<String>; 2],
    machine: Machine,
    // Before the model, whose folder it reaches into.
    tunnel: Option<Tunnel>,
    model: Model,
}

/// What leads from one machine to the other, both ways.
struct Tunnel(Child);

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

impl Tunnel {
    fn to(machine: &Machine, model: &Model) -> Self {
        machine.inside(&format!("rm -f {MODEL}/s"));
        let socket = format!("{MODEL}/s:{}", model.dir().join("s").display());
        let forwards = PORTS.map(|port| format!("{port}:127.0.0.1:{port}"));
        let mut ssh = machine.ssh();
        ssh.args(["-N", "-o", "ExitOnForwardFailure=yes"])
            .args(["-L", &format!("{AGENT}:{AGENT}"), "-R", &socket])
            .args(forwards.iter().flat_map(|forward| ["-R", forward]));
        let tunnel = Self(ssh.spawn().expect("ssh"));
        wait_for("the machine's agent", Duration::from_secs(120), || turn(&["true"]));
        tunnel
    }
}

/// Runs a command as a child of the machine's agent, and returns its exit code.
fn turn(argv: &[&str]) -> Option<i64> {
    let mut agent = TcpStream::connect(AGENT).ok()?;
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    writeln!(agent, "{}", json!({"argv": argv, "env": {"PATH": path}, "dir": "/"})).ok()?;
    let mut answer = String::new();
    agent.read_to_string(&mut answer).ok()?;
    serde_json::from_str::<Value>(&answer).ok()?[0].as_i64()
}

impl Guest {
    fn deploy() -> Self {
        let (build, consumer) = (Project::named("builder"), Project::named("upload"));
        let before = [build.inventory(), consumer.inventory()];
        let model = Model::new(JujuVersion::V3_6).expect("a model");
        // An emulated machine is slow.
        model.set_hook_deadline(Duration::from_secs(1800));
        model.set_proxies(proxies()).expect("proxies");
        // Its first hook fails: there is no machine yet, and what it must have is only made here.
        let near = near_end_of_charm();
        let app = model.deployment(near.path(), APPLICATION).run().expect("deployment");
        let password = model.add_secret(&[("password", build.auth("password"))]).expect("secret");
        let script = model.add_secret(&[("rib-test-secret", SCRIPT_SECRET)]).expect("secret");
        [&password, &script].into_iter().for_each(|secret| secret.grant(&app).expect("grant"));

        let started = Instant::now();
        let machine = Machine::launch(Project::named("upload2"));
        println!("    a machine in {} s", started.elapsed().as_secs());
        provision(&machine, &model, &app.unit(0));
        let tunnel = Some(Tunnel::to(&machine, &model));
        Self { app, password, script, relation: None, build, consumer, before, machine, tunnel, model }
    }

    fn unit(&self) -> Unit {
        self.app.unit(0)
    }

    /// Runs a command that the charm's executable has for operators, on the machine.
    fn jobs(&self) -> Value {
        let dispatch = self.unit().charm_dir().expect("its folder").join("dispatch");
        let text = self.machine.inside(&format!("{} jobs --json", dispatch.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    fn has_cron_and_rotates_logs(&self) {
        self.machine.inside("! dpkg-query --show cron logrotate");
        all_succeeded(&self.unit().retry().expect("the first hooks"));
        assert_eq!(self.machine.inside("systemctl is-active cron"), "active");
        let rotation = self.machine.inside("logrotate --debug /etc/logrotate.conf 2>&1");
        assert!(rotation.contains("/var/log/runner-image-builder/*.log"), "{rotation}");
        assert!(!rotation.contains("error"), "{rotation}");
    }

    /// Waits until a build installs what goes into the image; returns its job and its worker's process.
    fn is_building(&self) -> (Value, String) {
        let job = wait_for("a build under way", BUILD, || {
            sleep(LOOK);
            let jobs = self.jobs();
            let job = &jobs["journal"]["job"];
            assert_eq!(job["failures"].as_array().map_or(0, Vec::len), 0, "{job}");
            (job["builds"][0]["phase"]["name"] == "installing").then(|| job["id"].clone())
        });
        (job, self.machine.inside("cat /var/lib/runner-image-builder/worker.lock"))
    }

    fn publishes(&self, not: Option<&str>) -> String {
        let relation = self.relation.as_ref().expect("a relation");
        let id = wait_for("another image in the databag", BUILD * 2, || {
            let id = relation.written_by(&self.unit()).expect("databag").get("id").cloned();
            id.filter(|id| Some(id.as_str()) != not)
        });
        self.worker_ended();
        id
    }

    /// Waits until no worker lives.
    fn worker_ended(&self) {
        let worker = "pgrep -f \"^/var/lib/runner-image-builder/bin/.* work\" || true";
        wait_for("the end of the worker", BUILD, || {
            sleep(LOOK);
            self.machine.inside(worker).is_empty().then_some(())
        });
        assert_eq!(self.jobs()["journal"]["job"]["failures"], json!([]));
    }

    /// What Juju fires after whatever has happened, behind a hook that was cut off.
    fn hooks(&self, names: &[&str]) {
        let unit = self.unit();
        if unit.failed_hook().expect("the unit").is_some() {
            all_succeeded(&unit.retry().expect("the hook again"));
        }
        all_succeeded(&names.iter().map(|name| unit.fire(name).expect("hook")).collect::<Vec<_>>());
    }

    fn builds_on_without_the_agent(&mut self) {
        let options = options_of_user(&self.build, &self.password);
        let more = [
            ("script-url", "http://127.0.0.1:8080/script/setup.sh"),
            ("script-secret-id", &self.script.uri()),
            ("revision-history-limit", "2"),
            ("build-interval", "1"),
            // A boot less; how images are verified has nothing to do with where the charm runs.
            ("verify-image", "false"),
        ];
        let options = options.iter().map(|(name, value)| (*name, value.as_str())).chain(more);
        all_succeeded(&self.app.set_config(&options.collect::<Vec<_>>()).expect("config"));
        let relation = self.app.integrate("image", "runners", &[&self.consumer.relation_data()]);
        self.relation = Some(relation.expect("integration"));
        let (job, worker) = self.is_building();
        let group = self.machine.inside(&format!("cat /proc/{worker}/cgroup"));
        assert!(group.contains("/runner-image-builder-worker-"), "{group}");
        // What a hook leaves running dies with the agent, even with a session of its own.
        assert_eq!(turn(&["setsid", "--fork", "sleep", "86399"]), Some(0));
        self.machine.inside("pgrep -f \"^sleep 86399\"");
        self.machine.inside(&format!("systemctl restart {SERVICE}"));
        self.machine.inside("! pgrep -f \"^sleep 86399\"");
        self.machine.inside(&format!("test -d /proc/{worker}"));
        wait_for("the agent", Duration::from_secs(60), || turn(&["true"]));
        // An agent that has come up again fires it.
        self.hooks(&["config-changed"]);
        let image = self.publishes(None);
        let image = self.consumer.json(&["image", "show", &image]);
        assert_eq!(image["properties"]["runner_image_builder_job"], job, "{image}");
    }

    /// By a socket of systemd, with a process for each.
    fn answers_collectors(&self) {
        self.app.integrate("cos-agent", "collector", &[&[]]).expect("integration");
        let metrics = self.machine.inside("curl --fail --silent --show-error http://127.0.0.1:9473/metrics");
        let succeeded = metrics.lines().any(|line| line.starts_with("runner_image_builder_last_success"));
        assert!(succeeded, "{metrics}");
    }

    fn builds_after_a_power_cut(&mut self) {
        let relation = self.relation.as_ref().expect("a relation");
        let first = relation.written_by(&self.unit()).expect("databag")["id"].clone();
        let action = self.unit().run_action("run", json!({"force": true})).expect("action");
        assert!(action.results.contains_key("job"), "{action:?}");
        let (job, worker) = self.is_building();
        println!("    cut off in job {job}, worker {worker}");
        let boot = self.machine.inside(&format!("cat {BOOT_ID}"));
        self.machine.boot_again();
        self.tunnel = None;
        wait_for("another boot", BOOT, || {
            let asked = self.machine.ssh().args(["cat", BOOT_ID]).output().expect("ssh");
            (asked.status.success() && !asked.stdout.starts_with(boot.as_bytes())).then_some(())
        });
        self.machine.booted();
        self.tunnel = Some(Tunnel::to(&self.machine, &self.model));
        assert_eq!(self.machine.inside("systemctl is-active cron"), "active");
        self.hooks(&["start", "config-changed", "update-status"]);
        self.publishes(Some(&first));
        let left = added(&self.before[0], &self.build.inventory());
        assert!(left.len() == 1 && left[0].contains("-image-builder-base-noble-x64"), "{left:?}");
        assert_eq!(added(&self.before[1], &self.consumer.inventory()).len(), 2, "two revisions");
        let files = "cd /run/runner-image-builder && find . -name \"key-*\" -o -name \"ssh-*\" -o -name \"secrets-*\"";
        assert_eq!(self.machine.inside(files), "");
    }

    /// Half a minute before its time, as the machine's clock then has it.
    fn is_called_by_cron(&self) {
        let jobs = self.jobs();
        let next = jobs["next_look"].as_str().unwrap_or_else(|| panic!("no next look in {jobs}"));
        self.machine.inside(&format!("date --set @$(($(date --date={next} +%s) - 30))"));
        wait_for("cron's call", Duration::from_secs(180), || {
            let runs = self.unit().runs();
            let run = runs
                .iter()
                .find(|run| run.kind == RunKind::Exec && run.name.contains("JUJU_DISPATCH_PATH=run"))?;
            assert!(run.succeeded(), "{}", run.stderr);
            Some(())
        });
        self.worker_ended();
        let log = self.machine.inside("cat /var/log/runner-image-builder/cron.log");
        assert!(!log.contains("ERROR"), "{log}");
    }

    fn is_removed(&self) {
        let images: Vec<String> = added(&self.before[1], &self.consumer.inventory());
        all_succeeded(&self.app.remove().expect("removal"));
        assert_eq!(self.build.inventory(), self.before[0]);
        let files = "ls -d /etc/cron.d/build-* /etc/logrotate.d/runner-* /var/lib/runner-image-builder/* 2>/dev/null || true";
        assert_eq!(self.machine.inside(files), "");
        let units = "systemctl list-units --all --plain --no-legend \"runner-image-builder*\"";
        assert_eq!(self.machine.inside(units), "");
        for line in images {
            self.consumer.client(&["image", "delete", line.split(' ').nth(1).expect("an id")]);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in self.model.debug_log().iter().rev().take(30).rev() {
                eprintln!("  {line:?}");
            }
            let tail = "tail -n 60 /var/log/runner-image-builder/*.log; journalctl --no-pager --lines 40";
            let log = self.machine.ssh().args(["sudo", "sh", "-c", &format!("'{tail}'")]).output();
            eprintln!(
                "{}",
                log.map(|log| String::from_utf8_lossy(&log.stdout).into_owned()).unwrap_or_default()
            );
        }
    }
}

/// The charm as the controller's side has it: its dispatch is the other side's.
fn near_end_of_charm() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["metadata.yaml", "config.yaml", "actions.yaml", "manifest.yaml"] {
        fs::copy(charm_folder().join(file), folder.path().join(file)).expect("a charm's file");
    }
    fs::copy(machine_agent(), folder.path().join("dispatch")).expect("dispatch");
    folder
}

fn machine_agent() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openstack/machine-agent.py")
}

/// Puts onto the machine what Juju puts there before the first hook, and what else the charm stands on.
fn provision(machine: &Machine, model: &Model, unit: &Unit) {
    let tree = tempfile::tempdir().expect("a folder");
    let place = |path: &Path| {
        let place = tree.path().join(path.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(place.parent().expect("its folder")).expect("its folder");
        place
    };
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("--archive").args([from, &place(to)]).status().expect("cp");
        assert!(copied.success(), "{}", from.display());
    };
    let write = |to: &str, text: &str| fs::write(place(Path::new(to)), text).expect("a file");

    let (near, there) = (model.dir(), Path::new(MODEL));
    for name in ["m0/agent", "m0/bin", "m0/tools"] {
        copy(&near.join(name), &there.join(name));
    }
    // Where the tools' links lead.
    let tool = fs::canonicalize(near.join("m0/bin/juju-exec")).expect("the hook tools' program");
    copy(&tool, &tool);
    let charm = unit.charm_dir().expect("its folder");
    let charm = there.join(charm.strip_prefix(near).expect("below the model"));
    copy(&fs::canonicalize(charm_folder()).expect("the charm"), &charm);
    copy(&machine_agent(), Path::new("/usr/lib/juju/machine-agent"));
    copy(&keyring(), &keyring());
    copy(&state_dir().join("machine-packages"), Path::new("/var/lib/machine-packages"));
    write(
        "/etc/apt/sources.list.d/machine-packages.list",
        "deb [trusted=yes] file:/var/lib/machine-packages ./\n",
    );
    let tool = near.join("m0/bin/juju-exec");
    write("/usr/bin/juju-exec", &format!("#!/bin/sh\nexec {} \"$@\"\n", tool.display()));
    let link = format!("/bin/ln -sfnT {MODEL} {}", near.display());
    write(
        &format!("/etc/systemd/system/{SERVICE}.service"),
        &format!(
            "[Unit]\nDescription=The machine's side of a Juju agent\nAfter=network.target\n\n\
             [Service]\nExecStartPre={link}\nExecStart=/usr/lib/juju/machine-agent\nRestart=on-failure\n\n\
             [Install]\nWantedBy=multi-user.target\n"
        ),
    );

    let mut pack = Command::new("tar");
    pack.args(["--create", "--owner=root", "--group=root", "--mode=go-w", "--directory"]).arg(tree.path());
    let mut pack = pack.arg(".").stdout(Stdio::piped()).spawn().expect("tar");
    let mut unpack = machine.ssh();
    unpack.args(["sudo", "tar", "--extract", "--no-overwrite-dir", "--directory", "/"]);
    let unpacked = unpack.stdin(pack.stdout.take().expect("its output")).status().expect("tar there");
    assert!(unpacked.success() && pack.wait().expect("tar").success());
    machine.inside(&format!(
        "chown ubuntu {MODEL}; chmod +x /usr/bin/juju-exec; systemctl daemon-reload; \
         systemctl enable --quiet --now {SERVICE}"
    ));
}
