//! What tools print: `--format smart|yaml|json`, `-o FILE`.

use std::fs;

use serde_json::Value;

use super::flags::{Flags, invalid};
use super::{Call, Fault, Outcome, failure};

/// A format, and where it goes.
pub(super) struct Output {
    format: Format,
    file: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Smart,
    Yaml,
    Json,
}

impl Output {
    /// For the tools that know all three formats.
    pub fn smart(flags: &Flags) -> Result<Self, Fault> {
        Self::new(flags, Format::Smart)
    }

    /// For the tools that know YAML and JSON only.
    pub fn yaml(flags: &Flags) -> Result<Self, Fault> {
        Self::new(flags, Format::Yaml)
    }

    fn new(flags: &Flags, default: Format) -> Result<Self, Fault> {
        let format = match flags.given("format") {
            None => default,
            Some((_, "smart")) if default == Format::Smart => Format::Smart,
            Some((_, "yaml")) => Format::Yaml,
            Some((_, "json")) => Format::Json,
            Some((written, other)) => {
                return Err(invalid(written, other, &format!("unknown format {other:?}")));
            }
        };
        Ok(Self { format, file: flags.value("o").map(str::to_owned) })
    }

    pub fn is_smart(&self) -> bool {
        self.format == Format::Smart
    }

    pub fn write(&self, call: &mut Call<'_>, value: &Value) -> Outcome {
        let text = match self.format {
            Format::Json => json(value)?,
            Format::Yaml => yaml(value)?,
            Format::Smart => smart(value)?,
        };
        match &self.file {
            Some(file) => fs::write(call.dir.join(file), text).map_err(|error| failure(error.to_string())),
            None => {
                call.stdout.push_str(&text);
                Ok(())
            }
        }
    }
}

/// As Go writes it: the characters that matter to HTML escaped.
fn json(value: &Value) -> Result<String, Fault> {
    let text = serde_json::to_string(value).map_err(|error| failure(error.to_string()))?;
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    Ok(text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029") + "\n")
}

fn yaml(value: &Value) -> Result<String, Fault> {
    if value.is_null() {
        return Ok(String::new());
    }
    let text = serde_yaml::to_string(value).map_err(|error| failure(error.to_string()))?;
    Ok(text.trim_end_matches('\n').to_owned() + "\n")
}

fn smart(value: &Value) -> Result<String, Fault> {
    let text = match value {
        Value::Null => return Ok(String::new()),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let lines: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            lines.join("\n")
        }
        other => return yaml(other),
    };
    Ok(if text.is_empty() { text } else { text + "\n" })
}
