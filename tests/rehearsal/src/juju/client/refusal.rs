//! The command line, read as the real client reads it: what it refuses, in its words.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use rehearsal::juju::api::{CONTROLLER, MODEL};

use crate::arguments::Words;
use crate::{Failure, failed, usage};

/// Words of the real client that a rehearsal has no use for.
const ELSEWHERE: &str = " actions add-cloud add-credential add-machine add-model add-relation add-ssh-key add-storage \
    attach-resource bind bootstrap cancel-task change-user-password clouds consume controllers create-backup credentials \
    destroy-controller destroy-model diff-bundle download expose find find-offers grant info kill-controller login logout \
    machines metrics migrate model-config models offer offers operations register relate remove-machine remove-offer \
    remove-saas resolve resolved resources retry-provisioning revoke scale-application scp set-constraints \
    show-application show-controller show-machine show-model show-operation ssh suspend-relation switch sync-agent-binary \
    trust unexpose upgrade-controller upgrade-model users whoami ";

/// Reads the command line, or says what the real client says.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Words, Failure> {
    let words = Words::try_parse_from(words).map_err(|error| refuse(&error))?;
    match words.model.as_deref().map(|model| model.rsplit(['/', ':']).next().unwrap_or(model)) {
        Some(model) if model != MODEL => Err(failed(format!("model {CONTROLLER}:admin/{model} not found"))),
        _ => Ok(words),
    }
}

fn refuse(error: &clap::Error) -> Failure {
    let context = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => Failure::Help(error.to_string()),
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand);
            if ELSEWHERE.contains(&format!(" {word} ")) {
                return usage(format!("juju {word} is not part of the rehearsal. See \"juju --help\"."));
            }
            usage(format!("juju: {word:?} is not a juju command. See \"juju --help\"."))
        }
        ErrorKind::UnknownArgument => {
            let word = context(ContextKind::InvalidArg);
            if word.starts_with('-') {
                usage(format!(
                    "option provided but not defined: {}",
                    word.split('=').next().unwrap_or_default()
                ))
            } else {
                usage(format!("unrecognized args: [{word:?}]"))
            }
        }
        ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
            let option = context(ContextKind::InvalidArg);
            usage(format!("option needs an argument: {}", option.split(' ').next().unwrap_or_default()))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let option = context(ContextKind::InvalidArg);
            let option = option.split(' ').next().unwrap_or_default();
            let value = context(ContextKind::InvalidValue);
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            usage(format!("invalid value {value:?} for option {option}: {why}"))
        }
        _ => usage(error.to_string().trim_start_matches("error: ").trim_end().to_owned()),
    }
}

/// `90s`, `11m`, `1h30m`, `0.5s`, as Go writes durations.
pub fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(invalid()),
            };
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|_| !text.is_empty()).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(duration("11m"), Ok(Duration::from_secs(660)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("120.5s"), Ok(Duration::from_millis(120_500)));
        assert!(duration("11").is_err());
        assert!(duration("").is_err());
    }
}
