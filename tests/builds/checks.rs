//! What a check tells: a setting that cannot work is known before a build needs it.

use rehearsal::agent::{ActionRun, ActionStatus};
use rehearsal::cloud::{Fault, What};
use runner_image_builder::record::Findings;
use serde_json::{Value, json};

use crate::fixture::{Deployed, Fixture, wait_for};

fn checked(fixture: &Fixture, parameters: Value) -> ActionRun {
    fixture.unit().run_action("check", parameters).unwrap()
}

fn lines(action: &ActionRun) -> &str {
    action.results["checks"].as_str().unwrap()
}

/// Waits until no worker lives and so no check is under way.
fn await_check(fixture: &Fixture) -> Findings {
    let host = fixture.host(&fixture.unit());
    wait_for("the end of the check", || {
        let ordered = runner_image_builder::record::CheckOrder::load(&host)?;
        (!ordered.is_open(&host) && fixture.worker().is_none()).then(|| Findings::load(&host)).flatten()
    })
}

#[test]
fn a_wrong_flavor_is_in_the_status_while_all_is_up_to_date_and_survives_jobs_that_do_nothing() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    fixture.set_options(&[("build-flavor", "typo")]);
    let told = "flavor check failed: build-flavor";
    assert_eq!(fixture.job_ended().failures, [], "all is up to date");
    await_check(&fixture);
    let status = fixture.status();
    assert!(status.starts_with("active: noble-x64 ") && status.contains(told), "{status}");
    assert!(status.contains("build-flavor \"typo\" does not exist"), "{status}");
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    await_check(&fixture);
    assert!(fixture.status().contains(told), "{}", fixture.status());
    fixture.app.reset_config(&["build-flavor"]).unwrap();
    fixture.job_ended();
    await_check(&fixture);
    assert!(!fixture.status().contains("check failed"), "{}", fixture.status());
}

#[test]
fn credentials_are_tried_before_there_is_a_relation_and_the_options_are_named() {
    let fixture = Fixture::set(&[("openstack-user-name", "nobody")]);
    let findings = await_check(&fixture);
    assert_eq!(findings.failures(&findings.config_digest).count(), 1, "{findings:?}");
    let status = fixture.status();
    assert!(
        status.starts_with(
            "blocked: image integration required. Credentials check failed: Keystone refuses user"
        ),
        "{status}"
    );
    for word in ["user nobody for project builder-project", "HTTP 401", "openstack-user-name"] {
        assert!(status.contains(word), "{word}: {status}");
    }
    assert!(!status.contains("builder-password"), "{status}");
    fixture.set_options(&[("openstack-user-name", "builder-user")]);
    await_check(&fixture);
    assert_eq!(fixture.status(), "blocked: image integration required.");
}

#[test]
fn a_password_that_is_changed_and_wrong_is_told_though_nothing_is_due() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    fixture.set_password("wrong");
    await_check(&fixture);
    assert!(fixture.status().contains("openstack-password-secret"), "{}", fixture.status());
    fixture.set_password("builder-password");
    await_check(&fixture);
    assert!(!fixture.status().contains("check failed"), "{}", fixture.status());
}

#[test]
fn the_action_has_a_line_for_each_check_and_leaves_nothing() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let before = fixture.cloud.inventory();
    let action = checked(&fixture, json!({}));
    assert_eq!((&action.status, &action.message), (&ActionStatus::Completed, &String::new()), "{action:?}");
    let lines = lines(&action);
    for check in [
        "ok       credentials, builder-project",
        "ok       catalog, builder-project",
        "ok       flavor, builder-project",
        "ok       network, builder-project",
        "ok       quota, builder-project",
        "ok       image rights, builder-project",
        "ok       credentials, upload-project",
        "ok       image rights, upload-project",
        "ok       base image, noble-x64",
        "ok       GitHub, noble-x64",
        "requests left until",
    ] {
        assert!(lines.contains(check), "{check}: {lines}");
    }
    let json: Value = serde_json::from_str(action.results["json"].as_str().unwrap()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), lines.lines().count());
    assert_eq!(fixture.cloud.inventory(), before);
    let by_hand = fixture.unit().exec("./dispatch check --format json").unwrap();
    assert_eq!(by_hand.code, 0, "{by_hand:?}");
    let json: Value = serde_json::from_str(&by_hand.stdout).unwrap();
    assert_eq!(json["findings"].as_array().unwrap().len(), lines.lines().count());
    for command in ["list-images", "history"] {
        let output = fixture.unit().exec(&format!("./dispatch {command} --format json")).unwrap();
        let document: Result<Value, _> = serde_json::from_str(&output.stdout);
        assert!(document.is_ok(), "{command}: {output:?}");
    }
}

#[test]
fn the_action_fails_with_what_to_do_and_names_the_relation_whose_credentials_are_refused() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let refused = What::Status(401, vec![], json!({"error": {"message": "No."}}).to_string().into());
    let fault = Fault::new("POST", "/v3/auth/tokens", refused).unwrap().of_project("upload-project");
    let rule = fixture.cloud.inject(fault);
    let action = checked(&fixture, json!({}));
    fixture.cloud.lift(rule);
    assert_eq!(action.status, ActionStatus::Failed);
    let told = "user upload-user of relation upload-project (image:1)";
    assert!(
        action.message.contains(told) && action.message.contains("user_domain_name"),
        "{}",
        action.message
    );
    assert!(lines(&action).contains("ok       credentials, builder-project"), "{}", lines(&action));
}

#[test]
fn a_deep_check_boots_a_vm_and_leaves_nothing() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let before = fixture.cloud.inventory();
    let servers = fixture.requests("POST", "/servers");
    let action = checked(&fixture, json!({"deep": true}));
    assert_eq!(action.status, ActionStatus::Completed, "{action:?}");
    assert!(lines(&action).contains("ok       ssh, builder-project"), "{}", lines(&action));
    assert_eq!(fixture.requests("POST", "/servers"), servers + 1);
    assert_eq!(fixture.cloud.inventory(), before);
}

#[test]
fn a_look_that_finds_nothing_to_do_makes_few_requests_more() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    await_check(&fixture);
    fixture.look_for_work();
    fixture.job_ended();
    let before = fixture.cloud.log().len();
    fixture.look_for_work();
    fixture.job_ended();
    await_check(&fixture);
    let log = fixture.cloud.log();
    let look: Vec<_> =
        log.iter().skip(before).map(|entry| format!("{} {}", entry.method, entry.url)).collect();
    let of_check = |line: &&String| {
        ["/flavors/detail", "/limits", "/networks", "/subnets"].iter().any(|end| line.contains(end))
    };
    let of_check = look.iter().filter(of_check).count();
    assert!((3..=4).contains(&of_check), "{look:#?}");
    assert!(2 * (of_check + 1) < look.len(), "the look itself makes more: {look:#?}");
}

#[test]
fn the_script_is_fetched_and_a_base_that_the_server_lacks_is_a_failure() {
    let fixture = Fixture::set(&[]);
    let url = fixture.site.serve_script("ok.sh", "#!/bin/bash\ntrue\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let found = checked(&fixture, json!({}));
    assert!(lines(&found).contains("ok       script: fetched, 17 bytes, SHA-256 "), "{found:?}");

    let missing = format!("{}/script/missing.sh", fixture.site.url());
    fixture.app.set_config(&[("script-url", &missing)]).unwrap();
    let gone = What::Status(404, vec![], String::new());
    fixture.site.inject(Fault::new("GET", "/cloud-images/", gone).unwrap());
    let found = checked(&fixture, json!({}));
    assert_eq!(found.status, ActionStatus::Failed);
    let told = lines(&found);
    let line = |check: &str| told.lines().find(|line| line.starts_with(check)).map(str::to_owned);
    let script = line("failure  script: ").unwrap_or_else(|| panic!("{told}"));
    assert!(script.contains("HTTP 404") && script.ends_with("; correct script-url"), "{script}");
    let base = line("failure  base image, noble-x64: ").unwrap_or_else(|| panic!("{told}"));
    assert!(base.contains("/noble/current/SHA256SUMS") && base.contains("check base-image and"), "{base}");

    let huge = fixture.site.serve("/script/huge.sh", "text/plain", vec![b'#'; (1 << 20) + 1]);
    fixture.app.set_config(&[("script-url", &huge)]).unwrap();
    assert!(lines(&checked(&fixture, json!({}))).contains("failure  script: script-url "), "too large");
}
