//! One connection: requests read and answered in turn, and the misbehaviour that rules ask for.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::hostile::{Throttled, trickle};
use super::message::{Payload, Request, Response, reason, split_target};
use super::{Asked, Shared, What};

/// Longer heads are refused.
const MAX_HEAD: usize = 64 << 10;
/// What a handler left unread of a body is swallowed up to this size; beyond it the connection is closed.
const MAX_LEFTOVER: u64 = 1 << 20;

/// Reads and answers requests until one side has enough.
pub(super) fn run(shared: &Shared, stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    while let Ok(Some(head)) = read_head(&mut reader) {
        match exchange(shared, &head, &mut reader, &mut writer) {
            Ok(Next::KeepAlive) => {}
            Ok(Next::Close) | Err(_) => break,
        }
    }
    drop(writer.shutdown(Shutdown::Both));
}

/// What becomes of the connection after an exchange.
enum Next {
    KeepAlive,
    Close,
}

/// The request line and headers.
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    keep_alive: bool,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut raw = Vec::new();
    while !raw.ends_with(b"\r\n\r\n") {
        let before = raw.len();
        reader.by_ref().take((MAX_HEAD - before) as u64).read_until(b'\n', &mut raw)?;
        if raw.len() == before {
            return Ok(None);
        }
        if raw == b"\r\n" {
            raw.clear();
        }
    }
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut slots);
    parsed.parse(&raw).map_err(io::Error::other)?;
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_lowercase(), String::from_utf8_lossy(header.value).trim().to_owned()))
        .collect();
    let connection =
        headers.iter().find(|(key, _)| key == "connection").map(|(_, value)| value.to_lowercase());
    let keep_alive = match connection.as_deref() {
        Some("close") => false,
        Some("keep-alive") => true,
        _ => parsed.version == Some(1),
    };
    Ok(Some(Head {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers,
        keep_alive,
    }))
}

fn exchange(
    shared: &Shared,
    head: &Head,
    reader: &mut BufReader<TcpStream>,
    writer: &mut TcpStream,
) -> io::Result<Next> {
    let url = if head.target.starts_with('/') {
        format!("{}{}", shared.base_url(), head.target)
    } else {
        head.target.clone()
    };
    // Small documents are read at once: rules may depend on them. Whoever asks whether to send waits for the answer.
    let waits = head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
    let document = if waits { Vec::new() } else { document(head, reader)? };
    let keys = keys(&document);
    let project = match head.header("x-auth-token") {
        Some(token) => shared.faults.project_of(token),
        None => project_asked_for(&document),
    };
    let asked = Asked { method: &head.method, url: &url, keys: &keys, project: project.as_deref() };
    let fault = shared.faults.strike(asked);
    match &fault {
        Some(What::DropConnection) => {
            shared.faults.record(&head.method, &url, &keys, 0);
            return Ok(Next::Close);
        }
        Some(What::AcceptAndHang) => {
            shared.faults.record(&head.method, &url, &keys, 0);
            hang(shared, reader);
            return Ok(Next::Close);
        }
        Some(What::Delay(pause)) => sleep(shared, *pause),
        _ => {}
    }
    if waits {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if head.method == "CONNECT"
        && let Some(tunnel) = &shared.tunnel
    {
        let status = tunnel(&head.target, writer.try_clone()?);
        shared.faults.record(&head.method, &url, &keys, status);
        return Ok(Next::Close);
    }
    let body =
        if document.is_empty() { Body::of(head, reader) } else { Body::Read(io::Cursor::new(document)) };
    let rate = match fault {
        Some(What::ReadSlowly(rate)) => Some(rate),
        _ => None,
    };
    let mut body = Throttled { shared, body, rate };
    let response = match &fault {
        Some(What::Status(status, headers, text)) => Response {
            status: *status,
            headers: headers.clone(),
            payload: Payload::Bytes(text.clone().into_bytes()),
        },
        Some(What::Say(script)) => Response::bytes(200, "application/json", (script.0)(&url)),
        _ => {
            let (path, query) = split_target(&head.target);
            let mut request = Request {
                method: head.method.clone(),
                target: head.target.clone(),
                path,
                query,
                headers: head.headers.clone(),
                body: &mut body,
            };
            (shared.handler)(&mut request)
        }
    };
    let drained = io::copy(&mut (&mut body).take(MAX_LEFTOVER), &mut io::sink())? < MAX_LEFTOVER;
    if let Some(What::LoseReply | What::ActAndHang) = fault {
        shared.faults.record(&head.method, &url, &keys, 0);
        if fault == Some(What::ActAndHang) {
            drop(body);
            hang(shared, reader);
        }
        return Ok(Next::Close);
    }
    shared.faults.record(&head.method, &url, &keys, response.status);
    let next = if head.keep_alive && drained { Next::KeepAlive } else { Next::Close };
    send(shared, writer, &head.method, response, fault.as_ref(), next)
}

fn send(
    shared: &Shared,
    writer: &mut TcpStream,
    method: &str,
    mut response: Response,
    fault: Option<&What>,
    next: Next,
) -> io::Result<Next> {
    if fault == Some(&What::GarbageJson) {
        response.payload = Payload::Bytes(b"{\"half\": [\"a docu".to_vec());
    }
    if let Some(What::Distort(script)) = fault {
        let mut body = Vec::new();
        response.payload.into_reader().read_to_end(&mut body)?;
        response.payload = Payload::Bytes((script.0)(&String::from_utf8_lossy(&body)).into_bytes());
    }
    let len = response.payload.len();
    let mut text = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {len}\r\n"));
    text.push_str(match next {
        Next::KeepAlive => "Connection: keep-alive\r\n\r\n",
        Next::Close => "Connection: close\r\n\r\n",
    });
    let mut body = response.payload.into_reader();
    if method == "HEAD" || response.status == 204 {
        writer.write_all(text.as_bytes())?;
        return Ok(next);
    }
    if fault == Some(&What::TruncateBody) {
        writer.write_all(text.as_bytes())?;
        io::copy(&mut body.take(len / 2), writer)?;
        return Ok(Next::Close);
    }
    if fault == Some(&What::Trickle) {
        trickle(shared, writer, text.as_bytes())?;
        let mut all = Vec::new();
        body.read_to_end(&mut all)?;
        trickle(shared, writer, &all)?;
        return Ok(next);
    }
    // Small answers leave in one packet.
    let mut first = text.into_bytes();
    body.by_ref().take(64 << 10).read_to_end(&mut first)?;
    writer.write_all(&first)?;
    io::copy(&mut body, writer)?;
    Ok(next)
}

/// Waits until the client gives up or the server stops.
fn hang(shared: &Shared, reader: &mut BufReader<TcpStream>) {
    let mut sink = [0; 4096];
    drop(reader.get_ref().set_read_timeout(Some(Duration::from_millis(20))));
    while !shared.stopping.load(Ordering::SeqCst) {
        match reader.read(&mut sink) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

fn sleep(shared: &Shared, pause: Duration) {
    let end = Instant::now() + pause;
    while !shared.stopping.load(Ordering::SeqCst) && Instant::now() < end {
        thread::sleep(Duration::from_millis(5).min(end.saturating_duration_since(Instant::now())));
    }
}

/// The JSON document that a request sends, if it says that it is one and how long.
fn document(head: &Head, reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = head.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    if length <= MAX_LEFTOVER && head.header("content-type").is_some_and(|kind| kind.contains("json")) {
        reader.take(length).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The name of the project that somebody wants to be let into.
fn project_asked_for(document: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(document).ok()?;
    Some(document.pointer("/auth/scope/project/name")?.as_str()?.to_owned())
}

fn keys(document: &[u8]) -> Vec<String> {
    let object = serde_json::from_slice::<serde_json::Map<_, _>>(document).unwrap_or_default();
    object.into_iter().map(|(key, _)| key).collect()
}

/// A request's body on the wire, or what was read of it.
enum Body<'a> {
    Read(io::Cursor<Vec<u8>>),
    Sized(io::Take<&'a mut BufReader<TcpStream>>),
    Chunked(Chunks<'a>),
}

impl<'a> Body<'a> {
    fn of(head: &Head, reader: &'a mut BufReader<TcpStream>) -> Self {
        if head.header("transfer-encoding").is_some_and(|value| value.to_lowercase().contains("chunked")) {
            return Self::Chunked(Chunks { reader, left: 0, state: ChunkState::Header });
        }
        let len = head.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        Self::Sized(reader.take(len))
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Sized(take) => match take.read(buf)? {
                0 if take.limit() > 0 && !buf.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
                n => Ok(n),
            },
            Self::Chunked(chunks) => chunks.read(buf),
            Self::Read(bytes) => bytes.read(buf),
        }
    }
}

/// Decodes `Transfer-Encoding: chunked`.
struct Chunks<'a> {
    reader: &'a mut BufReader<TcpStream>,
    left: u64,
    state: ChunkState,
}

#[derive(PartialEq)]
enum ChunkState {
    Header,
    Data,
    End,
}

impl Chunks<'_> {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut *self.reader).take(MAX_HEAD as u64).read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.state == ChunkState::Header {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            self.left = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            self.state = ChunkState::Data;
            if self.left == 0 {
                while !self.line()?.is_empty() {}
                self.state = ChunkState::End;
            }
        }
        if self.state == ChunkState::End || buf.is_empty() {
            return Ok(0);
        }
        let n = (&mut *self.reader).take(self.left).read(buf)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        if self.left == 0 {
            self.line()?;
            self.state = ChunkState::Header;
        }
        Ok(n)
    }
}
