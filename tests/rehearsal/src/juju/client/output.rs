//! How an answer is written: yaml, json, or as text.

use std::io::{self, Write};

use serde_json::Value;

use crate::{Failure, failed};

/// What `--format` takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
    /// A table, or plain text.
    Text,
}

impl Format {
    /// For what has no text.
    pub fn yaml_or_json(word: &str) -> Result<Self, String> {
        Self::one_of(word, &[("json", Self::Json), ("yaml", Self::Yaml)])
    }

    /// For what has a table.
    pub fn any(word: &str) -> Result<Self, String> {
        Self::one_of(word, &[("json", Self::Json), ("tabular", Self::Text), ("yaml", Self::Yaml)])
    }

    /// For tasks.
    pub fn plain(word: &str) -> Result<Self, String> {
        Self::one_of(word, &[("json", Self::Json), ("plain", Self::Text), ("yaml", Self::Yaml)])
    }

    fn one_of(word: &str, known: &[(&str, Self)]) -> Result<Self, String> {
        let found = known.iter().find(|(name, _)| *name == word).map(|(_, format)| *format);
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        found.ok_or_else(|| format!("unknown format {word:?}: it is one of {}", names.join(", ")))
    }

    /// Writes a value to standard output; `text` does it when no other format is wanted.
    pub fn write(self, value: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let text = match self {
            Self::Json => format!("{value}\n"),
            Self::Yaml => yaml(value)?,
            Self::Text => text(value),
        };
        print(&text)
    }
}

/// A value as yaml.
pub fn yaml(value: &Value) -> Result<String, Failure> {
    serde_yaml::to_string(value).map_err(|error| failed(error.to_string()))
}

/// Prints to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(io::stdout().flush()?)
}

/// Tells the operator something that is not the answer.
pub fn inform(text: &str) {
    // Whoever reads may have gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks, and returns what is answered.
pub fn answer(question: &str) -> Result<String, Failure> {
    let _ = write!(io::stderr(), "{question}");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Asks whether to go on.
pub fn confirm(what: &str) -> Result<(), Failure> {
    match answer("\nContinue [y/N]? ")?.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(failed(format!("{what}: aborted"))),
    }
}
