//! secret-get, secret-info-get, secret-ids: the model's user secrets, as a consumer sees them.

use serde_json::json;

use super::super::secrets::{Reader, Wanted, parse_uri};
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
    let content = call.world.secrets.read(uri.as_deref(), label, reader, wanted).map_err(failure)?;
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
    Output::yaml(&flags)?;
    let uri = uri(&flags)?;
    let label = flags.value("label").filter(|label| !label.is_empty());
    let wanted = match (uri, label) {
        (None, None) => return Err(usage("require either a secret URI or label")),
        (Some(_), Some(_)) => return Err(usage("specify either a secret URI or label but not both")),
        (Some(uri), None) => uri,
        (None, Some(label)) => label.to_owned(),
    };
    flags.at_most(1)?;
    // Only what the charm itself owns has metadata here, and user secrets belong to the model.
    Err(failure(format!("secret {wanted:?} not found")))
}

pub(super) fn ids(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::smart(&flags)?;
    flags.at_most(0)?;
    output.write(call, &json!([]))
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
