//! A machine that cannot build says what it lacks, before it has begun.

use std::process::Command;

use crate::workbench::Workbench;

/// What the build says when `way` leads to it: a shell that makes the machine a lesser one, and then runs "$@".
fn said(bench: &Workbench, target: &str, way: &str) -> String {
    let build = bench.command(target, &[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-euc", way, "lesser"]);
    command.arg(build.get_program()).args(build.get_args()).env("RUNNER_IMAGE_BUILDER_ROOT", &bench.root);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_lacking_is_said() {
    let bench = Workbench::with_image(b"none");
    let root = bench.root.display().to_string();
    let no_loops = "mkdir /tmp/$$; mount -t tmpfs none /tmp/$$; cp -a /dev/null /dev/urandom /tmp/$$/
        mount --bind /tmp/$$ /dev; exec \"$@\"";
    let no_room = format!("mount -t tmpfs -o size=100m none {root}; exec \"$@\"");
    let no_tool = "mkdir /tmp/$$; mount -t tmpfs none /tmp/$$; ln -s /usr/bin/* /tmp/$$/; rm /tmp/$$/qemu-img
        PATH=/tmp/$$ exec \"$@\"";
    for (target, way, words) in [
        ("noble-x64", "exec setpriv --reuid 65534 --clear-groups \"$@\"", "requires root"),
        ("noble-x64", no_loops, "requires loop devices"),
        ("noble-x64", &no_room, "requires 10 GiB of free space"),
        ("noble-x64", no_tool, "install the package qemu-utils"),
        ("noble-s390x", "exec \"$@\"", "architecture x86_64"),
        ("warty-x64", "exec \"$@\"", "use BASE-ARCHITECTURE, such as noble-x64"),
    ] {
        let said = said(&bench, target, way);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_second_build_waits_for_nobody_and_harms_nobody() {
    let bench = Workbench::complete();
    let mut first = bench.start();
    assert!(first.lines.nth(1).is_some(), "it has begun");
    let said = bench.failure(&[]);
    assert!(said.contains("another build is running"), "{said}");
    assert!(first.lines.count() > 1 && first.child.wait().unwrap().success());
}
