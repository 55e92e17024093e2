//! The openstack command from python-openstackclient works with the cloud.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cloud_support;

use std::process::Command;

use cloud_support::{cloud, log_in, text, until};

#[test]
fn the_openstack_client_lists_shows_and_deletes() {
    let client = Command::new("openstack").arg("--version").output();
    assert!(client.is_ok(), "this needs the openstack command: make deps installs it");
    let cloud = cloud();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("clouds.yaml");
    std::fs::write(&config, cloud.clouds_yaml()).unwrap();
    let openstack = |arguments: &str| {
        let mut command = Command::new("openstack");
        command.env("OS_CLIENT_CONFIG_FILE", &config).args(["--os-cloud", "builder"]);
        let out = command.args(arguments.split(' ')).current_dir(directory.path()).output().unwrap();
        assert!(out.status.success(), "{arguments}: {}", text(&out.stderr));
        text(&out.stdout)
    };
    let builder = log_in(&cloud, "builder");
    let image = builder.upload("base", b"bytes of an image");
    let server = builder.launch(&image, "#cloud-config\n");
    builder.await_status(&server, "ACTIVE");

    assert!(openstack("token issue -f value -c id").starts_with("gAAAA"));
    assert!(openstack("catalog list").contains("compute"));
    assert_eq!(openstack("image list -f value -c Name"), "base\n");
    assert!(openstack("image show base").contains("os_distro"));
    openstack("image save --file saved base");
    assert_eq!(std::fs::read(directory.path().join("saved")).unwrap(), b"bytes of an image");
    assert_eq!(openstack("server list -f value -c Name -c Status"), "vm ACTIVE\n");
    assert!(openstack("server show vm").contains("runner-net=127."));
    assert!(openstack("flavor list").contains("builder"));
    assert!(openstack("network list").contains("runner-net"));
    assert!(openstack("security group list").contains("default"));
    assert!(openstack("security group show default").contains("egress"));
    openstack("server delete --wait vm");
    openstack("image delete base");
    until(|| cloud.inventory().is_empty().then_some(()));
}
