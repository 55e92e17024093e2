//! clouds.yaml: whose credentials are in it, and for how long.

use std::fs;

use runner_image_builder::builder::read_clouds_yaml;
use runner_image_builder::record::{CloudName, Resource, ResourceKind};

use crate::cloud::{Credentials, NOBODY, hanging};
use crate::deploy::{PASSWORD, Plan};
use crate::machine::{NOBLE, all_succeeded};
use crate::publishing::{FIRST, SECOND, written};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";

#[test]
fn the_build_cloud_and_each_relations_cloud_are_there() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    let clouds = site.clouds_yaml();
    assert!(clouds.contains(PASSWORD) && clouds.contains("correct horse"), "{clouds}");
    assert!(clouds.contains(plan.project().cloud().as_str()), "{clouds}");
    assert_eq!(clouds.matches("auth_url:").count(), 2, "{clouds}");
}

#[test]
fn credentials_of_a_relation_vanish_with_it() {
    let (site, relation) = Plan::new().related();
    let other = Credentials { password: "battery staple".into(), ..Credentials::new(NOBODY, "others") };
    let second = site.app.integrate("image", "others", &[&other.data()]).unwrap();
    assert!(site.clouds_yaml().contains("battery staple"));
    all_succeeded(second.remove_remote_unit(0).unwrap());
    assert!(!site.clouds_yaml().contains("battery staple"), "{}", site.clouds_yaml());
    all_succeeded(relation.remove().unwrap());
    assert!(!site.clouds_yaml().contains("correct horse"), "{}", site.clouds_yaml());
    assert!(site.clouds_yaml().contains(PASSWORD));
    assert_eq!(
        site.status(),
        "blocked: image integration required. The related application has not given its OpenStack credentials yet."
    );
}

#[test]
fn two_clouds_with_equal_names_of_project_and_user_are_two() {
    let (site, _relation) = Plan::new().related();
    let other = Credentials::new(&hanging(), "runners");
    let second = site.app.integrate("image", "others", &[&other.data()]).unwrap();
    assert_eq!(site.clouds_yaml().matches("project_name: runners").count(), 2, "{}", site.clouds_yaml());
    let config = site.request().unwrap().config;
    assert_eq!(config.clouds.len(), 2);
    assert!(config.clouds.contains(&other.cloud_of(&second)));
}

#[test]
fn each_relation_authenticates_with_exactly_what_it_brought() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    let wrong = Credentials { password: "a guess".into(), ..plan.project() };
    let second = site.app.integrate("image", "others", &[&wrong.data()]).unwrap();
    assert_eq!(site.request().unwrap().config.clouds, [plan.project().cloud(), wrong.cloud_of(&second)]);
    let clouds = site.clouds_yaml();
    assert!(clouds.contains("a guess") && clouds.contains("correct horse"), "{clouds}");
    all_succeeded(relation.remove().unwrap());
    let clouds = site.clouds_yaml();
    assert!(clouds.contains("a guess") && !clouds.contains("correct horse"), "{clouds}");
}

#[test]
fn a_relation_that_names_the_build_project_gets_nothing_of_the_operators() {
    let plan = Plan::new();
    let site = plan.configured();
    let project = plan.project();
    let mut data = project.data();
    (data[1].1, data[4].1, data[5].1) = ("Builders", "Builder", "a guess");
    let relation = site.app.integrate("image", "runners", &[&data]).unwrap();
    let config = site.request().unwrap().config;
    assert_eq!(config.clouds.len(), 1);
    assert!(!config.clouds.contains(&config.build_cloud));
    let known = read_clouds_yaml(&site.host()).unwrap();
    let password = |name: &CloudName| known[name].password.expose().clone();
    assert_eq!(
        (password(&config.build_cloud), password(&config.clouds[0])),
        (PASSWORD.into(), "a guess".into())
    );
    // Nor when its relation has gone, and what it had is still needed to clean up there.
    site.worker();
    site.kill_worker();
    site.end_job(Vec::new(), |journal| {
        let (kind, name) = (ResourceKind::Copy, "copy".to_owned());
        let copy = Resource { kind, cloud: config.clouds[0].clone(), name, id: None, revision: None };
        journal.job.as_mut().unwrap().build(NOBLE).note(&copy);
    });
    all_succeeded(relation.remove().unwrap());
    let known = read_clouds_yaml(&site.host()).unwrap();
    assert_eq!(known[&config.clouds[0]].password.expose(), "a guess");
}

#[test]
fn an_address_on_the_units_own_machine_or_link_is_used_for_the_operators_cloud_only() {
    // Looked up by nobody: the worker cannot reach it.
    let plan = Plan::new().keystone("http://keystone.invalid:5000/v3");
    let site = plan.configured();
    let near = Credentials::new("http://169.254.169.254/v3", "runners");
    let relation = site.app.integrate("image", "runners", &[&near.data()]).unwrap();
    site.assert_status("blocked: image integration required. image:1 is not used: its auth_url leads to");
    assert!(!site.clouds_yaml().contains("169.254"), "{}", site.clouds_yaml());
    for url in ["http://127.0.0.1:5000", "http://localhost/v3", "http://[::1]:5000/v3"] {
        all_succeeded(relation.set_remote_unit(0, &[("auth_url", url)]).unwrap());
        site.assert_status("blocked: image integration required. image:1 is not used: its auth_url leads to");
    }
    all_succeeded(relation.set_remote_unit(0, &[("auth_url", "http://keystone.invalid:5001/v3")]).unwrap());
    assert_eq!(site.request().unwrap().config.clouds.len(), 1);
}

#[test]
fn a_rotated_password_arrives_with_the_event_of_its_secret() {
    let (site, relation) = Plan::new().related();
    let runs = site.password.update(&[("password", "rotated")]).unwrap();
    assert_eq!(runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["secret-changed"]);
    assert!(site.clouds_yaml().contains("password: rotated"), "{}", site.clouds_yaml());
    assert!(!site.clouds_yaml().contains(PASSWORD));
    all_succeeded(relation.set_remote_unit(0, &[("password", "rotated too")]).unwrap());
    assert!(site.clouds_yaml().contains("rotated too") && !site.clouds_yaml().contains("correct horse"));
}

#[test]
fn credentials_of_a_departed_relation_go_also_while_the_configuration_is_refused() {
    let (site, relation) = Plan::new().related();
    site.app.set_config(&[("base-image", "warty")]).unwrap();
    site.assert_status("blocked: Invalid bases");
    assert!(site.clouds_yaml().contains("correct horse"));
    all_succeeded(relation.remove().unwrap());
    let left = site.clouds_yaml();
    assert!(!left.contains("correct horse") && left.contains(PASSWORD), "{left}");
}

#[test]
fn certificates_of_either_side_lie_beside_the_file_that_names_them() {
    let other = format!("{PEM}\n{PEM}");
    let plan =
        Plan::new().option("openstack-ca-certificate", PEM).option("openstack-region-name", "RegionTwo");
    let (site, relation) = plan.related();
    all_succeeded(relation.set_remote_unit(0, &[("ca_certificate", &other)]).unwrap());
    let clouds = site.clouds_yaml();
    assert_eq!(clouds.matches("region_name: RegionTwo").count(), 2, "it is at the same Keystone: {clouds}");
    let files: Vec<&str> = clouds.lines().filter_map(|line| line.trim().strip_prefix("cacert: ")).collect();
    let mut contents: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    contents.sort();
    assert_eq!(contents, [PEM, &other]);
    site.app.reset_config(&["openstack-ca-certificate"]).unwrap();
    assert_eq!(site.clouds_yaml().matches("cacert:").count(), 1, "{}", site.clouds_yaml());
}

#[test]
fn a_project_at_the_build_clouds_keystone_gets_its_connection_and_keeps_its_image_through_the_change() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    let elsewhere = Credentials::new(NOBODY, "elsewhere");
    let other = site.app.integrate("image", "others", &[&elsewhere.data()]).unwrap();
    site.kill_worker();
    site.next_hook();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud()), (SECOND, NOBLE, &elsewhere.cloud_of(&other))]);
    site.next_hook();
    site.next_hook();
    let told = || {
        [&relation, &other].map(|relation| {
            (written(&site, relation)["id"].clone(), relation.changes_by(&site.unit()).unwrap())
        })
    };
    let before = told();
    for (option, value, line) in [
        ("openstack-region-name", "RegionTwo", "region_name: RegionTwo"),
        ("openstack-interface", "internal", "interface: internal"),
        ("openstack-ca-certificate", PEM, "cacert: "),
    ] {
        all_succeeded(site.app.set_config(&[(option, value)]).unwrap());
        site.next_hook();
        let clouds = site.clouds_yaml();
        assert_eq!(clouds.matches(line).count(), 2, "the operator's and the one beside it: {clouds}");
        assert_eq!(told(), before, "{option}");
    }
    all_succeeded(relation.set_remote_unit(0, &[("region_name", "RegionOne")]).unwrap());
    let clouds = site.clouds_yaml();
    assert!(clouds.contains("region_name: RegionOne"), "what the relation says counts: {clouds}");
}

#[test]
fn the_first_unit_with_complete_data_counts_and_disagreement_is_logged() {
    let plan = Plan::new();
    let site = plan.configured();
    let ten = Credentials::new(NOBODY, "of-unit-10");
    let two = plan.project();
    let relation = site.app.integrate("image", "runners", &[&two.data()[..4]]).unwrap();
    all_succeeded(relation.add_remote_unit(10, &ten.data()).unwrap());
    assert_eq!(site.request().unwrap().config.clouds, [ten.cloud()]);
    all_succeeded(relation.add_remote_unit(2, &two.data()).unwrap());
    assert_eq!(site.request().unwrap().config.clouds, [two.cloud()]);
    assert!(!site.clouds_yaml().contains("of-unit-10"), "{}", site.clouds_yaml());
    let is_told = || {
        let log = site.model.debug_log();
        log.iter().any(|line| line.message.contains("runners/10 gives other credentials"))
    };
    assert!(!is_told(), "a unit after the first with complete data is not read");
    all_succeeded(relation.set_remote_unit(10, &[("password", "another")]).unwrap());
    assert!(is_told(), "but in the event that is about it: {:#?}", site.model.debug_log());
    assert_eq!(site.request().unwrap().config.clouds, [two.cloud()]);
}

#[test]
fn nonsense_from_a_related_application_is_no_data_and_no_crash() {
    let plan = Plan::new();
    let site = plan.configured();
    let project = plan.project();
    let mut data = project.data();
    data[0].1 = "gopher://keystone";
    let relation = site.app.integrate("image", "runners", &[&data]).unwrap();
    site.assert_status("blocked: image integration required.");
    for url in ["http://[::1", "http://", "https://\u{7f}"] {
        all_succeeded(relation.set_remote_unit(0, &[("auth_url", url)]).unwrap());
        assert_eq!(site.unit().failed_hook().unwrap(), None, "{url}");
    }
}
