//! The charm in local mode: images in the clouds that want them, and no builder VM anywhere.

use runner_image_builder::record::BuiltOn;

use crate::fixture::{Deployed, Fixture};
use crate::kills::traces;
use crate::workbench::{Packages, material, publish};

#[test]
fn an_image_built_here_is_in_each_project_and_nothing_is_left() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let packages = Packages::serve(log.path());
    let fixture = Fixture::set(&[("build-mode", "local"), ("build-apt-mirror", &packages.url)]);
    publish(&fixture.site, &std::fs::read(material().join("base.qcow2")).unwrap());
    let relations = [fixture.integrate("upload"), fixture.integrate("upload2")];
    assert_eq!(fixture.job_ended().failures, []);
    let mut contents = Vec::new();
    for (relation, project) in relations.iter().zip(["upload-project", "upload2-project"]) {
        let id = fixture.told(relation, "id").expect("an id in the relation");
        let project = fixture.cloud.project(project);
        let bytes = project.image_bytes(&id).unwrap();
        assert_eq!(&bytes[..4], b"QFI\xfb", "a qcow2");
        contents.push(bytes);
        let images = project.images();
        let image = images.iter().find(|image| image.id.to_string() == id).unwrap();
        assert_eq!(image.min_disk, 20);
    }
    assert!(contents[0] == contents[1], "one build for both");
    assert!(fixture.cloud.project("builder-project").servers().is_empty());
    let kept = fixture.cloud.project("builder-project").images();
    assert_eq!(kept.len(), 1, "no base image is needed there: {kept:?}");
    assert_eq!(fixture.images_of_stage("builder-project", "revision"), [kept[0].id.clone()]);
    assert!(fixture.cloud.project("builder-project").image_bytes(&kept[0].id).unwrap() == contents[0]);
    let properties = &kept[0].properties;
    assert_eq!(
        (properties["os_version"].as_str(), properties["runner_image_builder_runner"].as_str()),
        ("24.04", "2.337.1")
    );
    let manifest = &properties["runner_image_builder_manifest"];
    let state = fixture.root(0).join("var/lib/runner-image-builder");
    assert!(state.join(format!("manifests/{manifest}.json")).exists(), "{manifest}");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    assert_eq!(traces(&fixture.root(0)), [] as [String; 0]);
    let local = fixture.root(0).join("var/lib/runner-image-builder/local/builds");
    assert_eq!(std::fs::read_dir(local).unwrap().count(), 0);
    assert!(fixture.status().starts_with("active: noble-x64 "), "{}", fixture.status());
}

#[test]
fn a_changed_script_is_built_on_the_prepared_disk_and_is_the_image_of_a_build_on_the_base_image() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let packages = Packages::serve(log.path());
    let options =
        [("build-mode", "local"), ("build-apt-mirror", packages.url.as_str()), ("prepared-images", "true")];
    let fixture = Fixture::set(&options);
    publish(&fixture.site, &std::fs::read(material().join("base.qcow2")).unwrap());
    fixture.integrate("upload");
    let built = || {
        let job = fixture.job_ended();
        assert_eq!(job.failures, []);
        job.builds[0].built_on.unwrap()
    };
    let state = fixture.root(0).join("var/lib/runner-image-builder");
    let disks = || {
        let entries = std::fs::read_dir(state.join("local/prepared")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let manifest = || {
        let output = fixture.unit().exec("./dispatch show-image noble-x64 --format json").unwrap();
        let shown: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        shown["manifest"].clone()
    };
    assert_eq!(built(), BuiltOn::BaseImage);
    let [disk] = &disks()[..] else { panic!("one prepared disk: {:?}", disks()) };
    assert!(disk.starts_with("noble-x64-"), "{disk}");
    let before = manifest();

    let url = fixture.site.serve_script("changed.sh", "#!/bin/bash\ntouch /opt/changed\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!((built(), disks().as_slice()), (BuiltOn::PreparedImage, std::slice::from_ref(disk)));
    let on_prepared = manifest();
    assert_ne!(on_prepared["script_sha256"], before["script_sha256"]);
    assert_eq!(on_prepared["packages"], before["packages"]);
    let worker = std::fs::read_to_string(fixture.root(0).join("var/log/runner-image-builder/worker.log"));
    let installed = worker.unwrap().matches("noble-x64: installing packages, ").count();
    assert_eq!(installed, 1, "packages are installed once");

    // The same once more, on the base image.
    fixture.app.set_config(&[("prepared-images", "false")]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    fixture.build_again();
    assert_eq!((built(), disks()), (BuiltOn::BaseImage, Vec::new()));
    assert_eq!(manifest(), on_prepared);

    // One that is damaged is of no use, and costs no build.
    fixture.app.set_config(&[("prepared-images", "true")]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    fixture.build_again();
    let [disk] = &disks()[..] else { panic!("one prepared disk: {:?}", disks()) };
    std::fs::write(state.join("local/prepared").join(disk), "no disk").unwrap();
    fixture.build_again();
    assert_eq!(built(), BuiltOn::BaseImage);
    assert!(std::fs::metadata(state.join("local/prepared").join(disk)).unwrap().len() > 1 << 20);
    assert_eq!(traces(&fixture.root(0)), [] as [String; 0]);
    assert_eq!(std::fs::read_dir(state.join("local/builds")).unwrap().count(), 0);
}
