//! The command line, read as the real client reads it: what it refuses, in its words.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::arguments::Words;
use crate::{Failure, usage};

/// Words of the real client that a rehearsal has no use for.
const ELSEWHERE: &str = " \
    actions add-cloud add-credential add-k8s add-machine add-secret-backend add-space add-ssh-key \
    add-storage add-user agree agreements attach-resource attach-storage autoload-credentials bind bootstrap \
    cancel-task change-user-password charm-resources clouds constraints controllers create-backup \
    create-storage-pool credentials dashboard debug-code debug-hooks default-credential default-region \
    destroy-controller detach-storage diff-bundle disable-command disable-user disabled-commands \
    documentation download download-backup enable-command enable-destroy-controller enable-ha enable-user \
    export-bundle expose find find-offers firewall-rules grant help help-action-commands help-hook-commands \
    import import-filesystem import-ssh-key info kill-controller list-actions list-secret-backends \
    list-storage login logout machines metrics migrate model-config model-constraints model-defaults \
    model-secret-backend move-to-space payloads refresh-charm regions register reload-spaces remove-cloud \
    remove-credential remove-k8s remove-machine remove-secret-backend remove-space remove-ssh-key \
    remove-storage remove-user rename-space resolve resolved resources restore resume-relation \
    retry-provisioning revoke scale-application scp secret-backends set-constraints set-credential \
    set-firewall-rule set-model-constraints show-application show-cloud show-controller show-credential \
    show-machine show-model show-offer show-secret-backend show-space show-storage show-user spaces ssh \
    ssh-keys storage storage-pools subnets suspend-relation sync-agent-binary trust unexpose unregister \
    update-cloud update-credential update-public-clouds update-secret-backend update-storage-pool \
    upgrade-controller upgrade-machine upgrade-model users wait-for whoami ";

/// Reads the command line, or says what the real client says.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Words, Failure> {
    Words::try_parse_from(words).map_err(|error| refuse(&error))
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
