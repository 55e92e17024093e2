//! Config: what config.yaml allows, and what hooks see of it.

use std::time::Duration;

use rehearsal::agent::{Application, JujuVersion, Model, Proxies};

use crate::charm::{charm, deployed, deployed_on};

fn refusal(app: &Application, option: &str, value: &str) -> String {
    app.set_config(&[(option, value)]).unwrap_err().to_string()
}

#[test]
fn refuses_unknown_options_and_wrong_types() {
    let it = deployed(1, "");
    assert_eq!(refusal(&it.app, "intervall", "6"), "ERROR unknown option \"intervall\"");
    assert_eq!(refusal(&it.app, "interval", "six"), "ERROR option \"interval\" expected int, got \"six\"");
    assert_eq!(
        refusal(&it.app, "verify", "maybe"),
        "ERROR option \"verify\" expected boolean, got \"maybe\""
    );
    assert_eq!(
        refusal(&it.app, "password", "hunter2"),
        "ERROR option \"password\" expected secret, got \"hunter2\""
    );
    assert!(it.app.set_config(&[("password", "secret:d0rehearsal000000001")]).is_ok());
}

#[test]
fn config_changed_fires_only_when_something_changed() {
    let it = deployed(1, "");
    it.model.repeat_config_changed(None);
    assert_eq!(it.app.set_config(&[("interval", "7")]).unwrap().len(), 1);
    assert_eq!(it.app.set_config(&[("interval", "7")]).unwrap().len(), 0);
    assert_eq!(it.app.reset_config(&["interval"]).unwrap().len(), 1);
    assert_eq!(it.app.config().unwrap()["interval"], 6);
}

#[test]
fn juju_4_0_tells_nobody_that_an_option_was_reset() {
    let it = deployed_on(JujuVersion::V4_0, 1, "config-get interval");
    assert_eq!(it.app.set_config(&[("interval", "7")]).unwrap().len(), 1);
    assert_eq!(it.app.reset_config(&["interval"]).unwrap().len(), 0);
    assert_eq!(it.app.unit(0).update_status().unwrap().stdout, "6\n");
}

#[test]
fn config_changed_can_come_twice_for_one_change() {
    let it = deployed(2, "config-get interval");
    let later = Duration::from_millis(300);
    it.model.repeat_config_changed(Some(later));
    let mut runs = it.app.set_config(&[("interval", "7")]).unwrap();
    runs.retain(|run| run.unit == "sample/1");
    let seen: Vec<_> = runs.iter().map(|run| (run.name.as_str(), run.stdout.as_str())).collect();
    assert_eq!(seen, [("config-changed", "7\n"); 2]);
    assert!(runs[1].started.duration_since(runs[0].started).unwrap() >= later);
    assert_eq!(it.app.set_config(&[("interval", "7")]).unwrap().len(), 0);
}

#[test]
fn charms_are_told_what_needs_no_proxy_even_where_there_is_none() {
    let it = deployed(1, "echo \"$JUJU_CHARM_HTTP_PROXY|$JUJU_CHARM_NO_PROXY\"");
    assert_eq!(it.app.unit(0).update_status().unwrap().stdout, "|127.0.0.1,localhost,::1\n");
}

#[test]
fn hooks_see_defaults_and_settings_typed_and_leave_out_what_is_unset() {
    let it = deployed(
        1,
        "config-get --format=json; config-get name --format json; config-get; config-get interval",
    );
    let run = &it.app.set_config(&[("ratio", "0.5"), ("verify", "false")]).unwrap()[0];
    let expected =
        "{\"interval\":6,\"ratio\":0.5,\"verify\":false}\nnull\ninterval: 6\nratio: 0.5\nverify: false\n6\n";
    assert_eq!(run.stdout, expected);
}

#[test]
fn all_shows_what_is_unset_too() {
    let it = deployed(1, "config-get --all --format=json");
    let stdout = it.app.unit(0).fire("update-status").unwrap().stdout;
    assert_eq!(stdout, "{\"interval\":6,\"name\":null,\"password\":null,\"ratio\":null,\"verify\":true}\n");
}

#[test]
fn json_is_escaped_as_go_escapes_it() {
    let it = deployed(1, "config-get --format=json name");
    let run = &it.app.set_config(&[("name", "<a&b>")]).unwrap()[0];
    assert_eq!(run.stdout, "\"\\u003ca\\u0026b\\u003e\"\n");
}

#[test]
fn a_deployment_can_begin_with_config() {
    let charm = charm("config-get name");
    let model = Model::new(JujuVersion::V3_6).unwrap();
    let app = model.deployment(charm.path(), "sample").config("name", "first").run().unwrap();
    assert_eq!(app.unit(0).runs()[0].stdout, "first\n");
    assert!(model.deployment(charm.path(), "other").config("nam", "x").run().is_err());
}

#[test]
fn proxies_of_the_model_reach_hooks() {
    let it = deployed(1, "echo $JUJU_CHARM_HTTPS_PROXY $JUJU_CHARM_NO_PROXY");
    let proxies = Proxies { https: "http://p:1".into(), no_proxy: "10.0.0.0/8".into(), ..Proxies::default() };
    assert_eq!(it.model.set_proxies(proxies).unwrap()[0].stdout, "http://p:1 10.0.0.0/8\n");
}
