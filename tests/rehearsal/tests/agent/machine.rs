//! What units of one machine share: its lock, and an agent that can be stopped.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rehearsal::agent::{ActionRun, ActionStatus, Application, StoppedSocket, Unit};
use serde_json::json;

use crate::charm::{Deployed, deployed};

const PATIENCE: Duration = Duration::from_secs(60);

/// Each action waits for the file `go` of its charm's folder.
const WAITS: &str =
    "case $JUJU_DISPATCH_PATH in actions/*) touch began; while [ ! -e go ]; do sleep 0.02; done;; esac";

/// The sample, and an application of the same charm on its machine.
fn neighbours() -> (Deployed, Application) {
    let it = deployed(1, WAITS);
    let neighbour = it.model.deployment(it.charm.path(), "neighbour").beside(&it.app.unit(0)).unwrap();
    let neighbour = neighbour.run().unwrap();
    (it, neighbour)
}

/// Runs an action in the background; returns once its process runs.
fn begin(it: &Deployed, action: &'static str) -> (mpsc::Receiver<ActionRun>, PathBuf) {
    let unit = it.app.unit(0);
    let folder = unit.charm_dir().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || drop(sender.send(unit.run_action(action, json!({})).unwrap())));
    it.model.wait_until("the action to run", PATIENCE, || folder.join("began").exists()).unwrap();
    (receiver, folder.join("go"))
}

/// A hook of the unit, in the background.
fn hook(unit: Unit) -> mpsc::Receiver<bool> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(unit.update_status().unwrap().succeeded()));
    receiver
}

#[test]
fn an_action_holds_the_hooks_of_all_units_of_its_machine() {
    let (it, neighbour) = neighbours();
    let (action, go) = begin(&it, "run");
    let held = hook(neighbour.unit(0));
    assert!(held.recv_timeout(Duration::from_millis(300)).is_err(), "it ran beside the action");
    std::fs::write(go, "").unwrap();
    assert_eq!(action.recv_timeout(PATIENCE).unwrap().status, ActionStatus::Completed);
    assert!(held.recv_timeout(PATIENCE).unwrap());
}

#[test]
fn a_parallel_action_holds_its_own_unit_only() {
    let (it, neighbour) = neighbours();
    let (action, go) = begin(&it, "watch");
    assert!(hook(neighbour.unit(0)).recv_timeout(PATIENCE).unwrap());
    let held = hook(it.app.unit(0));
    assert!(held.recv_timeout(Duration::from_millis(300)).is_err(), "it ran beside its unit's action");
    std::fs::write(go, "").unwrap();
    assert_eq!(action.recv_timeout(PATIENCE).unwrap().status, ActionStatus::Completed);
    assert!(held.recv_timeout(PATIENCE).unwrap());
}

/// What a call of `juju-exec` says when it fails.
fn juju_exec(unit: &Unit) -> Result<(), String> {
    let output = unit.command("juju-exec").unwrap().args([&unit.name(), "true"]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn while_agents_are_stopped_nothing_runs_and_juju_exec_fails() {
    let it = deployed(1, "");
    let unit = it.app.unit(0);
    for (socket, words) in
        [(StoppedSocket::Missing, "No such file"), (StoppedSocket::Refusing, "Connection refused")]
    {
        let before = unit.runs().len();
        it.model.stop_agents(socket).unwrap();
        assert!(juju_exec(&unit).unwrap_err().contains(words));
        assert!(unit.update_status().unwrap_err().to_string().contains("is stopped"));
        assert_eq!(unit.runs().len(), before);
        it.model.start_agents().unwrap();
        juju_exec(&unit).unwrap();
        assert_eq!(unit.runs().len(), before + 1, "no hook tells that the agent is back");
    }
}

#[test]
fn what_the_controller_has_for_a_stopped_agent_runs_when_it_is_back() {
    let it = deployed(1, "");
    let unit = it.app.unit(0);
    it.model.repeat_config_changed(None);
    it.model.stop_agents(StoppedSocket::Missing).unwrap();
    assert_eq!(it.app.set_config(&[("interval", "7")]).unwrap().len(), 0);
    let before = unit.hooks().len();
    it.model.start_agents().unwrap();
    unit.wait_idle(PATIENCE).unwrap();
    assert_eq!(unit.hooks()[before..], ["config-changed"]);
}
