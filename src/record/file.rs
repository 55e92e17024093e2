//! Records as files of the state folder: JSON for people, written whole.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{FileError, Host};
use crate::model::{Cause, Classified};

/// How long a file of a folder stays that no build names: a snapshot may wait as long to be verified and kept.
const YOUNG: Duration = Duration::from_secs(48 * 3600);

/// A record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was to be written cannot be.
    #[error("writing {file}: {problem}")]
    Format {
        /// The file.
        file: &'static str,
        /// What was wrong.
        problem: String,
    },
}

impl Classified for RecordError {
    fn cause(&self) -> Cause {
        Cause::Unit
    }
}

/// What a file of the state folder holds that hooks can begin anew: the default where it is gone or not understood.
pub fn read_json_or_default<T: DeserializeOwned + Default>(
    host: &Host,
    file: &'static str,
) -> Result<T, FileError> {
    let bytes = host.read(&host.state_dir().join(file))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

/// Writes `value` as a file of the state folder, whole or not at all.
pub fn write_json(host: &Host, file: &'static str, value: &impl Serialize) -> Result<(), RecordError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| RecordError::Format { file, problem: error.to_string() })?;
    text.push(b'\n');
    host.write(&host.state_dir().join(file), &text, 0o600)?;
    Ok(())
}

/// Removes the files of a folder of the state that are not `named`, except those that may be named yet.
pub fn keep_named(host: &Host, folder: &str, named: &[PathBuf]) -> Result<(), RecordError> {
    for file in host.files_in(&host.state_dir().join(folder))? {
        let written = file.metadata().and_then(|metadata| metadata.modified());
        // One of a time to come is young: the clock was set back.
        let is_young = written.is_ok_and(|at| at.elapsed().map_or(true, |age| age < YOUNG));
        if !named.contains(&file) && !is_young {
            host.remove_file(&file)?;
        }
    }
    Ok(())
}
