//! User secrets.

use std::fs;

use crate::kept::kept;

#[test]
fn a_granted_secret_is_read_and_its_change_is_told() {
    kept(|juju| {
        juju.deploy(
            "case $HOOK in config-changed | secret-changed)
            secret=$(config-get password)
            [ -z \"$secret\" ] || status-set active \"$(secret-get $secret word --refresh 2>&1)\" ;;
        esac",
        );
        let uri = juju.run(&["add-secret", "door", "word=sesame"]);
        let uri = uri.trim();
        assert!(uri.starts_with("secret:"), "{uri}");
        juju.run(&["config", "sample", &format!("password={uri}")]);
        juju.wait_for_message("sample/0", "ERROR permission denied");
        juju.run(&["grant-secret", "door", "sample"]);
        juju.run(&["config", "sample", "interval=5"]);
        juju.wait_for_message("sample/0", "sesame");
        fs::write(juju.folder.join("word.txt"), "open").unwrap();
        juju.run(&["update-secret", "door", "word#file=word.txt"]);
        juju.wait_for_message("sample/0", "open");
        juju.run(&["revoke-secret", uri, "sample"]);
        juju.run(&["config", "sample", "interval=6"]);
        juju.wait_for_message("sample/0", "ERROR permission denied");
    });
}

#[test]
fn secrets_are_listed_and_shown_only_when_that_is_asked_for() {
    kept(|juju| {
        juju.run(&["add-secret", "door", "word=sesame", "--info", "the cave"]);
        juju.run(&["update-secret", "door", "word=open"]);
        let listed = juju.json(&["secrets"]);
        let (id, secret) = listed.as_object().unwrap().iter().next().unwrap();
        assert_eq!((&secret["name"], &secret["revision"]), (&"door".into(), &2.into()));
        assert_eq!((&secret["owner"], &secret["description"]), (&"<model>".into(), &"the cave".into()));
        assert!(juju.run(&["secrets"]).contains(id.as_str()));
        assert!(!juju.run(&["show-secret", "door"]).contains("open"));
        let shown = juju.json(&["show-secret", id, "--reveal"]);
        assert_eq!(shown[id]["content"]["Data"]["word"], "open");
        let said = juju.says(&["add-secret", "door", "word=x"]);
        assert_eq!(said.stderr, "ERROR secret with name \"door\" already exists\n");
        juju.run(&["remove-secret", "door"]);
        assert_eq!(juju.says(&["show-secret", "door"]).stderr, "ERROR secret \"door\" not found\n");
    });
}
