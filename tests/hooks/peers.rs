//! What units tell each other, and what each makes of it. The workers' part is played.

use std::collections::BTreeSet;
use std::fs;

use rehearsal::agent::{Databag, JujuVersion, Relation, Unit};
use runner_image_builder::builder::{CloudName, Image, Journal, Peers, Request, Task, Timestamp};
use runner_image_builder::host::Host;
use serde_json::Value;

use crate::deploy::{Plan, root};
use crate::machine::{NOBLE, PATIENCE, Site, all_succeeded, image, succeeded};
use crate::publishing::{FIRST, SECOND};

/// Two units, of which the first leads and has published FIRST.
fn announced(plan: &Plan) -> (Site, Relation) {
    let (site, relation) = plan.related();
    idle(&site);
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    idle(&site);
    (site, relation)
}

fn second(site: &Site) -> (Unit, Host) {
    (site.app.unit(1), Host::below(root(site.dir.path(), 1)))
}

fn idle(site: &Site) {
    site.app.units().iter().for_each(|unit| unit.wait_idle(PATIENCE).unwrap());
}

fn words(site: &Site, unit: &Unit) -> Databag {
    site.app.peer_relation("units").unwrap().written_by(unit).unwrap()
}

/// Ends what was asked of the second unit's worker: the image is found good.
fn take_over(site: &Site, id: &str, plan: &Plan) {
    let (unit, host) = second(site);
    let asked = Request::load(&host).unwrap().expect("nothing was asked for").id;
    let taken_up =
        || Journal::load(&host).unwrap().job.is_some_and(|job| job.id == asked && job.finished.is_none());
    site.model.wait_until("the worker to take it up", PATIENCE, taken_up).unwrap();
    unit.power_cut().unwrap();
    let mut journal = Journal::load(&host).unwrap();
    journal.job.as_mut().unwrap().finished = Some(Timestamp::now());
    journal.publish(image(id, NOBLE, &plan.project().cloud()));
    journal.save(&host).unwrap();
    succeeded(unit.update_status().unwrap());
    idle(site);
}

#[test]
fn a_unit_names_no_image_before_its_own_worker_has_checked_it() {
    let plan = Plan::new().units(2);
    let (site, relation) = announced(&plan);
    let said: Value =
        serde_json::from_str(&site.app.peer_relation("units").unwrap().app_data().unwrap()["images"])
            .unwrap();
    assert_eq!(said[0]["id"], FIRST);
    let (unit, host) = second(&site);
    let request = Request::load(&host).unwrap().unwrap();
    assert!(matches!(&request.task, Task::TakeOver(images) if images[0].result.id.to_string() == FIRST));
    assert_eq!(relation.written_by(&unit).unwrap(), Databag::new());
    assert_eq!(Peers::load(&site.host()).unwrap().behind(), ["image-builder/1"]);

    take_over(&site, FIRST, &plan);
    assert_eq!(relation.written_by(&unit).unwrap()["id"], FIRST);
    assert_eq!(words(&site, &unit)["names"], format!("[\"{FIRST}\"]"));
    let peers = Peers::load(&site.host()).unwrap();
    assert_eq!((peers.behind(), peers.named_images()), (vec![], BTreeSet::from([FIRST.to_owned()])));
    // Nothing more to do, and nothing more to say.
    let (before, asked) = (words(&site, &unit), Request::load(&host).unwrap().unwrap().id);
    for _ in 0..3 {
        succeeded(unit.update_status().unwrap());
        site.next_hook();
    }
    assert_eq!((words(&site, &unit), Request::load(&host).unwrap().unwrap().id), (before, asked));
}

#[test]
fn what_no_worker_of_a_following_unit_has_taken_up_is_not_asked_for_again() {
    let (site, _relation) = announced(&Plan::new().units(2));
    let (unit, host) = second(&site);
    unit.power_cut().unwrap();
    let _ = fs::remove_file(host.state_dir().join("journal.json"));
    let asked = Request::load(&host).unwrap().unwrap().id;
    succeeded(unit.update_status().unwrap());
    let taken_up = || Journal::load(&host).unwrap().job.is_some_and(|job| job.id == asked);
    site.model.wait_until("a worker to take it up", PATIENCE, taken_up).unwrap();
    assert_eq!(Request::load(&host).unwrap().unwrap().id, asked);
}

#[test]
fn a_unit_that_still_names_an_older_image_holds_up_pruning() {
    let plan = Plan::new().units(2);
    let (site, relation) = announced(&plan);
    take_over(&site, FIRST, &plan);
    site.end_job(Vec::new(), |journal| journal.publish(image(SECOND, NOBLE, &plan.project().cloud())));
    site.next_hook();
    idle(&site);
    let known = || Peers::load(&site.host()).unwrap();
    assert_eq!(known().behind(), ["image-builder/1"]);
    assert!(known().named_images().contains(FIRST));
    take_over(&site, SECOND, &plan);
    let (unit, _) = second(&site);
    assert_eq!(relation.written_by(&unit).unwrap()["id"], SECOND);
    succeeded(unit.update_status().unwrap());
    idle(&site);
    assert_eq!((known().behind(), known().named_images()), (vec![], BTreeSet::from([SECOND.to_owned()])));
}

#[test]
fn a_unit_that_has_gone_holds_up_nothing() {
    let plan = Plan::new().units(2);
    let (site, _relation) = announced(&plan);
    all_succeeded(site.app.remove_unit(1).unwrap());
    assert_eq!(Peers::load(&site.host()).unwrap().behind(), Vec::<&str>::new());
    let said = site.app.peer_relation("units").unwrap().app_data().unwrap();
    assert_eq!(said, Databag::new(), "a newcomer must not hear what nobody keeps up");
}

#[test]
fn a_unit_that_has_gone_holds_up_nothing_though_juju_does_not_tell_of_it() {
    let plan = Plan::new().juju(JujuVersion::V4_0).units(2);
    let (site, _relation) = announced(&plan);
    take_over(&site, FIRST, &plan);
    let runs = site.app.remove_unit(1).unwrap();
    assert!(runs.iter().all(|run| run.unit == "image-builder/1"), "nobody else is told: {runs:?}");
    site.end_job(Vec::new(), |journal| journal.publish(image(SECOND, NOBLE, &plan.project().cloud())));
    let known = || Peers::load(&site.host()).unwrap();
    assert!(known().named_images().contains(FIRST), "what is to be found out");
    site.next_hook();
    assert_eq!((known().behind(), known().named_images()), (vec![], BTreeSet::new()));
    // A newcomer's events have Juju's own list of the members, with the one that has gone.
    site.app.add_unit(&site.charm).unwrap();
    idle(&site);
    assert_eq!(known().units.keys().collect::<Vec<_>>(), ["image-builder/2"]);
    all_succeeded(site.unit().runs());
}

#[test]
fn an_old_leader_follows_the_new_one() {
    let plan = Plan::new().units(2);
    let (site, relation) = announced(&plan);
    take_over(&site, FIRST, &plan);
    all_succeeded(site.app.set_leader(1).unwrap());
    idle(&site);
    let (unit, host) = second(&site);
    let asked = || Request::load(&host).unwrap().unwrap();
    assert_eq!(asked().task, Task::Build, "a new leader looks at once");
    unit.power_cut().unwrap();
    let mut journal = Journal::load(&host).unwrap();
    journal.publish(image(SECOND, NOBLE, &plan.project().cloud()));
    journal.save(&host).unwrap();
    succeeded(unit.update_status().unwrap());
    idle(&site);
    assert_eq!(relation.written_by(&unit).unwrap()["id"], SECOND);
    // It was told by the event, and asks its own worker.
    assert!(
        matches!(site.request().unwrap().task, Task::TakeOver(images) if images[0].result.id.to_string() == SECOND)
    );
    assert_eq!(relation.written_by(&site.unit()).unwrap()["id"], FIRST, "not before it was checked");
    assert!(!Peers::load(&site.host()).unwrap().leads);
}

#[test]
fn words_that_are_not_understood_are_neither_followed_nor_acknowledged() {
    let plan = Plan::new().units(2);
    let (site, relation) = announced(&plan);
    let (unit, host) = second(&site);
    unit.power_cut().unwrap();
    fs::remove_file(host.state_dir().join("request.json")).unwrap();
    for said in ["{}", "[{\"id\": 7}]", "[", "null", "\u{1f980}"] {
        let mut peers = Peers::load(&host).unwrap();
        peers.announcement = Some(said.to_owned());
        peers.save(&host).unwrap();
        succeeded(unit.update_status().unwrap());
        assert_eq!(Request::load(&host).unwrap(), None, "{said}");
        assert_eq!(relation.written_by(&unit).unwrap(), Databag::new(), "{said}");
    }
    idle(&site);
    assert_eq!(Peers::load(&site.host()).unwrap().behind(), ["image-builder/1"]);
}

#[test]
fn a_unit_alone_tells_and_asks_nobody() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    let before = site.model.runs().len();
    for _ in 0..3 {
        site.next_hook();
    }
    let runs = site.model.runs();
    let about_peers = runs[before..].iter().flat_map(|run| &run.calls);
    let about_peers = about_peers.filter(|call| call.argv.iter().any(|word| word.contains("units")));
    assert_eq!(about_peers.count(), 0);
    let peers = Peers::load(&site.host()).unwrap();
    assert!(peers.leads && peers.behind().is_empty(), "it may prune");
}

#[test]
fn what_peers_say_while_the_configuration_is_refused_is_asked_for_afterwards() {
    let plan = Plan::new().units(2);
    let (site, _relation) = announced(&plan);
    site.app.set_config(&[("build-interval", "99")]).unwrap();
    all_succeeded(site.app.remove_unit(1).unwrap());
    assert!(!Peers::load(&site.host()).unwrap().leads, "nothing is pruned on what was known before");
    site.app.set_config(&[("build-interval", "9")]).unwrap();
    let peers = Peers::load(&site.host()).unwrap();
    assert!(peers.leads && peers.units.is_empty(), "{peers:?}");
}

#[test]
fn units_of_which_some_were_refreshed_understand_each_other() {
    let plan = Plan::new().units(2);
    let (site, _relation) = announced(&plan);
    let said = &site.app.peer_relation("units").unwrap().app_data().unwrap()["images"];
    let said: Vec<Image> = serde_json::from_str(said).unwrap();
    let of = |cloud: &CloudName| -> Vec<&Image> {
        said.iter().filter(|image| image.result.config.cloud_name == *cloud).collect()
    };
    let (now, former) = (plan.project().cloud(), plan.project().former_cloud());
    assert_eq!((of(&now).len(), of(&former).len()), (1, 1), "an earlier revision knows the other name");

    // A leader of an earlier revision says that one only.
    let (unit, host) = second(&site);
    unit.power_cut().unwrap();
    fs::remove_file(host.state_dir().join("request.json")).unwrap();
    let mut peers = Peers::load(&host).unwrap();
    peers.announcement = Some(serde_json::to_string(&of(&former)).unwrap());
    peers.save(&host).unwrap();
    succeeded(unit.update_status().unwrap());
    let asked = Request::load(&host).unwrap().unwrap().task;
    assert_eq!(asked, Task::TakeOver(of(&now).into_iter().cloned().collect()));
}
