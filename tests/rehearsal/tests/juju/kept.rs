//! A small kept rehearsal, and the client in it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rehearsal::agent::JujuVersion;
use rehearsal::cloud::CloudSetup;
use rehearsal::fixture::Fixture;
use rehearsal::juju::Controller;
use rehearsal::servers::SiteSetup;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

const SAMPLE: &str = "
name: sample
summary: a sample
provides:
  image: {interface: github_runner_image_v0}
  cos-agent: {interface: cos_agent, limit: 1}
peers:
  replicas: {interface: sample_peers}
";
const TAKER: &str = "
name: taker
summary: takes images
requires:
  image: {interface: github_runner_image_v0}
";
const COLLECTOR: &str = "
name: collector
summary: goes with its principals
subordinate: true
requires:
  cos-agent: {interface: cos_agent, scope: container}
";
const CONFIG: &str = "
options:
  interval: {type: int, default: 6, description: Hours.}
  verify: {type: boolean, default: true}
  name: {type: string}
  password: {type: secret}
";
const ACTIONS: &str = "
run:
  params:
    force: {type: boolean, default: false}
  additionalProperties: false
watch:
  parallel: true
";

/// The client in a kept rehearsal.
pub struct Juju {
    client: PathBuf,
    pub folder: PathBuf,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Ends the controller, also when the test has failed.
struct Ending<'c, 'f>(&'c Controller<'f>);

impl Drop for Ending<'_, '_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Plays in a kept rehearsal whose model is empty.
pub fn kept(play: impl FnOnce(&Juju)) {
    kept_after(|_, _| {}, play);
}

/// Plays in a rehearsal that is kept after `before`.
pub fn kept_after(before: impl FnOnce(&Fixture, &Juju), play: impl FnOnce(&Juju)) {
    let fixture = Fixture::set(JujuVersion::V3_6, CloudSetup::default(), SiteSetup::default()).unwrap();
    let folder = fixture.directory().to_owned();
    let juju = Juju { client: folder.join("bin/juju"), folder };
    before(&fixture, &juju);
    let controller = Controller::open(&fixture, Path::new(env!("CARGO_BIN_EXE_juju"))).unwrap();
    assert_eq!(controller.path_entry().join("juju"), juju.client);
    thread::scope(|scope| {
        let _ending = Ending(&controller);
        scope.spawn(|| controller.serve());
        play(&juju);
    });
}

impl Juju {
    /// Runs `juju` with these words.
    pub fn says(&self, words: &[&str]) -> Said {
        self.answers(words, "")
    }

    /// The same, with something typed into it.
    pub fn answers(&self, words: &[&str], input: &str) -> Said {
        let mut command = Command::new(&self.client);
        command.args(words).current_dir(&self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs what must succeed, and returns what it printed.
    pub fn run(&self, words: &[&str]) -> String {
        let said = self.says(words);
        assert_eq!(said.code, Some(0), "juju {words:?}: {said:?}");
        said.stdout
    }

    /// The same with `--format json`.
    pub fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--format", "json"]).collect();
        serde_json::from_str(&self.run(&words)).unwrap()
    }

    /// Polls until a command prints what is wanted, and returns it.
    pub fn wait(&self, words: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let said = self.says(words);
            if wanted(&said.stdout) {
                return said.stdout;
            }
            assert!(started.elapsed() < PATIENCE, "juju {words:?}: {said:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the model's status is as wanted.
    pub fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let words = ["status", "--format", "json"];
        let text = self.wait(&words, |text| serde_json::from_str(text).is_ok_and(|status| wanted(&status)));
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until a unit's message is this.
    pub fn wait_for_message(&self, unit: &str, message: &str) {
        let app = unit.split('/').next().unwrap().to_owned();
        self.wait_for(|status| {
            let unit = &status["applications"][&app]["units"][unit];
            unit["workload-status"]["message"] == message && unit["juju-status"]["current"] == "idle"
        });
    }

    /// Writes the charm `sample`, whose `dispatch` runs a script with `$HOOK` set to what is dispatched.
    pub fn sample(&self, script: &str) -> String {
        self.charm("sample", SAMPLE, script)
    }

    /// The charm `taker`, which requires what `sample` provides.
    pub fn taker(&self, script: &str) -> String {
        self.charm("taker", TAKER, script)
    }

    /// The subordinate `collector`.
    pub fn collector(&self, script: &str) -> String {
        self.charm("collector", COLLECTOR, script)
    }

    fn charm(&self, name: &str, metadata: &str, script: &str) -> String {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("metadata.yaml"), metadata).unwrap();
        fs::write(folder.join("config.yaml"), CONFIG).unwrap();
        fs::write(folder.join("actions.yaml"), ACTIONS).unwrap();
        let dispatch = folder.join("dispatch");
        fs::write(&dispatch, format!("#!/bin/sh\nHOOK=${{JUJU_DISPATCH_PATH##*/}}\n{script}\n")).unwrap();
        fs::set_permissions(&dispatch, fs::Permissions::from_mode(0o755)).unwrap();
        format!("./{name}")
    }

    /// Deploys `sample`, and waits until it has started.
    pub fn deploy(&self, script: &str) {
        let charm = self.sample(&format!("{script}\n[ $HOOK != start ] || status-set active ready"));
        self.run(&["deploy", &charm]);
        self.wait_for_message("sample/0", "ready");
    }
}
