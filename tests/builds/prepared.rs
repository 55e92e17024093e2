//! Prepared images: what they are used for, that they change nothing but the time, and that nothing depends on them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use rehearsal::agent::Relation;
use rehearsal::cloud::{Fault, Image, What};
use rehearsal::instance::archive::ImageTree;
use rehearsal::recipe::steps_in;
use runner_image_builder::instance::DEFAULT_RECIPE;
use runner_image_builder::record::{BuiltOn, Job};
use serde_json::Value;

use crate::fixture::{Deployed, Fixture, wait_for};

const PROJECT: &str = "builder-project";
const NONE: [String; 0] = [];
/// The VMs of a build: its builder, and the one that verifies.
const BUILD: usize = 2;

/// A fixture with prepared images whose first build is delivered.
fn built() -> (Fixture, Relation) {
    let fixture = Fixture::set(&[("prepared-images", "true")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    (fixture, relation)
}

/// The active prepared images of the build project.
fn prepared(fixture: &Fixture) -> Vec<String> {
    fixture.images_of_stage(PROJECT, "prepared")
}

/// The only one.
#[track_caller]
fn only(fixture: &Fixture) -> String {
    let [image] = &prepared(fixture)[..] else { panic!("one prepared image: {:?}", prepared(fixture)) };
    image.clone()
}

/// Gives images another script; returns the job that builds them.
fn change_script(fixture: &Fixture, word: &str) -> Job {
    let url = fixture.site.serve_script(&format!("{word}.sh"), &format!("#!/bin/bash\ntouch /opt/{word}\n"));
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    job
}

fn built_on(job: &Job) -> Option<BuiltOn> {
    job.builds[0].built_on
}

fn log(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap()
}

/// The steps that a job has done in its builder VM (`""`), or in that of its preparation (`prepare-`).
fn steps(fixture: &Fixture, job: &Job, kind: &str) -> Vec<String> {
    let vm = format!("image-builder-image-builder-{kind}noble-x64-{}: ", job.id);
    let log = log(fixture);
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&vm)).collect();
    steps_in(&lines.join("\n")).map(str::to_owned).collect()
}

fn said(fixture: &Fixture, command: &str) -> Value {
    let output = fixture.unit().exec(&format!("./dispatch {command} --format json")).unwrap();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{command}");
    serde_json::from_str(&output.stdout).unwrap()
}

/// What the history tells of the last job that has built.
fn past(fixture: &Fixture) -> Value {
    let history = said(fixture, "history");
    let jobs = history["jobs"].as_array().unwrap();
    let mut builds = jobs.iter().map(|job| &job["result"]["builds"][0]);
    builds.find(|build| !build["built_on"].is_null()).cloned().unwrap_or_default()
}

/// The image that is told, as a tree, and its manifest.
fn told(fixture: &Fixture, relation: &Relation) -> (ImageTree, Value) {
    let id = fixture.told(relation, "id").unwrap();
    let tree = fixture.cloud.project("upload-project").image_tree(&id).unwrap();
    (tree, said(fixture, "show-image noble-x64")["manifest"].clone())
}

/// Counts VMs that were launched.
fn launched(fixture: &Fixture) -> usize {
    fixture.requests("POST", "/servers")
}

fn inject(fixture: &Fixture, method: &str, url: &str, what: What, nth: u32) {
    fixture.cloud.inject(Fault::new(method, url, what).unwrap().from_nth(nth).times(1));
}

fn refuse() -> What {
    What::Status(403, Vec::new(), r#"{"forbidden": {"message": "Quota exceeded", "code": 403}}"#.into())
}

#[test]
fn a_changed_script_is_built_on_the_prepared_image_and_is_the_image_of_a_build_on_the_base_image() {
    let (fixture, relation) = built();
    let first = fixture.journal().job.unwrap();
    assert_eq!(built_on(&first), Some(BuiltOn::BaseImage));
    assert_eq!(launched(&fixture), BUILD + 1, "the third prepares");
    let made = only(&fixture);
    assert_eq!(
        steps(&fixture, &first, "prepare-"),
        [
            "waiting for cloud-init",
            "masking units",
            "choosing package sources",
            "upgrading packages",
            "installing packages",
            "installing snaps",
            "installing npm packages",
            "cleaning up",
        ]
    );
    assert_eq!(fixture.leftovers(), NONE);
    assert!(fixture.journal().resources().next().is_none(), "{}", fixture.jobs());
    let tree = fixture.cloud.project(PROJECT).image_tree(&made).unwrap();
    assert!(!tree.has("home/ubuntu/actions-runner") && !tree.has("etc/ssh/ssh_host_ed25519_key"));
    assert!(!tree.has("home/ubuntu/.ssh/authorized_keys"));
    assert_eq!(tree.file("etc/machine-id"), Some(&b""[..]));
    let text = past(&fixture)["preparation"].as_str().unwrap().to_owned();
    assert!(text.starts_with(&format!("image {made} made after ")), "{text}");

    let job = change_script(&fixture, "changed");
    assert_eq!(built_on(&job), Some(BuiltOn::PreparedImage));
    assert_eq!(launched(&fixture), 2 * BUILD + 1, "nothing is prepared after it");
    let done = steps(&fixture, &job, "");
    for step in ["masking units", "installing packages", "installing snaps", "installing npm packages"] {
        assert!(!done.iter().any(|done| done == step), "{step}: {done:?}");
    }
    for step in ["upgrading packages", "installing the runner", "running the external script", "cleaning up"]
    {
        assert!(done.iter().any(|done| done == step), "{step}: {done:?}");
    }
    assert!(log(&fixture).contains(&format!(", image {made}\n")), "its VM is of the prepared image");
    assert_eq!(past(&fixture)["built_on"], "prepared image");
    assert_eq!(only(&fixture), made);
    let build = fixture.journal().revisions.into_iter().find(|build| build.job == job.id).unwrap();
    let images = fixture.cloud.project(PROJECT).images();
    let build: &Image = images.iter().find(|image| image.id == build.id.as_str()).unwrap();
    assert!(!build.properties.contains_key("runner_image_builder_preparation"), "{:?}", build.properties);
    let on_prepared = told(&fixture, &relation);
    assert!(on_prepared.0.has("opt/changed"));

    // The same once more, on the base image: nothing tells them apart.
    fixture.app.set_config(&[("prepared-images", "false")]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(prepared(&fixture), NONE, "nobody wants it any more");
    let job = fixture.build_again();
    assert_eq!((built_on(&job), prepared(&fixture)), (Some(BuiltOn::BaseImage), NONE.to_vec()));
    let on_base = told(&fixture, &relation);
    assert_eq!(on_prepared.1, on_base.1, "the manifests");
    let files = |tree: &ImageTree| tree.0.keys().cloned().collect::<BTreeSet<String>>();
    assert_eq!(files(&on_prepared.0), files(&on_base.0));
    for path in ["var/lib/dpkg/status", "etc/passwd", "etc/group", "etc/environment"] {
        let text = |tree: &ImageTree| {
            let text = tree.text(path);
            // The moment of the build.
            text.lines().filter(|line| !line.starts_with("ImageVersion=")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(text(&on_prepared.0), text(&on_base.0), "{path}");
    }
}

#[test]
fn other_packages_or_another_base_image_make_a_build_on_the_base_image_and_another_prepared_image() {
    let (fixture, _relation) = built();
    let first = only(&fixture);
    let recipe = DEFAULT_RECIPE.replace("  - jq\n", "  - jq\n  - zip\n");
    fixture.app.set_config(&[("recipe", &recipe)]).unwrap();
    let job = fixture.job_ended();
    assert_eq!((job.failures.as_slice(), built_on(&job)), (&[][..], Some(BuiltOn::BaseImage)));
    let second = only(&fixture);
    assert_ne!(first, second, "there is one of a target");

    fixture.site.publish_images("noble", 2).unwrap();
    fixture.look_for_work();
    let job = fixture.job_ended();
    assert_eq!((job.failures.as_slice(), built_on(&job)), (&[][..], Some(BuiltOn::BaseImage)));
    assert_ne!(only(&fixture), second);
    assert_eq!(fixture.leftovers(), NONE);
}

#[test]
fn a_prepared_image_that_is_gone_costs_no_build() {
    let (fixture, _relation) = built();
    let first = only(&fixture);
    fixture.cloud.project(PROJECT).remove_image(&first);
    assert_eq!(built_on(&change_script(&fixture, "one")), Some(BuiltOn::BaseImage));
    let second = only(&fixture);

    // It is there, and no VM boots from it.
    let before = launched(&fixture);
    let message =
        r#"{"badRequest": {"message": "Image is unacceptable: No valid boot device", "code": 400}}"#;
    inject(&fixture, "POST", "/servers$", What::Status(400, Vec::new(), message.into()), 1);
    assert_eq!(built_on(&change_script(&fixture, "two")), Some(BuiltOn::BaseImage));
    assert_eq!(launched(&fixture), before + 1 + BUILD + 1, "a try, a build, a preparation");
    assert!(log(&fixture).contains(&format!("building on prepared image {second}: ")), "it is said why");
    assert_ne!(only(&fixture), second);
    assert_eq!(fixture.leftovers(), NONE);
}

#[test]
fn an_image_on_a_prepared_one_that_does_not_work_is_built_anew_on_the_base_image() {
    let (fixture, relation) = built();
    let (before, first) = (fixture.told(&relation, "id"), only(&fixture));
    let flag = fixture.site.serve("/flag", "text/plain", b"ok".to_vec());
    let script =
        format!("#!/bin/bash\ncurl --fail --silent {flag} || rm -r /home/ubuntu/actions-runner/bin\n");
    let once = Fault::new("GET", "/flag$", What::Status(404, Vec::new(), String::new())).unwrap();
    fixture.site.inject(once.times(1));
    let url = fixture.site.serve_script("breaks-one.sh", &script);
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let job = fixture.job_ended();
    assert_eq!((job.failures.as_slice(), built_on(&job)), (&[][..], Some(BuiltOn::BaseImage)));
    assert_ne!(fixture.told(&relation, "id"), before);
    let said = log(&fixture);
    let why =
        format!("building on prepared image {first}: verifying the image: starting the runner application");
    assert!(said.contains(&why), "{said}");
    assert_ne!(only(&fixture), first, "it may be to blame");
    assert_eq!(fixture.leftovers(), NONE);
}

#[test]
fn what_the_operators_script_does_is_no_fault_of_the_prepared_image() {
    let (fixture, relation) = built();
    let (made, before, id) = (only(&fixture), launched(&fixture), fixture.told(&relation, "id"));
    let url = fixture.site.serve_script("fails.sh", "#!/bin/bash\nexit 3\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!(fixture.job_ended().failures.len(), 1);
    assert_eq!(launched(&fixture), before + 1, "the base image would not change it");
    assert_eq!((only(&fixture), fixture.told(&relation, "id")), (made, id));
    assert_eq!(built_on(&change_script(&fixture, "works")), Some(BuiltOn::PreparedImage));
    assert_eq!(fixture.leftovers(), NONE);
}

#[test]
fn an_image_that_only_looks_like_a_prepared_one_is_neither_built_on_nor_removed() {
    let (fixture, _relation) = built();
    let made = only(&fixture);
    let project = fixture.cloud.project(PROJECT);
    let image = project.images().into_iter().find(|image| image.id == made).unwrap();
    project.remove_image(&made);
    // As Nova copies properties into a snapshot of a machine that somebody has booted from it.
    let mut properties: Vec<(&str, &str)> =
        image.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    properties.extend([("image_type", "snapshot"), ("instance_uuid", "theirs")]);
    let theirs = project.add_image(image.name.as_deref().unwrap(), b"bytes", &properties).unwrap().id;
    assert_eq!(built_on(&change_script(&fixture, "changed")), Some(BuiltOn::BaseImage));
    fixture.edit_journal(|journal| journal.swept = None);
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    let left = prepared(&fixture);
    assert!(left.len() == 2 && left.contains(&theirs) && !left.contains(&made), "{left:?}");
}

#[test]
fn a_preparation_that_fails_leaves_the_build_delivered_and_is_not_tried_again_by_itself() {
    let fixture = Fixture::set(&[("prepared-images", "true")]);
    inject(&fixture, "POST", "/servers$", refuse(), 3);
    let relation = fixture.integrate("upload");
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    assert!(fixture.status().starts_with("active: noble-x64 "), "{}", fixture.status());
    assert_eq!((prepared(&fixture), fixture.leftovers()), (NONE.to_vec(), NONE.to_vec()));
    assert!(fixture.journal().resources().next().is_none(), "{}", fixture.jobs());
    let text = past(&fixture)["preparation"].as_str().unwrap().to_owned();
    assert!(text.starts_with("not made: ") && text.contains("Quota exceeded"), "{text}");
    assert!(log(&fixture).contains("noble-x64: no prepared image: "), "it is in the log");
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(launched(&fixture), BUILD + 1, "nothing was built, so nothing is prepared");
}

/// What is left of a preparation whose worker was killed while this request hung.
fn killed(method: &str, url: &str, what: What, nth: u32) -> Vec<String> {
    let fixture = Fixture::set(&[("prepared-images", "true")]);
    let hanging = fixture.cloud.inject(Fault::new(method, url, what).unwrap().from_nth(nth));
    let relation = fixture.integrate("upload");
    wait_for("the request", || (fixture.cloud.struck(hanging) > 0).then_some(()));
    let of_it = |name: &str| name.contains("-image-builder-prepare-noble-x64-");
    assert!(fixture.journal().resources().any(|resource| of_it(&resource.name)), "{}", fixture.jobs());
    fixture.kill_worker();
    fixture.cloud.heal();
    fixture.next_hook();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.leftovers(), NONE);
    assert!(fixture.journal().resources().next().is_none(), "{}", fixture.jobs());
    let id = fixture.told(&relation, "id").expect("what was delivered stays told");
    assert_eq!(fixture.images_of_stage("upload-project", "published"), [id]);
    prepared(&fixture)
}

const IMAGE: &str = "/v2/images/[^/]+$";

#[test]
fn a_preparation_that_is_killed_when_its_vm_is_launched_leaves_nothing() {
    assert_eq!(killed("POST", "/servers$", What::ActAndHang, 3), NONE);
}

#[test]
fn a_preparation_that_is_killed_at_its_snapshot_leaves_nothing() {
    assert_eq!(killed("POST", "/action$", What::ActAndHang, 4), NONE);
}

#[test]
fn a_preparation_that_is_killed_before_its_seal_leaves_nothing() {
    assert_eq!(killed("PATCH", IMAGE, What::AcceptAndHang, 5), NONE);
}

#[test]
fn a_preparation_that_is_killed_after_its_seal_leaves_the_image() {
    assert_eq!(killed("PATCH", IMAGE, What::ActAndHang, 5).len(), 1);
}

#[test]
fn a_preparation_that_is_killed_when_its_vm_is_deleted_leaves_the_image() {
    assert_eq!(killed("DELETE", "/servers/", What::AcceptAndHang, 3).len(), 1);
}

/// A delivered build that is followed by a preparation which does not end by itself.
fn preparing() -> (Fixture, Relation) {
    let fixture = Fixture::set(&[("prepared-images", "true")]);
    let ssh = fixture.directory().join("tools/ssh");
    let slow = "#!/bin/bash
        case \" $* \" in *-prepare-*' -N '*) ;; *-prepare-*)
            touch \"${0%/*}/preparing\"; exec 3<&0; exec /usr/bin/ssh \"$@\" <<<'sleep 3000' ;;
        esac
        exec /usr/bin/ssh \"$@\"\n";
    fs::write(&ssh, slow).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let relation = fixture.integrate("upload");
    wait_for("the preparation", || fixture.directory().join("tools/preparing").exists().then_some(()));
    fs::remove_file(&ssh).unwrap();
    (fixture, relation)
}

#[test]
fn a_preparation_follows_the_end_of_its_job_and_gives_way_to_another() {
    let (fixture, relation) = preparing();
    let (first, job) = (fixture.told(&relation, "id"), fixture.journal().job.unwrap());
    assert!(first.is_some() && job.finished.is_some(), "nobody waits for it");
    assert!(fixture.status().starts_with("active: noble-x64 "), "{}", fixture.status());
    let next = fixture.build_again();
    assert_eq!((next.failures.as_slice(), built_on(&next)), (&[][..], Some(BuiltOn::BaseImage)));
    assert_ne!(fixture.told(&relation, "id"), first);
    let history = said(&fixture, "history");
    let of_first = history["jobs"].as_array().unwrap().iter().find(|past| past["id"] == job.id.as_str());
    let of_first = &of_first.unwrap()["result"]["builds"][0];
    assert_eq!(of_first["preparation"], "not made: other work waited");
    only(&fixture);
    assert_eq!(fixture.leftovers(), NONE);
}

#[test]
fn a_preparation_can_be_cancelled() {
    let (fixture, relation) = preparing();
    let action = fixture.unit().run_action("cancel", serde_json::json!({})).unwrap();
    let removed = action.results["removed"].as_str().unwrap();
    assert!(removed.starts_with("builder VM image-builder-image-builder-prepare-noble-x64-"), "{removed}");
    fixture.job_ended();
    assert_eq!((prepared(&fixture), fixture.leftovers()), (NONE.to_vec(), NONE.to_vec()));
    assert!(fixture.told(&relation, "id").is_some());
}

#[test]
fn prepared_images_are_in_no_list_and_go_with_the_application() {
    let (fixture, relation) = built();
    let (made, told) = (only(&fixture), fixture.told(&relation, "id").unwrap());
    for action in ["list-images", "clean-up"] {
        let listed = fixture.unit().run_action(action, serde_json::json!({})).unwrap();
        assert!(!format!("{:?}", listed.results).contains(&made), "{action}: {listed:?}");
    }
    fixture.job_ended();
    assert_eq!(only(&fixture), made);
    fixture.app.remove().unwrap();
    assert_eq!(prepared(&fixture), NONE);
    assert_eq!(fixture.images_of_stage("upload-project", "published"), [told]);
}
