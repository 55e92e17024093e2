//! A very small web server for tests: real sockets, answers by script, a record of what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Url;

/// How the server treats one request. Each request has a connection of its own.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Reads the request and sends these bytes.
    Raw(String),
    /// Reads the request and sends the head, then this many zeros.
    Zeros(u64),
    /// Answers before the body of the request is asked for or read.
    Early(String),
    /// Says that it wants the data with a header of its own and in pieces, then as [`Reply::Raw`].
    WordyContinue(String),
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and closes the connection.
    Close,
}

impl Reply {
    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::with(status, "content-type: application/json\r\n", body)
    }

    /// An answer with further header lines, each with its line end.
    pub(crate) fn with(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Raw(format!(
            "HTTP/1.1 {status} Word\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }
}

/// A request as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) length: u64,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// A server on the loopback interface that answers one request after the other by its script, and what exceeds
/// the script with 599.
pub(crate) struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Starts a server with a script.
    pub(crate) fn start(script: Vec<Reply>) -> Self {
        Self::scripted(|_| script)
    }

    /// Starts a server with a script that needs to know the server's own address.
    pub(crate) fn scripted(script: impl FnOnce(&str) -> Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut script = script(&format!("http://{address}")).into_iter();
        let received = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&received);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let reply = script.next().unwrap_or(Reply::json(599, "\"the script is over\""));
                let record = Arc::clone(&record);
                std::thread::spawn(move || serve(connection, &reply, &record));
            }
        });
        Self { address, received }
    }

    /// The server's address with `path`.
    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    /// What was received so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn serve(connection: TcpStream, reply: &Reply, record: &Mutex<Vec<Received>>) -> Option<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, connection.try_clone().ok()?);
    let mut connection = connection;
    let mut request = Received::default();
    reader.read_line(&mut request.line).ok()?;
    while !request.head.ends_with("\r\n\r\n") && request.head != "\r\n" {
        reader.read_line(&mut request.head).ok()?;
    }
    request.line = request.line.trim_end().to_owned();
    if let Reply::Early(answer) = reply {
        record.lock().unwrap().push(request);
        connection.write_all(answer.as_bytes()).ok()?;
        return Some(());
    }
    if let Reply::WordyContinue(_) = reply {
        connection.write_all(b"HTTP/1.1 100 Continue\r\nConnection: ke").ok()?;
        std::thread::sleep(Duration::from_millis(50));
        connection.write_all(b"ep-alive\r\n\r\n").ok()?;
    } else if request.header("expect").is_some() {
        connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let complete = match (request.header("content-length"), request.header("transfer-encoding")) {
        (Some(length), _) => {
            let length = length.parse().ok()?;
            take(&mut reader, length, &mut request)
        }
        (None, Some(_)) => take_chunks(&mut reader, &mut request),
        _ => Some(()),
    };
    record.lock().unwrap().push(request);
    complete?;
    match reply {
        Reply::Raw(answer) | Reply::WordyContinue(answer) => connection.write_all(answer.as_bytes()).ok()?,
        Reply::Zeros(count) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n");
            connection.write_all(head.as_bytes()).ok()?;
            std::io::copy(&mut std::io::repeat(0).take(*count), &mut connection).ok()?;
        }
        Reply::Hang => std::thread::sleep(Duration::from_secs(120)),
        Reply::Early(_) | Reply::Close => {}
    }
    Some(())
}

/// Reads `length` bytes of a body and keeps the first few.
fn take(reader: &mut impl Read, length: u64, request: &mut Received) -> Option<()> {
    let mut left = length;
    let mut piece = vec![0; 256 * 1024];
    while left > 0 {
        let want = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = reader.read(&mut piece[..want]).ok().filter(|count| *count > 0)?;
        let keep = count.min(64 * 1024 - request.body.len().min(64 * 1024));
        request.body.extend_from_slice(&piece[..keep]);
        request.length += count as u64;
        left -= count as u64;
    }
    Some(())
}

fn take_chunks(reader: &mut impl BufRead, request: &mut Received) -> Option<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = u64::from_str_radix(line.trim(), 16).ok()?;
        take(reader, length, request)?;
        reader.read_line(&mut String::new()).ok()?;
        if length == 0 {
            return Some(());
        }
    }
}

/// The largest resident size that this process ever had, in bytes.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
