//! What an instance remembers of its set-up: `/etc/craft-instance.conf` (craft-providers: `InstanceConfiguration`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{BaseConfigurationError, ProviderError};
use super::executor::Executor;
use crate::deadline::Deadline;

/// Where it lies unless a base says otherwise.
pub const INSTANCE_CONFIG_PATH: &str = "/etc/craft-instance.conf";

/// Far more than any of them has.
const SIZE_LIMIT: u64 = 64 << 10;

/// What an instance remembers. A field that is `None` is not in the file; a key that is no field is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceConfiguration {
    /// What it was set up as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility_tag: Option<String>,
    /// Whether its set-up came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<bool>,
    /// The snaps that were installed, each with what is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snaps: Option<BTreeMap<String, BTreeMap<String, Value>>>,
}

impl InstanceConfiguration {
    /// Reads it from `path` in the instance; `None` where the file is absent or empty.
    pub fn load(
        executor: &dyn Executor,
        path: &str,
        deadline: Deadline,
    ) -> Result<Option<Self>, ProviderError> {
        let Some(bytes) = executor.pull_file(path, SIZE_LIMIT, deadline)? else { return Ok(None) };
        Self::parse(&bytes).map_err(|problem| {
            let (instance, path) = (executor.instance(), path.to_owned());
            BaseConfigurationError::InstanceConfiguration { instance, path, problem }.into()
        })
    }

    /// Writes it to `path` in the instance, whole or not at all.
    pub fn save(&self, executor: &dyn Executor, path: &str, deadline: Deadline) -> Result<(), ProviderError> {
        // A map of strings and plain values has a YAML form.
        let text = serde_yaml::to_string(self).unwrap_or_default();
        Ok(executor.push_file(path, 0o644, text.into_bytes(), deadline)?)
    }

    /// Changes what `change` says and leaves the rest; a file that is absent or empty is made. Returns the whole.
    pub fn update(
        executor: &dyn Executor,
        path: &str,
        change: &Self,
        deadline: Deadline,
    ) -> Result<Self, ProviderError> {
        let mut config = Self::load(executor, path, deadline)?.unwrap_or_default();
        config.merge(change);
        config.save(executor, path, deadline)?;
        Ok(config)
    }

    fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        // An empty document is YAML's null.
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    fn merge(&mut self, change: &Self) {
        self.compatibility_tag = change.compatibility_tag.clone().or(self.compatibility_tag.take());
        self.setup = change.setup.or(self.setup);
        for (snap, details) in change.snaps.iter().flatten() {
            let known = self.snaps.get_or_insert_default().entry(snap.clone()).or_default();
            for (key, value) in details {
                merge_value(known.entry(key.clone()).or_default(), value);
            }
        }
    }
}

fn merge_value(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge_value(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
