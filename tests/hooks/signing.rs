//! The key that provenance is signed with, as a secret of the application: who makes it, who has it, what becomes of it.

use std::fs;

use rehearsal::agent::{ActionStatus, JujuVersion, RunKind, SecretView, Unit};
use runner_image_builder::dsse::{PublicKey, SigningKey};
use runner_image_builder::host::Host;
use runner_image_builder::model::Secret;
use serde_json::{Value, json};

use crate::deploy::{Plan, root};
use crate::machine::{NOBLE, PATIENCE, Site, all_succeeded};
use crate::publishing::{FIRST, written};

const JUJUS: [JujuVersion; 3] = [JujuVersion::V3_6, JujuVersion::V4_0, JujuVersion::V4];

/// The secrets that the application owns, by id.
fn owned(site: &Site) -> Vec<(String, SecretView)> {
    let secrets = site.model.view().secrets.into_iter();
    secrets.filter(|(_, secret)| secret.owner.as_deref() == Some(site.app.name())).collect()
}

/// The one that there is.
#[track_caller]
fn the_secret(site: &Site) -> (String, SecretView) {
    let mut owned = owned(site);
    assert_eq!(owned.len(), 1, "{owned:?}");
    owned.remove(0)
}

/// How often the units have called a tool.
fn calls(site: &Site, tool: &str) -> usize {
    site.model.runs().iter().flat_map(|run| &run.calls).filter(|call| call.tool == tool).count()
}

/// What an action of the name has returned.
#[track_caller]
fn told(unit: &Unit, action: &str) -> serde_json::Map<String, Value> {
    let done = unit.run_action(action, json!({})).unwrap();
    assert_eq!(done.status, ActionStatus::Completed, "{}", done.message);
    done.results
}

fn idle(site: &Site) {
    site.app.units().iter().for_each(|unit| unit.wait_idle(PATIENCE).unwrap());
}

/// Asks for a job, which takes the place of another.
#[track_caller]
fn ask(unit: &Unit) {
    let done = unit.run_action("run", json!({"force": true})).unwrap();
    assert_eq!(done.status, ActionStatus::Completed, "{}", done.message);
}

#[test]
fn the_first_leader_that_builds_makes_one_key_which_every_unit_tells() {
    for juju in JUJUS {
        let plan = Plan::new().juju(juju).units(2);
        let site = plan.configured();
        assert_eq!(owned(&site).len(), 0, "nothing is to be built yet");
        let none = site.unit().run_action("show-public-key", json!({})).unwrap();
        assert!(none.message.starts_with("There is no signing key yet"), "{}", none.message);
        let relation = site.app.integrate("image", "runners", &[&plan.project().data()]).unwrap();
        idle(&site);
        let (id, secret) = the_secret(&site);
        assert_eq!((secret.label.as_str(), secret.times.len()), ("signing-key", 1));
        assert!(secret.content["private-key"].starts_with("-----BEGIN PRIVATE KEY-----"));
        site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
        all_succeeded(vec![site.next_hook(), site.next_hook()]);
        idle(&site);
        assert_eq!((calls(&site, "secret-add"), owned(&site).len()), (1, 1), "{juju:?}");

        let said = told(&site.unit(), "show-public-key");
        assert_eq!(told(&site.app.unit(1), "show-public-key")["key-id"], said["key-id"]);
        let keys = said["public-keys"].as_str().unwrap();
        assert_eq!(PublicKey::parse_all(keys.as_bytes()).unwrap()[0].id(), said["key-id"].as_str().unwrap());
        assert_eq!(written(&site, &relation)["public_keys"], keys);
        let peers: Value =
            serde_json::from_str(&site.app.peer_relation("units").unwrap().app_data().unwrap()["signing"])
                .unwrap();
        assert_eq!(peers["secret"], format!("secret:{id}"));
        let command = site.unit().exec("./dispatch show-public-key").unwrap();
        assert_eq!((command.code, command.stdout.as_str()), (0, keys));
    }
}

#[test]
fn the_worker_gets_the_key_with_what_it_builds_and_a_job_that_builds_nothing_does_not() {
    let (site, relation) = Plan::new().related();
    site.worker();
    let (_, secret) = the_secret(&site);
    let sent = || -> Vec<Value> {
        let files = fs::read_dir(site.host().run_dir()).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
    };
    site.app.set_config(&[("base-image", "jammy")]).unwrap();
    let keys: Vec<Value> = sent().into_iter().map(|mut sent| sent["signing_key"].take()).collect();
    assert_eq!(keys, [Value::from(secret.content["private-key"].clone())]);
    assert!(!site.request().unwrap().has_secrets, "a build can do without it");
    let request = fs::read_to_string(site.state_file("request.json")).unwrap();
    assert!(!request.contains("PRIVATE"), "{request}");
    relation.remove().unwrap();
    assert_eq!(sent(), [] as [Value; 0], "nothing is to be built any more");
}

#[test]
fn a_new_leader_has_the_same_key() {
    let plan = Plan::new().units(2);
    let (site, _relation) = plan.related();
    idle(&site);
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    idle(&site);
    let (id, _) = the_secret(&site);
    let before = told(&site.unit(), "show-public-key");
    all_succeeded(site.app.set_leader(1).unwrap());
    idle(&site);
    let new = site.app.unit(1);
    ask(&new);
    let reads_it = |unit: &Unit| {
        let uri = format!("secret:{id}");
        let runs = site.model.runs();
        let calls = runs.iter().filter(|run| run.unit == unit.name()).flat_map(|run| &run.calls);
        calls.filter(|call| call.tool == "secret-get").any(|call| call.argv.contains(&uri))
    };
    assert!(reads_it(&new));
    // What it has heard is lost with its disk: Juju knows the secret by its label.
    let host = Host::below(root(site.dir.path(), 1));
    fs::remove_file(host.state_dir().join("signing-keys.json")).unwrap();
    ask(&new);
    idle(&site);
    assert_eq!(told(&new, "show-public-key"), before);
    assert_eq!((calls(&site, "secret-add"), the_secret(&site).0), (1, id));
}

#[test]
fn what_a_failing_hook_has_made_is_made_again() {
    let plan = Plan::new();
    let site = plan.configured();
    let relation = site.app.integrate("image", "runners", &[&[]]).unwrap();
    site.model.fail_tool("status-set", 1, "connection is shut down");
    let runs = relation.set_remote_unit(0, &plan.project().data()).unwrap();
    assert!(runs.iter().any(|run| !run.succeeded()), "{runs:?}");
    assert!(calls(&site, "secret-add") > 0 && owned(&site).is_empty(), "what a failing hook adds is dropped");
    site.model.heal_tools();
    all_succeeded(site.unit().retry().unwrap());
    site.worker();
    ask(&site.unit());
    site.next_hook();
    let (_, secret) = the_secret(&site);
    let key = SigningKey::from_pem(&Secret::new(secret.content["private-key"].clone()));
    let said = told(&site.unit(), "show-public-key");
    assert_eq!(said["key-id"], key.unwrap().public().id());
    assert!(!said.contains_key("earlier-key-ids"), "{said:?}");
}

#[test]
fn a_key_that_is_lost_leaves_builds_unsigned_until_the_operator_wants_another() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    ask(&site.unit());
    let (id, _) = the_secret(&site);
    let before = told(&site.unit(), "show-public-key");
    site.model.secret(&id).unwrap().remove().unwrap();
    ask(&site.unit());
    assert!(site.request().is_some_and(|request| !request.has_secrets), "it builds without");
    site.next_hook();
    let problem = format!("secret secret:{id} not found, run rotate-signing-key");
    let status = site.status();
    assert!(
        status.starts_with("active: ") && status.contains(&format!("builds are not signed: {problem}")),
        "{status}"
    );
    let logged =
        site.model.debug_log().into_iter().any(|line| line.message.contains("builds are not signed"));
    assert!(logged && owned(&site).is_empty(), "another key is the operator's to ask for");
    assert_eq!(told(&site.unit(), "show-public-key")["problem"], problem);

    let after = told(&site.unit(), "rotate-signing-key");
    assert_ne!(after["key-id"], before["key-id"]);
    assert_eq!(after["earlier-key-ids"], before["key-id"], "what it has signed is still verified");
    assert_eq!(written(&site, &relation)["public_keys"], after["public-keys"].as_str().unwrap());
    assert!(!site.status().contains("not signed"), "{}", site.status());
    the_secret(&site);
}

#[test]
fn a_secret_without_a_key_leaves_builds_unsigned() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    let (id, _) = the_secret(&site);
    site.model.secret(&id).unwrap().update(&[("private-key", "hunter2-no-key")]).unwrap();
    ask(&site.unit());
    site.next_hook();
    let status = site.status();
    assert!(
        status.contains("builds are not signed: reading the private key: it is not an ed25519 key"),
        "{status}"
    );
    told(&site.unit(), "rotate-signing-key");
    assert!(!site.status().contains("not signed"), "{}", site.status());
}

#[test]
fn a_juju_that_takes_no_secret_is_asked_a_few_times_and_stops_no_build() {
    let plan = Plan::new();
    let site = plan.configured();
    site.model.fail_tool("secret-add", 1, "secret backend \"vault\" not found");
    all_succeeded({
        site.app.integrate("image", "runners", &[&plan.project().data()]).unwrap();
        site.unit().runs()
    });
    site.worker();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    (0..5).for_each(|_| drop(site.next_hook()));
    ask(&site.unit());
    assert_eq!((calls(&site, "secret-add"), owned(&site).len()), (3, 0));
    let status = site.status();
    assert!(status.contains("builds are not signed: Juju does not take a secret, see the log"), "{status}");
    let refused = site.unit().run_action("rotate-signing-key", json!({})).unwrap();
    assert_eq!(refused.status, ActionStatus::Failed);
    assert!(refused.message.starts_with("The key was not changed: "), "{}", refused.message);
    site.model.heal_tools();
    told(&site.unit(), "rotate-signing-key");
    the_secret(&site);
}

#[test]
fn another_key_takes_its_place_in_the_same_secret_and_both_are_told() {
    for juju in JUJUS {
        let plan = Plan::new().juju(juju).units(2);
        let (site, relation) = plan.related();
        idle(&site);
        site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
        site.next_hook();
        idle(&site);
        let before = told(&site.unit(), "show-public-key");
        let follower = site.app.unit(1).run_action("rotate-signing-key", json!({})).unwrap();
        assert!(follower.message.contains("not the leader"), "{}", follower.message);
        let after = told(&site.unit(), "rotate-signing-key");
        idle(&site);
        let (_, secret) = the_secret(&site);
        assert_eq!(secret.times.len(), 2, "{juju:?}: a new revision");
        assert_eq!(secret.content["earlier-public-keys"], before["public-keys"].as_str().unwrap());
        assert_eq!(after["earlier-key-ids"], before["key-id"]);
        let keys = after["public-keys"].as_str().unwrap();
        assert!(keys.ends_with(before["public-keys"].as_str().unwrap()), "{keys}");
        for unit in site.app.units() {
            assert_eq!(told(&unit, "show-public-key"), after, "{}", unit.name());
        }
        assert_eq!(written(&site, &relation)["public_keys"], keys);
    }
}

#[test]
fn the_key_is_in_no_argument() {
    let (site, _relation) = Plan::new().related();
    told(&site.unit(), "rotate-signing-key");
    let adds = ["secret-add", "secret-set"];
    let runs = site.model.runs();
    let calls: Vec<_> =
        runs.iter().flat_map(|run| &run.calls).filter(|call| adds.contains(&call.tool.as_str())).collect();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let file = call.argv.last().unwrap();
        assert!(file.starts_with('/') && !fs::exists(file).unwrap(), "{file}");
        assert!(
            !call.argv.iter().any(|word| word.contains("PRIVATE") || word.contains('=')),
            "{:?}",
            call.argv
        );
    }
    assert!(site.model.runs().iter().all(|run| run.kind != RunKind::Hook || run.succeeded()));
}
