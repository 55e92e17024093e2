//! Hooks: their order, environment, success and failure.

use std::fs;
use std::time::Duration;

use rehearsal::agent::{AgentError, Ending, JujuVersion, Level, Model};

use crate::charm::{charm, deployed, deployed_on, write};

#[test]
fn a_new_unit_installs_becomes_leader_gets_its_config_and_starts() {
    let it = deployed(1, "status-set active \"$HOOK\"");
    let expected = ["install", "replicas-relation-created", "leader-elected", "config-changed", "start"];
    assert_eq!(it.app.unit(0).hooks(), expected);
    assert_eq!(it.app.unit(0).status().unwrap().message, "start");
}

#[test]
fn a_unit_that_does_not_lead_hears_of_its_leaders_settings_in_juju_3_only() {
    let it = deployed(2, "");
    assert!(it.app.unit(1).hooks().contains(&"leader-settings-changed".to_owned()));
    assert!(!it.app.unit(1).hooks().contains(&"leader-elected".to_owned()));
    let it = deployed_on(JujuVersion::V4, 2, "");
    assert!(!it.app.unit(1).hooks().contains(&"leader-settings-changed".to_owned()));
}

#[test]
fn a_hook_gets_jujus_environment_and_nothing_of_the_tests() {
    let it = deployed(1, "env | sort; pwd");
    let run = it.app.unit(0).fire("update-status").unwrap();
    let has = |line: &str| run.stdout.lines().any(|other| other == line);
    assert!(has("JUJU_DISPATCH_PATH=hooks/update-status"), "{}", run.stdout);
    assert!(has("JUJU_HOOK_NAME=update-status"));
    assert!(has("JUJU_UNIT_NAME=sample/0"));
    assert!(has("JUJU_CHARM_HTTP_PROXY="));
    assert!(has(&it.app.unit(0).charm_dir().unwrap().display().to_string()));
    assert!(!run.stdout.contains("CARGO"));
    assert!(!run.stdout.contains("JUJU_RELATION"));
}

#[test]
fn the_test_can_add_variables_and_path_entries() {
    let tools = tempfile::tempdir().unwrap();
    write(tools.path(), "echo mine");
    fs::rename(tools.path().join("dispatch"), tools.path().join("my-tool")).unwrap();
    let charm = charm("echo $ROOT; my-tool");
    let model = Model::new(JujuVersion::V4).unwrap();
    let deployment = model.deployment(charm.path(), "sample").units(2).path_entry(tools.path());
    let app = deployment.env_for("ROOT", |unit| format!("/root/{unit}")).run().unwrap();
    assert_eq!(app.unit(1).fire("update-status").unwrap().stdout, "/root/1\nmine\n");
}

#[test]
fn a_failed_hook_is_the_only_one_to_run_until_it_succeeds() {
    let it = deployed(1, "[ \"$HOOK\" != config-changed ] || [ -e fixed ]");
    let unit = it.app.unit(0);
    assert_eq!(unit.status().unwrap().state, "error");
    assert_eq!(unit.status().unwrap().message, "hook failed: \"config-changed\"");
    assert!(matches!(unit.fire("update-status"), Err(AgentError::UnitInError { .. })));
    assert!(matches!(unit.run_action("run", serde_json::json!({})), Err(AgentError::UnitInError { .. })));
    let refused = unit.command("juju-exec").unwrap().args(["sample/0", "true"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("error state"));
    assert_eq!(refused.status.code(), Some(1));

    assert!(!unit.retry().unwrap()[0].succeeded());
    fs::write(unit.charm_dir().unwrap().join("fixed"), "").unwrap();
    let names: Vec<String> = unit.retry().unwrap().into_iter().map(|run| run.name).collect();
    assert_eq!(names, ["config-changed", "start"]);
    assert_eq!(unit.failed_hook().unwrap(), None);
}

#[test]
fn a_failed_hook_can_be_skipped() {
    let it = deployed(1, "[ \"$HOOK\" != install ]");
    let unit = it.app.unit(0);
    assert_eq!(unit.failed_hook().unwrap().as_deref(), Some("install"));
    unit.skip_failed_hook().unwrap();
    assert_eq!(unit.hooks().last().map(String::as_str), Some("start"));
}

#[test]
fn what_a_failed_hook_wrote_does_not_count_but_its_status_does() {
    let script = "case $HOOK in update-status) state-set a=1; open-port 80; \
        relation-set -r replicas:0 b=2; status-set blocked oops; state-get a; \
        relation-get -r replicas:0 b sample/0; [ -e good ];; esac";
    let it = deployed(1, script);
    let unit = it.app.unit(0);
    let peers = it.app.peer_relation("replicas").unwrap();
    let run = unit.fire("update-status").unwrap();
    assert_eq!(run.ending, Ending::Code(1));
    assert_eq!(run.stdout, "1\n2\n", "a hook sees its own writes");
    assert!(unit.charm_state().unwrap().is_empty());
    assert!(unit.opened_ports().unwrap().is_empty());
    assert!(peers.written_by(&unit).unwrap().is_empty());
    assert!(unit.statuses().unwrap().iter().any(|status| status.message == "oops"));

    fs::write(unit.charm_dir().unwrap().join("good"), "").unwrap();
    unit.retry().unwrap();
    assert_eq!(unit.charm_state().unwrap()["a"], "1");
    assert!(unit.opened_ports().unwrap().contains("80/tcp"));
    assert_eq!(peers.written_by(&unit).unwrap()["b"], "2");
}

#[test]
fn a_charm_without_dispatch_has_hooks_by_name_and_may_lack_some() {
    let charm = charm("echo ran");
    fs::create_dir(charm.path().join("hooks")).unwrap();
    fs::rename(charm.path().join("dispatch"), charm.path().join("hooks/start")).unwrap();
    let model = Model::new(JujuVersion::V3_6).unwrap();
    let unit = model.deploy(charm.path(), "sample", 1).unwrap().unit(0);
    let runs = unit.runs();
    assert!(runs.iter().all(|run| run.succeeded()));
    assert_eq!(runs.last().unwrap().stdout, "ran\n");
}

#[test]
fn output_goes_to_the_debug_log_by_level() {
    let it = deployed(1, "echo out; echo err >&2; juju-log -l ERROR said; juju-log --debug quietly");
    let log = it.model.debug_log();
    let has = |level, module: &str, message: &str| {
        log.iter().any(|line| line.level == level && line.module == module && line.message == message)
    };
    assert!(has(Level::Debug, "start", "out"));
    assert!(has(Level::Warning, "start", "err"));
    assert!(has(Level::Error, "juju-log", "said"));
    assert!(has(Level::Debug, "juju-log", "quietly"));
}

#[test]
fn a_detached_child_that_holds_the_output_gets_a_broken_pipe_after_the_hook() {
    let child = "trap : PIPE; while [ ! -e go ]; do sleep 0.05; done; echo late || touch broken-pipe";
    let worker = format!("(setsid sh -c '{child}' 2>/dev/null &) ; echo early");
    let it = deployed(1, &format!("[ \"$HOOK\" != update-status ] || {{ {worker}; }}"));
    let unit = it.app.unit(0);
    let run = unit.fire("update-status").unwrap();
    assert_eq!(
        (run.ending, run.stdout.as_str()),
        (Ending::Code(0), "early\n"),
        "the agent waited for the child"
    );
    assert!(!unit.processes().unwrap().is_empty(), "the child runs on");
    fs::write(unit.charm_dir().unwrap().join("go"), "").unwrap();
    it.model
        .wait_until("the child to end", Duration::from_secs(60), || unit.processes().unwrap().is_empty())
        .unwrap();
    assert!(unit.charm_dir().unwrap().join("broken-pipe").exists());
    assert!(!it.model.debug_log().iter().any(|line| line.message == "late"));
}

#[test]
fn a_hook_that_takes_too_long_is_killed_with_its_children_and_has_failed() {
    let it = deployed(1, "[ \"$HOOK\" != update-status ] || sleep 60 & wait");
    it.model.set_hook_deadline(Duration::from_millis(300));
    let run = it.app.unit(0).fire("update-status").unwrap();
    assert_eq!(run.ending, Ending::Deadline);
    assert_eq!(it.app.unit(0).status().unwrap().state, "error");
    let unit = it.app.unit(0);
    it.model
        .wait_until("the children's end", Duration::from_secs(60), || unit.processes().unwrap().is_empty())
        .unwrap();
}

#[test]
fn a_hook_that_is_killed_has_failed() {
    let it = deployed(1, "[ \"$HOOK\" != update-status ] || kill -9 $$");
    assert_eq!(it.app.unit(0).fire("update-status").unwrap().ending, Ending::Signal(9));
}

#[test]
fn a_power_cut_ends_hook_and_worker_and_the_hook_runs_again() {
    let worker = "env -u JUJU_CONTEXT_ID setsid sleep 62 >/dev/null 2>&1 &";
    let it = deployed(
        1,
        &format!(
            "[ \"$HOOK\" = update-status ] || exit 0; {worker} [ -e again ] || {{ touch again; sleep 63; }}"
        ),
    );
    let unit = it.app.unit(0);
    let hook = std::thread::spawn({
        let unit = unit.clone();
        move || unit.update_status().unwrap()
    });
    let both = || {
        unit.processes().unwrap().iter().filter(|process| process.command.starts_with("sleep 6")).count() == 2
    };
    it.model.wait_until("hook and worker", Duration::from_secs(60), both).unwrap();
    unit.power_cut().unwrap();
    assert_eq!(hook.join().unwrap().ending, Ending::Signal(9));
    assert_eq!(unit.processes().unwrap(), []);
    assert!(unit.retry().unwrap()[0].succeeded());
}

#[test]
fn a_run_tells_what_it_cost() {
    let script = "[ \"$HOOK\" = update-status ] || exit 0; is-leader; is-leader; config-get; \
        i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let it = deployed(1, script);
    let run = it.app.unit(0).fire("update-status").unwrap();
    assert_eq!(run.tool_counts()["is-leader"], 2);
    assert_eq!(run.calls.len(), 3);
    assert!(run.cpu > Duration::from_millis(5) && run.cpu <= run.wall + Duration::from_millis(20), "{run:?}");
    assert!((500..20_000).contains(&run.max_rss_kib), "{run:?}");
}

#[test]
fn dropping_the_model_leaves_no_process() {
    let it = deployed(1, "[ \"$HOOK\" != start ] || (setsid sleep 61 >/dev/null 2>&1 &)");
    let dir = it.model.dir().to_owned();
    assert_eq!(it.model.processes().len(), 1);
    drop(it);
    assert_eq!(rehearsal::agent::processes_below(&dir), []);
    assert!(!dir.exists());
}

#[test]
fn a_refresh_replaces_the_charm_in_place_and_keeps_what_the_charm_made() {
    let it = deployed(1, "echo mine > kept; echo 1");
    fs::write(it.charm.path().join("gone-later"), "").unwrap();
    it.app.refresh(it.charm.path()).unwrap();
    let dir = it.app.unit(0).charm_dir().unwrap();
    assert!(dir.join("gone-later").exists());

    fs::remove_file(it.charm.path().join("gone-later")).unwrap();
    write(it.charm.path(), "echo 2");
    let runs = it.app.refresh(it.charm.path()).unwrap();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["upgrade-charm", "config-changed"]);
    assert!(runs.iter().all(|run| run.stdout == "2\n"));
    assert_eq!(fs::read_to_string(dir.join("kept")).unwrap(), "mine\n");
    assert!(!dir.join("gone-later").exists());
}

#[test]
fn removal_ends_relations_stops_and_removes() {
    let it = deployed(1, "");
    it.app.integrate("image", "runners", &[&[("auth_url", "u")]]).unwrap();
    let names: Vec<String> = it.app.remove().unwrap().into_iter().map(|run| run.name).collect();
    // The peer relation ends with the unit.
    assert_eq!(
        names,
        ["replicas-relation-broken", "image-relation-departed", "image-relation-broken", "stop", "remove"]
    );
    assert!(it.app.unit(0).status().is_err());
}
