//! The charm is refreshed from a revision that named clouds otherwise, with a build under way: whatever event comes, each
//! relation keeps the image that it was told.

use std::fs;

use rehearsal::agent::{HookRun, Relation};
use runner_image_builder::builder::{
    Clouds, cloud_name, former_cloud_name, install_clouds_yaml, read_clouds_yaml,
};
use runner_image_builder::host::Exclusive;
use runner_image_builder::record::{BuildSecrets, CloudName, Phase, Resource, ResourceKind};

use crate::cloud::{Credentials, NOBODY};
use crate::deploy::Plan;
use crate::machine::{NOBLE, Site, all_succeeded, image, succeeded};
use crate::publishing::{FIRST, SECOND, THIRD, written};

/// The clouds' names of now and of then.
fn names(clouds: &Clouds) -> Vec<(CloudName, CloudName)> {
    clouds.iter().map(|(now, config)| (now.clone(), former_cloud_name(config))).collect()
}

/// Rewrites the state as the earlier revision has left it, in the middle of a build.
fn set_back(site: &Site) {
    let host = site.host();
    let clouds = read_clouds_yaml(&host).unwrap();
    let names = names(&clouds);
    let then = |name: &mut CloudName| {
        name.clone_from(&names.iter().find(|(now, _)| now == name).expect("a cloud of now").1);
    };
    let mut request = site.request().unwrap();
    let (build_cloud, related) = (request.config.build_cloud.clone(), request.config.clouds[1].clone());
    then(&mut request.config.build_cloud);
    request.config.clouds.iter_mut().for_each(then);
    request.config.clouds.sort();
    request.config.clouds.dedup();
    request.save(&host, &BuildSecrets::default()).unwrap();

    let mut journal = site.journal();
    journal.works_in(&build_cloud, ["base image b".to_owned()]);
    let job = journal.job.as_mut().unwrap();
    (job.finished, job.config_digest) = (None, request.config.digest());
    let build = job.build(NOBLE);
    build.phase = Phase::Delivering;
    for (kind, cloud) in [(ResourceKind::Snapshot, build_cloud), (ResourceKind::Copy, related)] {
        build.note(&Resource { kind, cloud, name: "made".into(), id: None, revision: None });
    }
    build.resources.iter_mut().for_each(|resource| then(&mut resource.cloud));
    journal.orphans.iter_mut().for_each(|orphans| then(&mut orphans.cloud));
    for mut image in std::mem::take(&mut journal.images) {
        then(&mut image.result.config.cloud_name);
        journal.publish(image);
    }
    journal.save(&host).unwrap();

    let mut databags = fs::read_to_string(site.state_file("databags.json")).unwrap();
    names.iter().for_each(|(now, then)| databags = databags.replace(now.as_str(), then.as_str()));
    fs::write(site.state_file("databags.json"), databags).unwrap();
    let renamed = clouds.into_iter().map(|(mut name, config)| {
        then(&mut name);
        (name, config)
    });
    install_clouds_yaml(&host, &renamed.collect()).unwrap();
}

#[test]
fn after_a_refresh_in_the_middle_of_a_build_every_relation_keeps_its_image_at_every_event() {
    let plan = Plan::new();
    let (site, first) = plan.related();
    let second = site.app.integrate("image", "others", &[&plan.project().data()]).unwrap();
    let elsewhere = Credentials::new(NOBODY, "elsewhere");
    let third = site.app.integrate("image", "third", &[&elsewhere.data()]).unwrap();
    site.kill_worker();
    site.next_hook();
    let project = plan.project();
    site.deliver(&[
        (FIRST, NOBLE, &project.cloud()),
        (FIRST, NOBLE, &project.cloud_of(&second)),
        (SECOND, NOBLE, &elsewhere.cloud_of(&third)),
    ]);
    site.next_hook();
    site.next_hook();
    let now = names(&read_clouds_yaml(&site.host()).unwrap());
    set_back(&site);
    let told = |relation: &Relation| written(&site, relation).get("id").cloned();
    let keeps = |id: &str, event: &str| {
        assert_eq!([&first, &second].map(told), [Some(id.into()), Some(id.into())], "{event}");
        assert_eq!(told(&third).as_deref(), Some(SECOND), "{event}");
    };
    keeps(FIRST, "before");
    // The earlier revision's worker is at work.
    let worker = Exclusive::acquire(&site.state_file("worker.lock")).unwrap().expect("nobody works");
    for hook in ["upgrade-charm", "config-changed", "start", "leader-elected", "update-status", "install"] {
        succeeded(site.unit().fire(hook).unwrap());
        keeps(FIRST, hook);
    }
    let knows = |name: &CloudName| read_clouds_yaml(&site.host()).unwrap().contains_key(name);
    assert!(now.iter().all(|(now, then)| knows(now) && knows(then)), "it may yet connect: {now:?}");
    for path in ["run", "worker"] {
        site.unit().exec(&format!("JUJU_DISPATCH_PATH={path} ./dispatch")).unwrap();
        keeps(FIRST, path);
    }
    let change = |what: &str, runs: Vec<HookRun>, id: &str| {
        all_succeeded(runs);
        keeps(id, what);
    };
    change("a unit says more", first.set_remote_unit(0, &[("unrelated", "x")]).unwrap(), FIRST);
    change("a rotated password", second.set_remote_unit(0, &[("password", "rotated")]).unwrap(), FIRST);
    change("the operator's", site.password.update(&[("password", "rotated")]).unwrap(), FIRST);
    change("a refused option", site.app.set_config(&[("base-image", "warty")]).unwrap(), FIRST);
    change("the same, put right", site.app.reset_config(&["base-image"]).unwrap(), FIRST);

    // What that worker still delivers is told to all whom it knows by one name.
    let mut journal = site.journal();
    journal.publish(image(THIRD, NOBLE, &project.former_cloud()));
    journal.save(&site.host()).unwrap();
    site.next_hook();
    keeps(THIRD, "delivered by the earlier revision");

    site.end_job(Vec::new(), |_| ());
    drop(worker);
    site.next_hook();
    site.worker();
    keeps(THIRD, "at work itself");
    let journal = fs::read_to_string(site.state_file("journal.json")).unwrap();
    let former = |then: &CloudName| journal.contains(&format!("\"{}\"", then.as_str()));
    assert!(now.iter().all(|(_, then)| !former(then)), "{journal}");
    let build_cloud = site.request().unwrap().config.build_cloud;
    assert!(site.journal().was_built_in(&build_cloud));
    let copy = site.journal().resources().find(|made| made.kind == ResourceKind::Copy).cloned();
    assert_eq!(copy.unwrap().cloud, project.cloud());
    site.settle();
    site.next_hook();
    keeps(THIRD, "ended");
    assert!(now.iter().all(|(_, then)| !knows(then)), "{}", site.clouds_yaml());
    assert_eq!(build_cloud, cloud_name(&read_clouds_yaml(&site.host()).unwrap()[&build_cloud]));
}
