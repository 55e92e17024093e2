//! Snaps of an instance, from the store.

use serde::Deserialize;

use super::error::{BaseConfigurationError, ProviderError};
use super::executor::{Command, Executor, ExecutorError};
use super::instance_config::{InstanceConfiguration, SnapRecord};
use crate::model::Deadline;

/// Where a snap came from, as an instance's record says it.
const STORE: &str = "store";

/// A snap to install (craft-providers: `Snap`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snap {
    /// Its name in the store.
    pub name: String,
    /// The channel.
    pub channel: String,
    /// Whether it is confined classically, that is, not at all.
    pub classic: bool,
}

impl Snap {
    /// Reads `NAME=CHANNEL` or `NAME=CHANNEL,classic`. A snap without a channel would have to come from this host, which
    /// is not done.
    pub fn parse(text: &str) -> Result<Self, BaseConfigurationError> {
        let wrong = |problem| BaseConfigurationError::InvalidSnap { snap: text.to_owned(), problem };
        let (text, classic) = text.strip_suffix(",classic").map_or((text, false), |text| (text, true));
        let (name, channel) = text.split_once('=').ok_or_else(|| {
            wrong("snaps of this host cannot be installed in an instance; use a channel of the store: NAME=CHANNEL")
        })?;
        let snap = Self { name: name.to_owned(), channel: channel.to_owned(), classic };
        let named = (1..=40).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && name.bytes().any(|byte| byte.is_ascii_lowercase())
            && !name.starts_with('-');
        if !named {
            return Err(wrong("its name must consist of lower-case letters, digits and hyphens"));
        }
        let channelled = !channel.is_empty()
            && !channel.starts_with('-')
            && channel.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
        if !channelled {
            return Err(wrong("its channel must be like latest/stable"));
        }
        Ok(snap)
    }
}

/// Brings `snap` into the instance from the store, or to what its channel now has, and notes it in the instance's record
/// at `record`. `command` makes a command with the environment of the set-up.
pub(super) fn install(
    executor: &dyn Executor,
    snap: &Snap,
    record: &str,
    command: &dyn Fn(&[&str]) -> Command,
    deadline: Deadline,
) -> Result<(), ProviderError> {
    let Snap { name, channel, classic } = snap;
    let failed = |source: ExecutorError| BaseConfigurationError::Snap {
        name: name.clone(),
        channel: channel.clone(),
        source: Box::new(source),
    };
    let known = InstanceConfiguration::load(executor, record, deadline)?.unwrap_or_default();
    let source = known.snaps.and_then(|mut snaps| snaps.remove(name)).map(|snap| snap.source);
    let action = match source {
        Some(Some(source)) if source == STORE => "refresh",
        // It was put there by other means, and may be another's build of the same name.
        Some(_) => {
            executor.run(command(&["snap", "remove", name]), deadline).map_err(failed)?;
            "install"
        }
        None => "install",
    };
    let mut words = vec!["snap", action, name, "--channel", channel];
    if *classic && action == "install" {
        words.push("--classic");
    }
    executor.run(command(&words).limit(super::base::COMPLEX), deadline).map_err(failed)?;
    let revision = revision(executor, name, command, deadline).map_err(failed)?;
    let note = SnapRecord { revision, source: Some(STORE.to_owned()), ..Default::default() };
    let change = InstanceConfiguration { snaps: Some([(name.clone(), note)].into()), ..Default::default() };
    InstanceConfiguration::update(executor, record, &change, deadline)?;
    Ok(())
}

#[derive(Deserialize)]
struct SnapdAnswer {
    result: SnapdSnap,
}

#[derive(Deserialize)]
struct SnapdSnap {
    revision: Option<String>,
}

/// The revision that snapd says it has installed.
fn revision(
    executor: &dyn Executor,
    name: &str,
    command: &dyn Fn(&[&str]) -> Command,
    deadline: Deadline,
) -> Result<Option<String>, ExecutorError> {
    let address = format!("http://localhost/v2/snaps/{name}");
    let asking = ["curl", "--silent", "--unix-socket", "/run/snapd.socket", &address];
    let output = executor.run(command(&asking), deadline)?;
    let answer = serde_json::from_slice::<SnapdAnswer>(&output.stdout);
    answer.map(|answer| answer.result.revision).map_err(|error| ExecutorError::Failed {
        command: format!("asking snapd for {name}"),
        instance: executor.instance(),
        status: error.to_string(),
        output: String::from_utf8_lossy(&output.stdout).chars().take(200).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snap_names_its_channel_and_nothing_that_a_program_takes_for_an_option() {
        let snap = Snap::parse("charmcraft=latest/edge,classic").unwrap();
        assert_eq!(snap, Snap { name: "charmcraft".into(), channel: "latest/edge".into(), classic: true });
        assert!(!Snap::parse("jq=stable").unwrap().classic);
        for bad in
            ["jq", "=stable", "jq=", "-x=stable", "Jq=stable", "jq=--devmode", "jq=a b", "1=stable", "a/b=c"]
        {
            assert!(Snap::parse(bad).is_err(), "{bad}");
        }
    }
}
