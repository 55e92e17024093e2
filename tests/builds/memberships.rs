//! How long an image stays shared with a project, and what keeps it: relations that come, go and change, changed options,
//! killed workers, pruning, other units, and the end.

use rehearsal::agent::Relation;
use rehearsal::cloud::{CloudSetup, Fault, UserSetup, What};

use crate::fixture::{Deployed, Fixture, PATIENCE, told_by, wait_for};
use crate::sharing::{
    AUTO, BUILD, MEMBERS, NOTHING, builds, copies, ended, members, members_of_the_build, refuse, told,
};

fn removed(fixture: &Fixture, relation: &Relation) {
    assert!(relation.remove().unwrap().iter().all(|run| run.succeeded()));
    ended(fixture);
}

#[test]
fn a_relation_that_goes_takes_its_own_membership_along_and_the_last_one_the_rest() {
    let fixture = Fixture::set(AUTO);
    let upload = fixture.integrate("upload");
    let again = fixture.around().integrate(&fixture.app, "upload").unwrap();
    let other = fixture.integrate("upload2");
    ended(&fixture);
    let both = ["upload-project accepted", "upload2-project accepted"];
    assert_eq!(members_of_the_build(&fixture), both);
    removed(&fixture, &upload);
    assert_eq!(members_of_the_build(&fixture), both, "another relation leads to the same project");
    removed(&fixture, &again);
    assert_eq!(members_of_the_build(&fixture), ["upload2-project accepted"]);
    let id = told(&fixture, &other);
    assert_eq!(id, builds(&fixture)[0].id);
    removed(&fixture, &other);
    assert_eq!(members_of_the_build(&fixture), NOTHING);
    assert_eq!(builds(&fixture)[0].visibility, "private");
    assert!(fixture.journal().memberships.is_empty());
}

#[test]
fn a_change_to_copies_delivers_them_before_memberships_end_and_back_again() {
    let fixture =
        Fixture::set(&[("revision-history-limit", "2"), ("verify-image", "false"), ("delivery", "auto")]);
    let relation = fixture.integrate("upload");
    ended(&fixture);
    let shared = told(&fixture, &relation);
    // The first try fails: nothing is taken away before there is something else.
    refuse(&fixture, "PUT", "/file$", 500, "upload-project");
    fixture.set_options(&[("delivery", "copy")]);
    assert_eq!(fixture.job_ended().failures.len(), 1);
    assert_eq!(told(&fixture, &relation), shared);
    assert_eq!(members_of_the_build(&fixture), ["upload-project accepted"]);
    fixture.cloud.heal();
    fixture.look_for_work();
    ended(&fixture);
    let copy = told(&fixture, &relation);
    assert_eq!(copies(&fixture, "upload-project"), [copy.clone()]);
    // A hook has read back what the one before has written.
    fixture.next_hook();
    fixture.look_for_work();
    ended(&fixture);
    assert_eq!(members_of_the_build(&fixture), NOTHING);

    fixture.set_options(&[("delivery", "auto")]);
    ended(&fixture);
    assert_eq!(told(&fixture, &relation), copy, "a copy that is current stays");
    fixture.set_options(&[("delivery", "share")]);
    ended(&fixture);
    assert_eq!(told(&fixture, &relation), shared);
    assert_eq!(copies(&fixture, "upload-project"), [copy], "it is a revision as ever");
    for _ in 0..2 {
        fixture.build_again();
    }
    assert_eq!(copies(&fixture, "upload-project"), NOTHING, "shared ones have taken its place");
    assert_eq!(told(&fixture, &relation), builds(&fixture)[1].id);
}

#[test]
fn what_a_killed_worker_has_begun_to_share_is_shared_or_ends() {
    for stays in [true, false] {
        let fixture = Fixture::set(AUTO);
        let hang = Fault::new("PUT", MEMBERS, What::AcceptAndHang).unwrap();
        fixture.cloud.inject(hang);
        let relation = fixture.integrate("upload");
        let begun = || builds(&fixture).first().filter(|build| !build.members.is_empty()).map(drop);
        wait_for("the member", begun);
        fixture.kill_worker();
        assert_eq!(members_of_the_build(&fixture), ["upload-project pending"]);
        fixture.cloud.heal();
        if stays {
            fixture.next_hook();
            ended(&fixture);
            assert_eq!(told(&fixture, &relation), builds(&fixture)[0].id);
            assert_eq!(members_of_the_build(&fixture), ["upload-project accepted"]);
        } else {
            removed(&fixture, &relation);
            assert_eq!(members_of_the_build(&fixture), NOTHING);
        }
        assert_eq!(fixture.leftovers(), NOTHING);
    }
}

#[test]
fn a_changed_build_project_takes_no_image_along_that_is_still_told() {
    let fixture = Fixture::set(AUTO);
    let relation = fixture.integrate("upload");
    ended(&fixture);
    let id = told(&fixture, &relation);
    refuse(&fixture, "POST", "/servers$", 403, "builder2-project");
    fixture.set_options(&[("openstack-project-name", "builder2-project")]);
    assert_ne!(fixture.job_ended().failures, []);
    assert_eq!(told(&fixture, &relation), id);
    assert_eq!(members_of_the_build(&fixture), ["upload-project accepted"]);
    fixture.cloud.heal();
    fixture.look_for_work();
    ended(&fixture);
    let newest = told(&fixture, &relation);
    assert_eq!(fixture.images_of_stage("builder2-project", "revision"), [newest.clone()]);
    // The next try to leave the old one has nothing to wait for.
    fixture.edit_journal(|journal| journal.orphans.iter_mut().for_each(|known| known.last = None));
    fixture.look_for_work();
    ended(&fixture);
    assert!(builds(&fixture).is_empty(), "{}", fixture.cloud.inventory());
    assert_eq!(told(&fixture, &relation), newest);
}

#[test]
fn a_build_that_a_relation_names_is_not_pruned_and_the_others_go_with_their_memberships() {
    let fixture =
        Fixture::set(&[("revision-history-limit", "2"), ("verify-image", "false"), ("delivery", "share")]);
    let [behind, ahead] = ["upload", "upload2"].map(|name| fixture.integrate(name));
    ended(&fixture);
    let first = told(&fixture, &behind);
    refuse(&fixture, "PUT", MEMBERS, 403, "upload-project");
    for _ in 0..3 {
        assert_eq!(fixture.build_again().failures.len(), 1);
    }
    let kept: Vec<String> = builds(&fixture).iter().map(|build| build.id.clone()).collect();
    assert_eq!((kept.len(), &kept[0], &kept[2]), (3, &first, &told(&fixture, &ahead)));
    assert_eq!(told(&fixture, &behind), first);
    assert!(members(&fixture, &builds(&fixture)[0]).contains(&"upload-project accepted".to_owned()));
    fixture.cloud.heal();
    // What a relation has named goes once a hook has read back that it names another.
    let kept = wait_for("the first build to go", || {
        fixture.look_for_work();
        ended(&fixture);
        fixture.next_hook();
        let kept: Vec<String> = builds(&fixture).iter().map(|build| build.id.clone()).collect();
        (kept.len() == 2).then_some(kept)
    });
    assert_eq!(kept[1], told(&fixture, &behind));
}

#[test]
fn all_units_tell_a_shared_image_and_a_new_leader_too() {
    let fixture = Fixture::of_units(2, AUTO);
    let [relation, other] = ["upload", "upload2"].map(|name| fixture.integrate(name));
    ended(&fixture);
    let id = builds(&fixture)[0].id.clone();
    let tells = |unit: u32| {
        let unit = fixture.app.unit(unit);
        fixture.job_of(&unit);
        unit.wait_idle(PATIENCE).unwrap();
        wait_for("the image", || told_by(&unit, &relation, "id").filter(|told| *told == id));
    };
    tells(1);
    fixture.app.add_unit(fixture.charm()).unwrap();
    tells(2);
    for file in ["journal.json", "request.json"] {
        std::fs::remove_file(fixture.host(&fixture.app.unit(1)).state_dir().join(file)).unwrap();
    }
    fixture.app.set_leader(1).unwrap();
    assert_eq!(fixture.job_of(&fixture.app.unit(1)).failures, []);
    (0..3).for_each(tells);
    assert_eq!(builds(&fixture).len(), 1);
    assert_eq!(members_of_the_build(&fixture).len(), 2);
    assert!(other.remove().unwrap().iter().all(|run| run.succeeded()));
    assert_eq!(fixture.job_of(&fixture.app.unit(1)).failures, []);
    assert_eq!(
        members_of_the_build(&fixture),
        ["upload-project accepted"],
        "it ends with the new leader, too"
    );
}

#[test]
fn shared_images_outlive_the_application_unless_published_images_are_to_go() {
    for goes in ["false", "true"] {
        let options = [AUTO, &[("remove-images-on-removal", goes)]].concat();
        let fixture = Fixture::set(&options);
        let relation = fixture.integrate("upload");
        ended(&fixture);
        let id = told(&fixture, &relation);
        fixture.app.remove().unwrap();
        let left: Vec<String> =
            fixture.cloud.project(BUILD).images().iter().map(|image| image.id.clone()).collect();
        assert_eq!(left, if goes == "true" { vec![] } else { vec![id] });
        if goes == "false" {
            assert_eq!(members_of_the_build(&fixture), ["upload-project accepted"]);
        }
    }
}

#[test]
fn another_user_of_the_same_project_keeps_what_is_told() {
    for delivery in ["auto", "copy"] {
        let mut cloud = CloudSetup::default();
        let second = UserSetup {
            name: "second-user".into(),
            password: "second-password".into(),
            ..cloud.users[1].clone()
        };
        cloud.users.push(second);
        let fixture = Fixture::among(cloud, &[("delivery", delivery), ("verify-image", "false")]);
        let relation = fixture.integrate("upload");
        ended(&fixture);
        let id = told(&fixture, &relation);
        fixture.set_options(&[("paused", "true")]);
        relation.set_remote_unit(0, &[("username", "second-user"), ("password", "second-password")]).unwrap();
        fixture.next_hook();
        assert_eq!(told(&fixture, &relation), id, "{delivery}: before any job has looked");
        fixture.set_options(&[("paused", "false")]);
        ended(&fixture);
        assert_eq!(told(&fixture, &relation), id, "{delivery}: nothing is delivered again");
        assert_eq!(copies(&fixture, "upload-project").len(), usize::from(delivery == "copy"));
    }
}

#[test]
fn a_relation_that_cannot_look_leaves_it_to_the_next_one_of_its_project() {
    let fixture = Fixture::set(&[("verify-image", "false")]);
    let relations = [(); 2].map(|()| fixture.around().integrate(&fixture.app, "upload").unwrap());
    ended(&fixture);
    let id = told(&fixture, &relations[0]);
    let what = What::Status(403, Vec::new(), "<html><body>Not allowed</body></html>".to_owned());
    let once = Fault::new("GET", &format!("/v2/images/{id}$"), what).unwrap().of_project("upload-project");
    let fault = fixture.cloud.inject(once.times(1));
    fixture.look_for_work();
    ended(&fixture);
    assert_eq!(fixture.cloud.struck(fault), 1);
    for relation in &relations {
        assert_eq!(told(&fixture, relation), id);
    }
}
