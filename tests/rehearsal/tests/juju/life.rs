//! An application's life: deployed, configured, scaled, refreshed, removed.

use std::fs;

use crate::kept::kept;

#[test]
fn status_shows_what_is_deployed_as_a_table_and_as_json() {
    kept(|juju| {
        juju.deploy("");
        let status = juju.json(&["status"]);
        let app = &status["applications"]["sample"];
        assert_eq!((&app["charm"], &app["charm-rev"]), (&"local:sample-0".into(), &0.into()));
        assert_eq!(app["application-status"]["current"], "active");
        let unit = &app["units"]["sample/0"];
        assert_eq!((&unit["leader"], &unit["machine"]), (&true.into(), &"0".into()));
        assert_eq!(unit["juju-status"]["current"], "idle");
        assert_eq!(status["machines"]["0"]["juju-status"]["current"], "started");
        assert_eq!(status["model"]["version"], "3.6.9");
        let table = juju.run(&["status"]);
        let row = |first: &str| {
            let line = table.lines().find(|line| line.split_whitespace().next() == Some(first));
            line.unwrap_or_else(|| panic!("no {first} in {table}"))
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(row("sample"), "sample active 1 sample 0 no ready");
        assert_eq!(
            row("sample/0*"),
            format!("sample/0* active idle 0 {} ready", unit["public-address"].as_str().unwrap())
        );
        assert!(juju.run(&["status", "--format", "yaml"]).contains("charm: local:sample-0"));
        let other = juju.json(&["status", "nobody"]);
        assert!(other["applications"].as_object().unwrap().is_empty(), "{other}");
    });
}

#[test]
fn a_table_shows_the_beginning_of_a_long_message_and_json_all_of_it() {
    kept(|juju| {
        let long = "x".repeat(130);
        let charm = juju.sample(&format!("[ $HOOK != start ] || status-set active {long}"));
        juju.run(&["deploy", &charm]);
        juju.wait_for_message("sample/0", &long);
        let shown = format!("{}...", "x".repeat(117));
        let table = juju.run(&["status"]);
        let rows: Vec<&str> = table.lines().filter(|line| line.contains("xxx")).collect();
        assert_eq!(rows.len(), 2, "the application's and the unit's: {table}");
        assert!(rows.iter().all(|row| row.split_whitespace().last() == Some(&shown)), "{table}");
    });
}

#[test]
fn options_are_set_shown_and_reset() {
    kept(|juju| {
        juju.deploy(
            "[ $HOOK != config-changed ] || status-set active \"$(config-get interval) $(config-get name)\"",
        );
        fs::write(juju.folder.join("name"), "from a file").unwrap();
        assert_eq!(juju.run(&["config", "sample", "interval=3", "name=@name"]), "");
        juju.wait_for_message("sample/0", "3 from a file");
        assert_eq!(juju.run(&["config", "sample", "interval"]), "3\n");
        let config = juju.json(&["config", "sample"]);
        assert_eq!(config["settings"]["interval"]["source"], "user");
        assert_eq!(config["settings"]["verify"]["value"], true);
        assert_eq!(config["settings"]["interval"]["description"], "Hours.");
        juju.run(&["config", "sample", "--reset", "interval,name"]);
        assert_eq!(juju.run(&["config", "sample", "interval"]), "6\n");
        fs::write(juju.folder.join("options.yaml"), "sample: {interval: 4, name: both}").unwrap();
        juju.run(&["config", "sample", "--file", "options.yaml"]);
        juju.wait_for_message("sample/0", "4 both");
        let said = juju.says(&["config", "sample", "colour=red"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(1), "ERROR unknown option \"colour\"\n"));
        let said = juju.says(&["config", "sample", "interval=often"]);
        assert_eq!((said.code, said.stderr.contains("expected int")), (Some(1), true), "{said:?}");
    });
}

#[test]
fn units_come_and_go_and_another_one_leads() {
    kept(|juju| {
        juju.deploy("");
        juju.run(&["add-unit", "sample", "-n", "2"]);
        juju.wait_for_message("sample/2", "ready");
        assert_eq!(juju.run(&["remove-unit", "--no-prompt", "sample/0"]), "will remove unit sample/0\n");
        let status = juju.wait_for(|status| status["applications"]["sample"]["units"]["sample/0"].is_null());
        let units = status["applications"]["sample"]["units"].as_object().unwrap();
        let leaders: Vec<_> = units.iter().filter(|(_, unit)| unit["leader"] == true).collect();
        assert_eq!((units.len(), leaders.len()), (2, 1), "{status}");
        let said = juju.says(&["remove-unit", "--no-prompt", "sample/0"]);
        assert_eq!((said.code, said.stderr.contains("sample/0")), (Some(1), true), "{said:?}");
    });
}

#[test]
fn refresh_replaces_the_charm_and_keeps_options() {
    kept(|juju| {
        juju.deploy("");
        juju.run(&["config", "sample", "interval=9"]);
        let charm =
            juju.sample("[ $HOOK != config-changed ] || status-set active \"new $(config-get interval)\"");
        let said = juju.says(&["refresh", "sample", "--path", &charm]);
        assert_eq!(said.stderr, "Added local charm \"sample\", revision 1, to the model\n");
        juju.wait_for_message("sample/0", "new 9");
        assert_eq!(juju.json(&["status"])["applications"]["sample"]["charm"], "local:sample-1");
        // Later units get the new charm, too.
        juju.run(&["add-unit", "sample"]);
        juju.wait_for_message("sample/1", "new 9");
    });
}

#[test]
fn an_application_is_removed_once_that_is_confirmed() {
    kept(|juju| {
        juju.deploy("");
        let said = juju.answers(&["remove-application", "sample"], "n\n");
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains("Continue [y/N]? ERROR application removal: aborted"), "{said:?}");
        assert!(!juju.json(&["status"])["applications"]["sample"].is_null());
        let said = juju.answers(&["remove-application", "sample"], "y\n");
        assert_eq!(said.stdout, "will remove application sample\n- will remove unit sample/0\n");
        juju.wait_for(|status| status["applications"]["sample"].is_null());
        // Its name is free again.
        juju.deploy("");
    });
}

#[test]
fn logs_tell_what_units_said() {
    kept(|juju| {
        juju.deploy("juju-log --log-level WARNING \"it is $HOOK\"");
        let log =
            juju.run(&["debug-log", "--replay", "--include", "sample", "--no-tail", "--level", "WARNING"]);
        let hooks: Vec<&str> = log.lines().filter_map(|line| line.split("it is ").nth(1)).collect();
        assert_eq!(
            hooks,
            ["install", "replicas-relation-created", "leader-elected", "config-changed", "start"]
        );
        assert!(
            log.starts_with("unit-sample-0: ") && log.contains(" WARNING unit.sample/0.juju-log "),
            "{log}"
        );
        assert_eq!(juju.run(&["debug-log", "--include", "other", "--no-tail"]), "");
        assert_eq!(juju.run(&["debug-log", "--limit", "2"]).lines().count(), 2);
        let history = juju.run(&["show-status-log", "sample/0"]);
        assert!(
            history.lines().any(|line| line.contains("workload") && line.ends_with("ready")),
            "{history}"
        );
    });
}

#[test]
fn a_hook_that_runs_keeps_its_charm_when_that_is_replaced() {
    kept(|juju| {
        let gate = juju.folder.join("gate");
        let waits = format!(
            "[ $HOOK != install ] || while [ ! -e {} ]; do sleep 0.05; done\n. ./words",
            gate.display()
        );
        let charm = juju.sample(&waits);
        fs::write(juju.folder.join("sample/words"), "status-set active \"old $HOOK\"").unwrap();
        juju.run(&["deploy", &charm]);
        juju.wait(&["status"], |table| table.contains("(install)"));
        fs::write(juju.folder.join("sample/words"), "status-set active \"new $HOOK\"").unwrap();
        juju.run(&["refresh", "sample", "--path", &charm]);
        fs::write(&gate, "").unwrap();
        juju.wait_for_message("sample/0", "new config-changed");
        let history = juju.run(&["show-status-log", "sample/0"]);
        assert!(history.contains("old install") && history.contains("new upgrade-charm"), "{history}");
    });
}
