//! The charm takes the place of the Python charm (`juju refresh`), on a unit as that leaves it: relations, options and secrets
//! stay, consumers keep their image from the first to the last event, and what is not used any more goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rehearsal::agent::{Proxies, Relation};
use serde_json::{Value, json};

use crate::fixture::{APPLICATION, Deployed, Fixture, assemble};

/// What a deployment of the Python charm has.
const RECORDED: &str = include_str!("../packaging/python_charm.yaml");
/// The home of the user that the Python charm works as.
const HOME: &str = "home/ubuntu";

/// A stand-in for the Python charm: its name, endpoints, options and action, and of its deeds the one that counts here: it
/// has told its consumer of `image`.
fn write_python_charm(folder: &Path, image: &str) {
    let recorded: Value = serde_yaml::from_str(RECORDED).unwrap();
    let write = |name: &str, contents: &str| fs::write(folder.join(name), contents).unwrap();
    fs::create_dir_all(folder).unwrap();
    let provides = recorded["endpoints"]["provides"].as_object().unwrap().iter();
    let provides: Value =
        provides.map(|(name, interface)| (name.clone(), json!({"interface": interface}))).collect();
    let metadata =
        json!({"name": recorded["name"], "summary": "x", "description": "x", "provides": provides});
    write("metadata.yaml", &metadata.to_string());
    let options = recorded["options"].as_object().unwrap().iter();
    let options: Value =
        options.map(|(name, kind)| (name.clone(), json!({"type": kind, "description": "x"}))).collect();
    write("config.yaml", &json!({"options": options}).to_string());
    write("actions.yaml", "run: {description: x}\n");
    let listed = json!([{"id": image, "tags": "x64,noble"}]);
    let dispatch = format!(
        "#!/bin/sh\n[ \"$JUJU_DISPATCH_PATH\" != hooks/image-relation-changed ] ||\n\
         relation-set id={image} tags=x64,noble images='{listed}'\nstatus-set active\n"
    );
    write("dispatch", &dispatch);
    fs::set_permissions(folder.join("dispatch"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// What it leaves on its machine, and the password in it.
fn leave_on_machine(root: &Path) -> Vec<PathBuf> {
    let files = [
        (format!("{HOME}/clouds.yaml"), "clouds: {build: {auth: {password: builder-password}}}\n"),
        (format!("{HOME}/.ssh/builder_key"), "-----BEGIN RSA PRIVATE KEY-----\n"),
        (format!("{HOME}/.local/bin/github-runner-image-builder"), "#!/bin/sh\n"),
        (format!("{HOME}/.local/pipx/venvs/github-runner-image-builder/pyvenv.cfg"), ""),
        (format!("{HOME}/noble-server-cloudimg-amd64.img"), "image"),
        (format!("{HOME}/{APPLICATION}-noble-x64.snapshot"), "image"),
        ("etc/logrotate.d/github-runner-image-builder.conf".into(), "/var/log/x {}\n"),
        ("var/log/github-runner-image-builder/info.log".into(), "a line of its log\n"),
        (
            "etc/cron.d/build-runner-image".into(),
            "0 */6 * * * root /usr/bin/run-one /usr/bin/bash -c '/usr/bin/juju-exec x y'\n",
        ),
    ];
    let written = files.map(|(path, contents)| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    });
    // The cron file has the same name as ours.
    written.into_iter().filter(|path| !path.ends_with("build-runner-image")).collect()
}

/// A deployment of the Python charm that has told its consumer of an image.
struct Before {
    fixture: Fixture,
    relation: Relation,
    /// What consumers run.
    image: String,
    /// The charm that is to take its place.
    charm: PathBuf,
}

impl Before {
    fn new() -> Self {
        let mut image = String::new();
        let fixture = Fixture::of_another_charm(|around, folder| {
            let project = around.cloud.project("upload-project");
            image = project.add_image(&format!("{APPLICATION}-noble-x64"), b"python", &[]).unwrap().id;
            write_python_charm(folder, &image);
        });
        let known = fixture.app.config().unwrap();
        let recorded: Value = serde_yaml::from_str(RECORDED).unwrap();
        // The options that are about the embedded cloud and web are ours alone.
        let needed = fixture.needed();
        let options: Vec<(&str, &str)> = needed
            .iter()
            .filter(|(name, _)| recorded["options"].get(name).is_some())
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert!(known.is_empty() && options.len() > 5);
        fixture.app.set_config(&options).unwrap();
        fixture.app.set_config(&[("base-image", "noble")]).unwrap();
        let relation = fixture.integrate("upload");
        let charm = fixture.directory().join("replacement");
        assemble(&charm);
        Self { fixture, relation, image, charm }
    }

    /// The charm under the name of the Python charm, as `make charm` makes it.
    fn rename(&self) {
        let metadata = fs::read_to_string(self.charm.join("metadata.yaml")).unwrap();
        let renamed = metadata.replace("name: runner-image-builder\n", "name: github-runner-image-builder\n");
        assert_ne!(renamed, metadata);
        fs::write(self.charm.join("metadata.yaml"), renamed).unwrap();
    }
}

#[test]
fn a_deployment_of_the_python_charm_is_taken_over_and_its_consumers_keep_their_image_at_every_event() {
    let before = Before::new();
    let Before { fixture, relation, image, charm } = &before;
    let unit = fixture.unit();
    let machine = fixture.machine();
    let left = leave_on_machine(&machine);
    let told = || (fixture.told(relation, "id"), relation.changes_by(&unit).unwrap());
    let keeps = |event: &str, changes| assert_eq!(told(), (Some(image.clone()), changes), "{event}");
    keeps("before", 1);

    let refused = fixture.app.refresh(charm).unwrap_err().to_string();
    assert!(
        refused.contains("cannot refresh \"github-runner-image-builder\" to \"runner-image-builder\""),
        "{refused}"
    );
    before.rename();
    // No build is to end the watch: nothing of the web can be reached.
    let nobody = "http://127.0.0.1:1".to_owned();
    let proxies = Proxies { http: nobody.clone(), https: nobody, ..Proxies::default() };
    fixture.model.set_proxies(proxies).unwrap();
    let runs = fixture.app.refresh(charm).unwrap();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["upgrade-charm", "config-changed", "units-relation-created"]);
    assert!(runs.iter().all(|run| run.succeeded()), "{runs:?}");
    // What verifies signatures comes beside the image.
    keeps("refreshed", 2);
    for hook in ["start", "leader-elected", "update-status", "upgrade-charm"] {
        assert!(unit.fire(hook).unwrap().succeeded(), "{hook}");
        keeps(hook, 2);
    }
    fixture.look_for_work();
    keeps("cron", 2);

    for path in &left {
        assert!(!path.exists(), "{} is still there", path.display());
    }
    let log = fixture.host(&unit).log_dir().join("python-charm.log");
    assert_eq!(fs::read_to_string(log).unwrap(), "a line of its log\n");
    let cron = fs::read_to_string(machine.join("etc/cron.d/build-runner-image")).unwrap();
    assert!(cron.contains("flock --nonblock") && !cron.contains("run-one"), "{cron}");
    let clouds = fixture.state_file("clouds.yaml");
    assert_eq!(fs::metadata(clouds).unwrap().permissions().mode() & 0o777, 0o600);

    let needed = fixture.needed();
    let options: Vec<(&str, &str)> = needed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fixture.model.set_proxies(Proxies::default()).unwrap();
    fixture.app.set_config(&options).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    let (now, changes) = told();
    assert!(now.is_some_and(|now| now != *image) && changes == 3, "the first own build takes its place");
    let images = fixture.cloud.project("upload-project").images();
    assert!(images.iter().any(|known| known.id == *image), "nothing of it is pruned before it is adopted");
}

#[test]
fn the_databag_of_a_consumer_that_moves_to_the_charm_names_an_adopted_image_before_the_first_build() {
    // No build can succeed.
    let fixture = Fixture::set(&[("adopt", "true"), ("base-image-source", "http://127.0.0.1:1")]);
    let add = |name: &str, bytes: &[u8]| {
        let project = fixture.cloud.project("upload-project");
        project.add_image(name, bytes, &[]).unwrap().id
    };
    let newest = {
        add(&format!("{APPLICATION}-noble-x64"), b"older");
        add(&format!("{APPLICATION}-jammy-x64"), b"another base");
        add(&format!("{APPLICATION}-noble-x64"), b"newest")
    };
    let relation = fixture.integrate("upload");
    let others = fixture.integrate("upload2");
    assert_ne!(fixture.job_ended().failures, [], "there is no base image");
    fixture.next_hook();
    assert_eq!(fixture.told(&relation, "id"), Some(newest));
    assert_eq!(fixture.told(&relation, "tags").as_deref(), Some("x64,noble"));
    assert_eq!(fixture.told(&others, "id"), None, "it is told to its own project only");
}

#[test]
fn what_the_python_charm_has_left_in_the_build_project_is_listed_and_removed_by_id_only() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let project = || fixture.cloud.project("builder-project");
    let add =
        |name: &str, properties: &[(&str, &str)]| project().add_image(name, b"x", properties).unwrap().id;
    let base = add(&format!("{APPLICATION}-image-builder-base-jammy-x64"), &[]);
    let snapshot = add(&format!("{APPLICATION}-noble-x64"), &[("instance_uuid", "its-builder")]);
    let others = add("another-image-builder-base-jammy-x64", &[]);
    let key_pair = format!("{APPLICATION}-image-builder-ssh-key");
    project().add_key_pairs(&key_pair);
    let before = project().images().len();
    let clean_up = |ids: &str| {
        let results = fixture.unit().run_action("clean-up", json!({"ids": ids})).unwrap().results;
        serde_json::from_str::<Vec<Value>>(results["json"].as_str().unwrap()).unwrap()
    };
    let of = |found: &[Value], id: &str| found.iter().find(|found| found["id"] == id).cloned();

    let listed = clean_up("");
    let kinds: Vec<(&str, &str)> =
        listed.iter().map(|found| (found["kind"].as_str().unwrap(), found["id"].as_str().unwrap())).collect();
    let left = [("base image", base.as_str()), ("snapshot", &snapshot), ("key pair", &key_pair)];
    assert_eq!(kinds, left, "neither ours nor another application's");
    assert_eq!(project().images().len(), before, "nothing was named");

    let own = fixture.images_of_stage("builder-project", "revision").remove(0);
    let removed = clean_up(&format!("{base}, {key_pair},{own},{others}"));
    for id in [&base, &key_pair] {
        assert_eq!(of(&removed, id).unwrap()["outcome"], "deleted");
    }
    for id in [&own, &others] {
        assert_eq!(of(&removed, id).unwrap()["outcome"], "not deleted");
    }
    assert!(of(&removed, &snapshot).unwrap()["outcome"].is_null(), "{removed:?}");
    let images = project().images();
    assert!(images.iter().all(|image| image.id != base) && images.len() == before - 1);
    assert!(!project().key_pairs().is_empty(), "other users have theirs");
    assert_eq!(fixture.told(&relation, "tags").as_deref(), Some("x64,noble"));

    let idle = fixture.unit().run_action("run", json!({})).unwrap();
    assert!(idle.results["note"].as_str().unwrap().contains("force=true"), "{idle:?}");
    let forced = fixture.unit().run_action("run", json!({"force": true})).unwrap();
    assert!(!forced.results.contains_key("note"), "{forced:?}");
}

#[test]
fn the_log_says_when_id_moves_to_another_base() {
    let fixture = Fixture::set(&[("base-image", "noble,jammy")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    fixture.next_hook();
    assert_eq!(fixture.told(&relation, "tags").as_deref(), Some("x64,noble"));
    fixture.app.set_config(&[("base-image", "jammy,noble")]).unwrap();
    assert_eq!(fixture.told(&relation, "tags").as_deref(), Some("x64,jammy"));
    let log = fixture.model.debug_log();
    let words = "id now names an image of x64,jammy instead of x64,noble";
    assert!(log.iter().any(|line| line.message.contains(words)), "{log:?}");
}
