//! Options as the hook tools read them: GNU style, anywhere among the arguments, each known by name.

use super::{Fault, usage};

/// An option that a tool has; several names are one option.
pub(in crate::agent) enum Flag {
    Switch(&'static [&'static str]),
    Value(&'static [&'static str]),
}

/// Options and positional arguments of one call.
pub(in crate::agent) struct Flags {
    switches: Vec<&'static str>,
    values: Vec<(&'static str, String, String)>,
    pub rest: Vec<String>,
}

/// `--format` and where the output goes.
pub(super) const OUTPUT: [Flag; 2] = [Flag::Value(&["format"]), Flag::Value(&["o", "output"])];
/// Which relation.
pub(super) const RELATION: Flag = Flag::Value(&["r", "relation"]);

impl Flags {
    /// Parses `args`; options that are not in `known` are refused.
    pub fn parse<'a>(
        args: &[String],
        known: impl IntoIterator<Item = &'a Flag> + Clone,
    ) -> Result<Self, Fault> {
        let mut flags = Self { switches: Vec::new(), values: Vec::new(), rest: Vec::new() };
        let mut args = args.iter().cloned();
        while let Some(arg) = args.next() {
            if arg == "--" {
                flags.rest.extend(args);
                break;
            }
            if let Some(long) = arg.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                flags.take(name, value, &mut args, known.clone())?;
            } else if arg.len() > 1 && arg.starts_with('-') {
                flags.take_short(&arg[1..], &mut args, known.clone())?;
            } else {
                flags.rest.push(arg);
            }
        }
        Ok(flags)
    }

    fn take_short<'a>(
        &mut self,
        letters: &str,
        args: &mut impl Iterator<Item = String>,
        known: impl IntoIterator<Item = &'a Flag> + Clone,
    ) -> Result<(), Fault> {
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            let name = letter.to_string();
            let is_value = known
                .clone()
                .into_iter()
                .any(|flag| matches!(flag, Flag::Value(names) if names.contains(&name.as_str())));
            let value = (is_value && !letters.as_str().is_empty())
                .then(|| letters.as_str().strip_prefix('=').unwrap_or(letters.as_str()).to_owned());
            let ends = value.is_some();
            self.take(&name, value, args, known.clone())?;
            if ends {
                break;
            }
        }
        Ok(())
    }

    fn take<'a>(
        &mut self,
        name: &str,
        value: Option<String>,
        args: &mut impl Iterator<Item = String>,
        known: impl IntoIterator<Item = &'a Flag>,
    ) -> Result<(), Fault> {
        for flag in known {
            match flag {
                Flag::Switch(names) if names.contains(&name) => {
                    match value.as_deref() {
                        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => {
                            self.switches.push(names[0])
                        }
                        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => {}
                        Some(other) => return Err(invalid(&minus(name), other, "parse error")),
                    }
                    return Ok(());
                }
                Flag::Value(names) if names.contains(&name) => {
                    let value = value.or_else(|| args.next());
                    let value =
                        value.ok_or_else(|| usage(format!("option needs an argument: {}", minus(name))))?;
                    self.values.push((names[0], minus(name), value));
                    return Ok(());
                }
                _ => {}
            }
        }
        if name == "help" || name == "h" {
            return Err(Fault::Help);
        }
        Err(usage(format!("option provided but not defined: {}", minus(name))))
    }

    /// Whether the switch with this first name was given.
    pub fn has(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    /// The last value of the option with this first name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given(name).map(|(_, value)| value)
    }

    /// The last value of the option, and how it was written.
    pub fn given(&self, name: &str) -> Option<(&str, &str)> {
        let found = self.values.iter().rev().find(|(known, _, _)| *known == name);
        found.map(|(_, written, value)| (written.as_str(), value.as_str()))
    }

    /// Refuses positional arguments beyond the first `most`.
    pub fn at_most(&self, most: usize) -> Result<(), Fault> {
        match self.rest.get(most..) {
            None | Some([]) => Ok(()),
            Some(rest) => {
                let quoted: Vec<String> = rest.iter().map(|arg| format!("{arg:?}")).collect();
                Err(usage(format!("unrecognized args: [{}]", quoted.join(" "))))
            }
        }
    }
}

/// The refusal of an option's value.
pub(super) fn invalid(written: &str, value: &str, why: &str) -> Fault {
    usage(format!("invalid value {value:?} for option {written}: {why}"))
}

fn minus(name: &str) -> String {
    if name.chars().count() > 1 { format!("--{name}") } else { format!("-{name}") }
}
