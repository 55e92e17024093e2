//! An application credential in the place of a user: what must be set, what must not, and where its secret is.

use rehearsal::agent::Secret;

use crate::deploy::{PASSWORD, Plan};
use crate::machine::{Site, all_succeeded};

const OF_A_USER: [&str; 5] = [
    "openstack-project-domain-name",
    "openstack-project-name",
    "openstack-user-domain-name",
    "openstack-user-name",
    "openstack-password-secret",
];
const ID: &str = "21dced0fd20347869b93710d2b98aae0";

/// A unit that authenticates with an application credential, and the secret that holds its secret.
fn site() -> (Site, Secret) {
    let site = Plan::new().configured();
    let secret = site.model.add_secret(&[("secret", "s3cret")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.app.reset_config(&OF_A_USER).unwrap();
    let uri = secret.uri();
    let options =
        [("openstack-application-credential-id", ID), ("openstack-application-credential-secret", &uri)];
    all_succeeded(site.app.set_config(&options).unwrap());
    (site, secret)
}

#[test]
fn it_needs_no_user_and_no_project_and_its_secret_is_in_clouds_yaml_alone() {
    let (site, secret) = site();
    assert_eq!(site.status(), "blocked: image integration required.");
    let clouds = site.clouds_yaml();
    for line in ["auth_type: v3applicationcredential", "application_credential_secret: s3cret"] {
        assert!(clouds.contains(line), "{clouds}");
    }
    assert!(clouds.contains(&format!("application_credential_id: {ID}")), "{clouds}");
    assert!(!clouds.contains(PASSWORD) && !clouds.contains("project_name"), "{clouds}");
    let name = clouds.lines().nth(1).unwrap().to_owned();
    assert!(name.starts_with("  application-credential-"), "{clouds}");
    all_succeeded(secret.update(&[("secret", "rotated")]).unwrap());
    let clouds = site.clouds_yaml();
    assert!(clouds.contains("application_credential_secret: rotated") && !clouds.contains("s3cret"));
    assert_eq!(clouds.lines().nth(1).unwrap(), name, "it is the same cloud");
}

#[test]
fn what_does_not_go_with_it_is_named() {
    let (site, _secret) = site();
    all_succeeded(
        site.app.set_config(&[("openstack-project-name", "p"), ("openstack-user-name", "u")]).unwrap(),
    );
    site.assert_status(
        "blocked: An application credential has its own user and project. Reset openstack-project-name, \
         openstack-user-name, or openstack-application-credential-id.",
    );
    site.app.reset_config(&["openstack-project-name", "openstack-user-name"]).unwrap();
    site.app.reset_config(&["openstack-application-credential-id"]).unwrap();
    site.assert_status(
        "blocked: Please supply OpenStack application credential via openstack-application-credential-id.",
    );
    site.app.set_config(&[("openstack-application-credential-id", ID)]).unwrap();
    site.app.reset_config(&["openstack-application-credential-secret"]).unwrap();
    site.assert_status("blocked: Please supply OpenStack application credential secret via");
}

#[test]
fn a_secret_that_cannot_be_read_is_told_apart_from_a_password() {
    let (site, secret) = site();
    secret.revoke(&site.app).unwrap();
    site.next_hook();
    site.assert_status(
        "blocked: Charm does not have access to the OpenStack application credential secret. Please",
    );
    secret.grant(&site.app).unwrap();
    all_succeeded(secret.update(&[("password", "x")]).unwrap());
    site.assert_status(&format!("blocked: Secret {} does not contain a 'secret' key.", secret.uri()));
}
