//! Clouds that are not like the default one, and allowed to be so.

use std::time::Duration;

use rehearsal::cloud::{CloudSetup, Family, NetworkOwner, NetworkSetup, Quirks};
use runner_image_builder::record::Remedy;

use crate::fixture::{Deployed, Fixture};

/// The options that an application credential makes superfluous.
const OF_A_USER: [&str; 5] = [
    "openstack-password-secret",
    "openstack-project-domain-name",
    "openstack-project-name",
    "openstack-user-domain-name",
    "openstack-user-name",
];

fn cloud(quirks: Quirks) -> CloudSetup {
    CloudSetup { quirks, ..CloudSetup::default() }
}

fn with_networks(networks: Vec<NetworkSetup>) -> CloudSetup {
    CloudSetup { networks, ..CloudSetup::default() }
}

/// Builds and delivers an image there.
fn builds(fixture: &Fixture) {
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

/// The words with which the operator is told what to change; nothing was launched.
fn refusal(fixture: &Fixture) -> String {
    fixture.integrate("upload");
    let job = fixture.job_ended();
    let [failure] = job.failures.as_slice() else { panic!("one failure: {:?}", job.failures) };
    assert_eq!(failure.remedy, Remedy::Operator);
    assert_eq!(fixture.requests("POST", "/servers"), 0);
    failure.message.clone()
}

#[test]
fn an_application_credential_takes_the_place_of_user_password_and_project() {
    let fixture = Fixture::set(&[]);
    builds(&fixture);
    let setup = CloudSetup::default();
    let credential = &setup.application_credentials[0];
    let secret = fixture.model.add_secret(&[("secret", &credential.secret)]).unwrap();
    secret.grant(&fixture.app).unwrap();
    fixture.app.reset_config(&OF_A_USER).unwrap();
    let options = [
        ("openstack-application-credential-id", credential.id.as_str()),
        ("openstack-application-credential-secret", &secret.uri()),
    ];
    fixture.app.set_config(&options).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.requests("POST", "/servers"), 2, "it is the same project: nothing is built anew");
    assert_eq!(fixture.build_again().failures, []);
    assert_eq!(fixture.images_of_stage("builder-project", "revision").len(), 2);
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    secret.update(&[("secret", "revoked")]).unwrap();
    let job = fixture.build_again();
    let told = format!("Keystone refuses application credential {} (HTTP 401); check ", credential.id);
    assert!(job.failures[0].message.contains(&told), "{:?}", job.failures);
    assert!(!format!("{:?}", job.failures).contains("revoked"));
    assert_eq!(job.failures[0].remedy, Remedy::Operator);
}

#[test]
fn a_network_is_named_by_its_id_where_two_have_its_name() {
    let own = |name: &str, project: &str| NetworkSetup {
        owner: NetworkOwner::Project(project.into()),
        ..NetworkSetup::shared(name)
    };
    let (ours, theirs) = ("builder-project", "upload-project");
    let networks = vec![own("net", ours), own("net", ours), own("net", theirs), own("other", theirs)];
    let fixture = Fixture::among(with_networks(networks), &[("build-network", "net")]);
    let told = refusal(&fixture);
    let (_, ids) =
        told.split_once("build-network \"net\" is the name of several networks; use an id: ").unwrap();
    let ids: Vec<&str> = ids.split(", ").collect();
    assert_eq!(ids.len(), 2, "the other project's is none of ours: {told}");
    fixture.app.set_config(&[("build-network", ids[1])]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn networks_of_routers_and_of_outside_are_not_chosen() {
    let routers =
        NetworkSetup { owner: NetworkOwner::Routers, ..NetworkSetup::shared("HA network tenant 1") };
    let outside = NetworkSetup { external: true, ..NetworkSetup::shared("Ext-Net") };
    // An administrator sees all networks there are.
    let admin = |fixture: &Fixture| {
        let password = fixture.model.add_secret(&[("password", "admin-password")]).unwrap();
        password.grant(&fixture.app).unwrap();
        let options = [("openstack-user-name", "admin"), ("openstack-password-secret", &password.uri())];
        fixture.app.set_config(&options).unwrap();
    };
    let fixture = Fixture::among(with_networks(vec![routers.clone(), outside.clone()]), &[]);
    admin(&fixture);
    let told = refusal(&fixture);
    let words = "project builder-project has only external networks (Ext-Net); set build-network";
    assert!(told.contains(words), "{told}");
    let inside = NetworkSetup::shared("runner-net");
    let fixture = Fixture::among(with_networks(vec![routers, outside, inside]), &[]);
    admin(&fixture);
    builds(&fixture);
}

#[test]
fn a_network_without_port_security_gets_no_security_group() {
    let open = NetworkSetup { port_security: false, ..NetworkSetup::shared("provider") };
    let fixture = Fixture::among(with_networks(vec![open]), &[]);
    builds(&fixture);
    assert_eq!(fixture.requests("POST", "/security-groups"), 0);
}

#[test]
fn a_network_of_ipv6_alone_is_enough() {
    let v6 = NetworkSetup { families: vec![Family::V6], ..NetworkSetup::shared("six") };
    let fixture = Fixture::among(with_networks(vec![v6]), &[]);
    builds(&fixture);
}

#[test]
fn ingress_of_one_family_picks_its_address_and_must_fit_the_network() {
    let both = NetworkSetup { families: vec![Family::V4, Family::V6], ..NetworkSetup::shared("both") };
    let fixture = Fixture::among(with_networks(vec![both]), &[("build-ssh-ingress", "::ffff:0:0/96")]);
    builds(&fixture);
    let fixture = Fixture::set(&[("build-ssh-ingress", "2001:db8::/32")]);
    let told = refusal(&fixture);
    assert!(
        told.contains("build-ssh-ingress 2001:db8::/32 is IPv6, and network runner-net has only IPv4"),
        "{told}"
    );
}

#[test]
fn a_server_whose_address_comes_late_is_waited_for() {
    let address_delay = Duration::from_secs(3);
    builds(&Fixture::among(cloud(Quirks { address_delay, ..Quirks::default() }), &[]));
}

#[test]
fn replicas_that_lag_and_fields_that_are_null_change_nothing() {
    builds(&Fixture::among(cloud(Quirks { replicas_lag: true, nulls: true, ..Quirks::default() }), &[]));
}

#[test]
fn a_security_group_goes_although_the_port_of_its_vm_lingers() {
    let port_lingers = Duration::from_secs(4);
    builds(&Fixture::among(cloud(Quirks { port_lingers, ..Quirks::default() }), &[]));
}

#[test]
fn a_proxy_that_lets_no_image_through_is_named_with_its_remedy() {
    let proxy_limit = Some(1024);
    let fixture = Fixture::among(cloud(Quirks { proxy_limit, ..Quirks::default() }), &[]);
    let told = refusal(&fixture);
    assert!(told.contains("the request is too long: nginx/1.18.0 (Ubuntu) (HTTP 413)"), "{told}");
    assert!(told.contains("client_max_body_size"), "{told}");
}
