//! The names of clouds in clouds.yaml, and what of their configuration makes two of them the same.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::hex;
use crate::openstack_cloud::CloudConfig;
use crate::record::{BuilderRunConfig, CloudName, FormerNames};

/// Clouds by their names: the contents of clouds.yaml.
pub type Clouds = BTreeMap<CloudName, CloudConfig>;

/// How much of a project's name stands in the name of its cloud.
const READABLE: usize = 64;

/// The name under which the build cloud stands in clouds.yaml: the project's name, for people, and a whole digest of all
/// that makes two clouds different, so that nobody can make up another cloud of the same name. What may be replaced by its
/// like, the password and the certificates to trust, is no part of it.
pub fn cloud_name(config: &CloudConfig) -> CloudName {
    let readable = readable(config, |c| matches!(c, '-' | '_' | '.'));
    CloudName::new(format!("{readable}-{}", digest(&identity(config))))
}

/// The name under which the cloud of `relation` (`image:3`) stands there. It is the relation's own: another relation, or
/// the operator, may have said the same with another password, and each authenticates with exactly what it brought.
pub fn related_cloud_name(config: &CloudConfig, relation: &str) -> CloudName {
    let readable = readable(config, |c| matches!(c, '-' | '_'));
    let digest = digest(&(identity(config), relation));
    CloudName::new(format!("{readable}.{}.{digest}", relation.replace(':', "-")))
}

/// The name that earlier revisions of the charm have given to a cloud, whoever named it: see
/// [`FormerNames`]. Nothing is named so any more, since 32 bits of a digest can be forged.
pub fn former_cloud_name(config: &CloudConfig) -> CloudName {
    let readable = readable(config, |c| matches!(c, '-' | '_' | '.'));
    CloudName::new(format!("{readable}-{}", &digest(&identity(config))[..8]))
}

/// The former names of the clouds that `config` names and `clouds` tells of.
pub fn former_names(clouds: &Clouds, config: &BuilderRunConfig) -> FormerNames {
    FormerNames::of(config, |name| Some(former_name(name, clouds.get(name)?)))
}

/// What a relation that says nothing else works with at the Keystone of the operator's cloud `own`: its region, interface
/// and certificates. The cloud keeps the name of what the relation brought.
pub fn inherit_connection(brought: &mut CloudConfig, own: &CloudConfig) {
    if brought.has_keystone_of(own) {
        brought.region_name = brought.region_name.take().or_else(|| own.region_name.clone());
        brought.interface = own.interface;
        brought.ca_certificate = brought.ca_certificate.take().or_else(|| own.ca_certificate.clone());
    }
}

/// The name that earlier revisions have given to the cloud that is called `now`: that of what the relation brought. The
/// present name tells whether the region is the relation's own.
pub fn former_name(now: &CloudName, config: &CloudConfig) -> CloudName {
    let brought = CloudConfig { region_name: None, ..config.clone() };
    let relation = now.as_str().split('.').nth(1).map(|relation| relation.replacen('-', ":", 1));
    match relation {
        Some(relation) if related_cloud_name(&brought, &relation) == *now => former_cloud_name(&brought),
        _ => former_cloud_name(config),
    }
}

/// The entry of this name, which may be one that an earlier revision of the charm has given; then rather a relation's than
/// the operator's.
pub fn entry<'a>(clouds: &'a Clouds, name: &CloudName) -> Option<&'a CloudConfig> {
    let is_former = |(now, config): &(&CloudName, &CloudConfig)| former_name(now, config) == *name;
    let was_named = || clouds.iter().filter(is_former);
    let related = || was_named().find(|(now, config)| **now != cloud_name(config));
    clouds.get(name).or_else(|| related().or_else(|| was_named().next()).map(|(_, config)| config))
}

fn readable(config: &CloudConfig, is_kept: impl Fn(char) -> bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || is_kept(c) { c } else { '-' };
    let name = match config.application_credential {
        Some(_) => "application-credential",
        None => &config.project_name,
    };
    name.chars().map(plain).take(READABLE).collect()
}

fn identity(config: &CloudConfig) -> [&str; 6] {
    let [auth_url, region_name, project_domain_name, project_name] = project(config);
    let [_, user_domain_name, username] = user(config);
    [auth_url, region_name, project_domain_name, project_name, user_domain_name, username]
}

/// As JSON, where a value cannot run over into the next.
fn digest(what: &impl Serialize) -> String {
    // Strings always serialise.
    hex(&Sha256::digest(serde_json::to_vec(what).unwrap_or_default()))
}

fn auth_url(config: &CloudConfig) -> &str {
    config.auth_url.trim_end_matches('/').trim_end_matches("/v3")
}

/// What says of which project a configuration is. An application credential, without a domain, is the only name of its own.
fn project(config: &CloudConfig) -> [&str; 4] {
    let region_name = config.region_name.as_deref().unwrap_or_default();
    let name = config.application_credential.as_ref().unwrap_or(&config.project_name);
    [auth_url(config), region_name, &config.project_domain_name, name]
}

fn user(config: &CloudConfig) -> [&str; 3] {
    let name = config.application_credential.as_ref().unwrap_or(&config.username);
    [auth_url(config), &config.user_domain_name, name]
}

/// A digest of all that tells projects apart, whoever the users are.
pub fn project_digest(config: &CloudConfig) -> String {
    digest(&project(config))
}

/// Whether both lead to one project, whoever the users are.
pub fn is_same_project(one: &CloudConfig, two: &CloudConfig) -> bool {
    project(one) == project(two)
}

/// Whether both log in as one user, whatever the projects are: what a password is about.
pub fn is_same_user(one: &CloudConfig, two: &CloudConfig) -> bool {
    user(one) == user(two)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use crate::openstack_cloud::Interface;

    fn config(auth_url: &str, project: &str) -> CloudConfig {
        CloudConfig {
            auth_url: auth_url.into(),
            region_name: None,
            interface: Interface::Public,
            ca_certificate: Some("PEM".into()),
            project_name: project.into(),
            project_domain_name: "Default".into(),
            user_domain_name: "Default".into(),
            username: "me".into(),
            application_credential: None,
            password: Secret::new("yes: \"#'\\".into()),
        }
    }

    #[test]
    fn equal_names_in_two_clouds_do_not_collide_and_one_cloud_is_one() {
        let one = cloud_name(&config("https://a:5000/v3", "ci"));
        assert_ne!(one, cloud_name(&config("https://b:5000/v3", "ci")));
        assert_eq!(one, cloud_name(&config("https://a:5000/", "ci")));
        let split = CloudConfig { username: "x\nci".into(), ..config("https://a:5000", "ci") };
        let moved =
            CloudConfig { user_domain_name: "Default\nx".into(), username: "ci".into(), ..split.clone() };
        assert_ne!(cloud_name(&split), cloud_name(&moved));
        assert!(one.as_str().starts_with("ci-"), "{one}");
    }

    #[test]
    fn a_relation_inherits_from_the_operators_cloud_at_the_same_keystone_and_keeps_its_names() {
        let own = CloudConfig {
            region_name: Some("Two".into()),
            interface: Interface::Internal,
            ..config("https://Keystone:443/v3/", "builders")
        };
        let brought = CloudConfig { ca_certificate: None, ..config("https://keystone/v3", "runners") };
        let name = related_cloud_name(&brought, "image:3");
        let mut inherited = brought.clone();
        inherit_connection(&mut inherited, &own);
        assert_eq!(
            (inherited.region_name.as_deref(), inherited.interface),
            (Some("Two"), Interface::Internal)
        );
        assert_eq!(inherited.ca_certificate, own.ca_certificate);
        let clouds = Clouds::from([(name.clone(), inherited.clone())]);
        assert_eq!(
            entry(&clouds, &former_cloud_name(&brought)),
            Some(&inherited),
            "its former name is the same"
        );

        let mut said = CloudConfig {
            region_name: Some("One".into()),
            ca_certificate: Some("THEIRS".into()),
            ..config("https://keystone", "runners")
        };
        let before = said.clone();
        inherit_connection(&mut said, &own);
        assert_eq!(said, CloudConfig { interface: Interface::Internal, ..before }, "what it says counts");
        let mut elsewhere = config("https://keystone.evil/v3", "runners");
        inherit_connection(&mut elsewhere, &own);
        assert_eq!(elsewhere, config("https://keystone.evil/v3", "runners"));
    }

    #[test]
    fn an_application_credential_is_a_cloud_of_its_own_whatever_its_secret() {
        let of = |id: &str, secret: &str| {
            let (auth_url, secret) = ("https://a:5000/v3".into(), Secret::new(secret.into()));
            CloudConfig::of_application_credential(auth_url, id.into(), secret)
        };
        let one = cloud_name(&of("1d", "s"));
        assert!(one.as_str().starts_with("application-credential-"), "{one}");
        assert_eq!(one, cloud_name(&of("1d", "rotated")));
        assert_ne!(one, cloud_name(&of("2d", "s")));
        assert!(
            !is_same_project(&of("1d", "s"), &of("2d", "s")) && !is_same_user(&of("1d", "s"), &of("2d", "s"))
        );
        assert!(!is_same_project(&of("1d", "s"), &config("https://a:5000/v3", "1d")));
    }

    #[test]
    fn credentials_are_of_one_relation_whatever_their_password() {
        let config = config("https://a:5000/v3", "ci.of.us");
        let rotated = CloudConfig { password: Secret::new("another".into()), ..config.clone() };
        let rotated = CloudConfig { ca_certificate: None, ..rotated };
        let [third, tenth] = ["image:3", "image:10"].map(|id| related_cloud_name(&config, id));
        assert_eq!(third, related_cloud_name(&rotated, "image:3"));
        assert!(third != tenth && third != cloud_name(&config) && tenth != cloud_name(&config));
        let digest = third.as_str().strip_prefix("ci-of-us.image-3.").unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
        assert_eq!(
            (third.to_string().as_str(), tenth.to_string().as_str()),
            ("ci-of-us (image:3)", "ci-of-us (image:10)")
        );
        let own = cloud_name(&config).to_string();
        assert_eq!(own, former_cloud_name(&config).to_string(), "the operator's is told as it was");
        assert_eq!(own.len(), "ci.of.us-".len() + 8);
    }

    #[test]
    fn a_former_name_leads_to_what_a_relation_brought_first() {
        let config = config("https://a:5000/v3", "ci");
        let brought = CloudConfig { password: Secret::new("theirs".into()), ..config.clone() };
        let own = (cloud_name(&config), config.clone());
        let former = former_cloud_name(&config);
        let mut clouds = Clouds::from([own, (related_cloud_name(&brought, "image:3"), brought.clone())]);
        assert_eq!(entry(&clouds, &former), Some(&brought));
        assert_eq!(entry(&clouds, &cloud_name(&config)), Some(&config));
        clouds.retain(|name, _| *name == cloud_name(&config));
        assert_eq!(entry(&clouds, &former), Some(&config));
        assert_eq!(entry(&clouds, &CloudName::new("ci-00000000")), None);
    }
}
