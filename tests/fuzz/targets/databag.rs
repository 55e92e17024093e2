//! What another application, or another unit of ours, writes into a databag: it is not used, or clouds.yaml says exactly
//! that of its cloud, and of no other.

#![no_main]
#![allow(missing_docs, clippy::unwrap_used, reason = "a failure is what is looked for")]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use runner_image_builder::builder::{Clouds, cloud_name, install_clouds_yaml, read_clouds_yaml};
use runner_image_builder::charm::ImageRelation;
use runner_image_builder::host::Host;
use runner_image_builder::juju::{RelationId, answers};
use runner_image_builder::openstack_cloud::CloudConfig;
use runner_image_builder::record::{Announcement, CloudName};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate_json(data, size, max_size, seed, 0)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(databag) = answers::databag(bytes) else { return };
    for value in databag.values() {
        if let Some(announcement) = Announcement::parse(value, "") {
            assert_eq!((announcement.text(), announcement.digest().len()), (value.as_str(), 16));
        }
    }
    let relation = RelationId::parse("image:3").unwrap();
    if let Some(ImageRelation { cloud, config, .. }) = ImageRelation::of(&relation, &databag) {
        stands_in_clouds_yaml(cloud, config);
    }
});

fn stands_in_clouds_yaml(cloud: CloudName, config: CloudConfig) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    assert!(cloud.as_str().chars().all(plain) && cloud.as_str().len() <= 160, "{cloud}");
    let other = CloudConfig { project_name: format!("{}-2", config.project_name), ..config.clone() };
    let clouds = Clouds::from([(cloud_name(&other), other), (cloud, config)]);
    assert_eq!(clouds.len(), 2);
    // In memory: whatever is written is flushed to its disk.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let host = Host::below(dir.path());
    install_clouds_yaml(&host, &clouds).unwrap();
    assert_eq!(read_clouds_yaml(&host).unwrap(), clouds);
}
