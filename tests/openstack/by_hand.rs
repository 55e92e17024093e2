//! An image that somebody builds without Juju, on this machine and right into a project of the real cloud.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use runner_image_builder::openstack_cloud::openstack_manager::{
    BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME, IMAGE_NAME,
};
use serde_json::json;

use crate::charm::{SITE, charm_folder, recipe};
use crate::cloud::{Project, state_dir};
use crate::runner::GITHUB_TOKEN;

/// Runs the charm's script; returns the id that it prints.
fn build(root: &Path) -> String {
    let keyring = state_dir().join("site-keys/cloudimage-keyring.gpg");
    let mut child = Command::new(charm_folder().join(BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME))
        .args(["upload", "octo/engine", "noble-x64"])
        .arg(format!("base-image-source={SITE}/cloud-images"))
        .arg(format!("base-image-keyring={}", keyring.display()))
        .arg(format!("build-apt-mirror={SITE}/ubuntu"))
        .arg("github-api-url=http://127.0.0.1:8080/api")
        .arg(format!("runner-source={SITE}"))
        .arg(format!("recipe={}", recipe()))
        .env("RUNNER_IMAGE_BUILDER_ROOT", root)
        .env("OS_CLIENT_CONFIG_FILE", state_dir().join("clouds.yaml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the script");
    child.stdin.take().expect("its input").write_all(GITHUB_TOKEN.as_bytes()).expect("the token");
    let output = child.wait_with_output().expect("the script");
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{log}");
    assert!(!format!("{said}{log}").contains(GITHUB_TOKEN), "the token is in what it says");
    said.lines().last().expect("an id").trim().to_owned()
}

#[test]
fn an_image_by_hand_takes_the_place_of_its_own_last_and_of_no_other() {
    let project = Project::named("upload");
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("foreign.img");
    std::fs::write(&file, b"somebody else's").expect("a file");
    let path = file.to_string_lossy().into_owned();
    let foreign = project.client(&[
        "image",
        "create",
        IMAGE_NAME,
        "--disk-format",
        "raw",
        "--file",
        &path,
        "-f",
        "value",
        "-c",
        "id",
    ]);
    let named = || {
        let listed = project.json(&["image", "list", "--name", IMAGE_NAME]);
        let listed = listed.as_array().expect("a list").iter();
        let mut ids: Vec<String> =
            listed.map(|image| image["ID"].as_str().unwrap_or_default().to_owned()).collect();
        ids.sort();
        ids
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let first = build(root.path());
    let image = project.json(&["image", "show", &first]);
    assert_eq!((&image["status"], &image["disk_format"]), (&json!("active"), &json!("qcow2")), "{image}");
    assert_eq!(named(), sorted(vec![first.clone(), foreign.clone()]));
    let second = build(root.path());
    assert_ne!(first, second);
    assert_eq!(named(), sorted(vec![second.clone(), foreign.clone()]));
    [&second, &foreign].into_iter().for_each(|id| drop(project.client(&["image", "delete", id])));
}
