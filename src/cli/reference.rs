//! The page of the documentation that lists the commands, made from their tree. `make manual` writes it.

use std::fmt::Write;

use super::Arguments;

/// The text of docs/reference/commands.md.
pub fn page() -> String {
    let mut page = String::from(
        "# Commands\n\nOn a unit, run the commands as root in the charm's folder (`/var/lib/juju/agents/unit-APP-N/charm`), or with \
         `juju exec\n--unit APP/leader ./dispatch jobs`. Commands that need no unit also work on other machines. `dispatch help \
         COMMAND` prints the same\ntext.\n\nThis page is generated from the code by `make manual`.\n",
    );
    let mut tree = Arguments::tree();
    tree.build();
    for command in tree.get_subcommands_mut() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        // Writing into a string never fails.
        let _ = write!(page, "\n## dispatch {}\n\n```text\n{}\n```\n", command.get_name(), lines.join("\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_code() {
        let written = include_str!("../../docs/reference/commands.md");
        assert!(written == page(), "docs/reference/commands.md: run `make manual`");
    }
}
