//! A unit's life, from its installation on: which event leads to which status.

use std::fs;

use rehearsal::agent::{JujuVersion, Level};

use crate::cloud::Credentials;
use crate::deploy::Plan;
use crate::machine::{all_succeeded, succeeded};

const MISSING: &str = "blocked: Please supply all OpenStack configurations.";
const ALONE: &str = "blocked: image integration required.";

#[test]
fn without_configuration_the_unit_is_blocked_and_names_what_is_missing_on_either_juju() {
    for juju in [JujuVersion::V3_6, JujuVersion::V4_0, JujuVersion::V4] {
        let site = Plan::new().juju(juju).bare();
        assert_eq!(
            site.unit().hooks(),
            ["install", "units-relation-created", "leader-elected", "config-changed", "start"]
        );
        all_succeeded(site.unit().runs());
        assert_eq!(site.unit().workload_version().unwrap(), env!("CARGO_PKG_VERSION"));
        site.assert_status(MISSING);
        for option in ["auth-url", "project-name", "user-domain-name", "user-name", "password-secret"] {
            assert!(site.status().contains(&format!("openstack-{option}")), "{}", site.status());
        }
    }
}

#[test]
fn installation_is_seen_and_package_servers_that_are_down_do_not_stop_it() {
    let site = Plan::new().configured();
    let statuses: Vec<String> = site.unit().statuses().unwrap().iter().map(ToString::to_string).collect();
    assert!(statuses.contains(&"maintenance: Setting up Builder.".to_owned()), "{statuses:?}");

    site.lose_packages();
    succeeded(site.unit().fire("install").unwrap());
    site.assert_status(ALONE);
    let log = site.model.debug_log();
    let warned =
        |text: &str| log.iter().any(|line| line.level == Level::Warning && line.message.contains(text));
    assert!(warned("installing cron gpgv logrotate openssh-client xz-utils"), "{log:#?}");
    assert!(warned("retried before the first build"));
}

#[test]
fn with_all_options_the_unit_waits_for_an_integration_and_then_for_its_data_on_either_juju() {
    for juju in [JujuVersion::V3_6, JujuVersion::V4] {
        let plan = Plan::new().juju(juju);
        let site = plan.configured();
        assert_eq!(site.status(), ALONE);

        let relation = site.app.integrate("image", "runners", &[&[]]).unwrap();
        site.assert_status(ALONE);
        assert!(site.status().contains("has not given its OpenStack credentials yet"), "{}", site.status());
        let project = plan.project();
        all_succeeded(relation.set_remote_unit(0, &project.data()[..5]).unwrap());
        site.assert_status(ALONE);
        assert_eq!(site.request(), None);

        all_succeeded(relation.set_remote_unit(0, &project.data()).unwrap());
        site.assert_status("maintenance: ");
        site.worker();
    }
}

#[test]
fn every_event_ends_in_the_same_status_as_long_as_nothing_has_changed() {
    let (site, relation) = Plan::new().related();
    site.worker();
    site.next_hook();
    let status = site.status();
    for hook in ["config-changed", "start", "update-status", "leader-elected", "install", "upgrade-charm"] {
        succeeded(site.unit().fire(hook).unwrap());
        assert_eq!(site.status(), status, "{hook}");
    }
    for path in ["run", "worker"] {
        let done = site.unit().exec(&format!("JUJU_DISPATCH_PATH={path} ./dispatch")).unwrap();
        assert_eq!((done.code, site.status()), (0, status.clone()), "{path} {}", done.stderr);
    }
    all_succeeded(site.password.update(&[("password", "another")]).unwrap());
    assert_eq!(site.status(), status, "secret-changed");
    all_succeeded(relation.add_remote_unit(1, &[]).unwrap());
    all_succeeded(relation.remove_remote_unit(1).unwrap());
    assert_eq!(site.status(), status, "joined, changed, departed");

    all_succeeded(relation.remove().unwrap());
    site.assert_status(ALONE);
}

#[test]
fn the_last_relation_that_goes_is_gone_for_its_own_broken_hook_already() {
    let (site, relation) = Plan::new().settled();
    let other = Credentials::new(crate::cloud::NOBODY, "others");
    let second = site.app.integrate("image", "others", &[&other.data()]).unwrap();
    site.settle();
    all_succeeded(second.remove().unwrap());
    site.assert_status("maintenance: ");
    all_succeeded(relation.remove().unwrap());
    assert_eq!(site.status(), ALONE);
}

#[test]
fn an_event_of_nobody_is_logged_and_does_nothing() {
    let (site, _relation) = Plan::new().settled();
    let before = site.status();
    let request = site.request();
    for hook in ["collect-metrics", "cos-agent-relation-exploded", "image-relation-exploded"] {
        let run = succeeded(site.unit().fire(hook).unwrap());
        let tools: Vec<&str> = run.calls.iter().map(|call| call.tool.as_str()).collect();
        assert_eq!(tools, ["juju-log"], "{hook}");
        let logged = |text: &str| site.model.debug_log().iter().any(|line| line.message.contains(text));
        assert!(logged(&format!("{hook}\" is not handled by this charm")));
    }
    let exec = site.unit().exec("JUJU_DISPATCH_PATH=run-away ./dispatch").unwrap();
    assert_eq!((exec.code, site.status(), site.request()), (0, before, request));
}

#[test]
fn an_agent_that_starts_hooks_by_their_names_gets_the_same() {
    let site = Plan::new().configured();
    let hooks = site.unit().charm_dir().unwrap().join("hooks");
    let names: Vec<String> =
        fs::read_dir(hooks).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for hook in
        ["install", "start", "stop", "remove", "config-changed", "image-relation-broken", "secret-changed"]
    {
        assert!(names.iter().any(|name| name == hook), "hooks/{hook} is missing");
    }
    // Those that end the unit are for the end.
    let last = ["stop", "remove", "units-relation-broken"];
    for name in names.iter().filter(|name| !last.contains(&name.as_str())) {
        fs::remove_file(site.state_file("clouds.yaml")).unwrap();
        let run = site.unit().exec(&format!("env -u JUJU_DISPATCH_PATH hooks/{name}")).unwrap();
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        site.assert_status(ALONE);
        // secret-changed without a secret is no event of ours; collectors of metrics change no file of builds.
        let is_reconciled = name != "secret-changed" && !name.starts_with("cos-agent-");
        assert_eq!(site.state_file("clouds.yaml").exists(), is_reconciled, "{name}");
        site.next_hook();
    }
}

#[test]
fn started_by_hand_the_binary_says_who_should_start_it() {
    let site = Plan::new().bare();
    let dispatch = site.charm.join("dispatch").display().to_string();
    let run = |args: &[&str]| site.unit().command(&dispatch).unwrap().args(args).output().unwrap();
    let by_hand = run(&[]);
    assert_eq!(by_hand.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&by_hand.stderr).contains("started by the Juju agent"), "{by_hand:?}");
    assert_eq!(run(&["wrok"]).status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run(&["help"]).stdout).contains("Usage: dispatch"));
    // A worker without a request has nothing to do, and says so by ending.
    assert_eq!(run(&["work"]).status.code(), Some(0));
}
