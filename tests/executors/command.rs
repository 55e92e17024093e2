//! `dispatch instance` over ssh, as an operator runs it.

use std::fs;
use std::process::Command;

use crate::sshd::Sshd;

#[test]
fn a_machine_that_was_never_set_up_is_not_warmed_up() {
    let sshd = Sshd::start();
    let target = sshd.target();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let output = Command::new(env!("CARGO_BIN_EXE_dispatch"))
        .env("RUNNER_IMAGE_BUILDER_ROOT", folder.path().join("root"))
        .args(["instance", "warmup", "--alias", "noble"])
        .args(["--ssh", &format!("root@{}", target.address)])
        .args(["--ssh-option", &target.options[0], "--timeout", "60", "--key"])
        .arg(file("key", target.key.expose()))
        .arg("--host-key")
        .arg(file("host_key.pub", &target.host_key))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/etc/craft-instance.conf is absent or empty: it was never set up"), "{said}");
    let left: Vec<_> = fs::read_dir(folder.path().join("root/run/runner-image-builder")).unwrap().collect();
    assert_eq!(left.len(), 1, "more than the lock was left: {left:?}");
}
