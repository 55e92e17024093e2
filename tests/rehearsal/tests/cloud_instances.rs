//! Promises of the instances: real ssh, a tree of their own, nothing on the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cloud_support;

use std::path::Path;
use std::process::Command;

use cloud_support::{Ssh, cloud, feed, log_in, text, until};
use serde_json::json;

#[test]
fn ssh_runs_commands_as_ubuntu_and_as_root() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ssh = Ssh::new(&cloud);
    let image = builder.upload("base", b"x");
    let id = builder.launch(&image, &ssh.user_data);
    let server = builder.await_status(&id, "ACTIVE");

    let out = ssh.run(&server, "whoami; pwd; cat; echo oops >&2; exit 7", "from outside");
    assert_eq!(text(&out.stdout), "ubuntu\n/home/ubuntu\nfrom outside");
    assert_eq!((text(&out.stderr).as_str(), out.status.code()), ("oops\n", Some(7)));

    // Without sudo the system is out of reach.
    assert!(!ssh.run(&server, "touch /etc/nope", "").status.success());
    assert_eq!(ssh.root(&server, "cloud-init status --wait; id -u; touch /etc/yes"), "status: done\n0\n");
    assert!(!Path::new("/etc/yes").exists());
    assert!(cloud.project("builder-project").server_tree(&id).unwrap().join("etc/yes").exists());

    // Another key is not let in.
    let stranger = Ssh::new(&cloud);
    let refused = feed(stranger.command(&server).args(["-o", "StrictHostKeyChecking=no", "true"]), "");
    assert_eq!(refused.status.code(), Some(255));
}

#[test]
fn one_connection_serves_many_sessions_and_large_streams() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ssh = Ssh::new(&cloud);
    let image = builder.upload("base", b"x");
    let id = builder.launch(&image, &ssh.user_data);
    let server = builder.await_status(&id, "ACTIVE");
    ssh.run(&server, "true", "");
    let socket = ssh.path("master");
    let shared = |command: &mut Command| {
        command.arg("-S").arg(&socket);
    };
    let mut master = ssh.command(&server);
    shared(&mut master);
    let mut master = master.args(["-M", "-N"]).spawn().unwrap();
    until(|| socket.exists().then_some(()));
    let big = "0123456789abcdef".repeat(1 << 18);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut command = ssh.command(&server);
                shared(&mut command);
                let out = feed(command.arg("cat"), "");
                assert!(out.status.success());
            });
        }
        let mut command = ssh.command(&server);
        shared(&mut command);
        let out = feed(command.arg("tee copy | sha256sum; wc -c < copy"), &big);
        assert!(text(&out.stdout).ends_with(&format!("{}\n", big.len())), "{}", text(&out.stdout));
    });
    let mut bye = ssh.command(&server);
    shared(&mut bye);
    feed(bye.args(["-O", "exit"]), "");
    master.wait().unwrap();
}

const RECIPE: &str = r"
apt-get -y update > /dev/null
apt-get -y dist-upgrade > /dev/null
apt-get -y install --no-install-recommends jq docker.io > /dev/null
! apt-get -y install no-such-package 2> /dev/null
useradd --create-home --shell /bin/bash runner
usermod -aG docker runner
echo 'runner ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/runner && visudo -cf /etc/sudoers.d/runner > /dev/null
install -d -o runner -g runner /home/runner/actions-runner
printf hello > /home/runner/actions-runner/file
chown -R runner:runner /home/runner/actions-runner
ln -s /home/runner/actions-runner /opt/runner
systemctl disable --now apt-daily.timer && systemctl mask apt-daily.service
! systemctl enable no-such-unit 2> /dev/null
sudo -n -u runner id -Gn
dpkg-query -W -f='${Package} ${Status}\n' jq
cloud-init clean --logs --machine-id --seed --configs all
rm -f /etc/ssh/ssh_host_* /home/ubuntu/.ssh/authorized_keys
sync
";

#[test]
fn what_a_recipe_did_is_in_the_snapshot_and_in_what_boots_from_it() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ssh = Ssh::new(&cloud);
    let image = builder.upload("base", b"x");
    let id = builder.launch(&image, &ssh.user_data);
    let server = builder.await_status(&id, "ACTIVE");
    let machine_id = ssh.root(&server, "cloud-init status --wait > /dev/null; cat /etc/machine-id");
    assert_eq!(ssh.root(&server, RECIPE), "runner docker\njq install ok installed\n");
    assert_eq!(builder.act(&id, &json!({"os-stop": null})).status, 202);
    let stopped = builder.await_status(&id, "SHUTOFF");
    assert_eq!(feed(ssh.command(&stopped).arg("true"), "").status.code(), Some(255));

    let (first, second) = (builder.snapshot(&id, "snap"), {
        builder.await_status(&id, "SHUTOFF");
        builder.snapshot(&id, "again")
    });
    let project = cloud.project("builder-project");
    assert_eq!(project.image_bytes(&first).unwrap(), project.image_bytes(&second).unwrap());
    let tree = project.image_tree(&first).unwrap();
    assert_eq!(tree.text("home/runner/actions-runner/file"), "hello");
    assert!(!tree.has("etc/machine-id"), "cloud-init clean has removed it");
    assert!(tree.has("usr/bin/jq") && !tree.has("etc/ssh/ssh_host_ed25519_key"));

    let consumer = Ssh::new(&cloud);
    let copy = builder.launch(&first, &consumer.user_data);
    let copied = builder.await_status(&copy, "ACTIVE");
    let seen = consumer.root(&copied, "cat /opt/runner/file; echo; id -Gn runner; cat /etc/machine-id");
    assert!(seen.starts_with("hello\nrunner docker\n"), "{seen}");
    assert!(!seen.ends_with(&machine_id) && !seen.contains("uninitialized"), "{seen}");
}

#[test]
fn commands_that_nobody_knows_fail() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ssh = Ssh::new(&cloud);
    let image = builder.upload("base", b"x");
    let id = builder.launch(&image, &ssh.user_data);
    let server = builder.await_status(&id, "ACTIVE");
    for command in [
        "apt-get --frobnicate update",
        "systemctl frobnicate",
        "useradd --frobnicate x",
        "snap install no-such-snap",
        "mkfs.ext4 /dev/null",
        "curl -fsS http://example.com/",
        "cloud-init frobnicate",
    ] {
        let out = ssh.run(&server, &format!("sudo -n {command}"), "");
        assert!(!out.status.success(), "{command} succeeded: {}", text(&out.stdout));
    }
}

#[test]
fn user_data_that_is_wrong_makes_cloud_init_fail() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ssh = Ssh::new(&cloud);
    let image = builder.upload("base", b"x");
    let id = builder.launch(&image, &format!("{}no_such_key: 1\n", ssh.user_data));
    let server = builder.await_status(&id, "ACTIVE");
    let out = ssh.run(&server, "cloud-init status --wait --long", "");
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("unknown key no_such_key"), "{}", text(&out.stdout));
}

#[test]
fn nothing_survives_the_cloud() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ssh = Ssh::new(&cloud);
    let image = builder.upload("base", b"x");
    let id = builder.launch(&image, &ssh.user_data);
    let server = builder.await_status(&id, "ACTIVE");
    let mark = (1_000_000 + std::process::id()).to_string();
    ssh.root(&server, &format!("setsid sleep {mark} > /dev/null 2>&1 < /dev/null &"));
    let running = || {
        let found = Command::new("pgrep").args(["-fx", &format!("sleep {mark}")]).output().unwrap();
        found.status.success()
    };
    cloud_support::until(|| running().then_some(()));
    let directory = cloud.directory().to_owned();
    drop(cloud);
    cloud_support::until(|| (!running()).then_some(()));
    assert!(!directory.exists());
}
