//! What an OpenStack cloud refuses, and what that means for the operator.

mod explanation;

use std::fmt;

use self::explanation::{exhausted, explanation, is_of_proxy};

use crate::http::{Answer, HttpError};
use crate::model::{Attempts, Cause, Classified};

/// How the message begins when something in front of a service refuses a request for its length.
const TOO_LONG: &str = "the request is too long";

/// The longest message that is shown, in characters.
const SHOWN: usize = 300;

/// A call that did not do what it should. Says what was being done, and why it failed, in the service's own
/// words where it has some. Holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation}: {}{}{}", self.clause(), Status(*.status, *.attempts), self.remedy())]
pub struct OpenStackError {
    kind: ErrorKind,
    operation: String,
    message: String,
    /// The message for a status, where that is another.
    summary: Option<Box<str>>,
    status: Option<u16>,
    attempts: Attempts,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// User, password, project or domain are not accepted.
    Credentials,
    /// The user is known but not allowed to do this.
    Forbidden,
    /// The project's quota is used up.
    Quota,
    /// What the call is about does not exist.
    NotFound,
    /// What the call is about is in a state or in a use that does not allow it.
    Conflict,
    /// The service refuses the request's content, for example an unknown flavor or network.
    Invalid,
    /// The cloud's address, catalog, region or certificate does not fit the configuration.
    Configuration,
    /// The cloud does not answer, or not in time, or says that it is broken for now: later may be better.
    Unavailable,
    /// A server or image ended in a state of failure.
    Failed,
    /// The data to upload could not be read: not the cloud's fault.
    Source,
    /// The cloud's answer is not understood.
    Protocol,
    /// The cloud's answer is longer than anything that is expected.
    TooLong,
}

impl OpenStackError {
    /// An error while doing `operation` (a gerund with its object: "listing images").
    pub(super) fn new(kind: ErrorKind, operation: impl Into<String>, message: impl AsRef<str>) -> Self {
        let (operation, message) = (operation.into(), tidy(message.as_ref()));
        Self { kind, operation, message, summary: None, status: None, attempts: Attempts(1) }
    }

    /// A request without a usable answer.
    pub(super) fn http(operation: impl Into<String>, error: &HttpError) -> Self {
        let kind = match error {
            HttpError::Source { .. } => ErrorKind::Source,
            HttpError::Tls { .. }
            | HttpError::Certificate { .. }
            | HttpError::Address { .. }
            | HttpError::ProxySetting { .. }
            | HttpError::Redirected { .. }
            | HttpError::Proxy { status: 403 | 407, .. } => ErrorKind::Configuration,
            HttpError::TooLarge { .. } => ErrorKind::TooLong,
            error if error.is_transient() => ErrorKind::Unavailable,
            HttpError::Proxy { .. } => ErrorKind::Unavailable,
            _ => ErrorKind::Protocol,
        };
        // Not shortened: these texts are ours, bounded, and end in the remedy. They also tell the attempts.
        let (operation, message) = (operation.into(), error.to_string());
        let summary = Some(error.summary().into());
        Self { kind, operation, message, summary, status: None, attempts: Attempts(1) }
    }

    /// An answer with an error status.
    pub(super) fn refused(operation: impl Into<String>, answer: &Answer) -> Self {
        let (message, code) = explanation(&answer.text());
        let status = answer.status();
        let message = match tidy(&message) {
            page if status == 413 && is_of_proxy(&answer.text(), &page) => {
                format!("{TOO_LONG}: {page}").trim_end_matches(": ").to_owned()
            }
            message if message.is_empty() => "the service gives no reason".to_owned(),
            message => message,
        };
        let kind = classify(status, &message, &code);
        let (operation, attempts) = (operation.into(), answer.attempts());
        Self { kind, operation, message, summary: None, status: Some(status), attempts }
    }

    /// What Nova answers where a quota is used up.
    #[cfg(test)]
    pub fn quota_exceeded(operation: &str, message: &str) -> Self {
        Self::new(ErrorKind::Quota, operation, message)
    }

    /// What Keystone answers to credentials that it refuses.
    #[cfg(test)]
    pub fn credentials_refused(message: &str) -> Self {
        let status = Some(401);
        Self {
            kind: ErrorKind::Credentials,
            operation: "authenticating".into(),
            message: tidy(message),
            summary: None,
            status,
            attempts: Attempts(1),
        }
    }

    /// What the failure means.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status, when the service answered with one.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// What was being done.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Why it failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The message, not yet at the end of the sentence when a remedy follows.
    fn clause(&self) -> &str {
        if self.remedy().is_empty() { &self.message } else { self.message.trim_end_matches('.') }
    }

    /// What can be done about it, where the service's own words do not say.
    fn remedy(&self) -> &'static str {
        match self.kind {
            ErrorKind::Quota => "; raise the quota of the project, or delete what it does not need",
            ErrorKind::Invalid if self.status == Some(413) && self.message.starts_with(TOO_LONG) => {
                "; raise the request limit of the proxy in front of the service (nginx: client_max_body_size), or \
                 choose another endpoint with openstack-interface"
            }
            ErrorKind::Invalid if self.status == Some(413) => {
                "; raise the service's limit on the size of an image (Glance: image_size_cap)"
            }
            // Nova's words for it, in the fault of a server that its scheduler has given up.
            ErrorKind::Failed if self.message.contains("No valid host") => {
                "; choose a smaller flavor, or free capacity on the cloud's hosts"
            }
            _ => "",
        }
    }

    /// Whether somebody has to change the configuration, the credentials or the cloud before the same call can
    /// succeed. Otherwise the charm may try again by itself.
    pub fn operator_must_act(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Credentials
                | ErrorKind::Forbidden
                | ErrorKind::Quota
                | ErrorKind::Invalid
                | ErrorKind::Configuration
        )
    }
}

/// " (HTTP 404)" when there is a status, " (HTTP 503, 4 attempts)" when it came several times.
struct Status(Option<u16>, Attempts);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(status), Attempts(0 | 1)) => write!(f, " (HTTP {status})"),
            (Some(status), Attempts(attempts)) => write!(f, " (HTTP {status}, {attempts} attempts)"),
            (None, _) => Ok(()),
        }
    }
}

fn classify(status: u16, message: &str, code: &str) -> ErrorKind {
    let message = message.to_ascii_lowercase();
    // Glance: "Image member limit exceeded for image ...".
    let limit = status == 413 && message.contains("limit exceeded");
    let quota = code == "OverQuota" || message.contains("quota") || limit;
    match status {
        401 => ErrorKind::Credentials,
        403 | 409 | 413 if quota => ErrorKind::Quota,
        403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        408 | 429 | 500..=599 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Protocol,
    }
}

/// One line of bounded length.
fn tidy(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|character| !character.is_control()).collect();
    if line.chars().count() <= SHOWN {
        return line;
    }
    let short: String = line.chars().take(SHOWN - 1).collect();
    format!("{short}…")
}

impl Classified for OpenStackError {
    fn cause(&self) -> Cause {
        match self.kind {
            ErrorKind::Credentials | ErrorKind::Forbidden => Cause::Credentials,
            ErrorKind::Quota => Cause::Quota,
            ErrorKind::Unavailable | ErrorKind::Configuration => Cause::Network,
            ErrorKind::Failed if self.message.contains("No valid host") => Cause::Placement,
            _ => Cause::Cloud,
        }
    }

    fn summary(&self) -> String {
        if let Some(summary) = &self.summary {
            return summary.to_string();
        }
        let (operation, remedy) = (&self.operation, self.remedy());
        match (self.kind, self.status) {
            (ErrorKind::Quota, _) => format!("{}{remedy}", exhausted(&self.message)),
            (_, Some(status)) => {
                format!("{} (HTTP {status}){remedy}; while {operation}", self.message.trim_end_matches('.'))
            }
            (_, None) => format!("{}{remedy}; while {operation}", self.message.trim_end_matches('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_heard_in_its_own_words() {
        let cases = [
            (
                r#"{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}"#,
                "The request you have made requires authentication.",
            ),
            (
                r#"{"badRequest": {"code": 400, "message": "Flavor x could not be found."}}"#,
                "Flavor x could not be found.",
            ),
            (
                r#"{"NeutronError": {"type": "SecurityGroupInUse", "message": "Security Group 1 in use.", "detail": ""}}"#,
                "Security Group 1 in use.",
            ),
            (
                "<html>\n <head>\n  <title>409 Conflict</title>\n </head>\n <body>\n  <h1>409 Conflict</h1>\n  Image &#x27;a&#x27; is in use<br /><br />\n </body>\n</html>",
                "Image 'a' is in use",
            ),
            (
                r#"{"message": "Image is in use<br /><br />", "code": "409 Conflict", "title": "Conflict"}"#,
                "Image is in use",
            ),
            ("409 Conflict\n\nImage is in use\n\n   ", "409 Conflict Image is in use"),
            ("[]", ""),
            (
                r#"{"badRequest": {"message": "Invalid input for field/attribute user_data. Value: aHVudGVyMg==. 'aHVudGVyMg==' is too long"}}"#,
                "Invalid input for field/attribute user_data.",
            ),
            (r#"{"badRequest": {"message": "Invalid input. Value: aHVudGVyMg="#, ""),
            (r#"{"a": 1}"#, ""),
        ];
        for (body, message) in cases {
            assert_eq!(tidy(&explanation(body).0), message, "{body}");
        }
    }

    #[test]
    fn a_lack_of_room_or_of_quota_comes_with_its_remedy() {
        let text = |kind, message| OpenStackError::new(kind, "making a", message).to_string();
        let host = "No valid host was found. There are not enough hosts available.";
        assert_eq!(
            text(ErrorKind::Failed, host),
            "making a: No valid host was found. There are not enough hosts available; choose a smaller flavor, or free \
             capacity on the cloud's hosts"
        );
        assert!(
            text(ErrorKind::Quota, "Quota exceeded.")
                .starts_with("making a: Quota exceeded; raise the quota")
        );
        assert_eq!(text(ErrorKind::Failed, "Out of luck."), "making a: Out of luck.");
    }

    #[test]
    fn a_status_gets_the_cause_first_and_the_operation_last() {
        let summary = |kind, message| OpenStackError::new(kind, "creating server s", message).summary();
        for (message, told) in [
            ("Quota exceeded for instances: Requested 1, but already used 10 of 10 instances", "instance"),
            ("Quota exceeded for cores, ram: Requested 2, 4096", "cores, ram"),
            ("Quota exceeded for resources: ['security_group'].", "security group"),
        ] {
            let expected = format!("{told} quota exhausted; raise the quota");
            assert!(summary(ErrorKind::Quota, message).starts_with(&expected), "{message}");
        }
        assert_eq!(summary(ErrorKind::Failed, "Out of luck."), "Out of luck; while creating server s");
    }

    #[test]
    fn messages_are_one_line_of_bounded_length() {
        let long = tidy(&"ab\u{7}\n ".repeat(10_000));
        assert_eq!(long.chars().count(), SHOWN);
        assert!(!long.contains(['\n', '\u{7}']));
    }

    #[test]
    fn a_failure_means_what_its_status_and_words_say() {
        use ErrorKind::*;
        for (status, message, code, kind) in [
            (401, "", "", Credentials),
            (403, "Policy doesn't allow os_compute_api:servers:create to be performed.", "", Forbidden),
            (403, "Quota exceeded for instances: Requested 1, but already used 10 of 10", "", Quota),
            (413, "Denying attempt to upload image because it exceeds the quota", "", Quota),
            (413, "Denying attempt to upload image larger than 1073741824 bytes.", "", Invalid),
            (413, "Image member limit exceeded for image 7: Attempted: 129, Maximum: 128:", "", Quota),
            (409, "Quota exceeded for resources: ['security_group'].", "OverQuota", Quota),
            (409, "in use", "SecurityGroupInUse", Conflict),
            (404, "", "", NotFound),
            (400, "", "", Invalid),
            (500, "", "", Unavailable),
            (503, "", "", Unavailable),
            (429, "", "", Unavailable),
            (304, "", "", Protocol),
        ] {
            assert_eq!(classify(status, message, code), kind, "{status} {message}");
        }
    }
}
