//! Which system an instance runs: `/etc/os-release` (os-release(5)).

use std::collections::BTreeMap;

use super::error::{BaseCompatibilityError, ProviderError};
use super::executor::{Command, Executor};
use crate::model::Deadline;

/// Refuses an instance that is not Ubuntu of this version; any version is good where none is given.
pub(super) fn ensure_ubuntu(
    executor: &dyn Executor,
    version: Option<&str>,
    deadline: Deadline,
) -> Result<(), ProviderError> {
    let output = executor.run(Command::new(["cat", "/etc/os-release"]), deadline)?;
    let release = parse(&String::from_utf8_lossy(&output.stdout));
    let field = |name: &str| release.get(name).map_or("", String::as_str);
    let matches = field("NAME") == "Ubuntu" && version.is_none_or(|version| field("VERSION_ID") == version);
    if matches {
        return Ok(());
    }
    let shown = |text: String| text.chars().take(80).filter(|sign| !sign.is_control()).collect();
    Err(BaseCompatibilityError::System {
        expected: format!("Ubuntu {}", version.unwrap_or_default()).trim_end().to_owned(),
        found: shown(format!("{:?} {:?}", field("NAME"), field("VERSION_ID"))),
    }
    .into())
}

/// The fields of an os-release file. What is no assignment is passed over, and the last assignment counts, as in a shell.
fn parse(text: &str) -> BTreeMap<String, String> {
    let assignments = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        named.then(|| (name.to_owned(), unquoted(value)))
    });
    assignments.collect()
}

/// The value of a shell assignment: in single or double quotes or in none, a backslash before what it protects.
fn unquoted(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(literal) = inner('\'') {
        return literal.to_owned();
    }
    let value = inner('"').unwrap_or(value);
    let (mut plain, mut escaped) = (String::with_capacity(value.len()), false);
    for sign in value.chars() {
        if sign == '\\' && !escaped {
            escaped = true;
        } else {
            plain.push(sign);
            escaped = false;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_a_shell_would() {
        let text = "# comment\nNAME=\"Ubuntu\"\nVERSION_ID='24.04'\nPRETTY_NAME=\"A \\\"b\\\" \\$c\"\nID=ubuntu\nID=last\n\
                    =x\nnot an assignment\nA B=c\n";
        let fields = parse(text);
        assert_eq!(fields["NAME"], "Ubuntu");
        assert_eq!(fields["VERSION_ID"], "24.04");
        assert_eq!(fields["PRETTY_NAME"], "A \"b\" $c");
        assert_eq!(fields["ID"], "last");
        assert_eq!(fields.len(), 4);
    }

    #[test]
    fn no_text_whatever_makes_it_stumble() {
        let pieces = ["NAME", "=", "\"", "'", "\\", "\n", "Ubuntu", "\0", "ä", "#", " ", "24.04"];
        let mut random = crate::testing::Random::seeded(7);
        for _ in 0..2000 {
            let text: String = (0..random.below(30)).map(|_| pieces[random.below(pieces.len())]).collect();
            for (name, value) in parse(&text) {
                assert!(!name.is_empty() && !value.contains('\n'), "{text:?}");
            }
        }
    }
}
