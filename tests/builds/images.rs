//! What an image is made of, and what must not be in it.

use crate::scene::{SCRIPT_SECRET, Scene};

#[test]
fn an_image_has_the_runner_and_nothing_of_its_builder() {
    let scene = Scene::set(&[]);
    let script = "#!/bin/bash\nset -eu\nprintf %s \"$rib_test_secret\" | sha256sum >/opt/script.ok\n";
    let url = scene.site.serve_script("setup.sh", script);
    let secret = scene.script_secret.uri();
    scene.app.set_config(&[("script-url", &url), ("script-secret-id", &secret)]).unwrap();
    let relation = scene.integrate("upload");
    let job = scene.job_ended();
    assert_eq!(job.failures, []);
    let id = scene.told(&relation, "id").expect("an id in the relation");
    let project = scene.cloud.project("upload-project");
    let files = project.image_files(&id).unwrap();
    let has = |path: &str| files.keys().any(|known| known.trim_matches(['.', '/']) == path);
    assert!(has("home/ubuntu/actions-runner/bin/Runner.Listener"));
    assert!(has("opt/script.ok"), "the external script ran with its secret");
    for gone in
        ["home/ubuntu/.ssh/authorized_keys", "root/.ssh/authorized_keys", "etc/ssh/ssh_host_ed25519_key"]
    {
        assert!(!has(gone), "{gone} is in the image");
    }
    // Absent, it keeps a machine with a read-only / from getting one, and with it from getting an address.
    let machine_id = files.iter().find(|(path, _)| path.ends_with("etc/machine-id")).expect("etc/machine-id");
    assert_eq!(machine_id.1, b"", "every machine makes its own");
    let bytes = project.image_bytes(&id).unwrap();
    let found = bytes.windows(SCRIPT_SECRET.len()).any(|window| window == SCRIPT_SECRET.as_bytes());
    assert!(!found, "the script's secret is in the image");
    assert_eq!(scene.leftovers(), [] as [String; 0]);
}

#[test]
fn an_image_that_is_up_to_date_is_not_built_again() {
    let scene = Scene::set(&[]);
    let relation = scene.integrate("upload");
    scene.job_ended();
    let id = scene.told(&relation, "id").expect("an id");
    let uploads = || scene.cloud.log().iter().filter(|entry| entry.method == "PUT").count();
    let before = uploads();
    let first = scene.journal().job.unwrap().id;
    scene.unit().exec("JUJU_DISPATCH_PATH=run ./dispatch").unwrap();
    let job = scene.job_ended();
    assert_ne!(job.id, first, "the schedule asked for a job");
    assert_eq!((scene.told(&relation, "id"), uploads()), (Some(id.clone()), before));
    // A new base image is a reason.
    scene.site.publish_images("noble", 2).unwrap();
    scene.unit().exec("JUJU_DISPATCH_PATH=run ./dispatch").unwrap();
    scene.job_ended();
    assert_ne!(scene.told(&relation, "id"), Some(id));
    let bases = scene.cloud.project("builder-project").images();
    assert_eq!(bases.len(), 1, "the old base image is replaced: {bases:?}");
}

#[test]
fn several_bases_and_projects_are_served_by_one_job() {
    let scene = Scene::set(&[("base-image", "noble,jammy")]);
    let relations = [scene.integrate("upload"), scene.integrate("upload2")];
    scene.job_ended();
    for (relation, project) in relations.iter().zip(["upload-project", "upload2-project"]) {
        let listed: serde_json::Value =
            serde_json::from_str(&scene.told(relation, "images").unwrap()).unwrap();
        let tags: Vec<&str> =
            listed.as_array().unwrap().iter().map(|image| image["tags"].as_str().unwrap()).collect();
        assert_eq!(tags, ["x64,noble", "x64,jammy"]);
        assert_eq!(scene.told(relation, "id").as_deref(), listed[0]["id"].as_str());
        let mut names: Vec<String> =
            scene.cloud.project(project).images().iter().filter_map(|image| image.name.clone()).collect();
        names.sort();
        assert_eq!(names, ["image-builder-jammy-x64", "image-builder-noble-x64"]);
    }
    assert!(scene.status().starts_with("active: noble-x64 "), "{}", scene.status());
    assert_eq!(scene.leftovers(), [] as [String; 0]);
}
