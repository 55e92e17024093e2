//! Commands as text: what errors and logs show can be pasted into bash and does the same.

use crate::model::redacted;

/// `words` as one line. A secret that stands in them against all rules is taken out before anything is quoted.
pub fn command_line<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    let words = words.into_iter().map(|word| readable(&redacted(word.as_ref())));
    words.collect::<Vec<_>>().join(" ")
}

/// `word` as one word of a POSIX shell, whatever is in it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The same for people: without quotes where none are needed, and on one line.
fn readable(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains(char::is_control) {
        // What Rust escapes, bash escapes the same way, but for characters by their number.
        format!("$'{}'", word.chars().map(escaped).collect::<String>())
    } else {
        quoted(word)
    }
}

/// `c` between `$'` and `'`, as bash reads it.
fn escaped(c: char) -> String {
    match c {
        '\n' => "\\n".into(),
        '\t' => "\\t".into(),
        '\\' | '\'' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Secret, redact_from_now_on};

    fn said(script: &str) -> String {
        let output =
            std::process::Command::new("bash").args(["-c", script]).env("LC_ALL", "C.UTF-8").output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    #[test]
    fn a_line_that_is_pasted_into_a_shell_is_the_same_words() {
        let words = [
            "plain",
            "--opt=a/b",
            "",
            "it's",
            "$(id)",
            "a b",
            "a\nb\tc",
            "\\",
            "\"'\"",
            "{{ x }}",
            "*",
            "~",
            "#",
            "\u{1b}[1m'\\",
            "é",
            "\u{85}",
            "!!",
            "a;b",
            "=x",
        ];
        for word in words {
            assert_eq!(said(&format!("printf %s {}", quoted(word))), word);
        }
        let line = command_line(["printf", "<%s>"].iter().chain(&words));
        assert_eq!(said(&line), words.iter().map(|word| format!("<{word}>")).collect::<String>());
        assert!(!line.contains(char::is_control), "{line}");
        assert!(line.starts_with("printf '<%s>' plain --opt=a/b '' 'it'\\''s' "), "{line}");
    }

    #[test]
    fn a_secret_is_taken_out_before_it_is_quoted() {
        redact_from_now_on(&Secret::new("it's the pass'word".into()));
        assert_eq!(command_line(["--password=it's the pass'word"]), "'--password=[redacted]'");
    }
}
