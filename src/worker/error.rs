//! Why a process beside the hooks cannot work.

use super::process::StartError;
use crate::host::FileError;
use crate::record::RecordError;

/// The worker or the launcher cannot work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The journal, a request or a note could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Such a process could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}
