//! secret-add, secret-set: secrets that the application owns, for its leader alone.
//!
//! Files are read by the agent, so their paths begin at the root whatever folder the hook is in.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::super::own_secrets::SecretWrite;
use super::super::secrets::{SecretContent, parse_uri};
use super::flags::{Flag, Flags};
use super::{Call, Fault, Outcome, failure, usage};

const FLAGS: [Flag; 6] = [
    Flag::Value(&["description"]),
    Flag::Value(&["expire"]),
    Flag::Value(&["file"]),
    Flag::Value(&["label"]),
    Flag::Value(&["owner"]),
    Flag::Value(&["rotate"]),
];
/// The longest content, in bytes.
const LONGEST: usize = 1_000_000;

pub(super) fn add(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &FLAGS)?;
    if flags.rest.is_empty() && flags.value("file").is_none() {
        return Err(usage("missing secret value or filename"));
    }
    let write = write(&flags, &flags.rest)?;
    if write.content.is_none() {
        return Err(failure("empty secret value not valid"));
    }
    leads(call)?;
    let has_label = |known: &SecretWrite| known.is_new && known.label.is_some() && known.label == write.label;
    if call.context.secret_writes.values().any(has_label) {
        let label = write.label.unwrap_or_default();
        return Err(failure(format!("secret with label {label:?} already exists")));
    }
    let id = call.world.secrets.next_id();
    call.stdout = format!("secret:{id}\n");
    call.context.secret_writes.insert(id, SecretWrite { is_new: true, ..write });
    Ok(())
}

pub(super) fn set(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &FLAGS)?;
    let (uri, rest) = flags.rest.split_first().ok_or_else(|| usage("missing secret URI"))?;
    let id = parse_uri(uri).ok_or_else(|| usage(format!("secret URI {uri:?} not valid")))?;
    let write = write(&flags, rest)?;
    leads(call)?;
    // Whose it is is seen when the turn ends.
    let known = call.context.secret_writes.entry(id).or_default();
    known.label = write.label.or(known.label.take());
    known.description = write.description.or(known.description.take());
    known.content = write.content.or(known.content.take());
    Ok(())
}

fn leads(call: &Call<'_>) -> Outcome {
    let leads = call.world.is_leader(&call.context.unit);
    if leads { Ok(()) } else { Err(failure("this unit is not the leader")) }
}

/// What options and `KEY=VALUE` words say.
fn write(flags: &Flags, words: &[String]) -> Result<SecretWrite, Fault> {
    for name in ["expire", "rotate"] {
        if flags.value(name).is_some() {
            return Err(failure(format!("--{name} is not part of the rehearsal")));
        }
    }
    match flags.value("owner") {
        None | Some("application") => (),
        Some("unit") => return Err(failure("--owner unit is not part of the rehearsal")),
        Some(other) => return Err(usage(format!("secret owner {other:?} not valid"))),
    }
    let mut content = SecretContent::new();
    for word in words {
        // The padding of a value in base64 separates nothing.
        let at = word.trim_end_matches('=').find('=').filter(|at| *at > 0);
        let at = at.ok_or_else(|| usage(format!("key value {word:?} not valid")))?;
        let (key, value) = (&word[..at], &word[at + 1..]);
        match key.strip_suffix("#file") {
            Some(key) => {
                let value = read(value)
                    .map_err(|error| usage(format!("reading content for secret key {key:?}: {error}")))?;
                content.insert(key.to_owned(), value);
            }
            None => drop(content.insert(key.to_owned(), value.to_owned())),
        }
    }
    if let Some(file) = flags.value("file") {
        let text = read(file).map_err(usage)?;
        let read: SecretContent = serde_yaml::from_str(&text).map_err(|error| usage(error.to_string()))?;
        content.extend(read);
    }
    for (key, value) in &content {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_key = key.chars().filter(|c| plain(*c)).count() >= 3
            && key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.split('-').all(|part| !part.is_empty() && part.chars().all(plain));
        if !is_key {
            return Err(usage(format!("key {key:?} not valid")));
        }
        if value.len() > LONGEST {
            return Err(usage(format!("secret content for key {key:?} too large: {} bytes", value.len())));
        }
    }
    let text = |name: &str| flags.value(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let content = Some(content).filter(|content| !content.is_empty());
    Ok(SecretWrite { is_new: false, label: text("label"), description: text("description"), content })
}

/// As the agent reads it, whose own folder is the root.
fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(Path::new("/").join(path)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("open {path}: no such file or directory"),
        _ => format!("open {path}: {error}"),
    })
}
