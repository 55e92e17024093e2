//! Every call of the client against a real OpenStack. Makes small things, and deletes all that it made.
//!
//! Not run by default: it needs a cloud. `OS_CLIENT_CONFIG_FILE` names a clouds.yaml, `OS_CLOUD` the cloud in it
//! (default `builder`), `TEST_FLAVOR` and `TEST_NETWORK` what the server gets; `TEST_FLAVOR` must have a disk.
//!
//! ```text
//! OS_CLIENT_CONFIG_FILE=clouds.yaml cargo test --test openstack_cloud -- --nocapture --test-threads=1
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use runner_image_builder::http::{HttpClient, Proxies};
use runner_image_builder::model::{Deadline, Secret};
use runner_image_builder::openstack_cloud::*;

const SIZE: u64 = 64 * 1024 * 1024;
const MARK: &str = "runner_image_builder_client_test";

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn config() -> CloudConfig {
    let path = std::env::var("OS_CLIENT_CONFIG_FILE").expect("OS_CLIENT_CONFIG_FILE names a clouds.yaml");
    let clouds: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cloud = &clouds["clouds"][setting("OS_CLOUD", "builder").as_str()];
    let auth = |key: &str| cloud["auth"][key].as_str().unwrap().to_owned();
    CloudConfig {
        auth_url: auth("auth_url"),
        region_name: cloud["region_name"].as_str().map(str::to_owned),
        interface: Interface::Public,
        ca_certificate: None,
        project_name: auth("project_name"),
        project_domain_name: auth("project_domain_name"),
        user_domain_name: auth("user_domain_name"),
        username: auth("username"),
        application_credential: None,
        password: Secret::new(auth("password")),
    }
}

fn within(seconds: u64) -> Deadline {
    Deadline::after(Duration::from_secs(seconds))
}

fn connect(config: &CloudConfig) -> Result<Cloud, OpenStackError> {
    Cloud::connect(config, &HttpClient::new(Proxies::default()), within(30))
}

fn told<T: std::fmt::Debug>(result: Result<T, OpenStackError>) -> OpenStackError {
    let error = result.unwrap_err();
    println!("  {:?}, act: {}: {error}", error.kind(), error.operator_must_act());
    error
}

fn new_image(name: &str) -> NewImage {
    NewImage {
        id: None,
        name: name.to_owned(),
        disk_format: "raw".to_owned(),
        container_format: "bare".to_owned(),
        min_disk: 1,
        min_ram: 0,
        properties: BTreeMap::from([
            ("architecture".to_owned(), "x86_64".to_owned()),
            (MARK.to_owned(), "yes".to_owned()),
        ]),
    }
}

/// Removes what earlier runs may have left.
fn sweep(cloud: &Cloud) {
    for server in cloud.compute().servers(Some(MARK), within(30)).unwrap() {
        cloud.compute().delete_server(&server.id, within(30)).unwrap();
        cloud.compute().wait_until_gone(&server.id, within(120)).unwrap();
    }
    for image in cloud.images().list(&marked(), within(30)).unwrap() {
        cloud.images().delete(&image.id, within(60)).unwrap();
    }
    for group in cloud.network().security_groups(Some(MARK), within(30)).unwrap() {
        cloud.network().delete_security_group(&group.id, within(30)).unwrap();
    }
}

fn marked() -> ImageFilter {
    ImageFilter { properties: vec![(MARK.to_owned(), "yes".to_owned())], ..ImageFilter::default() }
}

#[test]
fn every_call_does_what_it_says() {
    let start = Instant::now();
    let step = |what: &str| println!("{:6.1} s  {what}", start.elapsed().as_secs_f32());
    let cloud = connect(&config()).unwrap();
    sweep(&cloud);
    let (images, compute, network) = (cloud.images(), cloud.compute(), cloud.network());
    step(&format!("project {}, user {}", cloud.project_id(), cloud.user_id()));

    // Images.
    let image = images.create(&new_image("client test"), within(30)).unwrap();
    assert_eq!(image.status, ImageStatus::Queued);
    assert_eq!(image.visibility, Visibility::Private);
    assert_eq!(image.owner.as_ref(), Some(&cloud.project_id()));
    images.upload(&image.id, Some(SIZE), &mut std::io::repeat(7).take(SIZE), within(120)).unwrap();
    let active = images.wait_until_active(&image.id, within(60)).unwrap();
    assert_eq!(active.size, Some(SIZE));
    assert_eq!(active.hash_algorithm.as_deref(), Some("sha512"));
    assert!(active.hash.is_some_and(|hash| hash.len() == 128));
    step("image uploaded");
    let mut data = images.download(&image.id, within(120)).unwrap();
    assert_eq!(data.size(), Some(SIZE));
    assert_eq!(std::io::copy(&mut data, &mut std::io::sink()).unwrap(), SIZE);
    step("image downloaded");
    let changed = images
        .update(
            &image.id,
            &[
                ImageChange::Add("a/b~c".to_owned(), "1".into()),
                ImageChange::Add("architecture".to_owned(), "aarch64".into()),
                ImageChange::Replace("name".to_owned(), "renamed".into()),
                ImageChange::Replace("os_hidden".to_owned(), true.into()),
                ImageChange::Replace("visibility".to_owned(), "shared".into()),
            ],
            within(30),
        )
        .unwrap();
    assert_eq!((changed.name.as_str(), changed.hidden), ("renamed", Hidden::Yes));
    assert_eq!(changed.properties["a/b~c"], "1");
    assert_eq!(changed.properties["architecture"], "aarch64");
    assert!(images.list(&marked(), within(30)).unwrap().is_empty());
    let hidden = ImageFilter {
        name: Some("renamed".to_owned()),
        status: Some(ImageStatus::Active),
        owner: Some(cloud.project_id()),
        hidden: Hidden::Yes,
        ..marked()
    };
    assert_eq!(images.list(&hidden, within(30)).unwrap().len(), 1);
    let back = [
        ImageChange::Remove("a/b~c".to_owned()),
        ImageChange::Replace("os_hidden".to_owned(), false.into()),
        ImageChange::Replace("architecture".to_owned(), "x86_64".into()),
    ];
    assert!(!images.update(&image.id, &back, within(30)).unwrap().properties.contains_key("a/b~c"));
    let member = "0123456789abcdef0123456789abcdef".parse().unwrap();
    assert_eq!(images.membership(&image.id, &member, within(30)).unwrap(), None);
    images.share(&image.id, &member, within(30)).unwrap();
    images.share(&image.id, &member, within(30)).unwrap();
    assert_eq!(images.membership(&image.id, &member, within(30)).unwrap(), Some(MemberStatus::Pending));
    assert_eq!(images.members(&image.id, within(30)).unwrap(), [member.clone()]);
    assert_eq!(
        images.accept(&image.id, within(30)).unwrap_err().kind(),
        ErrorKind::Forbidden,
        "its own image"
    );
    assert_eq!(images.unshare(&image.id, &member, within(30)).unwrap(), Deletion::Deleted);
    assert_eq!(images.unshare(&image.id, &member, within(30)).unwrap(), Deletion::Absent);
    step("image changed and shared");
    let chunked = images.create(&new_image("client test chunked"), within(30)).unwrap();
    images.upload(&chunked.id, None, &mut std::io::repeat(7).take(SIZE), within(120)).unwrap();
    assert_eq!(images.get(&chunked.id, within(30)).unwrap().unwrap().size, Some(SIZE));
    assert_eq!(images.delete(&chunked.id, within(60)).unwrap(), Deletion::Deleted);
    assert_eq!(images.delete(&chunked.id, within(60)).unwrap(), Deletion::Absent);
    assert!(images.get(&chunked.id, within(30)).unwrap().is_none());
    step("image uploaded in chunks, deleted");

    // Networks.
    let wanted = setting("TEST_NETWORK", "runner-net");
    let networks = network.networks(Some(&wanted), within(30)).unwrap();
    assert_eq!(networks.len(), 1);
    assert!(network.networks(None, within(30)).unwrap().len() >= networks.len());
    assert!(network.networks(Some("no such network"), within(30)).unwrap().is_empty());
    let subnets = network.subnets(&networks[0].id, within(30)).unwrap();
    assert!(subnets.iter().any(|subnet| subnet.network_id == networks[0].id));
    let group = network.create_security_group(MARK, "a test", within(30)).unwrap();
    for (protocol, ethertype, remote) in [
        (Protocol::Icmp, EtherType::IPv4, None),
        (Protocol::Icmp, EtherType::IPv6, None),
        (Protocol::Tcp(22), EtherType::IPv4, Some("10.0.0.0/8")),
        (Protocol::Tcp(22), EtherType::IPv4, Some("10.0.0.0/8")),
        (Protocol::Tcp(22), EtherType::IPv6, Some("fd00::/8")),
    ] {
        let remote = remote.map(|remote| remote.parse().unwrap());
        let rule = NewRule { protocol, ethertype, remote };
        network.create_security_group_rule(&group.id, &rule, within(30)).unwrap();
    }
    let groups = network.security_groups(Some(MARK), within(30)).unwrap();
    assert_eq!(groups.len(), 1);
    let ingress: Vec<_> = groups[0].rules.iter().filter(|rule| rule.direction == "ingress").collect();
    assert_eq!(ingress.len(), 4, "{ingress:?}");
    step("security group made");

    // Servers.
    let flavors = compute.flavors(within(30)).unwrap();
    let wanted = setting("TEST_FLAVOR", "m1.tiny-nope");
    let flavor = flavors.iter().find(|flavor| flavor.name == wanted).expect("the test's flavor");
    assert!(flavor.vcpus > 0 && flavor.ram > 0 && flavor.public && !flavor.disabled);
    let new = NewServer {
        name: MARK.to_owned(),
        image: image.id.clone(),
        flavor: flavor.id.clone(),
        network: networks[0].id.clone(),
        security_group: Some(group.id.clone()),
        metadata_source: MetadataSource::ConfigDrive,
        user_data: Secret::new(b"#cloud-config\n".to_vec()),
        metadata: BTreeMap::from([("owner".to_owned(), "client test".to_owned())]),
    };
    let id = compute.create_server(&new, within(60)).unwrap();
    let server = compute.wait_for_server(&id, &ServerStatus::Active, within(180)).unwrap();
    step(&format!("server active: {:?}", server.addresses));
    assert_eq!(server.metadata["owner"], "client test");
    assert!(server.addresses.iter().all(|address| address.mac.is_some()));
    assert_eq!(compute.servers(Some(MARK), within(30)).unwrap().len(), 1);
    assert!(compute.servers(Some("runner_image_builder.client_test"), within(30)).unwrap().is_empty());
    assert!(!compute.servers(None, within(30)).unwrap().is_empty());
    println!("  console: {:?}", compute.console_output(&id, 5, within(30)));
    let used = network.delete_security_group(&group.id, within(30)).unwrap();
    println!("  deleting the used group: {used:?}");
    assert!(matches!(used, Deletion::InUse(_)));
    compute.stop_server(&id, within(30)).unwrap();
    compute.wait_for_server(&id, &ServerStatus::ShutOff, within(120)).unwrap();
    assert_eq!(told(compute.stop_server(&id, within(30))).kind(), ErrorKind::Conflict);
    step("server stopped");
    let labels = BTreeMap::from([(MARK.to_owned(), "yes".to_owned())]);
    let snapshot = compute.create_server_image(&id, "client test snapshot", &labels, within(60)).unwrap();
    let snapshot = images.wait_until_active(&snapshot, within(180)).unwrap();
    step(&format!("snapshot active: {:?} bytes, {:?}", snapshot.size, snapshot.properties));
    assert_eq!(snapshot.properties[MARK], "yes");
    assert_eq!(compute.delete_server(&id, within(30)).unwrap(), Deletion::Deleted);
    compute.wait_until_gone(&id, within(120)).unwrap();
    assert_eq!(compute.delete_server(&id, within(30)).unwrap(), Deletion::Absent);
    assert!(compute.server(&id, within(30)).unwrap().is_none());
    step("server gone");
    assert_eq!(network.delete_security_group(&group.id, within(30)).unwrap(), Deletion::Deleted);
    assert_eq!(network.delete_security_group(&group.id, within(30)).unwrap(), Deletion::Absent);
    assert_eq!(images.delete(&snapshot.id, within(60)).unwrap(), Deletion::Deleted);
    assert_eq!(images.delete(&image.id, within(60)).unwrap(), Deletion::Deleted);
    step("all deleted");
}

#[test]
fn a_clouds_refusals_are_understood() {
    let good = config();
    let cloud = connect(&good).unwrap();
    sweep(&cloud);
    let (images, compute, network) = (cloud.images(), cloud.compute(), cloud.network());

    for wrong in [
        CloudConfig { password: Secret::new("wrong".to_owned()), ..good.clone() },
        CloudConfig { project_name: "no-such-project".to_owned(), ..good.clone() },
        CloudConfig { username: "no-such-user".to_owned(), ..good.clone() },
        CloudConfig { user_domain_name: "no-such-domain".to_owned(), ..good.clone() },
    ] {
        let error = told(connect(&wrong));
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(!format!("{error:?}").contains("wrong"));
    }
    let wrong = CloudConfig { region_name: Some("Nowhere".to_owned()), ..good.clone() };
    let nowhere = connect(&wrong).unwrap();
    assert_eq!(told(nowhere.images().list(&marked(), within(30))).kind(), ErrorKind::Configuration);
    let wrong = CloudConfig { auth_url: format!("{}/nothing", good.auth_url), ..good.clone() };
    assert_eq!(told(connect(&wrong)).kind(), ErrorKind::Configuration);
    let wrong = CloudConfig { auth_url: good.auth_url.replace(":5000", ":1"), ..good.clone() };
    let quick = Cloud::connect(&wrong, &HttpClient::new(Proxies::default()), within(2));
    assert_eq!(told(quick).kind(), ErrorKind::Unavailable);

    let nothing = "11111111-2222-4333-8444-555555555555";
    let image = images.create(&new_image("client test refusals"), within(30)).unwrap();
    images.upload(&image.id, Some(1024), &mut std::io::repeat(7).take(1024), within(60)).unwrap();
    let networks = network.networks(Some(&setting("TEST_NETWORK", "runner-net")), within(30)).unwrap();
    let group = network.create_security_group(MARK, "a test", within(30)).unwrap();
    let flavors = compute.flavors(within(30)).unwrap();
    let flavor = flavors.iter().find(|flavor| flavor.name == setting("TEST_FLAVOR", "m1.tiny-nope")).unwrap();
    let new = NewServer {
        name: MARK.to_owned(),
        image: image.id.clone(),
        flavor: flavor.id.clone(),
        network: networks[0].id.clone(),
        security_group: Some(group.id.clone()),
        metadata_source: MetadataSource::ConfigDrive,
        user_data: Secret::new(Vec::new()),
        metadata: BTreeMap::new(),
    };
    for wrong in [
        NewServer { flavor: nothing.parse().unwrap(), ..new.clone() },
        NewServer { image: nothing.parse().unwrap(), ..new.clone() },
        NewServer { network: nothing.parse().unwrap(), ..new.clone() },
        NewServer { user_data: Secret::new(vec![b'x'; 60_000]), ..new.clone() },
        NewServer { metadata: BTreeMap::from([("k".to_owned(), "v".repeat(300))]), ..new.clone() },
    ] {
        assert_eq!(told(compute.create_server(&wrong, within(60))).kind(), ErrorKind::Invalid);
    }
    let taken = NewImage { id: Some(image.id.clone()), ..new_image("client test taken") };
    assert_eq!(told(images.create(&taken, within(30))).kind(), ErrorKind::Conflict);
    assert_eq!(
        told(images.upload(&image.id, Some(4), &mut &b"more"[..], within(30))).kind(),
        ErrorKind::Conflict
    );
    let own = NewImage {
        properties: BTreeMap::from([("self".to_owned(), "x".to_owned())]),
        ..new_image("client test own")
    };
    told(images.create(&own, within(30)));
    let public = [ImageChange::Replace("visibility".to_owned(), "public".into())];
    assert_eq!(told(images.update(&image.id, &public, within(30))).kind(), ErrorKind::Forbidden);
    let gone = [ImageChange::Remove("no-such-property".to_owned())];
    told(images.update(&image.id, &gone, within(30)));
    let short = images.create(&new_image("client test short"), within(30)).unwrap();
    assert_eq!(
        told(images.upload(&short.id, Some(10), &mut &b"short"[..], within(30))).kind(),
        ErrorKind::Source
    );
    println!("  after a short upload: {:?}", images.get(&short.id, within(30)).unwrap().map(|i| i.status));
    assert_eq!(told(images.download(&short.id, within(30))).kind(), ErrorKind::Conflict);
    told(images.wait_until_active(&nothing.parse().unwrap(), within(30)));
    told(compute.wait_for_server(&nothing.parse().unwrap(), &ServerStatus::Active, within(30)));
    told(compute.stop_server(&nothing.parse().unwrap(), within(30)));
    told(compute.console_output(&nothing.parse().unwrap(), 5, within(30)));
    let rule = NewRule { protocol: Protocol::Icmp, ethertype: EtherType::IPv4, remote: None };
    let rule = network.create_security_group_rule(&nothing.parse().unwrap(), &rule, within(30));
    assert_eq!(told(rule).kind(), ErrorKind::NotFound);
    let mut made = Vec::new();
    for _ in 0..40 {
        match network.create_security_group(MARK, "a test of the quota", within(30)) {
            Ok(group) => made.push(group),
            refused => {
                assert_eq!(told(refused).kind(), ErrorKind::Quota);
                break;
            }
        }
    }
    println!("  security groups until then: {}", made.len() + 1);
    sweep(&cloud);
}
