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

const OWN: &str =
    "case $HOOK in update-status) eval \"$(cat args)\";; secret-changed) echo $JUJU_SECRET_ID;; esac";

/// What `unit` prints that runs these words in a hook.
fn said(unit: &rehearsal::agent::Unit, words: &str) -> (bool, String) {
    std::fs::write(unit.charm_dir().unwrap().join("args"), words).unwrap();
    let run = unit.update_status().unwrap();
    (run.succeeded(), format!("{}{}", run.stdout, run.stderr))
}

#[test]
fn a_leader_adds_a_secret_of_its_application_which_counts_when_the_hook_ends_well() {
    for juju in [JujuVersion::V3_6, JujuVersion::V4_0, JujuVersion::V4] {
        let it = deployed_on(juju, 2, OWN);
        let (leader, other) = (it.app.unit(0), it.app.unit(1));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"private-key": "one\ntwo\n"}"#).unwrap();
        let add = format!(
            "secret-add --owner application --label key --description why --file {}",
            file.path().display()
        );
        let info = "secret-info-get --label key --format json";
        let none = (true, "ERROR secret \"key\" not found\n".to_owned());

        let (ended, text) =
            said(&leader, &format!("{add}; {info}; secret-get --label key --format json; exit 1"));
        let id = text.lines().next().unwrap().strip_prefix("secret:").unwrap().to_owned();
        let known = format!(
            "{{\"{id}\":{{\"description\":\"why\",\"label\":\"key\",\"owner\":\"application\",\"revision\":1,\"rotation\":\"never\"}}}}\n"
        );
        assert!(
            !ended && text.contains(&known) && text.ends_with("{\"private-key\":\"one\\ntwo\\n\"}\n"),
            "{text}"
        );
        leader.skip_failed_hook().unwrap();
        assert_eq!(said(&leader, &format!("{info} || true")), none, "the hook has failed");

        let (_, uri) = said(&leader, &add);
        let uri = uri.trim();
        let read = format!("secret-get {uri} private-key --format json --refresh");
        for unit in [&leader, &other] {
            assert_eq!(said(unit, &read).1, "\"one\\ntwo\\n\"\n");
        }
        assert_eq!(
            said(&other, &format!("{info} || true; secret-ids")),
            none,
            "it is the leader's to manage"
        );
        assert_eq!(said(&leader, "secret-ids").1.trim(), uri.strip_prefix("secret:").unwrap());
        let refused = said(&other, &format!("{add} || true; secret-set {uri} private-key=x || true")).1;
        assert_eq!(refused, "ERROR this unit is not the leader\n".repeat(2));

        // A new revision, which whoever follows the secret hears of.
        let set =
            format!("secret-set {uri} private-key=three; {read}; secret-get {uri} private-key --format json");
        assert_eq!(said(&leader, &set).1, "\"three\"\n\"one\\ntwo\\n\"\n");
        other.wait_idle(std::time::Duration::from_secs(60)).unwrap();
        let heard = other.runs().into_iter().rfind(|run| run.name == "secret-changed").unwrap();
        assert_eq!(heard.stdout.trim(), uri);
        let secrets = it.model.view().secrets;
        let secret = &secrets[uri.strip_prefix("secret:").unwrap()];
        assert_eq!((secrets.len(), secret.times.len(), secret.owner.as_deref()), (1, 2, Some(it.app.name())));
        it.app.remove().unwrap();
        assert!(it.model.view().secrets.is_empty(), "it goes with its application");
    }
}

#[test]
fn a_label_is_taken_once_and_a_strangers_secret_is_not_changed() {
    let it = deployed(1, OWN);
    let unit = it.app.unit(0);
    assert!(said(&unit, "secret-add --label key token=one").0);
    assert!(
        said(&unit, "secret-add --label other token=1; secret-add --label other token=2 || true")
            .1
            .contains("already exists")
    );
    // Juju sees it when the hook has ended, and the hook has failed.
    for words in ["secret-add --label key token=two".to_owned(), {
        let stranger = it.model.add_secret(&[("token", "x")]).unwrap();
        stranger.grant(&it.app).unwrap();
        format!("secret-set {} token=y", stranger.uri())
    }] {
        said(&unit, &words);
        assert_eq!(unit.failed_hook().unwrap().as_deref(), Some("update-status"), "{words}");
        unit.skip_failed_hook().unwrap();
    }
    let contents: Vec<_> =
        it.model.view().secrets.into_values().map(|secret| secret.content["token"].clone()).collect();
    assert_eq!(contents, ["one", "1", "x"]);
    let nonsense = "secret-add; secret-add --owner me token=x; secret-add a=x; secret-add token#file=absent; secret-set; secret-set x token=y; true";
    let expected = "ERROR missing secret value or filename\nERROR secret owner \"me\" not valid\nERROR key \"a\" not valid\n\
        ERROR reading content for secret key \"token\": open absent: no such file or directory\nERROR missing secret URI\n\
        ERROR secret URI \"x\" not valid\n";
    assert_eq!(said(&unit, nonsense).1, expected);
}
