//! What can go wrong on the way to a web server and back, told for operators.
//!
//! Every text names the operation (method and address, without credentials and without the query, which may be
//! signed), the cause and, where there is one, the remedy. No variant holds a secret.

use std::io;

use super::reach::REFUSED;
use super::url::Url;
use crate::model::{Attempts, Cause, Classified};

/// Why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// A proxy setting that cannot be used. `setting` is Juju's name for it.
    #[error("{setting} is not usable: {reason}")]
    ProxySetting {
        /// The name of the setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// CA certificates that cannot be read.
    #[error("reading the CA certificate: {reason}; use PEM format (BEGIN CERTIFICATE)")]
    Certificate {
        /// What is wrong with it.
        reason: String,
    },

    /// An address that cannot be used.
    #[error("{address:?} is not a usable address: {reason}")]
    Address {
        /// The address, without credentials and query.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A request or an answer that HTTP does not allow.
    #[error("{operation}: {reason}")]
    Unusable {
        /// Method and address.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },

    /// No connection could be made: nothing was sent.
    #[error("{operation}: connecting to {peer}: {reason}")]
    Connect {
        /// Method and address.
        operation: String,
        /// The host, or the proxy before it.
        peer: String,
        /// The cause, and the remedy when one is known.
        reason: String,
    },

    /// The peer's certificate is not trusted, or the TLS handshake failed: nothing was sent.
    #[error(
        "{operation}: TLS handshake failed: {reason}; if the server uses a private CA, set its certificate (option openstack-ca-certificate, or ca_certificate in the relation data)"
    )]
    Tls {
        /// Method and address.
        operation: String,
        /// The cause.
        reason: String,
    },

    /// The proxy answered in the server's place.
    #[error("{operation}: the proxy {proxy} answered {status} ({reason}); {remedy}")]
    Proxy {
        /// Method and address.
        operation: String,
        /// Host and port of the proxy.
        proxy: String,
        /// Its HTTP status.
        status: u16,
        /// Its own words, shortened.
        reason: String,
        /// What the operator can do.
        remedy: &'static str,
    },

    /// Nothing moved for too long, or the deadline passed.
    #[error("{operation}: timed out {waiting}")]
    Timeout {
        /// Method and address.
        operation: String,
        /// What was waited for.
        waiting: &'static str,
        /// Whether the whole deadline passed; otherwise only one wait was too long.
        deadline_passed: DeadlinePassed,
    },

    /// The connection broke before the answer was complete.
    #[error("{operation}: the connection was interrupted: {reason}")]
    Broken {
        /// Method and address.
        operation: String,
        /// The cause.
        reason: String,
    },

    /// The answer is larger than anything that is expected here.
    #[error("{operation}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// Method and address.
        operation: String,
        /// The bound, in bytes.
        limit: u64,
    },

    /// The answer is not what was asked for.
    #[error("{operation}: the answer is not valid: {reason}")]
    NotUnderstood {
        /// Method and address.
        operation: String,
        /// Why not.
        reason: String,
    },

    /// The server points elsewhere, and this request must not follow.
    #[error("{operation}: refusing to follow the redirect to {location}: {reason}")]
    Redirected {
        /// Method and address.
        operation: String,
        /// Where it points, without credentials and query.
        location: String,
        /// Why it is not followed.
        reason: &'static str,
    },

    /// The server answered with an error status.
    #[error("{operation}: HTTP {status}: {message}")]
    Status {
        /// Method and address.
        operation: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        message: String,
    },

    /// The data that was to be sent could not be read, or is not as long as announced.
    #[error("{operation}: reading the data to send: {cause}")]
    Source {
        /// Method and address.
        operation: String,
        /// The reader's own error.
        cause: io::Error,
    },
}

impl Classified for HttpError {
    fn cause(&self) -> Cause {
        Cause::Network
    }

    fn summary(&self) -> String {
        match self {
            Self::Connect { peer, reason, .. } => format!("{peer}: {reason}"),
            // An error page says nothing in its first words.
            Self::Status { operation, status, message } if message.starts_with('<') || message.is_empty() => {
                format!("{}: HTTP {status}", host_of(operation))
            }
            Self::Status { operation, status, message } => {
                format!("{}: HTTP {status}: {message}", host_of(operation))
            }
            Self::ProxySetting { .. } | Self::Certificate { .. } | Self::Address { .. } => self.to_string(),
            // The text of any other begins with the operation, which has no space behind a colon.
            _ => {
                let text = self.to_string();
                let (operation, cause) = text.split_once(": ").unwrap_or((&text, "no answer"));
                format!("{}: {cause}", host_of(operation))
            }
        }
    }
}

/// The host and port of an operation, which names a method and a URL.
fn host_of(operation: &str) -> &str {
    let address = operation.split_once("://").map_or(operation, |(_, address)| address);
    address.split(['/', ' ', '?']).next().unwrap_or(address)
}

/// Which time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlinePassed {
    /// The caller's deadline: there is no time for another attempt.
    Yes,
    /// The limit of one wait: another attempt may do better.
    No,
}

impl HttpError {
    /// The same as the end of several attempts.
    pub(super) fn after(mut self, attempts: Attempts) -> Self {
        if let Self::Unusable { operation, .. }
        | Self::Connect { operation, .. }
        | Self::Tls { operation, .. }
        | Self::Proxy { operation, .. }
        | Self::Timeout { operation, .. }
        | Self::Broken { operation, .. }
        | Self::TooLarge { operation, .. }
        | Self::NotUnderstood { operation, .. }
        | Self::Redirected { operation, .. }
        | Self::Status { operation, .. }
        | Self::Source { operation, .. } = &mut self
        {
            operation.push_str(&attempts.to_string());
        }
        self
    }

    /// Whether the server cannot have seen the request, so that even a request that must not be made twice may
    /// be made again.
    pub fn nothing_was_sent(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } | Self::Proxy { status, .. } => super::retry::is_transient(*status),
            _ => false,
        }
    }
}

/// What our connectors tell us through ureq, whose own errors cannot say it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Lookup(String),
    #[error("{0}")]
    Tls(String),
    #[error("the proxy answered {0}")]
    Refused(u16, String),
    #[error("{0}")]
    Silent(&'static str),
    #[error("{REFUSED}")]
    Near,
}

impl From<ConnectError> for ureq::Error {
    fn from(error: ConnectError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// Turns ureq's error for `operation` on `url` (reached through `proxy`, when there is one) into ours.
pub(super) fn explain(operation: &str, url: &Url, proxy: Option<&str>, error: ureq::Error) -> HttpError {
    let operation = operation.to_owned();
    let peer = || proxy.map_or_else(|| url.authority(), |proxy| format!("the proxy {proxy}"));
    let connect = |reason: String| HttpError::Connect { operation: operation.clone(), peer: peer(), reason };
    match error {
        ureq::Error::Timeout(which) => timeout(operation, which, &peer()),
        ureq::Error::HostNotFound => connect("the host name does not resolve".to_owned()),
        ureq::Error::Io(cause) => match cause.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => connect(plain(&cause)),
            _ => HttpError::Broken { operation, reason: plain(&cause) },
        },
        ureq::Error::Other(cause) => match cause.downcast_ref::<ConnectError>() {
            Some(ConnectError::Lookup(reason)) => connect(format!("looking up its address: {reason}")),
            Some(ConnectError::Near) => HttpError::Address { address: url.to_string(), reason: REFUSED },
            Some(ConnectError::Silent(reason)) => connect((*reason).to_owned()),
            Some(ConnectError::Tls(reason)) => HttpError::Tls { operation, reason: reason.clone() },
            Some(ConnectError::Refused(status, reason)) => {
                refused_by_proxy(operation, proxy.unwrap_or("?"), *status, reason.clone())
            }
            None => HttpError::Broken { operation, reason: cause.to_string() },
        },
        ureq::Error::LargeResponseHeader(_, limit) => HttpError::TooLarge { operation, limit: limit as u64 },
        ureq::Error::Protocol(cause) => {
            HttpError::NotUnderstood { operation, reason: format!("not valid HTTP: {cause}") }
        }
        other => HttpError::Unusable { operation, reason: other.to_string() },
    }
}

/// The proxy's refusal, with the remedy that fits its status.
pub(super) fn refused_by_proxy(operation: String, proxy: &str, status: u16, reason: String) -> HttpError {
    let remedy = match status {
        407 => "set user and password in Juju's proxy settings (http://USER:PASSWORD@HOST:PORT)",
        403 => "allow the host and port in the proxy's rules, or add the host to Juju's no-proxy settings",
        _ => "check that the proxy reaches the host, or add the host to Juju's no-proxy settings",
    };
    HttpError::Proxy { operation, proxy: proxy.to_owned(), status, reason, remedy }
}

fn timeout(operation: String, which: ureq::Timeout, peer: &str) -> HttpError {
    let waiting = match which {
        ureq::Timeout::Resolve => {
            let reason = "timed out looking up its address".to_owned();
            return HttpError::Connect { operation, peer: peer.to_owned(), reason };
        }
        ureq::Timeout::Connect => {
            let reason = "timed out".to_owned();
            return HttpError::Connect { operation, peer: peer.to_owned(), reason };
        }
        ureq::Timeout::PerRead => "waiting for the server to send data",
        ureq::Timeout::PerWrite => "waiting for the server to accept data",
        _ => "at its deadline",
    };
    let deadline_passed = match which {
        ureq::Timeout::Global | ureq::Timeout::PerCall => DeadlinePassed::Yes,
        _ => DeadlinePassed::No,
    };
    HttpError::Timeout { operation, waiting, deadline_passed }
}

/// An I/O error without "(os error 111)".
pub(super) fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_gets_the_host_and_the_cause_without_method_and_path() {
        let operation = || "GET https://cloud.example:5000/v3/auth/tokens (4 attempts)".to_owned();
        let refused = HttpError::Connect {
            operation: operation(),
            peer: "the proxy squid:3128".into(),
            reason: "Connection refused".into(),
        };
        assert_eq!(refused.summary(), "the proxy squid:3128: Connection refused");
        let missing = HttpError::Status { operation: operation(), status: 404, message: "none".into() };
        assert_eq!(missing.summary(), "cloud.example:5000: HTTP 404: none");
        let page = HttpError::Status {
            operation: "GET https://mirror.example/script.sh".into(),
            status: 404,
            message: "<html><title>404 Not Found".into(),
        };
        assert_eq!(page.summary(), "mirror.example: HTTP 404");
        assert!(missing.to_string().contains("/v3/auth/tokens (4 attempts)"));
        let broken = HttpError::Broken { operation: operation(), reason: "reading: reset".into() };
        assert_eq!(broken.summary(), "cloud.example:5000: the connection was interrupted: reading: reset");
    }
}
