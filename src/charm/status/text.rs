//! The form of a status: one line, the gravest first, with cause and next try in the part that `juju status` shows.

use std::time::Duration;

/// How many bytes of a message `juju status` shows.
pub const SHOWN: usize = 120;

/// The longest status, in bytes: the rest is for `juju status --format yaml` and `juju show-status-log`.
const LENGTH: usize = 400;

/// The parts as one sentence, its first letter a capital unless it begins a name such as `noble-x64`.
pub fn sentence(parts: impl IntoIterator<Item = String>) -> String {
    let text = parts.into_iter().collect::<Vec<_>>().join("; ");
    let begins_with_name = text.split(' ').next().is_some_and(|word| word.contains('-'));
    let mut characters = text.chars();
    match characters.next() {
        Some(first) if !begins_with_name => cut(first.to_ascii_uppercase().to_string() + characters.as_str()),
        _ => cut(text),
    }
}

/// A cause is given at least this much room, in bytes.
const LEAST: usize = 30;

/// Something that is wrong.
pub struct Problem<'a> {
    /// What has failed: `build failed`.
    pub subject: String,
    /// Why.
    pub cause: String,
    /// When it is tried again: `next try 14:15Z`.
    pub next: Option<String>,
    /// What the operator can do.
    pub advice: Option<&'a str>,
    /// How many further problems there are.
    pub others: usize,
    /// The action that tells all of it.
    pub action: &'static str,
}

impl Problem<'_> {
    /// `build failed: CAUSE, next try 14:15Z; REMEDY; and 2 more; see history`: up to the next try within what `juju status`
    /// shows, where `before` bytes stand in front of it.
    pub fn told(&self, before: usize) -> String {
        let cause = self.cause.replace(['\n', '\r'], " ");
        let mut is_cut = false;
        let mut text = match &self.next {
            Some(next) => {
                let around = before + self.subject.len() + ": ".len() + ", ".len() + next.len();
                let cause_shown = shortened(&cause, SHOWN.saturating_sub(around).max(LEAST));
                is_cut = cause_shown.len() < cause.len();
                format!("{}: {cause_shown}, {next}", self.subject)
            }
            None => format!("{}: {cause}", self.subject),
        };
        if let Some(advice) = self.advice {
            text.push_str("; ");
            text.push_str(advice);
        }
        if self.others > 0 {
            text.push_str(&format!("; and {} more", self.others));
        }
        if self.others > 0 || is_cut {
            text.push_str(&format!("; see {}", self.action));
        }
        text
    }
}

/// `text` on one line, of bounded length.
pub fn cut(mut text: String) -> String {
    if text.len() > LENGTH {
        text.truncate(text.floor_char_boundary(LENGTH - 3));
        text.push_str("...");
    }
    // One line: Juju shows a status in a table.
    text.replace(['\n', '\r'], " ")
}

/// `text` in `room` bytes, ended at a word where it is longer.
pub fn shortened(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let fits = &text[..text.floor_char_boundary(room.saturating_sub(3))];
    let whole_words = fits.rfind(' ').filter(|end| *end > room / 2).map_or(fits, |end| &fits[..end]);
    format!("{}...", whole_words.trim_end_matches([' ', ',', ':', ';', '.']))
}

/// `4 min`, `3 h`, `2 days`.
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// The same in whole hours, so that a status does not change with each hook.
pub fn age(age: Duration) -> String {
    match age.as_secs() / 3600 {
        0 => "under 1 h".to_owned(),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}
