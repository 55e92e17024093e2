//! A VM of the cloud that nobody has set up yet, and the charm's command line that works on it from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use runner_image_builder::host::Host;
use runner_image_builder::instance::KeyPair;
use serde_json::json;

use crate::charm::SITE;
use crate::cloud::{Project, state_dir};
use crate::deployed::wait_for;

/// What all that it makes in the project is called.
const NAME: &str = "to-become-a-builder";
/// How long a boot may take on an emulated processor.
const BOOT: Duration = Duration::from_secs(900);

/// A VM with a host key that is known before it boots.
pub struct Machine {
    project: Project,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        for words in [
            &["server", "delete", "--wait", NAME][..],
            &["security", "group", "delete", NAME],
            &["image", "delete", NAME],
        ] {
            let _ = self.project.try_client(words);
        }
    }
}

impl Machine {
    /// Launches one of the base image, whose packages come from the test site.
    pub fn launch(project: Project) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut machine = Self { project, address: String::new(), folder };
        let user_data = machine.user_data();
        let base = state_dir().join("base-cloudimg-ubuntu-24.04.qcow2");
        let (base, user_data) = (base.to_string_lossy(), user_data.to_string_lossy());
        let client = |words: &[&str]| machine.project.client(words);
        client(&["image", "create", "--disk-format", "qcow2", "--file", &base, NAME]);
        client(&["security", "group", "create", NAME]);
        client(&["security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "22", NAME]);
        let place =
            ["--image", NAME, "--flavor", "builder", "--network", "runner-net", "--security-group", NAME];
        let words =
            [&["server", "create", "--wait", "--user-data", &user_data][..], &place, &[NAME]].concat();
        client(&words);
        let server = machine.project.json(&["server", "show", NAME]);
        let address = server["addresses"]["runner-net"][0].as_str().expect("an address").to_owned();
        machine.address = address;
        machine.booted();
        machine
    }

    /// The keys of both sides, and where packages come from: what a site gives its machines.
    fn user_data(&self) -> PathBuf {
        let host = Host::below("/");
        let pair = |name| KeyPair::generate(&host, self.folder.path(), name).expect("keys");
        let (ours, theirs) = (pair("ours"), pair("theirs"));
        let file = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            host.write(&path, text.as_bytes(), 0o600).expect("a file");
            path
        };
        file("key", ours.private.expose());
        file("host-key.pub", &format!("{}\n", theirs.public));
        let sources = format!(
            "Types: deb\nURIs: {SITE}/ubuntu\nSuites: noble noble-updates noble-security\n\
             Components: main restricted universe multiverse\n\
             Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
        );
        let data = json!({
            "ssh_keys": {"ed25519_private": theirs.private.expose(), "ed25519_public": theirs.public},
            "ssh_authorized_keys": [ours.public],
            "write_files": [{"path": "/etc/apt/sources.list.d/ubuntu.sources", "content": sources}],
        });
        file("user-data", &format!("#cloud-config\n{data}\n"))
    }

    /// Waits until it has booted to the end.
    pub fn booted(&self) {
        wait_for("the end of its boot", BOOT, || {
            let status = self.try_inside("cloud-init status --wait");
            // 2 means done, with something to complain about.
            matches!(status.status.code(), Some(0 | 2)).then_some(())
        });
    }

    fn try_inside(&self, script: &str) -> Output {
        self.ssh().args(["sudo", "bash", "-euc", &format!("'{script}'")]).output().expect("ssh")
    }

    /// ssh to it, as `ubuntu`, to which options and a command can be added.
    pub fn ssh(&self) -> Command {
        let known = self.folder.path().join("known_hosts");
        if !known.exists() {
            let key = fs::read_to_string(self.folder.path().join("host-key.pub")).expect("the host key");
            fs::write(&known, format!("{} {key}", self.address)).expect("known_hosts");
        }
        let option = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"])
            // A machine whose power is cut says no goodbye.
            .args(["-o", "ServerAliveInterval=20"])
            .args(["-o", &option("UserKnownHostsFile", known)])
            .args(["-o", &option("IdentityFile", self.folder.path().join("key"))])
            .args(["-l", "ubuntu", &self.address]);
        ssh
    }

    /// What a script without single quotes prints in it, run by root.
    pub fn inside(&self, script: &str) -> String {
        let output = self.try_inside(script);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Cuts it off and boots it again, from outside.
    pub fn boot_again(&self) {
        self.project.client(&["server", "reboot", "--hard", NAME]);
    }

    /// `dispatch instance OPERATION` on it, as noble unless `words` say otherwise.
    pub fn dispatch(&self, operation: &str, words: &[&str]) -> Command {
        let charm = std::env::var_os("RUNNER_IMAGE_BUILDER_CHARM").expect("RUNNER_IMAGE_BUILDER_CHARM");
        let mut command = Command::new(PathBuf::from(charm).join("dispatch"));
        command
            .env("RUNNER_IMAGE_BUILDER_ROOT", self.folder.path())
            .args(["instance", operation, "--ssh", &format!("ubuntu@{}", self.address)])
            .args(["--key".as_ref(), self.folder.path().join("key").as_os_str()])
            .args(["--host-key".as_ref(), self.folder.path().join("host-key.pub").as_os_str()])
            .args(words);
        if !words.contains(&"--alias") {
            command.args(["--alias", "noble"]);
        }
        command
    }

    /// The same, which must work; returns the steps that it told of.
    pub fn does(&self, operation: &str, words: &[&str]) -> Vec<String> {
        let output = self.dispatch(operation, words).output().expect("dispatch");
        assert!(
            output.status.success(),
            "{operation} {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// The same, which must not work; returns what it said.
    pub fn refuses(&self, operation: &str, words: &[&str]) -> String {
        let output = self.dispatch(operation, words).output().expect("dispatch");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{operation} {words:?}: {said}");
        said
    }

    /// Begins with it, and returns when it tells of `step`.
    pub fn begin(&self, operation: &str, words: &[&str], step: &str) -> Child {
        let mut command = self.dispatch(operation, words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dispatch");
        let said = BufReader::new(child.stdout.take().expect("its output"));
        let seen = said.lines().map_while(Result::ok).find(|line| line.starts_with(step));
        assert!(seen.is_some(), "it never came to {step}");
        child
    }
}
