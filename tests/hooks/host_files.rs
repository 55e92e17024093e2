//! What lies on the machine: who may read it, when it is written, and that it is put right again.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::deploy::Plan;
use crate::machine::{Site, all_succeeded};

const CRON: &str = "/etc/cron.d/build-runner-image";
const LOGROTATE: &str = "/etc/logrotate.d/runner-image-builder";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// What a write would change.
fn trace(path: &Path) -> (u64, i64, i64, Vec<u8>) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), fs::read(path).unwrap())
}

fn kept(site: &Site) -> [PathBuf; 3] {
    [site.state_file("clouds.yaml"), site.host().path(CRON), site.host().path(LOGROTATE)]
}

#[test]
fn folders_and_files_with_secrets_are_roots_alone() {
    let (site, _relation) = Plan::new().settled();
    site.next_hook();
    let host = site.host();
    for folder in [host.state_dir(), host.run_dir(), host.log_dir()] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    for file in ["clouds.yaml", "request.json", "journal.json", "databags.json"] {
        assert_eq!(mode(&site.state_file(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&host.log_dir().join("worker.log")), 0o600);
}

#[test]
fn nothing_is_touched_while_nothing_changes() {
    let (site, relation) = Plan::new().settled();
    site.next_hook();
    let files: Vec<PathBuf> = kept(&site)
        .into_iter()
        .chain(["request.json", "databags.json", "unit"].map(|f| site.state_file(f)))
        .collect();
    let before: Vec<_> = files.iter().map(|file| trace(file)).collect();
    for hook in ["config-changed", "update-status", "start", "upgrade-charm"] {
        assert!(site.unit().fire(hook).unwrap().succeeded());
    }
    all_succeeded(relation.add_remote_unit(7, &[]).unwrap());
    all_succeeded(site.app.set_config(&[("build-interval", "7")]).unwrap());
    for (file, before) in files.iter().zip(before) {
        assert_eq!(trace(file) == before, !file.ends_with("build-runner-image"), "{}", file.display());
    }
}

#[test]
fn the_next_hook_puts_right_what_was_tampered_with() {
    let (site, _relation) = Plan::new().settled();
    for file in kept(&site) {
        let (good, right) = (fs::read(&file).unwrap(), mode(&file));
        fs::write(&file, "tampered").unwrap();
        site.next_hook();
        assert_eq!(fs::read(&file).unwrap(), good, "content of {}", file.display());
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        site.next_hook();
        assert_eq!(mode(&file), right, "mode of {}", file.display());
        fs::remove_file(&file).unwrap();
        site.next_hook();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (good, right), "{} deleted", file.display());
    }
    let state = site.host().state_dir();
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    site.next_hook();
    assert_eq!(mode(&state), 0o700);
}

#[test]
fn cron_asks_for_a_look_at_the_units_own_minute_and_every_so_many_hours() {
    let site = Plan::new().units(2).configured();
    let line = |number: u32| {
        let root = crate::deploy::root(site.dir.path(), number);
        let text = fs::read_to_string(root.join(&CRON[1..])).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    for unit in 0..2 {
        let call = format!("juju-exec image-builder/{unit} \"JUJU_DISPATCH_PATH=run ./dispatch\"");
        assert!(line(unit).contains(&call), "{}", line(unit));
        assert!(line(unit).contains(" \\% 6 )) -eq 0 ]"), "{}", line(unit));
        // In the other hours it only looks for releases.
        let other = line(unit).replace(" -eq 0 ]", " -ne 0 ]").replace("_PATH=run ", "_PATH=look ");
        let text = fs::read_to_string(crate::deploy::root(site.dir.path(), unit).join(&CRON[1..])).unwrap();
        assert_eq!(text.lines().filter(|line| *line == other).count(), 1, "{text}");
    }
    assert_ne!(line(0).split(' ').next(), line(1).split(' ').next());
    site.app.set_config(&[("build-interval", "7")]).unwrap();
    assert!(line(0).contains(" \\% 7 )) -eq 0 ]"), "{}", line(0));
}

#[test]
fn the_line_in_crons_file_runs_and_asks_for_a_job() {
    let (site, _relation) = Plan::new().option("build-interval", "1").settled();
    let before = site.request().unwrap();
    let text = fs::read_to_string(site.host().path(CRON)).unwrap();
    let command = text.lines().last().unwrap().split_once(" root ").unwrap().1.replace("\\%", "%");
    let shell: Command = {
        let mut shell = site.unit().command("/bin/sh").unwrap();
        shell.args(["-c", &command]);
        shell
    };
    let mut shell = shell;
    assert!(shell.status().unwrap().success(), "{command}");
    let request = site.request().unwrap();
    assert_ne!(request.id, before.id);
    assert_eq!(serde_json::to_value(request.reason).unwrap(), "schedule");
}

#[test]
fn logs_are_rotated_where_they_are() {
    let (site, _relation) = Plan::new().settled();
    let rules = fs::read_to_string(site.host().path(LOGROTATE)).unwrap();
    let logs = format!("{}/*.log {{", site.host().log_dir().display());
    assert!(rules.starts_with(&logs) && rules.contains("copytruncate"), "{rules}");
    assert!(site.host().log_dir().join("worker.log").exists());
    let logrotate = Command::new("logrotate").arg("--debug").arg(site.host().path(LOGROTATE)).output();
    let logrotate = logrotate.expect("logrotate must be installed: apt-get install logrotate");
    assert!(!String::from_utf8_lossy(&logrotate.stderr).contains("error:"), "{logrotate:?}");
}

#[test]
fn a_second_application_on_the_machine_is_blocked_and_takes_nothing_from_the_first() {
    let (site, relation) = Plan::new().settled();
    let files = || {
        let state = site.host().state_dir();
        let names = ["clouds.yaml", "journal.json", "request.json", "databags.json", "peers.json", "unit"];
        names.map(|name| fs::read(state.join(name)).unwrap())
    };
    site.next_hook();
    let (before, status) = (files(), site.status());
    let root = site.host().path("/");
    let deployment = site.model.deployment(&site.charm, "second");
    let second = deployment.env("RUNNER_IMAGE_BUILDER_ROOT", &root).run().unwrap();
    let unit = second.unit(0);
    let refusal = format!(
        "{} belongs to unit image-builder/0; deploy this application to a machine of its own",
        site.host().state_dir().display()
    );
    let assert_blocked = || {
        let status = unit.status().unwrap().to_string();
        assert!(status.starts_with("blocked: ") && status.contains(&refusal), "{status}");
    };
    assert_blocked();
    site.password.grant(&second).unwrap();
    all_succeeded(second.set_config(&[("openstack-password-secret", &site.password.uri())]).unwrap());
    for (endpoint, data) in [("image", &Plan::new().project().data()[..]), ("cos-agent", &[])] {
        let own = second.integrate(endpoint, "others", &[data]).unwrap();
        all_succeeded(own.remove().unwrap());
    }
    for (action, parameters) in [
        ("run", json!({})),
        ("cancel", json!({})),
        ("launch-runner", json!({"path": "octo/engine", "token-secret-id": site.password.uri()})),
    ] {
        let done = unit.run_action(action, parameters).unwrap();
        assert!(done.run.succeeded() && done.message.contains(&refusal), "{action}: {done:?}");
    }
    assert_blocked();
    all_succeeded(unit.runs());
    all_succeeded(second.remove().unwrap());
    site.next_hook();
    assert!(files() == before && site.status() == status, "{}", site.status());
    assert!(relation.id().is_ok() && site.host().path(CRON).exists());
}

#[test]
fn a_machine_that_another_unit_has_left_is_taken_at_the_next_look() {
    let site = Plan::new().configured();
    fs::write(site.state_file("unit"), "other/3\n").unwrap();
    site.next_hook();
    site.assert_status("blocked: The unit cannot work: ");
    assert!(site.status().contains("belongs to unit other/3"), "{}", site.status());
    fs::remove_dir_all(site.host().state_dir()).unwrap();
    site.next_hook();
    assert_eq!(site.status(), "blocked: image integration required.");
}
