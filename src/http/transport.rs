//! How a connection reaches its server: directly, through a tunnel, or by asking the proxy to fetch.
//!
//! https goes through the proxy in a CONNECT tunnel. http is asked of the proxy with the whole address in the
//! request line, as proxies expect it: many, Squid's default rules among them, refuse a tunnel to any port but
//! 443, and OpenStack's plain endpoints have ports like 5000. Credentials for the proxy never enter a tunnel.

use std::io::{self, Read, Write};
use std::sync::Arc;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter, time,
};

use super::error::{ConnectError, plain};
use super::proxy::{Proxies, Proxy};
use super::reach::{Guard, Near};
use super::url::Url;

/// The longest answer to CONNECT that is read.
const CONNECT_ANSWER_LIMIT: usize = 16 * 1024;

/// Looks up the host that is connected to first: the proxy where there is one, else the server. A server behind
/// a proxy is never looked up, since only the proxy may know its name. With a guard, addresses near this machine are refused.
#[derive(Debug)]
pub(super) struct FirstHop {
    proxies: Proxies,
    guard: Option<Guard>,
    names: DefaultResolver,
}

impl FirstHop {
    pub(super) fn new(proxies: Proxies, guard: Option<Guard>) -> Self {
        Self { proxies, guard, names: DefaultResolver::default() }
    }

    /// Whether one of the operator's own addresses is as near.
    fn is_exempt(&self, guard: &Guard, near: Near, config: &Config, timeout: NextTimeout) -> bool {
        let leads_there = |url: &Url| {
            let is_near =
                |found: ResolvedSocketAddrs| found.iter().any(|found| Near::of(found.ip()) == Some(near));
            url.near() == Some(near) || self.names.resolve(url.uri(), config, timeout).is_ok_and(is_near)
        };
        guard.exempt.iter().any(leads_there)
    }
}

impl Resolver for FirstHop {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let check = |near: Option<Near>| match (&self.guard, near) {
            (Some(guard), Some(near)) if !self.is_exempt(guard, near, config, timeout) => {
                Err(Error::from(ConnectError::Near))
            }
            _ => Ok(()),
        };
        check(Near::of_host(uri))?;
        let proxy = self.proxies.choose(uri);
        let found = self.names.resolve(proxy.map_or(uri, Proxy::uri), config, timeout);
        let found = found.map_err(|error| match error {
            Error::Io(cause) => ConnectError::Lookup(plain(&cause)).into(),
            other => other,
        })?;
        if proxy.is_none() {
            found.iter().try_for_each(|found| check(Near::of(found.ip())))?;
        }
        Ok(found)
    }
}

/// Continues a fresh connection to a proxy towards the server.
#[derive(Debug)]
pub(super) struct ThroughProxy {
    proxies: Proxies,
}

impl ThroughProxy {
    pub(super) fn new(proxies: Proxies) -> Self {
        Self { proxies }
    }
}

impl<In: Transport> Connector<In> for ThroughProxy {
    type Out = Either<In, Fetching<In>>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        match self.proxies.choose(details.uri) {
            None => Ok(Some(Either::A(transport))),
            Some(proxy) if details.needs_tls() => {
                tunnel(details, proxy, transport).map(|t| Some(Either::A(t)))
            }
            Some(proxy) => Ok(Some(Either::B(Fetching::new(transport, details.uri, proxy)))),
        }
    }
}

/// What is left of a phase's time, so that every step of connecting draws on the same budget.
pub(super) fn time_left(details: &ConnectionDetails) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (time::Duration::Exact(after), time::Instant::Exact(start), time::Instant::Exact(now)) =
        (timeout.after, details.now, (details.current_time)())
    {
        timeout.after = after.saturating_sub(now.saturating_duration_since(start)).into();
    }
    timeout
}

/// Opens a CONNECT tunnel to the server.
fn tunnel<In: Transport>(details: &ConnectionDetails, proxy: &Proxy, transport: In) -> Result<In, Error> {
    let host = details.uri.host().unwrap_or_default();
    let port = details.uri.port_u16().unwrap_or(443);
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = proxy.authorization() {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", authorization.expose()));
    }
    request.push_str("\r\n");

    let mut stream = TransportAdapter::new(transport, Arc::clone(&details.current_time));
    stream.set_timeout(time_left(details));
    stream.write_all(request.as_bytes())?;
    let (status, reason) = connect_answer(&mut stream)?;
    if status != 200 {
        return Err(ConnectError::Refused(status, reason).into());
    }
    Ok(stream.into_inner())
}

/// Reads the proxy's answer to CONNECT up to the empty line, byte by byte: what follows belongs to the server.
fn connect_answer(stream: &mut impl Read) -> Result<(u16, String), Error> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= CONNECT_ANSWER_LIMIT || stream.read(&mut byte)? == 0 {
            return Err(ConnectError::Silent("the answer of the proxy is not HTTP").into());
        }
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    match words.next().and_then(|status| status.parse().ok()) {
        Some(status) if version.starts_with("HTTP/1.") => {
            Ok((status, words.next().unwrap_or_default().chars().take(100).collect()))
        }
        _ => Err(ConnectError::Silent("the answer of the proxy is not HTTP").into()),
    }
}

/// A connection to a proxy that fetches for us: the request line gets the whole address, the head our
/// credentials. Serves one request and is then closed.
pub(super) struct Fetching<T> {
    proxy: T,
    origin: Vec<u8>,
    authorization: Vec<u8>,
    head_sent: bool,
}

impl<T: Transport> Fetching<T> {
    fn new(transport: T, uri: &Uri, proxy: &Proxy) -> Self {
        let origin = format!("http://{}", uri.authority().map_or("", |authority| authority.as_str()));
        let authorization = proxy
            .authorization()
            .map(|value| format!("Proxy-Authorization: {}\r\n", value.expose()))
            .unwrap_or_default();
        Self {
            proxy: transport,
            origin: origin.into(),
            authorization: authorization.into(),
            head_sent: false,
        }
    }

    /// Rewrites the first `amount` bytes of the output, which begin with the request line. Returns the new amount.
    fn address_to_proxy(&mut self, amount: usize) -> Result<usize, Error> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the head of the request is malformed");
        let output = self.proxy.buffers().output();
        let head = output.get(..amount).ok_or_else(malformed)?;
        let path = head.iter().position(|byte| *byte == b' ').ok_or_else(malformed)? + 1;
        let headers = head.windows(2).position(|pair| pair == b"\r\n").ok_or_else(malformed)? + 2;
        let line = head.get(path..headers).ok_or_else(malformed)?;
        let rewritten = [
            head.get(..path).ok_or_else(malformed)?,
            &self.origin,
            line,
            &self.authorization,
            head.get(headers..).ok_or_else(malformed)?,
        ]
        .concat();
        let room = output.get_mut(..rewritten.len()).ok_or_else(malformed)?;
        room.copy_from_slice(&rewritten);
        Ok(rewritten.len())
    }
}

impl<T: Transport> Transport for Fetching<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.proxy.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let amount = if self.head_sent { amount } else { self.address_to_proxy(amount)? };
        self.head_sent = true;
        self.proxy.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.proxy.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

impl<T> std::fmt::Debug for Fetching<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetching(..)")
    }
}
