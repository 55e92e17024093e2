//! The worker as a process: on its own, from a copy of the binary, and replaced when it dies.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rehearsal::agent::{JujuVersion, Tracing};
use runner_image_builder::record::Remedy;
use serde_json::json;

use crate::cloud::NOBODY;
use crate::deploy::{PASSWORD, Plan};
use crate::machine::{PATIENCE, PROMPT, all_succeeded};

/// Parent, process group and session of a process.
fn ids(pid: u32) -> [u32; 3] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    [1, 2, 3].map(|field| fields[field].parse().unwrap())
}

#[test]
fn is_in_a_session_and_process_group_of_its_own() {
    let (site, _relation) = Plan::new().related();
    let worker = site.worker();
    let [_, group, session] = ids(worker.pid);
    let [_, our_group, our_session] = ids(std::process::id());
    assert_eq!((group, session), (worker.pid, worker.pid));
    assert!(group != our_group && session != our_session);
}

#[test]
fn holds_no_pipe_of_the_hook_that_started_it() {
    let (site, _relation) = Plan::new().related();
    let worker = site.worker();
    for descriptor in 0..3 {
        let target = fs::read_link(format!("/proc/{}/fd/{descriptor}", worker.pid)).unwrap();
        assert_eq!(target.to_str(), Some("/dev/null"), "descriptor {descriptor}");
    }
}

#[test]
fn has_nothing_of_the_hooks_environment_but_what_it_needs() {
    let plan = Plan::new().juju(JujuVersion::V4);
    let site = plan.configured();
    let tracing = Tracing { http: "http://t:1".into(), grpc: "t:2".into(), ca_certificate: "PEM".into() };
    site.model.set_tracing(tracing);
    site.app.integrate("image", "runners", &[&plan.project().data()]).unwrap();
    let environment = fs::read(format!("/proc/{}/environ", site.worker().pid)).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let names: BTreeSet<&str> =
        environment.split_terminator('\0').map(|pair| pair.split_once('=').unwrap().0).collect();
    let allowed = BTreeSet::from(["HOME", "LANG", "PATH", "RUNNER_IMAGE_BUILDER_ROOT"]);
    assert!(names.is_subset(&allowed) && names.contains("PATH"), "{names:?}");
    assert!(!environment.contains(PASSWORD) && !environment.contains("correct horse"));
}

#[test]
fn one_that_was_killed_is_replaced_by_the_next_hook_with_secrets_and_all() {
    let (site, _relation) = Plan::new().related();
    let secret = site.model.add_secret(&[("token", "sesame")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.kill_worker();
    site.app.set_config(&[("script-secret-id", &secret.uri())]).unwrap();
    let (first, request) = (site.worker(), site.request().unwrap());
    assert!(request.has_secrets);
    site.kill_worker();

    site.next_hook();
    let second = site.worker();
    let again = site.request().unwrap();
    assert_ne!(second.pid, first.pid);
    assert_eq!((again.reason, again.config), (request.reason, request.config));
    // It did not report lost secrets: it has them, and is at its cloud.
    assert!(site.journal().running().unwrap().failures.is_empty());
    assert!(site.worker_lives());
}

#[test]
fn what_none_has_taken_up_is_not_asked_for_again() {
    let (site, _relation) = Plan::new().related();
    site.kill_worker();
    let _ = fs::remove_file(site.state_file("journal.json"));
    let asked = site.request().unwrap().id;
    site.next_hook();
    site.worker();
    assert_eq!(site.request().unwrap().id, asked);
}

#[test]
fn one_that_finds_its_secrets_lost_calls_a_hook_that_brings_them() {
    let (site, _relation) = Plan::new().related();
    let secret = site.model.add_secret(&[("token", "sesame")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.kill_worker();
    site.app.set_config(&[("script-secret-id", &secret.uri())]).unwrap();
    let lost = site.request().unwrap().id;
    site.worker();
    site.kill_worker();
    // As after a reboot, when something starts a worker before any hook ran.
    let binary = fs::read_dir(site.state_file("bin")).unwrap().next().unwrap().unwrap().path();
    let mut worker = site.unit().command(binary.to_str().unwrap()).unwrap().arg("work").spawn().unwrap();
    let asked_again = || site.request().unwrap().id != lost && site.worker_lives();
    site.model.wait_until("the hook to bring the secrets", PATIENCE, asked_again).unwrap();
    let called = || site.model.runs().iter().any(|run| run.name.contains("JUJU_DISPATCH_PATH=worker"));
    site.model.wait_until("the worker's call to end", PATIENCE, called).unwrap();
    site.kill_worker();
    worker.wait().unwrap();
}

#[test]
fn there_is_one_however_many_are_started() {
    let (site, _relation) = Plan::new().related();
    let worker = site.worker();
    let second =
        site.unit().command(site.charm.join("dispatch").to_str().unwrap()).unwrap().arg("work").status();
    assert!(second.unwrap().success());
    for hook in ["update-status", "config-changed", "start", "upgrade-charm", "install"] {
        assert!(site.unit().fire(hook).unwrap().succeeded(), "{hook}");
    }
    assert_eq!(site.workers(), [worker]);
}

#[test]
fn a_refresh_in_the_middle_of_a_build_changes_nothing_for_it() {
    let (site, _relation) = Plan::new().related();
    let worker = site.worker();
    let link = format!("/proc/{}/exe", worker.pid);
    let executable = || fs::read_link(&link).unwrap();
    assert!(executable().starts_with(site.state_file("bin")), "{}", executable().display());
    let before = fs::read(executable()).unwrap();
    all_succeeded(site.app.refresh(site.next_charm().path()).unwrap());
    assert_eq!(site.workers(), [worker]);
    assert_eq!(fs::read(executable()).unwrap(), before);
    site.assert_status("maintenance: ");

    site.kill_worker();
    site.next_hook();
    site.worker();
    let copies = fs::read_dir(site.state_file("bin")).unwrap().count();
    assert_eq!(copies, 2, "the new worker runs the new version");
    site.settle();
    assert!(site.unit().fire("upgrade-charm").unwrap().succeeded());
    assert_eq!(fs::read_dir(site.state_file("bin")).unwrap().count(), 0, "no worker, no binaries");
}

#[test]
fn a_cloud_that_refuses_is_told_of_and_tried_again_later() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    let told = |status: &rehearsal::agent::Status| status.message.starts_with("Build failed: ");
    let status = site.unit().wait_for(told, PATIENCE).unwrap();
    assert_eq!(status.state, "maintenance");
    assert!(status.message.contains("127.0.0.1:1") && status.message.contains(", next try "), "{status}");
    site.model.wait_until("the worker to end", PATIENCE, || !site.worker_lives()).unwrap();
    let failed = site.journal().job.unwrap();
    assert!(failed.failures.iter().all(|failure| failure.remedy == Remedy::Retry), "{failed:?}");
    site.next_hook();
    assert_eq!(site.request().unwrap().id, failed.id, "not before its time");
    site.time_has_come();
    site.next_hook();
    let request = site.request().unwrap();
    assert_eq!(serde_json::to_value(request.reason).unwrap(), "retry");
}

#[test]
fn a_hanging_cloud_holds_no_hook() {
    no_hook_is_held(&Plan::new());
}

#[test]
fn a_name_server_that_never_answers_holds_no_hook() {
    no_hook_is_held(&Plan::new().keystone("http://keystone.invalid:5000/v3").nameless());
}

fn no_hook_is_held(plan: &Plan) {
    let (site, relation) = plan.related();
    let worker = site.worker();
    let started = site.model.runs().len();
    site.app.set_config(&[("build-interval", "9"), ("base-image", "jammy")]).unwrap();
    let cron = fs::read_to_string(site.host().path("/etc/cron.d/build-runner-image")).unwrap();
    assert!(cron.contains("% 9 "), "{cron}");
    assert_eq!(site.request().unwrap().config.targets, [crate::machine::JAMMY]);
    assert_eq!(site.workers(), [worker]);
    site.unit().run_action("run", json!({})).unwrap();
    all_succeeded(relation.set_remote_unit(0, &[("password", "rotated")]).unwrap());
    site.next_hook();
    let runs = site.model.runs();
    // Juju may have run config-changed twice.
    assert!(runs.len() >= started + 4);
    for run in &runs[started..] {
        assert!(run.wall < PROMPT, "{} took {:?}", run.name, run.wall);
    }
}

#[test]
fn one_that_makes_no_progress_for_longer_than_its_step_may_take_is_replaced() {
    let (site, _relation) = Plan::new().related();
    let stopped = site.worker();
    let job = site.request().unwrap().id;
    assert!(Command::new("kill").args(["-STOP", &stopped.pid.to_string()]).status().unwrap().success());
    let grow_old = |hours: u64| {
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        for file in ["journal.json", "worker.lock"] {
            fs::File::options().write(true).open(site.state_file(file)).unwrap().set_modified(then).unwrap();
        }
    };
    grow_old(1);
    site.next_hook();
    assert_eq!(
        site.workers().iter().map(|worker| worker.pid).collect::<Vec<_>>(),
        [stopped.pid],
        "it may yet come"
    );
    grow_old(4);
    site.next_hook();
    let next = site.worker();
    assert_ne!(next.pid, stopped.pid);
    let request = site.request().unwrap();
    assert_eq!(request.continues, [job], "what it has built counts");
    let log = site.model.debug_log();
    assert!(log.iter().any(|line| line.message.contains("has made no progress for 240 min")), "{log:#?}");
}

#[test]
fn what_it_has_started_ends_with_it_when_it_is_killed() {
    let (site, _relation) = Plan::new().related();
    let secret = site.model.add_secret(&[("token", "sesame")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.kill_worker();
    site.app.set_config(&[("script-secret-id", &secret.uri())]).unwrap();
    site.worker();
    site.kill_worker();
    let folder = tempfile::tempdir().unwrap();
    let (lock, program) = (folder.path().join("lock"), folder.path().join("juju-exec"));
    // Holds the lock as long as it lives.
    let script = format!("#!/bin/sh\nexec 9>{}; flock 9; exec sleep 900\n", lock.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // The secrets of its job are lost with the one before: it has nothing to do but to call for a hook.
    let binary = fs::read_dir(site.state_file("bin")).unwrap().next().unwrap().unwrap().path();
    let mut worker = site.unit().command(binary.to_str().unwrap()).unwrap();
    let path = |variable: &OsStr| format!("{}:{}", folder.path().display(), variable.display());
    let path =
        worker.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value).map(path).unwrap();
    let mut worker = worker.arg("work").env("PATH", path).spawn().unwrap();
    let flock = |option: &str, time: &str| {
        let status = Command::new("flock").args([option, time]).arg(&lock).arg("true").status();
        status.unwrap().success()
    };
    let held = || lock.exists() && !flock("--timeout", "0");
    site.model.wait_until("the worker to call for a hook", PATIENCE, held).unwrap();
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(flock("--timeout", "60"), "the call outlives its worker");
}

#[test]
fn leaves_no_image_of_its_memory_behind() {
    let (site, _relation) = Plan::new().related();
    let limits = fs::read_to_string(format!("/proc/{}/limits", site.worker().pid)).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
}

#[test]
fn one_whose_memory_is_limited_leaves_builds_on_this_machine_to_another() {
    let (site, _relation) = Plan::new().option("build-mode", "local").related();
    assert!(!site.worker().command.contains("--limited"), "{}", site.worker().command);
    site.kill_worker();
    let binary = fs::read_dir(site.state_file("bin")).unwrap().next().unwrap().unwrap().path();
    let mut limited = site.unit().command(binary.to_str().unwrap()).unwrap();
    assert!(limited.args(["--limited", "work"]).status().unwrap().success());
    assert!(!site.worker().command.contains("--limited"), "{}", site.worker().command);
    site.kill_worker();
    let (site, _relation) = Plan::new().related();
    assert!(site.worker().command.ends_with(" --limited work"), "{}", site.worker().command);
}
