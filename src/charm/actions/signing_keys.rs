//! The actions `show-public-key` and `rotate-signing-key`.

use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::state::{Need, SigningKeyError, SigningSecret};
use crate::charm::turn::Turn;
use crate::dsse::PublicKey;
use crate::record::SigningKeys;

/// What is said while there is no key.
pub const NO_KEY: &str = "There is no signing key yet; the leader makes it when it first builds.";

impl Unit<'_> {
    /// Tells what verifies the provenance of images.
    pub(in crate::charm) fn show_public_key(&self) -> Result<(), DispatchError> {
        match results(&SigningKeys::load(self.host)?) {
            Some(results) => Ok(self.tools.action_set(&results)?),
            None => Ok(self.tools.action_fail(NO_KEY)?),
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
        let keys = match secret.rotate() {
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

/// What both actions return; none while there is no key.
fn results(keys: &SigningKeys) -> Option<Vec<(&'static str, String)>> {
    let (current, pem) = (keys.public_keys.first()?.id(), keys.pem()?);
    let earlier: Vec<String> = keys.public_keys.iter().skip(1).map(PublicKey::id).collect();
    let mut results = vec![("key-id", current), ("public-keys", pem)];
    results.extend((!earlier.is_empty()).then(|| ("earlier-key-ids", earlier.join("\n"))));
    results.extend(keys.problem.clone().map(|problem| ("problem", problem)));
    Some(results)
}
