//! Hook tools: strict about options, values and contexts, in Juju's words.

use std::time::Duration;

use rehearsal::agent::{Ending, JujuVersion};

use crate::charm::{deployed, deployed_on};

/// Runs each line as a hook of its own script; exit code and what it said.
fn call(lines: &[&str]) -> Vec<(u8, String)> {
    let it = deployed(1, &format!("[ \"$HOOK\" != update-status ] || {{ {}; }}; true", lines.join("; ")));
    let calls = it.app.unit(0).update_status().unwrap().calls;
    calls.into_iter().map(|call| (call.exit_code, call.stderr.trim_end().to_owned())).collect()
}

#[test]
fn refuse_options_that_they_do_not_know() {
    let calls = call(&[
        "config-get --fromat=json",
        "is-leader -x",
        "relation-ids --app image",
        "status-set active --format=json",
        "state-get --format",
        "is-leader --format=xml",
        "is-leader more",
    ]);
    assert_eq!(
        calls,
        [
            (2, "ERROR option provided but not defined: --fromat".to_owned()),
            (2, "ERROR option provided but not defined: -x".to_owned()),
            (2, "ERROR option provided but not defined: --app".to_owned()),
            (2, "ERROR option provided but not defined: --format".to_owned()),
            (2, "ERROR option needs an argument: --format".to_owned()),
            (2, "ERROR invalid value \"xml\" for option --format: unknown format \"xml\"".to_owned()),
            (2, "ERROR unrecognized args: [\"more\"]".to_owned()),
        ]
    );
}

#[test]
fn refuse_values_that_make_no_sense() {
    let calls = call(&[
        "status-set error x",
        "status-set",
        "state-set novalue",
        "state-set a=1 a=2",
        "open-port 70000",
        "unit-get hostname",
        "juju-log",
        "application-version-set",
    ]);
    assert_eq!(
        calls,
        [
            (
                2,
                "ERROR invalid status \"error\", expected one of [maintenance blocked waiting active]"
                    .to_owned()
            ),
            (2, "ERROR invalid args, require <status> [message]".to_owned()),
            (2, "ERROR expected \"key=value\", got \"novalue\"".to_owned()),
            (2, "ERROR key \"a\" specified more than once".to_owned()),
            (2, "ERROR invalid port range \"70000\"".to_owned()),
            (2, "ERROR unknown setting \"hostname\"".to_owned()),
            (2, "ERROR no message specified".to_owned()),
            (2, "ERROR no version specified".to_owned()),
        ]
    );
}

#[test]
fn refuse_what_does_not_belong_to_the_context() {
    let calls = call(&[
        "action-get",
        "action-set a=b",
        "action-fail x",
        "action-log x",
        "relation-get",
        "relation-get -r image:9 - x/0",
        "relation-get -r replicas:0",
        "relation-get -r replicas:0 - sample",
        "relation-list",
        "relation-ids",
        "relation-set a=b",
        "storage-get",
        "juju-reboot",
        "credential-get",
    ]);
    assert_eq!(
        calls,
        [
            (1, "ERROR not running an action".to_owned()),
            (1, "ERROR not running an action".to_owned()),
            (1, "ERROR not running an action".to_owned()),
            (1, "ERROR not running an action".to_owned()),
            (2, "ERROR no relation id specified".to_owned()),
            (2, "ERROR invalid value \"image:9\" for option -r: relation not found".to_owned()),
            (2, "ERROR no unit or application specified".to_owned()),
            (2, "ERROR expected unit name, got application name \"sample\"".to_owned()),
            (2, "ERROR no relation id specified".to_owned()),
            (2, "ERROR no endpoint name specified".to_owned()),
            (2, "ERROR no relation id specified".to_owned()),
            (2, "ERROR no storage instance specified".to_owned()),
            (1, "ERROR the machine of a rehearsal does not reboot".to_owned()),
            (1, "ERROR cannot access cloud credentials: permission denied".to_owned()),
        ]
    );
}

#[test]
fn answer_in_the_format_that_is_asked_for() {
    let script = "status-get; status-get --include-data --format=json; opened-ports --format=json; storage-list --format=yaml; \
        network-get image --ingress-address; goal-state --format=json; unit-get private-address -o addr; cat addr; \
        state-get --format=json; relation-list -r replicas:0 --app";
    let it =
        deployed(1, &format!("[ \"$HOOK\" != update-status ] || {{ status-set waiting 'a b'; {script}; }}"));
    let expected = "waiting\n{\"message\":\"a b\",\"status\":\"waiting\",\"status-data\":{}}\n[]\n[]\n10.0.0.10\n\
        {\"relations\":{\"replicas\":{\"sample\":{\"status\":\"joined\"}}},\"units\":{\"sample/0\":{\"status\":\"waiting\"}}}\n\
        10.0.0.10\n{}\nsample\n";
    assert_eq!(it.app.unit(0).update_status().unwrap().stdout, expected);
}

#[test]
fn juju_4_has_dropped_some() {
    let script = "command -v leader-get; command -v payload-register; command -v add-metric; true";
    let three = deployed_on(JujuVersion::V3_6, 1, script).app.unit(0).update_status().unwrap();
    let four = deployed_on(JujuVersion::V4, 1, script).app.unit(0).update_status().unwrap();
    assert_eq!(three.stdout.lines().count(), 3);
    assert_eq!(four.stdout, "");
}

#[test]
fn do_not_work_outside_of_a_hook() {
    let it = deployed(1, "[ \"$HOOK\" != update-status ] || echo $JUJU_CONTEXT_ID $(command -v is-leader)");
    let run = it.app.unit(0).update_status().unwrap();
    let (context, tool) = run.stdout.trim().split_once(' ').unwrap();
    let output = std::process::Command::new(tool).env_remove("JUJU_CONTEXT_ID").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ERROR JUJU_CONTEXT_ID not set\n");
    let output = std::process::Command::new(tool)
        .env("JUJU_CONTEXT_ID", context)
        .env("JUJU_AGENT_SOCKET_ADDRESS", it.model.dir().join("s"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("ERROR bad request: there is no context id"));
}

#[test]
fn can_be_made_slow_and_made_to_fail() {
    let it = deployed(1, "is-leader && config-get interval");
    it.model.delay_tools(Duration::from_millis(150));
    let run = it.app.unit(0).update_status().unwrap();
    assert!(run.wall >= Duration::from_millis(300));
    assert!(run.calls[0].duration >= Duration::from_millis(150));
    it.model.heal_tools();
    it.model.fail_tool("config-get", 1, "connection is shut down");
    let run = it.app.unit(0).update_status().unwrap();
    assert_eq!(run.ending, Ending::Code(1));
    assert_eq!(run.stderr, "ERROR connection is shut down\n");
    assert_eq!(run.calls[1].exit_code, 1);
}
