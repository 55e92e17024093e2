//! What actions return, within what Juju's tool takes.

use crate::charm::dispatch::{DispatchError, Unit};

/// The longest value that an action returns: Juju's tool takes it as an argument, of which Linux allows 128 KiB.
pub const LONGEST: usize = 100_000;

/// What an action returns, by name.
pub type Results = Vec<(&'static str, String)>;

impl Unit<'_> {
    /// Returns `results`; what an action cannot hold is left to `command`, which shows the same.
    pub(super) fn answer(&self, mut results: Results, command: &str) -> Result<(), DispatchError> {
        let length = results.len();
        results.retain(|(_, value)| value.len() <= LONGEST);
        if results.len() < length {
            let unit = &self.environment.unit;
            let whole = format!("juju exec --unit {unit} './dispatch {command}'");
            results.push(("too-long", format!("A result is too long for an action; run {whole}")));
        }
        Ok(self.tools.action_set(&results)?)
    }
}
