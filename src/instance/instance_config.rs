//! What an instance remembers of its set-up: `/etc/craft-instance.conf` (craft-providers: `InstanceConfiguration`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{BaseConfigurationError, ProviderError};
use super::executor::Executor;
use crate::model::Deadline;

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
    /// The snaps that were installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snaps: Option<BTreeMap<String, SnapRecord>>,
}

/// What an instance remembers of a snap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapRecord {
    /// The revision that was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What others have noted of it.
    #[serde(flatten)]
    pub further: BTreeMap<String, Value>,
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
        for (name, snap) in change.snaps.iter().flatten() {
            let known = self.snaps.get_or_insert_default().entry(name.clone()).or_default();
            known.revision = snap.revision.clone().or(known.revision.take());
            known.source = snap.source.clone().or(known.source.take());
            known.further.extend(snap.further.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "compatibility_tag: tag\nsetup: true\nsnaps:\n  jq:\n    revision: '42'\n    source: store\n    held: true\n";

    fn parse(text: &str) -> Result<Option<InstanceConfiguration>, String> {
        InstanceConfiguration::parse(text.as_bytes())
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let config = parse(FULL).unwrap().unwrap();
        assert_eq!(serde_yaml::to_string(&config).unwrap(), FULL);
    }

    #[test]
    fn an_empty_file_is_no_configuration_and_an_unknown_key_is_refused() {
        for empty in ["", "\n", "# nothing\n", "---\n", "null\n"] {
            assert_eq!(parse(empty).unwrap(), None, "{empty:?}");
        }
        for bad in ["other: 1\n", "setup: maybe\n", "- a\n", "word\n", "setup: [\n", "snaps: {jq: 1}\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_change_is_merged_into_what_is_there() {
        let mut config = parse(FULL).unwrap().unwrap();
        config.merge(
            &parse("setup: false\nsnaps: {jq: {revision: '43'}, yq: {source: store}}\n").unwrap().unwrap(),
        );
        let expected = "compatibility_tag: tag\nsetup: false\nsnaps:\n  jq:\n    revision: '43'\n    source: store\n    held: true\n  \
                        yq:\n    source: store\n";
        assert_eq!(serde_yaml::to_string(&config).unwrap(), expected);
    }

    #[test]
    fn no_text_whatever_is_taken_for_a_finished_set_up_unless_it_says_so() {
        let pieces = [
            "setup", ":", " ", "true", "false", "\n", "- ", "{", "}", "&a", "*a", "!!x", "\"", "snaps", "\0",
            "  ",
        ];
        let mut random = crate::testing::Random::seeded(11);
        for _ in 0..2000 {
            let text: String = (0..random.below(20)).map(|_| pieces[random.below(pieces.len())]).collect();
            if let Ok(Some(config)) = parse(&text) {
                assert!(
                    config.setup != Some(true) || (text.contains("setup") && text.contains("true")),
                    "{text:?}"
                );
            }
        }
    }
}
