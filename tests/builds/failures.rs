//! What goes wrong is said, leaves nothing behind, and is got over.

use rehearsal::cloud::{Fault, What};
use runner_image_builder::instance::DEFAULT_RECIPE;
use runner_image_builder::model::Timestamp;
use runner_image_builder::record::{Journal, Phase};

use crate::fixture::{Deployed, Fixture, SCRIPT_SECRET, wait_for};

/// The fixture after its first job, which must have failed and left nothing.
fn failed(options: &[(&str, &str)], prepare: impl FnOnce(&Fixture)) -> (Fixture, String) {
    let fixture = Fixture::set(options);
    prepare(&fixture);
    fixture.integrate("upload");
    let job = fixture.job_ended();
    assert!(!job.failures.is_empty(), "the job should have failed");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    assert!(fixture.cloud.project("upload-project").images().is_empty());
    let status = fixture.status();
    (fixture, status)
}

#[test]
fn a_flavor_without_disk_is_refused_before_anything_starts() {
    let (fixture, status) = failed(&[("build-flavor", "no-disk")], |_| ());
    assert!(status.starts_with("blocked: Build failed: build-flavor \"no-disk\""), "{status}");
    assert!(
        !fixture.cloud.log().iter().any(|entry| entry.method == "POST" && entry.url.ends_with("/servers"))
    );
}

#[test]
fn a_base_image_with_another_digest_than_the_signed_one_is_not_used() {
    let (fixture, status) = failed(&[], |fixture| {
        let path = "/cloud-images/noble/current/noble-server-cloudimg-amd64.img";
        fixture.site.serve(path, "application/octet-stream", b"tampered with".to_vec());
    });
    assert!(status.contains("SHA-256") && status.starts_with("maintenance: Build failed"), "{status}");
    assert!(fixture.cloud.project("builder-project").images().is_empty(), "the tampered image is gone");
}

#[test]
fn a_tool_with_another_digest_than_the_published_one_is_not_installed() {
    let (_fixture, status) = failed(&[], |fixture| {
        let path = "/mikefarah/yq/releases/download/v4.54.1/yq_linux_amd64";
        fixture.site.serve(path, "application/octet-stream", b"tampered with".to_vec());
    });
    assert!(status.starts_with("maintenance: ") && status.contains("installing tools"), "{status}");
    assert!(status.contains("computed checksum did NOT match"), "{status}");
}

#[test]
fn a_tool_that_is_not_released_blocks_before_anything_starts() {
    let (fixture, status) = failed(&[], |fixture| {
        let recipe = DEFAULT_RECIPE.replace("v4.54.1", "v0.0.0");
        fixture.app.set_config(&[("recipe", &recipe)]).unwrap();
    });
    assert!(
        status.starts_with("blocked: ") && status.contains("no release v0.0.0 of mikefarah/yq"),
        "{status}"
    );
    assert!(
        !fixture.cloud.log().iter().any(|entry| entry.method == "POST" && entry.url.ends_with("/servers"))
    );
}

#[test]
fn a_command_of_the_recipe_that_fails_is_shown_with_what_it_said() {
    let (_fixture, status) = failed(&[], |fixture| {
        let recipe = "commands: ['echo no such luck >&2; exit 9']\nrunner: [{github: actions/runner}]\n";
        fixture.app.set_config(&[("recipe", recipe)]).unwrap();
    });
    assert!(status.contains("running commands") && status.contains("no such luck (exit code 9)"), "{status}");
}

#[test]
fn a_list_of_digests_that_somebody_else_signed_is_not_believed() {
    let (_fixture, status) = failed(&[], |fixture| {
        let digest = "0".repeat(64);
        let list = format!("{digest} *noble-server-cloudimg-amd64.img\n");
        fixture.site.serve("/cloud-images/noble/current/SHA256SUMS", "text/plain", list.into_bytes());
    });
    assert!(status.starts_with("blocked: ") && status.contains("signature"), "{status}");
}

#[test]
fn a_script_that_fails_is_named_and_its_secret_is_not() {
    let (_fixture, status) = failed(&[], |fixture| {
        let script = "#!/bin/bash\necho \"bad password: $rib_test_secret\" >&2\nexit 3\n";
        let url = fixture.site.serve_script("broken.sh", script);
        let secret = fixture.script_secret.uri();
        fixture.app.set_config(&[("script-url", &url), ("script-secret-id", &secret)]).unwrap();
    });
    assert!(status.contains("running the external script") && status.contains("exit code 3"), "{status}");
    assert!(status.contains("bad password: [redacted]") && !status.contains(SCRIPT_SECRET), "{status}");
}

#[test]
fn an_error_page_in_the_place_of_the_script_is_not_run() {
    let (_fixture, status) = failed(&[], |fixture| {
        let url = format!("{}/script/missing.sh", fixture.site.url());
        fixture.app.set_config(&[("script-url", &url)]).unwrap();
    });
    assert!(status.contains("failed: script-url: ") && status.contains("HTTP 404"), "{status}");
}

#[test]
fn credentials_that_the_build_cloud_refuses_block_with_the_remedy() {
    let (_fixture, status) = failed(&[("openstack-user-name", "nobody")], |_| ());
    assert!(status.starts_with("blocked: Build failed: ") && status.contains("nobody"), "{status}");
}

#[test]
fn why_a_builder_cannot_be_reached_is_in_the_status_while_it_is_tried_and_after_it() {
    let fixture = Fixture::set(&[("ssh-options", "Port=1"), ("boot-timeout", "30")]);
    fixture.integrate("upload");
    fixture.await_status("Connection refused");
    let status = fixture.status();
    assert!(
        status.starts_with("maintenance: Building noble-x64: launching builder VM (")
            || status.starts_with("maintenance: Build failed: VM unreachable: "),
        "{status}"
    );
    assert!(!fixture.job_ended().failures.is_empty());
    fixture.await_status("Build failed: VM unreachable: connect to host ");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn a_builder_that_never_starts_is_deleted() {
    let (_fixture, status) = failed(&[], |fixture| fixture.cloud.fail_next_build("No valid host was found."));
    assert!(
        status.contains("No valid host was found, next try ") && status.contains("; choose a smaller flavor"),
        "{status}"
    );
}

#[test]
fn a_lost_answer_to_the_creation_of_a_builder_leaves_no_server() {
    let (_fixture, status) = failed(&[], |fixture| {
        fixture.cloud.inject(Fault::new("POST", "/servers$", What::LoseReply).unwrap());
    });
    assert!(status.starts_with("maintenance: Build failed: "), "{status}");
}

#[test]
fn what_cannot_be_noted_is_not_made() {
    let fixture = Fixture::set(&[]);
    let slow = What::Delay(std::time::Duration::from_secs(15));
    fixture.cloud.inject(Fault::new("POST", "/servers/[^/]+/action$", slow).unwrap().times(1));
    fixture.integrate("upload");
    let is_stopping =
        |journal: Journal| journal.job?.builds.pop().filter(|build| build.phase == Phase::Snapshotting);
    wait_for("the builder to be stopped", || is_stopping(fixture.journal()));
    // From now on the journal cannot be replaced.
    let obstacle = fixture.state_file(".journal.json.new");
    std::fs::create_dir_all(obstacle.join("x")).unwrap();
    wait_for("the worker's end", || fixture.worker().is_none().then_some(()));
    assert_eq!(fixture.requests("POST", "/action"), 1, "it was stopped, and no snapshot was taken");
    assert!(fixture.cloud.project("builder-project").servers().is_empty(), "and removed");
    std::fs::remove_dir_all(obstacle).unwrap();
    fixture.next_hook();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn a_killed_worker_is_replaced_and_what_it_left_is_removed() {
    let fixture = Fixture::set(&[]);
    let url = fixture.site.serve_script("slow.sh", "#!/bin/bash\nsleep 300\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = fixture.integrate("upload");
    fixture.await_status("running the external script");
    fixture.kill_worker();
    assert_eq!(fixture.cloud.project("builder-project").servers().len(), 1, "it could not clean up");
    let url = fixture.site.serve_script("quick.sh", "#!/bin/bash\ntrue\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn a_security_group_that_could_not_be_removed_goes_with_the_next_job() {
    let fixture = Fixture::set(&[]);
    let refuse = |status, why: &str| {
        let body = format!(r#"{{"NeutronError": {{"message": "{why}"}}}}"#);
        let what = What::Status(status, Vec::new(), body);
        fixture.cloud.inject(Fault::new("DELETE", "/v2.0/security-groups/", what).unwrap());
    };
    let run = || {
        let action = fixture.unit().run_action("run", serde_json::json!({"wait": true})).unwrap();
        assert!(action.results.contains_key("job"), "{action:?}");
        fixture.job_ended();
    };
    refuse(409, "in use");
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.leftovers().len(), 1, "{:?}", fixture.leftovers());
    fixture.cloud.heal();
    // Which is not true.
    refuse(404, "not found");
    run();
    assert_eq!(fixture.leftovers().len(), 1, "{:?}", fixture.leftovers());
    fixture.cloud.heal();
    run();
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn a_list_that_is_older_than_the_one_before_is_refused_until_a_newer_one_comes() {
    let fixture = Fixture::set(&[]);
    let files = ["SHA256SUMS", "SHA256SUMS.gpg"].map(|name| format!("/cloud-images/noble/current/{name}"));
    let old = files.clone().map(|path| (fixture.site.served(&path).unwrap(), path));
    // Signatures have their time in seconds.
    let first = Timestamp::now();
    wait_for("the next second", || (Timestamp::now() > first).then_some(()));
    fixture.site.publish_images("noble", 2).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let told = fixture.told(&relation, "id").expect("an id");
    for (bytes, path) in old {
        fixture.site.serve(&path, "text/plain", bytes);
    }
    fixture.look_for_work();
    let failures = fixture.job_ended().failures;
    assert!(
        failures[0].message.contains("was seen there before: the image server serves an outdated list"),
        "{failures:?}"
    );
    assert_eq!(fixture.told(&relation, "id"), Some(told));
    fixture.site.publish_images("noble", 3).unwrap();
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
}
