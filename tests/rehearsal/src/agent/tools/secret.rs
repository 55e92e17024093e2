//! secret-get, secret-info-get, secret-ids: secrets as a consumer sees them, and the application's as its leader does.

use serde_json::json;

use super::super::own_secrets::{SecretWrite, metadata};
use super::super::secrets::{Reader, SecretContent, Wanted, parse_uri};
use super::flags::{Flag, Flags, OUTPUT};
use super::output::Output;
use super::{Call, Fault, Outcome, failure, usage};

const LABEL: Flag = Flag::Value(&["label"]);

pub(super) fn get(call: &mut Call<'_>) -> Outcome {
    let known = [LABEL, Flag::Switch(&["peek"]), Flag::Switch(&["refresh"])];
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&known))?;
    let output = Output::yaml(&flags)?;
    let uri = uri(&flags)?;
    let label = flags.value("label").unwrap_or_default();
    if uri.is_none() && label.is_empty() {
        return Err(usage("require either a secret URI or label"));
    }
    let wanted = match (flags.has("peek"), flags.has("refresh")) {
        (true, true) => return Err(usage("specify one of --peek or --refresh but not both")),
        (true, false) => Wanted::Peek,
        (false, true) => Wanted::Refresh,
        (false, false) => Wanted::Tracked,
    };
    flags.at_most(2)?;
    let (unit, app) = (call.unit_name(), call.context.unit.app.clone());
    let reader = Reader { unit: &unit, application: &app, juju: call.world.version };
    let content = match written(call, uri.as_deref(), label, wanted) {
        Some(content) => content,
        None => {
            // The leader finds what its application owns by its owner's label.
            let known = metadata(call.world, call.context);
            let own = known.into_iter().find(|(_, secret)| !label.is_empty() && secret.label == label);
            let uri = uri.or(own.map(|(id, _)| id));
            call.world.secrets.read(uri.as_deref(), label, reader, wanted).map_err(failure)?
        }
    };
    let value = match flags.rest.get(1) {
        None => json!(content),
        Some(key) if key.ends_with("#base64") => return Err(failure("#base64 is not part of the rehearsal")),
        Some(key) => match content.get(key) {
            Some(value) => json!(value),
            None => return Err(failure(format!("secret key value {key:?} not found"))),
        },
    };
    output.write(call, &value)
}

pub(super) fn info_get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[LABEL]))?;
    let output = Output::yaml(&flags)?;
    let uri = uri(&flags)?;
    let label = flags.value("label").filter(|label| !label.is_empty());
    let is_label = label.is_some();
    let wanted = match (uri, label) {
        (None, None) => return Err(usage("require either a secret URI or label")),
        (Some(_), Some(_)) => return Err(usage("specify either a secret URI or label but not both")),
        (Some(uri), None) => uri,
        (None, Some(label)) => label.to_owned(),
    };
    flags.at_most(1)?;
    // Only what the application itself owns has metadata, for its leader, and user secrets belong to the model.
    let known = metadata(call.world, call.context);
    match known.iter().find(|(id, secret)| **id == wanted || (is_label && secret.label == wanted)) {
        Some((id, secret)) => output.write(call, &json!({id: secret.shown()})),
        None => Err(failure(format!("secret {wanted:?} not found"))),
    }
}

/// What the turn itself has written: a new secret's content, and a new revision's for whoever asks for the newest.
fn written(call: &Call<'_>, uri: Option<&str>, label: &str, wanted: Wanted) -> Option<SecretContent> {
    let is_it = |(id, write): &(&String, &SecretWrite)| {
        uri == Some(id.as_str()) || (!label.is_empty() && write.label.as_deref() == Some(label))
    };
    let (_, write) = call.context.secret_writes.iter().find(is_it)?;
    if !write.is_new && wanted == Wanted::Tracked {
        return None;
    }
    write.content.clone()
}

pub(super) fn ids(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::smart(&flags)?;
    flags.at_most(0)?;
    let known: Vec<String> = metadata(call.world, call.context).into_keys().collect();
    output.write(call, &json!(known))
}

fn uri(flags: &Flags) -> Result<Option<String>, Fault> {
    match flags.rest.first() {
        None => Ok(None),
        Some(text) => match parse_uri(text) {
            Some(id) => Ok(Some(id)),
            None => Err(usage(format!("secret URI {text:?} not valid"))),
        },
    }
}
