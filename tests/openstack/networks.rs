//! Networks that clouds may have and most do not: without port security, two of one name, of IPv6 alone.

use std::time::Duration;

use runner_image_builder::builder::image::site::{Site, remove_security_groups};
use runner_image_builder::http::{HttpClient, Proxies};
use runner_image_builder::model::{Deadline, Secret};
use runner_image_builder::openstack_cloud::{
    Cloud, CloudConfig, EtherType, ImageFilter, Interface, MetadataSource, NewServer, ServerStatus, Wish,
    choose_network,
};
use runner_image_builder::record::{BuilderVm, Owner};

use crate::charm::{APPLICATION, Charm};
use crate::cloud::Project;
use crate::scenario::{BUILD_PROJECT, Scenario};

/// The network that all projects share.
const SHARED: &str = "runner-net";
/// Networks of the build project that nothing but its own servers is on.
const TWIN: &str = "twin-net";

fn within(seconds: u64) -> Deadline {
    Deadline::after(Duration::from_secs(seconds))
}

/// As long as it lives, new ports on the shared network have no security groups.
pub struct WithoutPortSecurity(());

impl WithoutPortSecurity {
    pub fn begin() -> Self {
        Project::named("admin").client(&["network", "set", "--disable-port-security", SHARED]);
        Self(())
    }
}

impl Drop for WithoutPortSecurity {
    fn drop(&mut self) {
        if let Err(error) =
            Project::named("admin").try_client(&["network", "set", "--enable-port-security", SHARED])
        {
            eprintln!("{SHARED} stays without port security: {error}");
        }
    }
}

/// Two networks of one name with a subnet of IPv6 each. They go when this is dropped.
struct Twins(Vec<String>);

impl Twins {
    fn make() -> Self {
        let admin = Project::named("admin");
        let mut twins = Self(Vec::new());
        for number in ["1", "2"] {
            let owner = ["--project", BUILD_PROJECT, "--project-domain", "Default"];
            let network =
                ["network", "create", "--provider-network-type", "local", TWIN, "-f", "value", "-c", "id"];
            let id = admin.client(&[&network[..], &owner].concat());
            twins.0.push(id.clone());
            let range = format!("fd00:77:{number}::/64");
            let subnet =
                ["subnet", "create", "--network", &id, "--ip-version", "6", "--subnet-range", &range];
            // A subnet of another project is not seen by the network's owner.
            admin.client(&[&subnet[..], &owner, &["--no-dhcp", "--gateway", "none", TWIN]].concat());
        }
        twins
    }
}

impl Drop for Twins {
    fn drop(&mut self) {
        for id in &self.0 {
            if let Err(error) = Project::named("admin").try_client(&["network", "delete", id]) {
                eprintln!("network {id} stays: {error}");
            }
        }
    }
}

fn connect(project: &Project) -> Cloud {
    let auth = |field: &str| project.auth(field).to_owned();
    let config = CloudConfig {
        auth_url: auth("auth_url"),
        region_name: None,
        interface: Interface::Public,
        ca_certificate: None,
        project_name: auth("project_name"),
        project_domain_name: auth("project_domain_name"),
        user_domain_name: auth("user_domain_name"),
        username: auth("username"),
        application_credential: None,
        password: Secret::new(auth("password")),
    };
    let http = HttpClient::new(Proxies::default());
    Cloud::connect(&config, &http, within(120)).expect("the build project")
}

impl Scenario<Charm> {
    pub fn has_used_no_security_group(&self) {
        let log = self.environment.root.join("var/log/runner-image-builder/worker.log");
        let log = std::fs::read_to_string(log).expect("worker.log");
        assert!(log.contains("network runner-net has no port security"), "not noticed");
    }

    pub fn launches_on_a_network_of_ipv6_alone_that_its_id_names(&self) {
        let twins = Twins::make();
        let cloud = connect(self.environment.project(BUILD_PROJECT));
        let by_name = Wish { option: "build-network", value: Some(TWIN) };
        let refusal = choose_network(&cloud, by_name, within(60)).expect_err("a name of two").to_string();
        assert!(twins.0.iter().all(|id| refusal.contains(id)), "{refusal}");

        let owner = Owner { model_uuid: "twins".into(), application: "twins".into(), unit: 0 };
        let vm = BuilderVm {
            flavor: None,
            network: twins.0.last().cloned(),
            ssh_ingress: "0.0.0.0/0".into(),
            ssh_options: Vec::new(),
            boot_timeout_s: 60,
            apt_mirror: None,
        };
        let site = Site::choose(&cloud, &owner, &vm, within(120)).expect("a place for a VM");
        assert_eq!(site.family, EtherType::IPv6, "everybody means everybody there");
        let name = Some(format!("{APPLICATION}-image-builder-base-noble-x64"));
        let bases = cloud.images().list(&ImageFilter { name, ..ImageFilter::default() }, within(60));
        let server = NewServer {
            name: TWIN.into(),
            image: bases.expect("the images").first().expect("the base image of the builds").id.clone(),
            flavor: site.flavor.id.clone(),
            network: site.network.id.clone(),
            security_group: site.security_group.clone(),
            metadata_source: MetadataSource::ConfigDrive,
            user_data: Secret::new(b"#cloud-config\n".to_vec()),
            metadata: Default::default(),
        };
        let compute = cloud.compute();
        let id = compute.create_server(&server, within(120)).expect("a server");
        let active = compute.wait_for_server(&id, &ServerStatus::Active, within(300));
        let addresses = compute.wait_for_address(
            &id,
            |server| (!server.addresses.is_empty()).then_some(server.addresses),
            within(60),
        );
        compute.remove_server(&id, within(300)).expect("its removal");
        active.expect("an active server");
        let addresses = addresses.expect("the server").expect("an address");
        let families: Vec<EtherType> =
            addresses.iter().map(|address| EtherType::of(address.address)).collect();
        assert_eq!(families, [EtherType::IPv6], "{addresses:?}");
        assert_eq!(remove_security_groups(&cloud, &owner, within(120)), [] as [String; 0]);
    }
}
