//! Words that the client does not take.

use std::process::Command;

use crate::kept::kept;

#[test]
fn what_is_not_there_is_refused_in_the_real_clients_words() {
    kept(|juju| {
        let said = |words: &[&str]| {
            let said = juju.says(words);
            (said.code, said.stderr)
        };
        let refused = |code, text: &str| (Some(code), format!("ERROR {text}\n"));
        assert_eq!(
            said(&["dance"]),
            refused(2, "juju: \"dance\" is not a juju command. See \"juju --help\".")
        );
        assert_eq!(
            said(&["bootstrap"]),
            refused(2, "juju bootstrap is not part of the rehearsal. See \"juju --help\".")
        );
        assert_eq!(said(&["status", "--loud"]), refused(2, "option provided but not defined: --loud"));
        assert_eq!(said(&["config"]), refused(2, "no application name specified"));
        assert_eq!(said(&["config", "nobody"]), refused(1, "application \"nobody\" not found"));
        assert_eq!(said(&["status", "--model", "prod"]), refused(1, "model rehearsal:admin/prod not found"));
        assert_eq!(
            said(&["deploy", "./nothing.charm"]),
            refused(1, "no charm was found at \"./nothing.charm\"")
        );
        let (code, text) = said(&["deploy", "github-runner"]);
        assert_eq!((code, text.contains("the rehearsal has no Charmhub")), (Some(1), true), "{text}");
        assert_eq!(juju.run(&["version"]), "3.6.9-ubuntu-amd64\n");
        assert!(juju.run(&["--help"]).contains("grant-secret"));
    });
}

#[test]
fn without_a_rehearsal_it_says_how_to_start_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_juju")).arg("status").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text, "ERROR no rehearsal is kept here: start one with make rehearse ARGS=--keep\n");
}
