//! Several relations, several units: who gets what from whom.

use rehearsal::agent::Databag;

use crate::cloud::{Credentials, NOBODY};
use crate::deploy::Plan;
use crate::machine::{NOBLE, all_succeeded};
use crate::publishing::{FIRST, SECOND, images, written};

#[test]
fn each_relation_gets_the_image_of_its_own_cloud() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    let other = Credentials::new(NOBODY, "runners");
    let second = site.app.integrate("image", "others", &[&other.data()]).unwrap();
    let third =
        site.app.integrate("image", "third", &[&Credentials::new(NOBODY, "no-image").data()]).unwrap();
    let fourth = site.app.integrate("image", "fourth", &[&plan.project().data()]).unwrap();
    site.kill_worker();
    site.next_hook();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud()), (SECOND, NOBLE, &other.cloud_of(&second))]);
    site.next_hook();
    assert_eq!(written(&site, &relation)["id"], FIRST);
    assert_eq!(written(&site, &second)["id"], SECOND);
    assert_eq!(images(&written(&site, &second)).as_array().unwrap().len(), 1);
    assert_eq!(written(&site, &third), Databag::new());
    assert_eq!(written(&site, &fourth), written(&site, &relation));
}

#[test]
fn one_relation_that_goes_or_fails_does_not_touch_the_other() {
    let plan = Plan::new();
    let (site, relation) = plan.related();
    let other = Credentials::new(NOBODY, "others");
    let second = site.app.integrate("image", "others", &[&other.data()]).unwrap();
    site.kill_worker();
    site.next_hook();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud()), (SECOND, NOBLE, &other.cloud_of(&second))]);
    site.next_hook();
    let before = written(&site, &relation);
    all_succeeded(second.set_remote_unit(0, &[("password", "")]).unwrap());
    assert_eq!(
        written(&site, &second)["id"],
        SECOND,
        "the last good image stays while credentials are missing"
    );
    all_succeeded(second.remove().unwrap());
    assert_eq!((written(&site, &relation), relation.changes_by(&site.unit()).unwrap()), (before, 1));
    site.assert_status("active: ");
}

#[test]
fn a_relation_that_comes_later_gets_what_there_is_already() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    let second = site.app.integrate("image", "others", &[&plan.project().data()]).unwrap();
    assert_eq!(written(&site, &second)["id"], FIRST);
    // Who brings another password has yet to prove it.
    let wrong = Credentials { password: "a guess".into(), ..plan.project() };
    let third = site.app.integrate("image", "third", &[&wrong.data()]).unwrap();
    assert_eq!(written(&site, &third), Databag::new());
    assert_eq!(written(&site, &second)["id"], FIRST);
}

#[test]
fn only_the_leader_publishes() {
    let plan = Plan::new().units(2);
    let (site, relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    site.next_hook();
    all_succeeded(vec![site.app.unit(1).update_status().unwrap()]);
    assert_eq!(written(&site, &relation)["id"], FIRST);
    assert_eq!(relation.written_by(&site.app.unit(1)).unwrap(), Databag::new());
}
