//! Actions and commands.

use std::fs;

use crate::kept::kept;

const RUN: &str = "[ $HOOK != run ] || {
    action-log looking
    action-set job=7 forced=$(action-get force)
    [ $(action-get force) != True ] || { action-fail 'not that'; exit 3; }
}
[ $HOOK != watch ] || while [ ! -e \"$GATE\" ]; do sleep 0.05; done";

#[test]
fn an_action_shows_its_results() {
    kept(|juju| {
        juju.deploy(RUN);
        let said = juju.says(&["run", "sample/leader", "run"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.stdout.trim_end(), "forced: 'False'\njob: '7'", "{said:?}");
        assert!(
            said.stderr.starts_with("Running operation 1 with 1 task\n  - task 2 on unit-sample-0\n"),
            "{said:?}"
        );
        assert!(said.stderr.contains(" looking\n"), "{said:?}");
        let run = juju.json(&["run", "sample/0", "run", "force=false", "--wait=1m"]);
        let task = &run["sample/0"];
        assert_eq!((&task["status"], &task["unit"]), (&"completed".into(), &"sample/0".into()));
        assert_eq!((&task["results"]["job"], &task["results"]["return-code"]), (&"7".into(), &0.into()));
        let id = task["id"].as_str().unwrap();
        assert_eq!(id, "4");
        assert_eq!(juju.json(&["show-task", id])["results"]["job"], "7");
        let operation = juju.json(&["show-operation", "3"]);
        assert_eq!(operation["summary"], "run run on unit-sample-0");
        assert_eq!(operation["action"]["parameters"]["force"], false);
        assert_eq!(operation["tasks"]["4"]["host"], "sample/0");
        assert_eq!(juju.json(&["operations"]).as_object().unwrap().len(), 2);
    });
}

#[test]
fn an_action_that_fails_fails_the_command() {
    kept(|juju| {
        juju.deploy(RUN);
        fs::write(juju.folder.join("params.yaml"), "force: true\n").unwrap();
        let said = juju.says(&["run", "sample/0", "run", "--params", "params.yaml"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            said.stderr.contains("ERROR the following task failed:\n - id \"2\" with return code 3\n"),
            "{said:?}"
        );
        assert!(said.stdout.starts_with("Action id 2 failed: "), "{said:?}");
        // As the real client has it, this is no error.
        let nothing = |words: &[&str], why: &str| {
            let said = juju.says(words);
            assert!(said.stderr.contains("failed to schedule any tasks:\n"), "{said:?}");
            assert_eq!((said.code, said.stderr.contains(why)), (Some(0), true), "{said:?}");
        };
        nothing(&["run", "sample/0", "dance"], "action \"dance\" not defined");
        nothing(&["run", "sample/0", "run", "force=maybe"], "must be of type boolean");
        nothing(&["run", "sample/7", "run"], "unit \"sample/7\" not found");
        let refusal = |words: &[&str]| juju.says(words).stderr;
        assert_eq!(refusal(&["run", "run"]), "ERROR no unit specified\n");
        assert_eq!(refusal(&["run", "sample/0"]), "ERROR no action specified\n");
        let two = ["run", "sample/0", "other/0", "run"];
        assert_eq!(refusal(&two), "ERROR all units must be of the same application\n");
    });
}

#[test]
fn who_does_not_wait_for_an_action_sees_its_end_later() {
    kept(|juju| {
        let gate = juju.folder.join("gate");
        juju.deploy(&format!("GATE={}\n{RUN}", gate.display()));
        let said = juju.says(&["run", "sample/0", "watch", "--wait=100ms"]);
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains("ERROR timed out waiting for results from: unit sample/0"), "{said:?}");
        assert_eq!(juju.json(&["show-task", "2"])["status"], "running");
        let said = juju.says(&["run", "sample/0", "watch", "--background"]);
        assert!(said.stderr.starts_with("Scheduled operation 3 with task 4\n"), "{said:?}");
        assert!(
            said.stderr.contains("'juju show-operation 3'") && said.stderr.contains("'juju show-task 4'")
        );
        fs::write(&gate, "").unwrap();
        assert_eq!(juju.json(&["show-task", "4", "--wait", "2m"])["status"], "completed");
        assert_eq!(juju.json(&["show-operation", "1"])["status"], "completed");
        let table = juju.run(&["operations", "--actions", "watch", "--status", "completed"]);
        assert_eq!(table.lines().filter(|line| line.ends_with("watch run on unit-sample-0")).count(), 2);
    });
}

#[test]
fn one_operation_has_a_task_for_each_unit() {
    kept(|juju| {
        juju.deploy(RUN);
        juju.run(&["add-unit", "sample"]);
        juju.wait_for_message("sample/1", "ready");
        let said = juju.says(&["run", "sample/0", "sample/1", "run"]);
        assert!(said.stderr.starts_with("Running operation 1 with 2 tasks\n"), "{said:?}");
        assert!(said.stdout.starts_with("sample/0:\n  id: '2'\n"), "{said:?}");
        assert!(said.stdout.contains("sample/1:\n  id: '3'\n"), "{said:?}");
        let exec = juju.json(&["exec", "--application", "sample", "echo $JUJU_UNIT_NAME"]);
        assert_eq!(exec["sample/1"]["results"]["stdout"], "sample/1\n");
        assert_eq!((&exec["sample/0"]["id"], &exec["sample/1"]["id"]), (&"5".into(), &"6".into()));
    });
}

#[test]
fn commands_run_in_the_units_context() {
    kept(|juju| {
        juju.deploy("");
        assert_eq!(
            juju.run(&["exec", "--unit", "sample/leader", "echo $JUJU_UNIT_NAME; is-leader"]),
            "sample/0\nTrue\n"
        );
        assert_eq!(
            juju.run(&["exec", "--unit", "sample/0", "--", "printf", "%s", "two words"]),
            "two words\n"
        );
        let exec = juju.json(&["exec", "-u", "sample/0", "echo out"]);
        assert_eq!(exec["sample/0"]["results"]["stdout"], "out\n");
        let said = juju.says(&["exec", "--unit", "sample/0", "echo bad; exit 4"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), "bad\n"));
        assert!(said.stderr.contains("with return code 4"), "{said:?}");
    });
}

#[test]
fn an_agent_restarts_and_goes_on() {
    kept(|juju| {
        juju.deploy("");
        juju.run(&["exec", "--machine", "0", "--", "sudo", "systemctl", "restart", "jujud-machine-0"]);
        assert_eq!(juju.run(&["exec", "--unit", "sample/0", "echo there"]), "there\n");
        let said = juju.says(&["exec", "--machine", "0", "reboot"]);
        assert_eq!((said.code, said.stderr.contains("only systemctl restart")), (Some(1), true), "{said:?}");
        let said = juju.says(&["exec", "--machine", "7", "systemctl restart jujud-machine-7"]);
        assert_eq!(said.stderr, "ERROR machine 7 not found\n");
    });
}
