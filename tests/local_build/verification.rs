//! An image that was built here and is booted in the build project before anybody is told of it.

use rehearsal::cloud::{Fault, Image, What};
use runner_image_builder::record::ResourceKind;
use serde_json::json;

use crate::fixture::{Deployed, Fixture, wait_for};
use crate::kills::traces;
use crate::workbench::{Packages, material, publish};

/// The images that are kept for inspection.
fn kept(fixture: &Fixture) -> Vec<Image> {
    let mut images = fixture.cloud.project("builder-project").images();
    images.retain(|image| image.hidden);
    images
}

#[test]
fn an_image_built_here_is_booted_there_and_told_only_when_it_works() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let packages = Packages::serve(log.path());
    let fixture = Fixture::set(&[("revision-history-limit", "2")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let first = fixture.told(&relation, "id").unwrap();
    let upload = fixture.cloud.project("upload-project");

    // The embedded cloud reads no disk image: the machine of one is that of the builder VM's image, which works.
    fixture.cloud.boot_disk_images_as(Some(&upload.image_bytes(&first).unwrap())).unwrap();
    publish(&fixture.site, &std::fs::read(material().join("base.qcow2")).unwrap());
    let local = [("build-mode", "local"), ("verify-local-image", "vm"), ("build-apt-mirror", &packages.url)];
    fixture.app.set_config(&local).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    let second = fixture.told(&relation, "id").unwrap();
    assert_ne!(first, second);
    assert_eq!(&upload.image_bytes(&second).unwrap()[..4], b"QFI\xfb", "a qcow2");
    assert_eq!(fixture.requests("POST", "/servers"), 3, "a builder, and a verification of each image");
    let boots = fixture.cloud.log();
    let boots = boots.iter().rposition(|entry| entry.method == "POST" && entry.url.ends_with("/servers"));
    let uploads = fixture.cloud.log();
    let uploads: Vec<usize> = uploads
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.method == "PUT" && entry.url.ends_with("/file"))
        .map(|(index, _)| index)
        .collect();
    let [.., own, delivered] = uploads[..] else { panic!("{uploads:?}") };
    assert!(Some(own) < boots && boots < Some(delivered), "uploaded, booted, delivered");
    let revision = fixture.journal().revisions.into_iter().max_by_key(|build| build.built).unwrap();
    let contents = revision.contents.as_ref().unwrap();
    assert!(contents.boot.is_some() && contents.manifest.is_some(), "{contents:?}");
    assert!(revision.proof.is_some(), "its bytes are those that we have sent");
    let images = fixture.cloud.project("builder-project").images();
    let image = images.iter().find(|image| image.id == revision.id.to_string()).unwrap();
    assert_eq!((image.min_disk, image.properties["runner_image_builder_stage"].as_str()), (20, "revision"));
    assert_eq!(fixture.leftovers(), [] as [String; 0]);

    // As a fresh cloud image it has no runner.
    fixture.cloud.boot_disk_images_as(None).unwrap();
    fixture.unit().run_action("run", json!({"force": true})).unwrap();
    let failures = fixture.job_ended().failures;
    assert!(failures.len() == 1, "{failures:?}");
    let failure = &failures[0].message;
    assert!(failure.contains("verifying the image: checking the runner's users: "), "{failure}");
    let [rejected] = &kept(&fixture)[..] else { panic!("{:?}", kept(&fixture)) };
    assert!(failure.ends_with(&format!("kept as hidden image {}", rejected.id)), "{failure}");
    assert_eq!(rejected.properties["runner_image_builder_stage"], "rejected");
    assert_eq!(fixture.told(&relation, "id"), Some(second), "the last image that works stays published");
    let disks = fixture.root(0).join("var/lib/runner-image-builder/local/prepared");
    assert_eq!(std::fs::read_dir(disks).unwrap().count(), 0, "the prepared disk may be to blame");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);

    // A cloud that has no room says nothing of the image: it waits there, and the next look for work goes on with it.
    fixture.cloud.boot_disk_images_as(Some(&upload.image_bytes(&first).unwrap())).unwrap();
    fixture.cloud.fail_next_build("No valid host was found.");
    let url = fixture.site.serve_script("other.sh", "#!/bin/bash\ntouch /opt/other\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    assert_eq!(fixture.job_ended().failures.len(), 1);
    let waits = fixture.images_of_stage("builder-project", "snapshot");
    assert_eq!(waits.len(), 1);
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.images_of_stage("builder-project", "snapshot"), [] as [String; 0]);
    assert_eq!(newest(&fixture), waits[0]);

    // So does the worker after one that was killed; of what was not there wholly nothing stays.
    for (method, url, script, goes_on) in
        [("POST", "/servers$", "killed.sh", true), ("PUT", "/v2/images/.*/file", "cut-off.sh", false)]
    {
        fixture.cloud.inject(Fault::new(method, url, What::AcceptAndHang).unwrap());
        let url = fixture.site.serve_script(script, &format!("#!/bin/bash\ntouch /opt/{script}\n"));
        fixture.app.set_config(&[("script-url", &url)]).unwrap();
        let uploaded = wait_for("the upload", || {
            let journal = fixture.journal();
            let noted = journal.resources().find(|resource| resource.kind == ResourceKind::Snapshot)?;
            let id = noted.id.clone()?;
            let waits = fixture.images_of_stage("builder-project", "snapshot");
            let images = fixture.cloud.project("builder-project").images();
            let is_there = images.iter().any(|image| image.id == id);
            (is_there && waits.contains(&id) == goes_on).then_some(id)
        });
        fixture.kill_worker();
        fixture.cloud.heal();
        fixture.next_hook();
        assert_eq!(fixture.job_ended().failures, []);
        assert_eq!(newest(&fixture) == uploaded, goes_on, "{script}");
        assert_eq!(fixture.leftovers(), [] as [String; 0]);
    }
    // The last worker may be about to end.
    wait_for("the end of all builds", || traces(&fixture.root(0)).is_empty().then_some(()));
}

/// The build that the relation is told of.
fn newest(fixture: &Fixture) -> String {
    fixture.journal().images.remove(0).revision.expect("a build").to_string()
}
