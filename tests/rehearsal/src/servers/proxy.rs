//! A small forward proxy with Squid's default rules: absolute URLs to the usual ports and to unprivileged ones,
//! CONNECT to port 443 only, everything else 403; and a log of who asked for what.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::http::{Fault, Faults, LogEntry, Request, Response, Server};

/// How long the proxy waits for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running proxy.
pub struct Proxy {
    server: Server,
    faults: Arc<Faults>,
}

impl Proxy {
    /// Starts it; it answers when this returns.
    pub fn start() -> io::Result<Self> {
        let faults = Arc::<Faults>::default();
        let server = Server::start_with_tunnel(
            Arc::clone(&faults),
            Arc::new(|request: &mut Request<'_>| forward(request).unwrap_or_else(|_| trouble(502))),
            Arc::new(tunnel),
        )?;
        Ok(Self { server, faults })
    }

    /// Its URL, for `http_proxy`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What was asked for; for CONNECT the URL is host and port.
    pub fn log(&self) -> Vec<LogEntry> {
        self.faults.log()
    }

    /// Lets requests go wrong.
    pub fn inject(&self, fault: Fault) {
        self.faults.inject(fault);
    }
}

fn trouble(status: u16) -> Response {
    Response::bytes(status, "text/html", format!("<html><title>ERROR {status}</title></html>\n"))
}

/// Squid's Safe_ports.
fn safe(port: u16) -> bool {
    matches!(port, 21 | 70 | 80 | 210 | 280 | 443 | 488 | 591 | 777 | 1025..)
}

fn forward(request: &mut Request<'_>) -> io::Result<Response> {
    let Some(rest) = request.target.strip_prefix("http://") else { return Ok(trouble(400)) };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let Some(port) = port.parse().ok().filter(|port| safe(*port)) else { return Ok(trouble(403)) };
    let Some(address) = (host, port).to_socket_addrs()?.next() else { return Ok(trouble(503)) };
    let Ok(mut upstream) = TcpStream::connect_timeout(&address, PATIENCE) else { return Ok(trouble(503)) };
    upstream.set_read_timeout(Some(PATIENCE))?;
    let mut head =
        format!("{} /{path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\n", request.method);
    let hop = [
        "connection",
        "proxy-connection",
        "proxy-authorization",
        "host",
        "transfer-encoding",
        "content-length",
    ];
    for (name, value) in request.headers.iter().filter(|(name, _)| !hop.contains(&name.as_str())) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut body = Vec::new();
    request.body.read_to_end(&mut body)?;
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Via: 1.1 rehearsal (squid/6.6)\r\n\r\n");
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other("no HTTP"))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(at) = parsed.parse(answer).ok()? else { return None };
    let mut response = Response::empty(parsed.code?);
    for header in parsed.headers.iter() {
        if !["connection", "content-length"].contains(&header.name.to_lowercase().as_str()) {
            response = response.with(header.name, String::from_utf8_lossy(header.value));
        }
    }
    response.payload = super::http::Payload::Bytes(answer.get(at..)?.to_vec());
    Some(response)
}

fn tunnel(target: &str, mut client: TcpStream) -> u16 {
    let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
    let refuse = |client: &mut TcpStream, status: u16| {
        let reason = super::http::reason(status);
        let text = format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        drop(client.write_all(text.as_bytes()));
        status
    };
    if port != "443" {
        return refuse(&mut client, 403);
    }
    let upstream = (host, 443).to_socket_addrs().ok().and_then(|mut all| all.next());
    let Some(upstream) = upstream.and_then(|address| TcpStream::connect_timeout(&address, PATIENCE).ok())
    else {
        return refuse(&mut client, 503);
    };
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() {
        return 0;
    }
    let (Ok(mut from_client), Ok(mut to_upstream)) = (client.try_clone(), upstream.try_clone()) else {
        return 0;
    };
    let upward = thread::spawn(move || {
        drop(io::copy(&mut from_client, &mut to_upstream));
        drop(to_upstream.shutdown(Shutdown::Write));
    });
    let mut downward = upstream;
    drop(io::copy(&mut downward, &mut client));
    drop(client.shutdown(Shutdown::Both));
    drop(upward.join());
    200
}
