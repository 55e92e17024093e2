//! Options: what is refused, in which words, and that a refusal is a blocked unit and never a failed hook.

use std::fs;

use rehearsal::agent::{ActionStatus, JujuVersion};
use runner_image_builder::record::{Failure, Reason, Remedy};
use serde_json::json;

use crate::deploy::Plan;
use crate::machine::{NOBLE, Site, all_succeeded};

/// Sets `option`; the unit must be blocked with a message that begins so, and action `run` must fail in the same words.
#[track_caller]
fn assert_refused(site: &Site, option: &str, value: &str, beginning: &str) {
    all_succeeded(site.app.set_config(&[(option, value)]).unwrap());
    let status = site.unit().status().unwrap();
    assert_eq!(status.state, "blocked", "{option}={value}: {status}");
    assert!(status.message.starts_with(beginning), "{option}={value}: {status}");
    let action = site.unit().run_action("run", json!({})).unwrap();
    assert_eq!((action.status, &action.message), (ActionStatus::Failed, &status.message), "{option}={value}");
    assert_eq!(site.request(), None, "{option}={value}");
    site.app.reset_config(&[option]).unwrap();
}

#[test]
fn each_bad_value_blocks_in_the_known_words_and_fails_the_action() {
    let site = Plan::new().configured();
    for (option, value, beginning) in [
        ("base-image", "noble,warty", "Invalid bases: (warty)"),
        ("base-image", ",", "Invalid bases: ()"),
        ("base-image", "noble@2026", "Invalid bases: (noble@2026). Set base-image to"),
        ("base-image", "noble@20261115/..", "Invalid bases: (noble@20261115/..)"),
        ("base-image", "noble,24.04@20261115", "Invalid bases: (noble). It has two release dates"),
        ("build-interval", "0", "Build interval must not be smaller than 1 or greater than 24"),
        ("build-interval", "25", "Build interval must not be smaller than 1 or greater than 24"),
        ("revision-history-limit", "1", "Revision history must be greater than 1 and less than 100"),
        ("revision-history-limit", "100", "Revision history must be greater than 1 and less than 100"),
        (
            "recipe",
            "packages:\n  - jq\n  - Foo\nrunner: []\n",
            "Invalid recipe: packages[1]: \"Foo\" is not a valid package name (lower-case letters, digits, + - . and an \
             architecture after a colon) at line 3 column 5. (option recipe)",
        ),
        ("recipe", "\n\npakages: []\n", "Invalid recipe: unknown field `pakages`"),
        ("recipe", "packages: [jq", "Invalid recipe: "),
        ("recipe", "packages: [jq]\n", "Invalid recipe: missing field `runner` at line 1 column 1."),
        ("script-url", "example.com/script.sh", "Invalid script URL, must contain scheme and hostname."),
        ("script-url", "http://[::1", "Invalid script URL, must contain scheme and hostname."),
        ("script-url", "http://example.com/script.sh", "Invalid script URL"),
        ("runner-version", "2.337", "Invalid runner-version"),
        ("runner-version", "latest; reboot", "Invalid runner-version"),
        ("runner-version", "2.99999999999999999999.0", "Invalid runner-version"),
        ("runner-source", "http://[::1", "Invalid runner-source"),
        ("github-api-url", "http://github.example.com", "Invalid github-api-url"),
        ("base-image-source", "http://[::1", "Invalid base-image-source"),
        ("base-image-keyring", "keyring.gpg", "Invalid base-image-keyring"),
        ("build-apt-mirror", "http://[::1", "Invalid build-apt-mirror"),
        ("build-ssh-ingress", "10.0.0.0/33", "Invalid build-ssh-ingress"),
        ("max-image-age", "0", "Option max-image-age must be from 1 to 8760 hours."),
        (
            "rebuild-on",
            "never",
            "Unsupported rebuild-on \"never\": use security, age, or both separated by a comma.",
        ),
        ("security-mirror", "http://[::1", "Invalid security-mirror"),
        ("security-mirror-keyring", "keyring.gpg", "Invalid security-mirror-keyring"),
        ("ssh-options", "ProxyCommand=touch", "Unsupported ssh-options entry"),
        ("openstack-interface", "private", "Unsupported openstack-interface"),
        ("openstack-ca-certificate", "none", "Option openstack-ca-certificate must be one or more PEM"),
    ] {
        assert_refused(&site, option, value, beginning);
    }
    assert_eq!(site.status(), "blocked: image integration required.");
}

#[test]
fn arm_is_refused_for_a_base_that_lacks_its_packages() {
    let site = Plan::new().option("base-image", "noble,jammy").configured();
    let told = "Unsupported arch='arm' for base jammy: arm images exist for noble, resolute. Change architecture or \
                base-image.";
    assert_refused(&site, "architecture", "x64,arm", told);
}

#[test]
fn the_recipe_that_the_charm_prints_is_one_that_it_takes() {
    let site = Plan::new().configured();
    let dispatch = site.charm.join("dispatch");
    let output = site.unit().command(dispatch.to_str().unwrap()).unwrap().arg("recipe").output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("build-essential"), "{printed}");
    all_succeeded(site.app.set_config(&[("recipe", &printed)]).unwrap());
    assert_eq!(site.status(), "blocked: image integration required.");
}

#[test]
fn the_build_clouds_address_is_checked_like_any_other_and_blocks_before_all_else() {
    let site = Plan::new().option("base-image", "warty").configured();
    for (url, beginning) in [
        ("http://[::1", "Invalid openstack-auth-url"),
        ("keystone.example.com", "Invalid openstack-auth-url"),
        ("https://me:sesame@keystone.example.com/v3", "Invalid openstack-auth-url"),
    ] {
        assert_refused(&site, "openstack-auth-url", url, beginning);
        site.app.set_config(&[("openstack-auth-url", url)]).unwrap();
        assert!(!site.status().contains("sesame"), "{}", site.status());
    }
    site.app.set_config(&[("openstack-auth-url", "https://keystone.example.com/v3")]).unwrap();
    site.assert_status("blocked: Invalid bases: (warty)");
}

#[test]
fn an_architecture_is_required_and_must_be_one_that_there_is() {
    let site = Plan::new().configured();
    let none = [("mips", "'mips'"), (" ", "''"), ("x\0y", "'x?y'")];
    for (value, quoted) in none {
        let beginning = &format!("Unsupported arch={quoted}");
        assert_refused(&site, "architecture", value, beginning);
        site.assert_status("blocked: Unsupported arch=''");
    }
}

#[test]
fn options_that_are_reset_are_missed_by_name() {
    let site = Plan::new().configured();
    site.app.reset_config(&["openstack-user-name", "openstack-project-name"]).unwrap();
    let expected = "blocked: Please supply all OpenStack configurations. Missing: openstack-project-name, \
        openstack-user-name.";
    assert_eq!(site.status(), expected);
}

#[test]
fn a_bad_value_leaves_the_work_and_the_files_of_before_alone() {
    let (site, _relation) = Plan::new().related();
    let worker = site.worker();
    let (request, clouds) = (site.request(), site.clouds_yaml());
    all_succeeded(site.app.set_config(&[("build-interval", "99")]).unwrap());
    site.assert_status("blocked: Build interval");
    assert_eq!((site.workers(), site.request(), site.clouds_yaml()), (vec![worker], request, clouds));
    all_succeeded(site.app.reset_config(&["build-interval"]).unwrap());
    site.assert_status("maintenance: ");
}

#[test]
fn names_keep_their_case_and_reach_the_worker_as_they_are() {
    let plan = Plan::new().option("build-flavor", " M1.Large ").option("build-network", "Net_A-Ext");
    let (site, _relation) = plan.option("runner-version", "v2.337.1").related();
    let config = site.request().unwrap().config;
    assert_eq!(config.vm.flavor.as_deref(), Some("M1.Large"));
    assert_eq!(config.vm.network.as_deref(), Some("Net_A-Ext"));
    assert_eq!(config.runner.version.as_deref(), Some("2.337.1"));
    assert!(site.clouds_yaml().contains("project_name: Builders"), "{}", site.clouds_yaml());
    assert!(site.clouds_yaml().contains("username: Builder"));
}

#[test]
fn bases_and_architectures_named_twice_are_built_once_in_the_operators_order() {
    let plan =
        Plan::new().option("base-image", "24.04, jammy,noble").option("architecture", "arm64,x64,aarch64");
    let (site, _relation) = plan.related();
    let targets: Vec<String> =
        site.request().unwrap().config.targets.iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["noble-arm64", "noble-x64", "jammy-arm64", "jammy-x64"]);
}

#[test]
fn what_the_python_charm_took_is_taken() {
    let (site, _relation) = Plan::new()
        .option("architecture", "AMD64,armv7l,ppc64el,s390x")
        .option("base-image", "noble,resolute")
        .option("build-interval", "24")
        .option("revision-history-limit", "99")
        .option("script-url", "https://example.com/script.sh")
        .related();
    site.assert_status("maintenance: ");
    assert_eq!(site.request().unwrap().config.targets.len(), 8);
}

#[test]
fn an_option_that_is_reset_without_a_hook_is_found_by_update_status() {
    let plan = Plan::new().juju(JujuVersion::V4_0).option("base-image", "jammy");
    let (site, _relation) =
        plan.option("build-interval", "9").option("openstack-interface", "internal").settled();
    let cron = || fs::read_to_string(site.host().path("/etc/cron.d/build-runner-image")).unwrap();
    assert!(cron().contains("% 9 "), "{}", cron());
    assert!(site.app.reset_config(&["base-image", "build-interval"]).unwrap().is_empty(), "a hook came");
    site.next_hook();
    assert_eq!(site.request().unwrap().config.targets, [NOBLE]);
    assert!(cron().contains("% 6 "), "{}", cron());

    // What the operator was to mend may be mended now.
    let failure = |remedy| Failure {
        target: None,
        cloud: None,
        message: "no endpoint".into(),
        remedy,
        summary: String::new(),
        cause: Default::default(),
        since: None,
    };
    site.finish_job(vec![failure(Remedy::Operator)], |_| ());
    let before = site.request().unwrap().id;
    site.next_hook();
    assert_eq!(site.request().unwrap().id, before, "nothing has changed");
    assert!(site.app.reset_config(&["openstack-interface"]).unwrap().is_empty(), "a hook came");
    site.next_hook();
    assert_eq!(site.request().unwrap().reason, Reason::Retry);
}
