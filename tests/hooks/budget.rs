//! What a hook costs: calls of hook tools, each of which takes a real agent 10 to 30 ms, and memory.

use rehearsal::agent::{HookRun, Relation, RunKind};
use runner_image_builder::model::Target;
use runner_image_builder::record::CloudName;

use crate::cloud::{Credentials, NOBODY};
use crate::deploy::Plan;
use crate::machine::{JAMMY, NOBLE, PATIENCE, PROMPT, Site, image, succeeded};
use crate::publishing::{FIRST, SECOND, THIRD, written};

/// How many units of a relation are looked at in search of complete data.
const LOOKED_AT: usize = 10;

/// What a hook may cost beside so many image relations, however many units each has: one more is read in its own event.
#[track_caller]
fn assert_within(relations: usize, run: &HookRun) {
    assert_costs(relations, relations + 1, run);
}

/// What a hook may cost: 8 calls, 2 for each relation, 1 for each unit that is read.
#[track_caller]
fn assert_costs(relations: usize, units: usize, run: &HookRun) {
    let budget = 8 + relations * 2 + units;
    let calls = run.tool_counts();
    assert!(
        run.calls.len() <= budget,
        "{}: {} calls, allowed are {budget}: {calls:?}",
        run.name,
        run.calls.len()
    );
    let mut levels: Vec<&str> =
        run.calls.iter().filter(|call| call.tool == "juju-log").map(|call| call.argv[1].as_str()).collect();
    let all = levels.len();
    levels.sort();
    levels.dedup();
    assert_eq!(levels.len(), all, "{}: more than one juju-log of a level", run.name);
    // A debug build is several times as large; one that is tested as a charm is none.
    if !cfg!(debug_assertions) || std::env::var_os("RUNNER_IMAGE_BUILDER_CHARM").is_some() {
        assert!(run.max_rss_kib < 12 << 10, "{}: {} KiB", run.name, run.max_rss_kib);
    }
}

/// A site with so many relations to projects of their own, two units each, two bases, and a script with secrets.
fn site(relations: usize) -> (Site, Vec<(Relation, CloudName)>) {
    let plan = Plan::new().option("base-image", "noble,jammy");
    let site = plan.configured();
    let script = site.model.add_secret(&[("token", "x")]).unwrap();
    script.grant(&site.app).unwrap();
    site.app.set_config(&[("script-secret-id", &script.uri())]).unwrap();
    let related = (0..relations).map(|number| {
        let project = Credentials::new(&plan.keystone, &format!("project-{number}"));
        let units = [&project.data()[..], &project.data()[..]];
        let relation = site.app.integrate("image", &format!("runners-{number}"), &units).unwrap();
        let cloud = project.cloud_of(&relation);
        (relation, cloud)
    });
    let related: Vec<_> = related.collect();
    site.kill_worker();
    site.next_hook();
    site.settle();
    (site, related)
}

#[test]
fn every_hook_of_a_first_day_is_within_the_budget() {
    for relations in [1, 3] {
        let (site, _related) = site(relations);
        for run in site.model.runs().iter().filter(|run| run.kind == RunKind::Hook) {
            assert_within(relations, run);
        }
    }
}

#[test]
fn in_steady_state_every_hook_is_within_the_budget() {
    for relations in [1, 3] {
        let (site, related) = site(relations);
        site.next_hook();
        for hook in ["update-status", "config-changed", "start", "leader-elected", "upgrade-charm", "install"]
        {
            assert_within(relations, &succeeded(site.unit().fire(hook).unwrap()));
        }
        let runs = related[0].0.set_remote_unit(1, &[("unrelated", "x")]).unwrap();
        runs.iter().chain(&site.password.update(&[("password", "rotated")]).unwrap()).for_each(|run| {
            assert_within(relations, run);
        });
        for path in ["run", "worker"] {
            site.unit().exec(&format!("JUJU_DISPATCH_PATH={path} ./dispatch")).unwrap();
            assert_within(relations, site.model.runs().last().unwrap());
        }
    }
}

#[test]
fn a_hook_that_is_about_no_relation_costs_the_same_however_many_there_are() {
    let (site, related) = site(20);
    // What the hook before has written is read back.
    site.next_hook();
    for path in ["hooks/update-status", "worker"] {
        site.unit().exec(&format!("JUJU_DISPATCH_PATH={path} ./dispatch")).unwrap();
        let run = site.model.runs().pop().unwrap();
        assert!(run.succeeded() && run.calls.len() <= 8, "{path}: {:?}", run.tool_counts());
    }
    // One that is about a relation reads that one.
    for run in related[0].0.set_remote_unit(0, &[("password", "new")]).unwrap() {
        assert!(succeeded(run.clone()).calls.len() <= 8 + 3, "{:?}", run.tool_counts());
    }
    assert!(site.clouds_yaml().contains("new"));
    // What was tampered with, or may have been missed, is read again.
    let clouds = site.host().state_dir().join("clouds.yaml");
    let good = std::fs::read_to_string(&clouds).unwrap();
    std::fs::write(&clouds, good.replace("password: new", "password: old")).unwrap();
    site.next_hook();
    assert_eq!(std::fs::read_to_string(&clouds).unwrap(), good);
    let run = succeeded(site.unit().fire("config-changed").unwrap());
    assert_eq!(run.tool_counts()["relation-list"], 20);
}

#[test]
fn a_status_that_is_shown_is_not_set_again() {
    let (site, _related) = site(1);
    site.next_hook();
    let sets = |run: &HookRun| run.tool_counts().get("status-set").copied().unwrap_or_default();
    let status = site.unit().status().unwrap();
    assert_eq!(sets(&site.next_hook()), 0);
    assert_eq!(site.unit().status().unwrap(), status);
    site.app.set_config(&[("paused", "true")]).unwrap();
    assert_ne!(site.unit().status().unwrap(), status);
    assert_eq!(sets(&site.next_hook()), 0);
    assert_eq!(sets(&succeeded(site.unit().fire("config-changed").unwrap())), 1);
}

#[test]
fn hooks_that_publish_are_within_the_budget() {
    for relations in [1, 3] {
        let (site, related) = site(relations);
        let deliver = |id: &str, target: Target| {
            site.end_job(Vec::new(), |journal| {
                related.iter().for_each(|(_, cloud)| journal.publish(image(id, target, cloud)));
            });
            let run = site.next_hook();
            // And one for whoever leads next.
            assert_eq!(run.tool_counts()["relation-set"], relations + 1);
            assert_within(relations, &run);
        };
        deliver(FIRST, NOBLE);
        assert_within(relations, &site.next_hook());
        deliver(SECOND, JAMMY);
        // Also when the next image comes before any other hook.
        deliver(THIRD, NOBLE);
        for (relation, _) in &related {
            assert_eq!(written(&site, relation)["id"], THIRD);
        }
    }
}

#[test]
fn units_that_talk_to_each_other_are_within_the_budget() {
    let plan = Plan::new().units(3);
    let (site, _relation) = plan.related();
    let idle = || site.app.units().iter().for_each(|unit| unit.wait_idle(PATIENCE).unwrap());
    idle();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    idle();
    site.app.set_leader(2).unwrap();
    site.app.remove_unit(1).unwrap();
    idle();
    // The image relation and its unit, the peer relation and the two other units.
    for run in site.model.runs().iter().filter(|run| run.kind == RunKind::Hook) {
        assert_costs(2, 3, run);
    }
}

#[test]
fn a_tenant_with_hundreds_of_units_costs_no_hook_more() {
    let (site, related) = site(1);
    let (relation, _) = &related[0];
    relation.had_remote_units(2..300, &Credentials::new(NOBODY, "another").data()).unwrap();
    site.next_hook();
    assert_within(1, &site.next_hook());
    for run in relation.set_remote_unit(299, &[("password", "new")]).unwrap() {
        assert_within(1, &succeeded(run));
    }
    // One that says nothing of use is looked at no further.
    let silent = site.app.integrate("image", "silent", &[]).unwrap();
    silent.had_remote_units(0..300, &[("username", "x")]).unwrap();
    let run = site.next_hook();
    assert_costs(2, 1 + LOOKED_AT, &run);
    for run in silent.set_remote_unit(299, &Credentials::new(NOBODY, "late").data()).unwrap() {
        assert_costs(2, 2 + LOOKED_AT, &succeeded(run));
    }
    assert!(!site.clouds_yaml().contains("late"), "what one event shows the next would not");
}

#[test]
fn slow_tools_cost_a_hook_their_own_time_and_no_more() {
    let (site, _related) = site(1);
    site.next_hook();
    site.model.delay_tools(std::time::Duration::from_millis(30));
    let run = site.next_hook();
    assert!(run.wall < PROMPT, "{:?}", run.wall);
}
