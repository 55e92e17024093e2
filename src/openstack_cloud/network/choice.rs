//! Where a new server is plugged in: the network that somebody named, else the first of the project's own that will do.

use super::Network;
use crate::model::Deadline;
use crate::openstack_cloud::{Cloud, PlacementError, Wish};

/// The network that was wished for, by its id or name, else an inner one that has a subnet, rather the project's own than one
/// that is shared with it. Networks of others, which administrators see too, are never chosen.
pub fn choose_network(cloud: &Cloud, wish: Wish<'_>, deadline: Deadline) -> Result<Network, PlacementError> {
    let (service, project) = (cloud.network(), cloud.project_id());
    let of_this_id = match wish.value.filter(|value| is_uuid(value)).and_then(|value| value.parse().ok()) {
        Some(id) => service.network(&id, deadline)?,
        None => None,
    };
    let found = match of_this_id {
        Some(network) => vec![network],
        None => service.networks(wish.value, deadline)?,
    };
    network(found, wish, project.as_str(), cloud.project_name())
}

/// As OpenStack's services write their ids, with hyphens or without.
fn is_uuid(text: &str) -> bool {
    let digits = text.bytes().filter(|byte| *byte != b'-');
    digits.clone().count() == 32 && digits.clone().all(|byte| byte.is_ascii_hexdigit())
}

fn network(
    found: Vec<Network>,
    Wish { option, value }: Wish<'_>,
    project: &str,
    project_name: &str,
) -> Result<Network, PlacementError> {
    let refuse = |text: String| Err(PlacementError::Network(text));
    let is_there_at_all = !found.is_empty();
    let mut usable: Vec<Network> =
        found.into_iter().filter(|network| network.shared || network.project == project).collect();
    if let Some(name) = value {
        return match (usable.len(), is_there_at_all) {
            (0, false) => refuse(format!("{option} {name:?} does not exist in project {project_name}")),
            (0, true) => refuse(format!(
                "{option} {name:?} belongs to another project; use a network of project {project_name}, or one that is \
                 shared with it"
            )),
            (1, _) => Ok(usable.remove(0)),
            _ => refuse(format!(
                "{option} {name:?} is the name of several networks; use an id: {}",
                listed(&usable, |network| network.id.as_str())
            )),
        };
    }
    usable.retain(|network| !network.subnets.is_empty());
    // Networks that lead outside take no servers as a rule.
    let (external, mut inner): (Vec<Network>, Vec<Network>) =
        usable.into_iter().partition(|network| network.external);
    inner.sort_by_key(|network| network.project != project);
    match inner.into_iter().next() {
        Some(network) => Ok(network),
        None if external.is_empty() => {
            refuse(format!("no network of project {project_name} has a subnet; set {option}"))
        }
        None => refuse(format!(
            "project {project_name} has only external networks ({}); set {option} to a network that servers may use",
            listed(&external, |network| &network.name)
        )),
    }
}

fn listed<'a>(networks: &'a [Network], word: impl Fn(&'a Network) -> &'a str) -> String {
    networks.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn known(networks: Value) -> Vec<Network> {
        serde_json::from_value(networks).unwrap()
    }

    fn choose(networks: Value, value: Option<&str>) -> Result<String, String> {
        let wish = Wish { option: "build-network", value };
        let chosen = network(known(networks), wish, "ours", "builder");
        chosen.map(|network| network.id.to_string()).map_err(|error| {
            assert!(error.operator_must_act());
            error.to_string()
        })
    }

    #[test]
    fn networks_of_other_projects_and_of_routers_are_never_chosen() {
        let others = json!([
            {"id": "1", "name": "theirs", "project_id": "theirs", "subnets": ["a"], "shared": false},
            {"id": "2", "name": "HA network tenant ours", "project_id": "", "subnets": ["b"], "shared": false},
        ]);
        let refusal = choose(others.clone(), None).unwrap_err();
        assert_eq!(refusal, "no network of project builder has a subnet; set build-network");
        let refusal = choose(others, Some("theirs")).unwrap_err();
        assert!(refusal.starts_with("build-network \"theirs\" belongs to another project; use"), "{refusal}");
        let refusal = choose(json!([]), Some("none")).unwrap_err();
        assert_eq!(refusal, "build-network \"none\" does not exist in project builder");
    }

    #[test]
    fn an_own_network_with_a_subnet_comes_first() {
        let networks = json!([
            {"id": "1", "name": null, "project_id": "ours", "subnets": [], "shared": false},
            {"id": "2", "name": "outside", "project_id": "ours", "subnets": ["a"], "router:external": true},
            {"id": "3", "name": "common", "project_id": "admin", "subnets": ["b"], "shared": true},
            {"id": "4", "name": "inside", "project_id": "ours", "subnets": ["c"], "shared": null},
        ]);
        assert_eq!(choose(networks, None).unwrap(), "4");
    }

    #[test]
    fn two_of_one_name_are_refused_with_their_ids_unless_one_is_somebody_elses() {
        let networks = |project: &str| {
            json!([
                {"id": "1", "name": "net", "project_id": "ours", "subnets": ["a"]},
                {"id": "2", "name": "net", "project_id": project, "subnets": ["b"]},
            ])
        };
        let refusal = choose(networks("ours"), Some("net")).unwrap_err();
        assert_eq!(refusal, "build-network \"net\" is the name of several networks; use an id: 1, 2");
        assert_eq!(choose(networks("theirs"), Some("net")).unwrap(), "1");
    }

    #[test]
    fn an_external_network_is_used_only_when_it_is_named() {
        let external = json!([
            {"id": "1", "name": "Ext-Net", "project_id": "admin", "subnets": ["a"], "shared": true, "router:external": true}
        ]);
        let refusal = choose(external.clone(), None).unwrap_err();
        assert!(
            refusal.starts_with("project builder has only external networks (Ext-Net); set"),
            "{refusal}"
        );
        assert_eq!(choose(external, Some("Ext-Net")).unwrap(), "1");
    }

    #[test]
    fn an_id_is_known_by_its_form() {
        let hyphens = "0b0a42a9-1a3f-4c2e-9f5e-0123456789ab";
        assert!(is_uuid(hyphens) && is_uuid(&hyphens.replace('-', "")));
        assert!(!is_uuid("runner-net") && !is_uuid(""));
    }
}
