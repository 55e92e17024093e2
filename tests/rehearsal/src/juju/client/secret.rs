//! User secrets.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rehearsal::juju::api::Request;
use serde_json::{Map, Value, json};

use crate::arguments::{Grant, List, OneSecret, SetSecret, ShowSecret};
use crate::connection::Controller;
use crate::output::{Format, print};
use crate::table::Table;
use crate::{Failure, failed, usage};

pub fn add(controller: &Controller, words: SetSecret) -> Result<(), Failure> {
    let name = words.name.clone().ok_or_else(|| usage("missing secret name"))?;
    let content = content(&words)?;
    if content.is_empty() {
        return Err(usage("missing secret value or filename"));
    }
    let info = words.info.unwrap_or_default();
    let uri = controller.ask(&Request::AddSecret { name, info, content })?;
    print(&format!("{}\n", uri.as_str().unwrap_or_default()))
}

pub fn update(controller: &Controller, words: SetSecret) -> Result<(), Failure> {
    let secret = words.name.clone().ok_or_else(|| usage("missing secret URI or name"))?;
    let content = content(&words)?;
    controller.ask(&Request::UpdateSecret { secret, info: words.info, content }).map(drop)
}

pub fn remove(controller: &Controller, words: OneSecret) -> Result<(), Failure> {
    let secret = words.secret.ok_or_else(|| usage("missing secret URI or name"))?;
    controller.ask(&Request::RemoveSecret { secret }).map(drop)
}

pub fn grant(controller: &Controller, words: Grant) -> Result<(), Failure> {
    let (secret, applications) = granted(words)?;
    controller.ask(&Request::GrantSecret { secret, applications }).map(drop)
}

pub fn revoke(controller: &Controller, words: Grant) -> Result<(), Failure> {
    let (secret, applications) = granted(words)?;
    controller.ask(&Request::RevokeSecret { secret, applications }).map(drop)
}

pub fn list(controller: &Controller, words: List) -> Result<(), Failure> {
    let mut secrets = controller.ask(&Request::Secrets)?;
    for secret in secrets.as_object_mut().into_iter().flat_map(Map::values_mut) {
        keep(secret, &[]);
    }
    words.format.write(&secrets, |secrets| {
        let mut table = Table::new(&["ID", "Name", "Owner", "Rotation", "Revision", "Last updated"]);
        for (id, secret) in secrets.as_object().into_iter().flatten() {
            let text = |key: &str| secret[key].as_str().unwrap_or_default();
            table.row(&[
                id,
                text("name"),
                text("owner"),
                "never",
                &secret["revision"].to_string(),
                text("updated"),
            ]);
        }
        table.text()
    })
}

pub fn show(controller: &Controller, words: ShowSecret) -> Result<(), Failure> {
    let wanted = words.secret.ok_or_else(|| usage("missing secret URI or name"))?;
    let id = wanted.rsplit([':', '/']).next().unwrap_or_default();
    let secrets = controller.ask(&Request::Secrets)?;
    let is_it = |(key, secret): &(&String, &Value)| *key == id || secret["name"] == *wanted;
    let found = secrets.as_object().into_iter().flatten().find(is_it);
    let (id, secret) = found.ok_or_else(|| failed(format!("secret {wanted:?} not found")))?;
    let mut secret = secret.clone();
    let shown = [("content", words.reveal), ("revisions", words.revisions), ("access", true)];
    keep(&mut secret, &shown.iter().filter(|(_, wanted)| *wanted).map(|(key, _)| *key).collect::<Vec<_>>());
    if words.reveal && words.format == Format::Json {
        secret["content"] = json!({"Data": secret["content"].take()});
    }
    words.format.write(&json!({id: secret}), Value::to_string)
}

/// Leaves away what is shown only when it is asked for, and what is empty.
fn keep(secret: &mut Value, wanted: &[&str]) {
    let Some(secret) = secret.as_object_mut() else { return };
    secret.retain(|key, value| {
        let is_extra = ["content", "revisions", "access"].contains(&key.as_str());
        (!is_extra || wanted.contains(&key.as_str())) && *value != json!("") && *value != json!([])
    });
}

fn granted(words: Grant) -> Result<(String, Vec<String>), Failure> {
    match (words.secret, words.applications.is_empty()) {
        (None, _) => Err(usage("missing secret name")),
        (Some(_), true) => Err(usage("missing application name")),
        (Some(secret), false) => Ok((secret, words.applications)),
    }
}

/// `key=value`, `key#base64=value`, `key#file=path`, and a file of them.
fn content(words: &SetSecret) -> Result<BTreeMap<String, String>, Failure> {
    let mut content = BTreeMap::new();
    if let Some(file) = &words.file {
        let text = fs::read_to_string(file)?;
        let read: BTreeMap<String, String> =
            serde_yaml::from_str(&text).map_err(|error| failed(format!("cannot parse yaml: {error}")))?;
        for (key, value) in read {
            add_entry(&mut content, &key, &value)?;
        }
    }
    for word in &words.content {
        let (key, value) =
            word.split_once('=').ok_or_else(|| usage(format!("key value {word:?} not valid")))?;
        add_entry(&mut content, key, value)?;
    }
    Ok(content)
}

fn add_entry(content: &mut BTreeMap<String, String>, key: &str, value: &str) -> Result<(), Failure> {
    let (key, value) = match key.split_once('#') {
        None => (key, value.to_owned()),
        Some((key, "file")) => {
            let read = fs::read_to_string(value);
            (key, read.map_err(|error| failed(format!("reading content for secret key {key:?}: {error}")))?)
        }
        Some((key, "base64")) => {
            let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            (key, decoded.ok_or_else(|| failed(format!("secret value for key {key:?} is not base64")))?)
        }
        Some(_) => return Err(usage(format!("secret key {key:?} not valid"))),
    };
    let is_valid = key.len() >= 3
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !is_valid {
        return Err(usage(format!("key {key:?} not valid")));
    }
    content.insert(key.to_owned(), value);
    Ok(())
}
