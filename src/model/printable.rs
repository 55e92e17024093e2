//! Text from elsewhere (a databag, a cloud's answer, a program's output) on its way to a terminal, a log or a status.
//!
//! A line's end would let it forge the next line of a log, an escape sequence would move a terminal's cursor or set its
//! title, and a character that turns the direction of writing would show one text and mean another. What can do so is
//! shown as a JSON string shows it, so that JSON which has passed here is JSON still.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` as one line that a terminal shows and does not obey.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\t' || is_plain(c))
}

/// The same for text of several lines, which are its writer's own.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\t' | '\n') || is_plain(c))
}

/// Whether `text` has nothing that would have to be escaped.
pub fn is_printable_line(text: &str) -> bool {
    text.chars().all(is_plain)
}

/// Control characters, separators of lines and paragraphs, and the marks that change the direction of writing.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&is_kept) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_kept(c) => result.push(c),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            // Writing into a string never fails.
            c => drop(write!(result, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_or_that_begins_a_line_passes() {
        let hostile =
            "p\n2026-11-28T00:00:00Z ERROR forged\r\x1b[2K\x1b]0;x\x07 \u{9b}31m\u{202e}\u{2028}\0\x7f";
        let shown = "p\\n2026-11-28T00:00:00Z ERROR forged\\r\\u001b[2K\\u001b]0;x\\u0007 \
                     \\u009b31m\\u202e\\u2028\\u0000\\u007f";
        assert_eq!(printable_line(hostile), shown);
        assert_eq!(printable_line(shown), shown, "once is enough");
        assert_eq!(printable_lines("a\nb\x1b"), "a\nb\\u001b");
        assert!(is_printable_line(shown) && !is_printable_line("a\tb") && !is_printable_line(hostile));
    }

    #[test]
    fn ordinary_text_stays_as_it_is_and_json_stays_json() {
        for text in ["", "Zürich \"x\" \\ 日本 🙂", "a\tb"] {
            assert_eq!(printable_line(text), text);
        }
        let value = serde_json::json!({"name": "a\u{9b}\n\u{7f}\u{202e}"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let read: serde_json::Value = serde_json::from_str(&printable_lines(&text)).unwrap();
        assert_eq!(read, value);
    }
}
