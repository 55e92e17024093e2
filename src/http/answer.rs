//! What comes back: short answers that are read whole, and streams that are read by the caller.

use std::fmt;
use std::io::{self, Read};

use serde::de::DeserializeOwned;
use ureq::http::header::CONTENT_RANGE;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Body, BodyReader};

use super::HttpError;
use super::error::{self, explain};
use super::url::Url;
use crate::model::Attempts;

/// The longest answer that is read into memory, in bytes, where a request does not say what it expects.
pub(super) const ANSWER_LIMIT: u64 = 4 * 1024 * 1024;

/// How much of an error's body is read, in bytes; the rest is left.
const ERROR_LIMIT: u64 = 64 * 1024;

/// How much of what somebody else has said is shown, in characters.
const SHOWN: usize = 300;

fn beginning(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Where a request went, for errors on the way back.
#[derive(Clone)]
pub(super) struct Trip {
    pub(super) operation: String,
    pub(super) url: Url,
    pub(super) proxy: Option<String>,
    pub(super) limit: u64,
}

impl Trip {
    pub(super) fn explain(&self, error: ureq::Error) -> HttpError {
        explain(&self.operation, &self.url, self.proxy.as_deref(), error)
    }
}

/// A complete answer, whatever its status. Shows nothing but operation and status.
pub struct Answer {
    operation: String,
    attempts: Attempts,
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// Reads the whole body: of a success at most what its request expects, and the first 64 KiB of an error.
    pub(super) fn collect(trip: &Trip, response: Response<Body>) -> Result<Self, HttpError> {
        let (head, body) = response.into_parts();
        let limit = if head.status.is_success() { trip.limit } else { ERROR_LIMIT };
        let mut bytes = Vec::new();
        let read = body.into_reader().take(limit + 1).read_to_end(&mut bytes);
        if let Err(error) = read {
            return Err(trip.explain(error.into()));
        }
        if bytes.len() as u64 > limit {
            if head.status.is_success() {
                return Err(HttpError::TooLarge { operation: trip.operation.clone(), limit });
            }
            bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(Self {
            operation: trip.operation.clone(),
            attempts: Attempts(1),
            status: head.status.as_u16(),
            headers: head.headers,
            body: bytes,
        })
    }

    /// The same as what several attempts have brought.
    pub(super) fn after(self, attempts: Attempts) -> Self {
        Self { attempts, ..self }
    }

    /// How many attempts have brought it, for the text of an error.
    pub fn attempts(&self) -> Attempts {
        self.attempts
    }

    /// Method and address, with the number of attempts.
    pub(super) fn operation(&self) -> String {
        format!("{}{}", self.operation, self.attempts)
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of a header, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as text, which must be UTF-8.
    pub fn utf8(&self) -> Result<&str, HttpError> {
        std::str::from_utf8(&self.body).map_err(|_| self.not_understood("it is not UTF-8".to_owned()))
    }

    /// The body, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_str(self.utf8()?).map_err(|error| self.not_understood(error.to_string()))
    }

    /// This answer when its status is one of success, else an error with the beginning of the body.
    pub fn or_error(self) -> Result<Self, HttpError> {
        if self.is_success() {
            return Ok(self);
        }
        let message = beginning(&self.text().split_whitespace().collect::<Vec<_>>().join(" "));
        Err(HttpError::Status { operation: self.operation(), status: self.status, message })
    }

    pub(super) fn not_understood(&self, reason: String) -> HttpError {
        // A reader of JSON quotes what it did not expect, however long that is.
        HttpError::NotUnderstood { operation: self.operation(), reason: beginning(&reason) }
    }

    pub(super) fn refused_by_proxy(&self, proxy: &str) -> Option<HttpError> {
        let squid = self.header("x-squid-error").and_then(|text| text.split(' ').next());
        if self.status != 407 && squid.is_none() {
            return None;
        }
        let reason = squid.unwrap_or("authentication required").to_owned();
        Some(error::refused_by_proxy(self.operation.clone(), proxy, self.status, reason))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}: {})", self.operation, self.status)
    }
}

/// What became of a request whose answer may be long.
#[derive(Debug)]
pub enum Opened {
    /// What was asked for (status 200), to be read.
    Stream(Box<Incoming>),
    /// Anything else, an empty success included, read already.
    Refused(Answer),
}

impl From<Answer> for Opened {
    fn from(answer: Answer) -> Self {
        Self::Refused(answer)
    }
}

/// A body that is read as it arrives, in constant memory. Fails when the connection ends before the announced
/// size; its errors carry an [`HttpError`].
pub struct Incoming {
    trip: Trip,
    first: u64,
    size: Option<u64>,
    headers: HeaderMap,
    reader: BodyReader<'static>,
}

impl Incoming {
    pub(super) fn new(trip: Trip, response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let range = head.headers.get(CONTENT_RANGE).filter(|_| head.status == StatusCode::PARTIAL_CONTENT);
        let first = range.and_then(|range| first_byte(range.to_str().ok()?)).unwrap_or(0);
        Self { trip, first, size: body.content_length(), headers: head.headers, reader: body.into_reader() }
    }

    /// The place in the file of the first byte that comes: 0, unless a part was asked for and is given.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The size in bytes of what comes, when the server announced it.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The value of a header, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The first byte of `bytes 100-199/1000`.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

impl Read for Incoming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf).map_err(|error| {
            let kind = error.kind();
            io::Error::new(kind, self.trip.explain(error.into()))
        })
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({}, {:?})", self.trip.operation, self.size)
    }
}
