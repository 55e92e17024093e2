//! The actions `show-public-key` and `rotate-signing-key`.

use serde_json::Value;

use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::state::{Earlier, Need, SigningKeyError, SigningSecret};
use crate::charm::turn::Turn;
use crate::dsse::PublicKey;
use crate::record::SigningKeys;

/// What is said while there is no key.
const NO_KEY: &str = "There is no signing key yet; the leader makes it when it first builds.";

impl Unit<'_> {
    /// Tells what verifies the provenance of images.
    pub(in crate::charm) fn show_public_key(&self) -> Result<(), DispatchError> {
        let keys = SigningKeys::load(self.host)?;
        match results(&keys) {
            Some(results) => Ok(self.tools.action_set(&results)?),
            None => Ok(self.tools.action_fail(&why_none(&keys))?),
        }
    }

    /// Has a new key sign provenance, and tells relations and the other units what verifies it.
    pub(in crate::charm) fn rotate_signing_key(&self, event: &Event) -> Result<(), DispatchError> {
        let _turn = Turn::take(self.host)?;
        let Some(state) = self.state_for_action(event)? else { return Ok(()) };
        if !state.leader {
            return Ok(self
                .tools
                .action_fail("This unit is not the leader; run the action on the leader.")?);
        }
        let secret = SigningSecret::prepare(self.host, self.tools, Need::No)?;
        let parameters = self.tools.action_get()?;
        let is_stolen = parameters.get("forget-earlier").and_then(Value::as_bool).unwrap_or(false);
        let keys = match secret.rotate(if is_stolen { Earlier::Forget } else { Earlier::Keep }) {
            Ok(keys) => keys,
            Err(SigningKeyError::Record(error)) => return Err(error.into()),
            Err(refusal) => {
                return Ok(self.tools.action_fail(&format!("The key was not changed: {refusal}."))?);
            }
        };
        self.converge(&state, event, None)?;
        Ok(self.tools.action_set(&results(&keys).unwrap_or_default())?)
    }
}

/// What is said where there is no key: what is in the way of one, if anything is.
pub fn why_none(keys: &SigningKeys) -> String {
    keys.problem
        .as_ref()
        .map_or_else(|| NO_KEY.to_owned(), |problem| format!("There is no signing key: {problem}."))
}

/// What both actions return; none while there is no key.
fn results(keys: &SigningKeys) -> Option<Vec<(&'static str, String)>> {
    let (current, pem) = (keys.public_keys.first()?.id(), keys.pem()?);
    let earlier: Vec<String> = keys.public_keys.iter().skip(1).map(PublicKey::id).collect();
    let mut results = vec![("key-id", current), ("public-keys", pem)];
    results.extend((!earlier.is_empty()).then(|| ("earlier-key-ids", earlier.join("\n"))));
    results.extend(keys.problem.clone().map(|problem| ("problem", problem)));
    Some(results)
}
