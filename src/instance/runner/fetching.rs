//! Commands that fetch from elsewhere. What a network or a server does for a moment is waited out inside the step: a builder VM is
//! not given up for one bad minute of a mirror.

use std::time::Duration;

use crate::instance::executor::{ExecutorError, Output};
use crate::model::{Attempts, Backoff, Deadline, RetryPolicy, Verdict, retry};

/// Longer in all than the bad minute of a mirror.
const POLICY: RetryPolicy = RetryPolicy {
    attempts: 5,
    backoff: Backoff::growing(Duration::from_secs(5), 2.0, Duration::from_secs(60)),
};

/// What apt, curl, npm and snap say of trouble that passes, in small letters.
const PASSING: [&str; 30] = [
    // Names and connections.
    "temporary failure",
    "could not resolve",
    "couldn't resolve",
    "eai_again",
    "network is unreachable",
    "no route to host",
    "could not connect",
    "failed to connect",
    "unable to connect",
    "connection failed",
    "connection refused",
    "econnrefused",
    "timed out",
    "timeout",
    "tls handshake",
    // Answers that end early, or are none.
    "connection reset",
    "econnreset",
    "socket hang up",
    "recv failure",
    "empty reply",
    "unexpected eof",
    "transfer closed",
    "operation too slow",
    // Servers, and mirrors that are just being updated.
    "too many requests",
    "service unavailable",
    "returned error: 5",
    "failed to fetch",
    "hash sum mismatch",
    "unable to contact",
    // Somebody else's turn.
    "could not get lock",
];

/// Does `work`, which fetches something and may be repeated, until it succeeds or fails for a reason that does not pass. It is
/// told which attempt it is, counted from 1.
pub(super) fn fetch(
    deadline: Deadline,
    mut work: impl FnMut(u32) -> Result<Output, ExecutorError>,
) -> Result<Output, ExecutorError> {
    fetch_by(POLICY, deadline, &mut work)
}

fn fetch_by(
    policy: RetryPolicy,
    deadline: Deadline,
    work: &mut dyn FnMut(u32) -> Result<Output, ExecutorError>,
) -> Result<Output, ExecutorError> {
    let mut number = 0;
    let attempt = || {
        number += 1;
        Verdict::of(work(number), passes)
    };
    retry(policy, deadline, attempt).map_err(|gave_up| after(gave_up.error, gave_up.attempts))
}

/// Whether a command failed for what the network, or the server at its other end, did.
fn passes(error: &ExecutorError) -> bool {
    let ExecutorError::Failed { output, .. } = error else { return false };
    let said = output.to_ascii_lowercase();
    PASSING.iter().any(|words| said.contains(words))
}

/// The error of the last of several attempts.
fn after(mut error: ExecutorError, attempts: Attempts) -> ExecutorError {
    if let ExecutorError::Failed { status, .. } = &mut error {
        status.push_str(&attempts.to_string());
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: RetryPolicy =
        RetryPolicy { attempts: 3, backoff: Backoff::steady(Duration::from_millis(1)) };

    /// How often a command is run that always says this, and how it ends.
    fn tried(said: &str) -> (u32, String) {
        let mut last = 0;
        let error = fetch_by(QUICK, Deadline::after(Duration::from_secs(60)), &mut |number| {
            last = number;
            let [command, instance] = ["apt-get update", "vm"].map(str::to_owned);
            let (status, output) = ("exit code 100".into(), said.to_owned());
            Err(ExecutorError::Failed { command, instance, status, output })
        });
        (last, error.unwrap_err().to_string())
    }

    #[test]
    fn what_a_network_or_a_server_does_for_a_moment_is_tried_again() {
        for said in [
            "curl: (52) Empty reply from server",
            "curl: (56) Recv failure: Connection reset by peer",
            "curl: (18) transfer closed with 1048576 bytes remaining to read",
            "curl: (28) Operation too slow. Less than 1 bytes/sec transferred the last 60 seconds",
            "curl: (22) The requested URL returned error: 503",
            "E: Failed to fetch http://m/ubuntu/dists/noble/InRelease  Temporary failure resolving 'm'",
            "E: Failed to fetch http://m/ubuntu/dists/noble/main/Packages  Hash Sum mismatch",
            "npm ERR! code ECONNRESET",
            "error: cannot install \"aproxy\": Post \"https://api.snapcraft.io/v2/snaps/refresh\": net/http: TLS handshake timeout",
        ] {
            let (attempts, error) = tried(said);
            assert_eq!(attempts, 3, "{said}");
            assert!(error.contains("exit code 100 (3 attempts): "), "{error}");
        }
    }

    #[test]
    fn what_stays_wrong_is_not_tried_again() {
        for said in [
            "E: Unable to locate package nonesuch",
            "curl: (22) The requested URL returned error: 404",
            "sha256sum: WARNING: 1 computed checksum did NOT match",
            "error: snap \"nonesuch\" not found",
            "npm ERR! code E404",
            "E: You don't have enough free space in /var/cache/apt/archives/.",
        ] {
            let (attempts, error) = tried(said);
            assert_eq!(attempts, 1, "{said}");
            assert!(error.contains("exit code 100: "), "{error}");
        }
    }
}
