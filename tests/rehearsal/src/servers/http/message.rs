//! A request as a handler sees it and the response it gives back. No socket is known here.

use std::fs::File;
use std::io::{self, Read};

use serde_json::Value;

/// Bodies that a handler wants in memory (JSON) may not be larger than this.
const MAX_DOCUMENT: u64 = 4 << 20;

/// One request. The body is still on the wire: read it from [`Request::body`] as it comes.
pub struct Request<'a> {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// The target as it was sent: path and query, an absolute URL (proxies), or host and port (CONNECT).
    pub target: String,
    /// The decoded path.
    pub path: String,
    /// The decoded query, in order.
    pub query: Vec<(String, String)>,
    /// Header names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body, whatever its transfer encoding.
    pub body: &'a mut dyn Read,
}

impl Request<'_> {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first query parameter of that name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The path's segments, without empty ones at the end.
    pub fn segments(&self) -> Vec<String> {
        self.path.trim_matches('/').split('/').map(str::to_owned).collect()
    }

    /// The body as a JSON document, or `None` when it is not one.
    pub fn json(&mut self) -> Option<Value> {
        let mut bytes = Vec::new();
        (&mut *self.body).take(MAX_DOCUMENT).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// What a response carries.
pub enum Payload {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// That many bytes of a file, from its current position.
    File(File, u64),
}

impl Payload {
    /// How many bytes will be sent.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes to send.
    pub fn into_reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Self::File(file, len) => Box::new(file.take(len)),
        }
    }
}

/// One response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers besides Content-Length, Date and Connection.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub payload: Payload,
}

impl Response {
    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), payload: Payload::Bytes(Vec::new()) }
    }

    /// A JSON document.
    pub fn json(status: u16, document: &Value) -> Self {
        Self::bytes(status, "application/json", document.to_string().into_bytes())
    }

    /// Bytes of a named media type.
    pub fn bytes(status: u16, media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), payload: Payload::Bytes(bytes.into()) }
            .with("Content-Type", media_type)
    }

    /// The same with one more header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// The words that go with a status code.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

/// Decodes `%xx` and, in queries, `+`.
pub fn decode(text: &str, plus_is_space: Plus) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus_is_space == Plus::IsSpace => out.push(b' '),
            b'%' => {
                let hex = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let value = std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                out.push(value.unwrap_or(b'%'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Encodes what may not stand in a query value.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// What a plus sign stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Plus {
    /// Itself, as in paths.
    IsPlus,
    /// A space, as in queries.
    IsSpace,
}

/// Splits a target into its decoded path and query. An absolute URL loses its scheme and host.
pub fn split_target(target: &str) -> (String, Vec<(String, String)>) {
    let local = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, Plus::IsSpace), decode(value, Plus::IsSpace))
    });
    (decode(path, Plus::IsPlus), pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_and_decoded() {
        let (path, query) = split_target("http://h:1/v2/a%20b?x=1%2C2&y=a+b&z");
        assert_eq!(path, "/v2/a b");
        let expected = [("x", "1,2"), ("y", "a b"), ("z", "")];
        assert_eq!(query, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
