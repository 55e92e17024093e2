//! Which words the command line takes, and what it says of the others.

use super::*;

fn parse(line: &str) -> Result<Command, String> {
    let words = ["dispatch"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    Arguments::parse_from(words).map(|arguments| arguments.command).map_err(|error| error.to_string())
}

#[test]
fn the_tree_is_sound() {
    Arguments::tree().debug_assert();
}

#[test]
fn a_switch_takes_a_value_or_none() {
    let json = |line: &str| match parse(line).unwrap() {
        Command::Jobs(jobs) => jobs.json,
        other => panic!("{other:?}"),
    };
    assert!(json("jobs --json") && json("jobs --json=true") && json("jobs --json=yes"));
    assert!(!json("jobs") && !json("jobs --json=false"));
    assert!(parse("jobs --json=perhaps").unwrap_err().contains("perhaps"));
}

#[test]
fn an_unknown_word_is_named() {
    for (line, word) in [
        ("job", "'job'"),
        ("jobs now", "'now'"),
        ("jobs --colour", "'--colour'"),
        ("recipe noble", "'noble'"),
        ("run cloud Name noble-x64", "'Name'"),
        ("instance start", "'start'"),
        ("local-build noble /tmp/x", "'noble'"),
        ("build-image cloud a/b/c noble-x64", "'a/b/c'"),
    ] {
        let said = parse(line).unwrap_err();
        assert!(said.contains(word), "{line}: {said}");
    }
}

#[test]
fn every_command_and_argument_explains_itself() {
    fn explained(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some(), "{path}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
        }
        command.get_subcommands().for_each(|command| explained(command, &path));
    }
    let mut tree = Arguments::tree();
    tree.build();
    explained(&tree, "");
    let help = tree.render_help().to_string();
    assert!(help.contains("local-build") && !help.contains("answer-collector"), "{help}");
}
