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

/// What stands between what has failed and why.
const FAILED: &str = " failed: ";

/// How much room a cause is given before the place that it is about is named in full, in bytes.
const CAUSE: usize = 24;

/// The least that is shown of a cause or a place, in bytes.
const LEAST: usize = 12;

/// Something that is wrong.
pub struct Problem<'a> {
    /// What has failed, up to the name of the place: `build`, `noble-x64 delivery to `.
    pub what: String,
    /// The application, project or cloud where it has failed; empty where that need not be told.
    pub place: String,
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
        let cause = short_names(&self.cause.replace(['\n', '\r'], " "));
        let next = self.next.as_ref().map(|next| format!(", {next}")).unwrap_or_default();
        let room = SHOWN.saturating_sub(before + self.what.len() + FAILED.len() + next.len());
        let place = shortened(&self.place, room.saturating_sub(cause.len().min(CAUSE)).max(LEAST));
        // Where nothing has to follow, the rest of it is worth reading.
        let for_cause =
            if next.is_empty() { cause.len() } else { room.saturating_sub(place.len()).max(LEAST) };
        let shown = shortened(&cause, for_cause);
        let is_cut = shown != self.cause.as_str();
        let mut text = format!("{}{place}{FAILED}{shown}{next}", self.what);
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

/// The longest quoted name or value in a status, in bytes: what is wrong with it stands behind it.
const NAME: usize = 24;

/// `text` with what it quotes in `"` shortened.
pub fn short_names(text: &str) -> String {
    let parts = text.split('"').enumerate();
    let short = parts.map(|(number, part)| {
        let is_quoted = number % 2 == 1;
        if is_quoted { shortened(part, NAME) } else { part.to_owned() }
    });
    short.collect::<Vec<_>>().join("\"")
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
