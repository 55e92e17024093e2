//! Secrets: grants, revisions, labels.

use rehearsal::agent::JujuVersion;

use crate::charm::{deployed, deployed_on};

const READ: &str = "case $HOOK in update-status) eval \"secret-get $(cat args)\";; secret-changed) \
    echo $JUJU_SECRET_ID $JUJU_SECRET_LABEL;; esac; true";

#[test]
fn a_secret_can_be_read_only_while_it_is_granted_and_there() {
    let not_allowed = "ERROR \"sample/0\" is not allowed to read this secret\n";
    for (juju, refused) in [
        (JujuVersion::V3_6, "ERROR permission denied\n"),
        (JujuVersion::V4_0, not_allowed),
        (JujuVersion::V4, not_allowed),
    ] {
        assert_read_while_granted(juju, refused);
    }
}

fn assert_read_while_granted(juju: JujuVersion, refused: &str) {
    let it = deployed_on(juju, 1, READ);
    let unit = it.app.unit(0);
    let secret = it.model.add_secret(&[("password", "one")]).unwrap();
    std::fs::write(unit.charm_dir().unwrap().join("args"), format!("{} --format=json", secret.uri()))
        .unwrap();
    let read = || unit.update_status().unwrap();
    assert_eq!(read().stderr, refused);
    assert_eq!(read().calls[0].exit_code, 1);
    secret.grant(&it.app).unwrap();
    assert_eq!(read().stdout, "{\"password\":\"one\"}\n");
    secret.revoke(&it.app).unwrap();
    assert_eq!(read().stderr, refused);
    secret.remove().unwrap();
    let unknown = match juju {
        JujuVersion::V3_6 => format!("ERROR secret \"{}\" not found\n", secret.id()),
        JujuVersion::V4_0 | JujuVersion::V4 => {
            "ERROR getting latest secret revision: secret not found\n".to_owned()
        }
    };
    assert_eq!(read().stderr, unknown);
}

#[test]
fn a_unit_stays_with_its_revision_until_it_refreshes() {
    let it = deployed(1, READ);
    let unit = it.app.unit(0);
    let secret = it.model.add_secret(&[("password", "one")]).unwrap();
    secret.grant(&it.app).unwrap();
    let read = |args: &str| {
        let line = format!("{} password {args}", secret.uri());
        std::fs::write(unit.charm_dir().unwrap().join("args"), line).unwrap();
        unit.update_status().unwrap().stdout.trim().to_owned()
    };
    assert_eq!(secret.update(&[("password", "zero")]).unwrap().len(), 0, "nobody reads it yet");
    assert_eq!(read("--label pass"), "zero");
    let runs = secret.update(&[("password", "two")]).unwrap();
    assert_eq!(runs[0].stdout, format!("{} pass\n", secret.uri()));
    assert_eq!(read(""), "zero");
    assert_eq!(read("--peek"), "two");
    assert_eq!(read(""), "zero");
    assert_eq!(read("--refresh"), "two");
    assert_eq!(read(""), "two");
    std::fs::write(unit.charm_dir().unwrap().join("args"), "--label pass").unwrap();
    assert_eq!(unit.update_status().unwrap().stdout, "password: two\n");
}

#[test]
fn calls_that_make_no_sense_are_refused() {
    let script = "secret-get; secret-get secret:x; secret-get --peek --refresh secret:d0rehearsal000000001; \
        secret-get --format=smart secret:d0rehearsal000000001; secret-info-get secret:d0rehearsal000000001; secret-ids";
    let it = deployed(1, script);
    let run = it.app.unit(0).update_status().unwrap();
    let expected = "ERROR require either a secret URI or label\n\
        ERROR secret URI \"secret:x\" not valid\n\
        ERROR specify one of --peek or --refresh but not both\n\
        ERROR invalid value \"smart\" for option --format: unknown format \"smart\"\n\
        ERROR secret \"d0rehearsal000000001\" not found\n";
    assert_eq!(run.stderr, expected);
    assert_eq!(run.calls.iter().map(|call| call.exit_code).collect::<Vec<_>>(), [2, 2, 2, 2, 1, 0]);
}
