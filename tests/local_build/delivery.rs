//! The charm in local mode: images in the clouds that want them, and no builder VM anywhere.

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
