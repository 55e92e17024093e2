//! Turns: actions, `juju-exec`, and that there is one at a time.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rehearsal::agent::{ActionStatus, RunKind};
use serde_json::json;

use crate::charm::{Deployed, deployed};

const ACTION: &str = "[ \"$HOOK\" = run ] || exit 0; action-log begin; action-set built.x64=yes ok=1; \
    echo $JUJU_DISPATCH_PATH $JUJU_ACTION_NAME $JUJU_ACTION_UUID \"$JUJU_HOOK_NAME\"; action-get --format=json; ";

#[test]
fn an_action_gets_its_parameters_with_defaults_and_gives_results() {
    let it = deployed(1, ACTION);
    let done = it.app.unit(0).run_action("run", json!({"bases": "noble"})).unwrap();
    assert_eq!(done.status, ActionStatus::Completed);
    assert_eq!(done.log, ["begin"]);
    let expected = json!({
        "built": {"x64": "yes"}, "ok": "1", "return-code": 0,
        "stdout": "actions/run run 1 \n{\"bases\":\"noble\",\"force\":false}\n",
    });
    assert_eq!(json!(done.results), expected);
}

#[test]
fn an_action_that_fails_says_so_and_leaves_the_unit_alone() {
    let it =
        deployed(1, &format!("{ACTION} action-fail 'no image'; state-set a=1; exit $(action-get times)"));
    let unit = it.app.unit(0);
    let failed = unit.run_action("run", json!({"times": 3})).unwrap();
    assert_eq!((failed.status, failed.message.as_str()), (ActionStatus::Failed, "exit status 3"));
    assert_eq!(failed.results["return-code"], 3);
    assert!(unit.charm_state().unwrap().is_empty());
    assert_eq!(unit.failed_hook().unwrap(), None);
}

#[test]
fn action_fail_alone_gives_the_message() {
    let it = deployed(1, &format!("{ACTION} action-fail 'no image'"));
    let failed = it.app.unit(0).run_action("run", json!(null)).unwrap();
    assert_eq!((failed.status, failed.message.as_str()), (ActionStatus::Failed, "no image"));
}

#[test]
fn parameters_are_checked_by_actions_yaml() {
    let it = deployed(1, "");
    let refusal = |name, params| it.app.unit(0).run_action(name, params).unwrap_err().to_string();
    assert!(refusal("built", json!({})).contains("action \"built\" not defined"));
    assert!(refusal("run", json!({"bases": 7})).contains("(root).bases : must be of type string, given 7"));
    assert!(refusal("run", json!({"times": 0})).contains("must be greater than or equal to 1"));
    assert!(refusal("run", json!({"base": "x"})).contains("additional property \"base\" is not allowed"));
    assert!(refusal("needy", json!({})).contains("\"who\" property is missing and required"));
}

/// A call of `juju-exec` as cron would make it.
fn juju_exec(it: &Deployed, args: &[&str]) -> std::process::Child {
    let mut command = it.app.unit(0).command("juju-exec").unwrap();
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn output(child: std::process::Child) -> (i32, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn juju_exec_runs_in_a_hook_context_in_the_charms_folder() {
    let it = deployed(1, "echo \"$JUJU_DISPATCH_PATH|$JUJU_HOOK_NAME|$JUJU_UNIT_NAME\"; is-leader");
    let child = juju_exec(&it, &["sample/0", "JUJU_DISPATCH_PATH=run ./dispatch"]);
    assert_eq!(output(child), (0, "run||sample/0\nTrue\n".to_owned(), String::new()));
    let run = it.app.unit(0).runs().pop().unwrap();
    assert_eq!((run.kind, run.calls.len()), (RunKind::Exec, 1));
    let child = juju_exec(&it, &["-u", "sample/0", "--", "sh", "-c", "echo 'a b'; exit 7"]);
    assert_eq!(output(child), (7, "a b\n".to_owned(), String::new()));
    assert_eq!(output(juju_exec(&it, &["echo only unit"])).1, "only unit\n");
}

#[test]
fn juju_exec_can_have_a_relations_context() {
    let it = deployed(1, "");
    it.app.integrate("image", "runners", &[&[("a", "1")]]).unwrap();
    let child = juju_exec(&it, &["-r", "image:1", "sample/0", "relation-get a; echo $JUJU_REMOTE_UNIT"]);
    assert_eq!(output(child).1, "1\nrunners/0\n");
    let (code, _, stderr) = output(juju_exec(&it, &["-r", "image:8", "sample/0", "true"]));
    assert_eq!((code, stderr.as_str()), (1, "ERROR unknown relation id: 8\n"));
}

#[test]
fn juju_exec_refuses_what_the_real_one_refuses() {
    let it = deployed(1, "[ \"$HOOK\" != update-status ] || juju-exec sample/0 true; true");
    let run = it.app.unit(0).update_status().unwrap();
    assert!(run.stderr.starts_with(
        "ERROR juju-exec cannot be called from within a hook, have context \"sample/0-update-status-"
    ));
    assert_eq!(output(juju_exec(&it, &["sample/0"])).2, "ERROR missing commands\n");
    let elsewhere = "ERROR unit \"sample/4\" not found on this machine\n";
    assert_eq!(output(juju_exec(&it, &["sample/4", "true"])).2, elsewhere);
    let unknown = "ERROR option provided but not defined: --context\n";
    assert_eq!(
        output(juju_exec(&it, &["--context", "sample/0", "true"])),
        (2, String::new(), unknown.to_owned())
    );
}

#[test]
fn what_juju_exec_wrote_counts_even_if_the_commands_failed() {
    let it = deployed(1, "");
    assert_eq!(output(juju_exec(&it, &["sample/0", "state-set a=1; exit 1"])).0, 1);
    assert_eq!(it.app.unit(0).charm_state().unwrap()["a"], "1");
}

#[test]
fn turns_never_overlap() {
    let critical = "mkdir lock || echo OVERLAP >> overlap; sleep 0.1; rmdir lock";
    let it = deployed(1, &format!("[ \"$HOOK\" = install ] || {{ {critical}; }}"));
    let unit = it.app.unit(0);
    let children: Vec<_> =
        (0..4).map(|_| juju_exec(&it, &["sample/0", "JUJU_DISPATCH_PATH=run ./dispatch"])).collect();
    let action = std::thread::spawn({
        let unit = unit.clone();
        move || unit.run_action("run", json!({})).unwrap()
    });
    unit.update_status().unwrap();
    assert_eq!(action.join().unwrap().status, ActionStatus::Completed);
    assert!(children.into_iter().all(|child| output(child).0 == 0));
    assert!(!unit.charm_dir().unwrap().join("overlap").exists());
    let mut runs = unit.runs();
    runs.sort_by_key(|run| run.started);
    assert!(runs.windows(2).all(|pair| pair[0].started + pair[0].wall <= pair[1].started));
}

#[test]
fn juju_exec_waits_for_its_turn() {
    let hook = "while [ ! -e go ]; do sleep 0.05; done; sleep 1; echo hook >>order";
    let it = deployed(1, &format!("[ \"$HOOK\" != update-status ] || {{ {hook}; }}"));
    let unit = it.app.unit(0);
    let hook = std::thread::spawn({
        let unit = unit.clone();
        move || unit.update_status().unwrap()
    });
    it.model
        .wait_until("the hook to run", Duration::from_secs(60), || !unit.processes().unwrap().is_empty())
        .unwrap();
    let asked = juju_exec(&it, &["sample/0", "echo exec >>order; cat order"]);
    fs::write(unit.charm_dir().unwrap().join("go"), "").unwrap();
    assert_eq!(output(asked).1, "hook\nexec\n");
    hook.join().unwrap();
}

#[test]
fn a_detached_worker_calls_back_in_its_own_time() {
    let worker = "env -u JUJU_CONTEXT_ID setsid sh -c 'sleep 0.3; juju-exec sample/0 \"JUJU_DISPATCH_PATH=progress ./dispatch\"'";
    let script = format!(
        "case $HOOK in update-status) {worker} >/dev/null 2>&1 & status-set maintenance building;; \
        progress) status-set active built;; esac"
    );
    let it = deployed(1, &script);
    let unit = it.app.unit(0);
    unit.update_status().unwrap();
    assert_eq!(unit.status().unwrap().state, "maintenance");
    let status = unit.wait_for(|status| status.state == "active", Duration::from_secs(60)).unwrap();
    assert_eq!(status.message, "built");
    let error = unit.wait_for(|status| status.state == "blocked", Duration::from_millis(50)).unwrap_err();
    assert!(error.to_string().contains("active: built"), "{error}");
}

#[test]
fn unlike_a_hook_juju_exec_waits_for_all_who_hold_its_output() {
    let it = deployed(1, "");
    let began = Instant::now();
    let result = it.app.unit(0).exec("sleep 0.4 & echo first").unwrap();
    assert_eq!((result.code, result.stdout.as_str()), (0, "first\n"));
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn dropping_the_model_lets_a_waiting_juju_exec_go() {
    let it = deployed(1, "");
    let first = juju_exec(&it, &["sample/0", "sleep 300"]);
    let unit = it.app.unit(0);
    let sleeps = || unit.processes().unwrap().iter().any(|process| process.command == "sleep 300");
    it.model.wait_until("the first to sleep", Duration::from_secs(60), sleeps).unwrap();
    let second = juju_exec(&it, &["sample/0", "true"]);
    let began = Instant::now();
    drop(it);
    assert_ne!(output(first).0, 0);
    assert_ne!(output(second).0, 0);
    assert!(began.elapsed() < Duration::from_secs(120));
}
