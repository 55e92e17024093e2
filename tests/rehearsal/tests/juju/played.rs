//! A consumer that the rehearsal plays, not runs: to the client it is of another model.

use crate::kept::{kept, kept_after};

#[test]
fn a_played_consumer_is_remote_and_shows_what_it_is_told() {
    kept_after(
        |fixture, juju| {
            let charm = juju.sample("[ $HOOK != image-relation-joined ] || relation-set id=an-image");
            let app = fixture.deployment("sample", &juju.folder.join(charm)).run().unwrap();
            app.integrate("image", "runners", &[&[("auth_url", "http://keystone")]]).unwrap();
        },
        |juju| {
            let status = juju.json(&["status"]);
            let remote = &status["application-endpoints"]["runners"];
            assert_eq!(remote["relations"]["image"][0], "sample", "{status}");
            assert!(juju.run(&["status"]).contains("runners  active  rehearsal  admin/consumers.runners"));
            let shown = juju.json(&["show-unit", "runners/0", "--related-unit", "sample/0"]);
            let told = &shown["runners/0"]["relation-info"][0]["related-units"]["sample/0"]["data"];
            assert_eq!(told["id"], "an-image");
        },
    );
}

#[test]
fn a_unit_that_nobody_has_is_not_shown() {
    kept(|juju| {
        let said = juju.says(&["show-unit", "nobody/0"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(1), "ERROR unit \"nobody/0\" not found\n"));
    });
}
