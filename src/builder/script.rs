//! The operator's own script, fetched by us, so that what runs is what was asked for and its digest is known.

use std::io::Read;

use sha2::{Digest, Sha256};

use crate::http::{HttpClient, HttpError, Url};
use crate::instance::ExternalScript;
use crate::model::{Cause, Classified, Deadline, hex};

/// The largest script.
const LIMIT: u64 = 1 << 20;

/// What separates the address from the digest that it must have.
const PIN: &str = "#sha256=";

/// The script could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The server did not give it.
    #[error("fetching script-url: {0}")]
    Http(#[from] HttpError),
    /// The connection broke.
    #[error("fetching script-url {url}: {source}")]
    Read {
        /// The address.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is too long for a script.
    #[error("script-url {url} is larger than 1 MiB; use a short script that downloads the rest")]
    TooLarge {
        /// The address.
        url: String,
    },
    /// It is another than the one that was asked for.
    #[error(
        "script-url {url} has SHA-256 {found}, not the one in script-url; update the option if the new script is trusted"
    )]
    Digest {
        /// The address.
        url: String,
        /// What it has.
        found: String,
    },
}

impl ScriptError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_transient(),
            Self::Read { .. } => false,
            Self::TooLarge { .. } | Self::Digest { .. } => true,
        }
    }
}

impl Classified for ScriptError {
    fn cause(&self) -> Cause {
        Cause::Script
    }

    fn summary(&self) -> String {
        match self {
            Self::Http(error @ HttpError::Status { .. }) => {
                format!("script-url: {}; correct script-url", error.summary())
            }
            Self::Http(error) => format!("script-url: {}", error.summary()),
            Self::Read { source, .. } => format!("script-url: {source}"),
            Self::TooLarge { .. } => {
                "the script at script-url is larger than 1 MiB; use a short script that downloads the rest"
                    .to_owned()
            }
            Self::Digest { found, .. } => format!(
                "the script does not match the #sha256= of script-url; if it is trusted, set {found} there"
            ),
        }
    }
}

/// Fetches the script that `script_url` names, and checks its digest when the URL ends in one (`#sha256=HEX`).
pub fn fetch(http: &HttpClient, script_url: &str, deadline: Deadline) -> Result<ExternalScript, ScriptError> {
    let (address, pinned) = match script_url.split_once(PIN) {
        Some((address, digest)) => (address, Some(digest.to_lowercase())),
        None => (script_url, None),
    };
    let url = address.to_owned();
    let incoming = http.download(&address.parse::<Url>()?, deadline)?;
    let mut content = Vec::new();
    if let Err(source) = incoming.take(LIMIT + 1).read_to_end(&mut content) {
        return Err(ScriptError::Read { url, source });
    }
    if content.len() as u64 > LIMIT {
        return Err(ScriptError::TooLarge { url });
    }
    let sha256 = hex(&Sha256::digest(&content));
    if pinned.is_some_and(|pinned| pinned != sha256) {
        return Err(ScriptError::Digest { url, found: sha256 });
    }
    log::info!("external script {address} has SHA-256 {sha256}");
    Ok(ExternalScript { content, sha256 })
}
