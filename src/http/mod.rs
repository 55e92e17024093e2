//! The one door to the web: OpenStack, GitHub and image servers are all reached through here.
//!
//! Every request has a deadline of its caller, a limit on connecting and a limit on silence; passing trouble is
//! tried again where that is safe; proxies are Juju's; tokens never follow a redirect; and no error, log line or
//! `Debug` shows a credential. Nothing is opened, read or built before the first request, so that a hook that
//! makes none pays nothing.
//!
//! | to do | call |
//! |---|---|
//! | a short exchange with an API | [`HttpClient::call`] |
//! | read something large behind a token | [`HttpClient::open`] |
//! | send something large | [`HttpClient::upload`] |
//! | fetch a public file, following redirects | [`HttpClient::download`] |
//! | fetch the rest of one | [`HttpClient::download_from`] |

mod answer;
mod error;
mod interim;
mod outgoing;
mod proxy;
mod reach;
mod request;
mod retry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod url;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{Response, StatusCode, header};
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Body, SendBody};

pub use answer::{Answer, Incoming, Opened};
pub use error::{DeadlinePassed, HttpError};
pub use outgoing::Outgoing;
pub use proxy::Proxies;
pub use reach::Near;
pub use request::{Method, Request};
pub use url::{Url, encoded};

use crate::model::{Deadline, Verdict};
use answer::Trip;
use interim::Interim;
use outgoing::Source;
use reach::Guard;
use retry::{Repeatable, Setback, judge, persist};
use tls::{ExtraRoots, Tls};
use transport::{FirstHop, ThroughProxy};

/// The longest time to get a connection, from the name to the end of the TLS handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The longest time in which nothing moves.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The longest wait for the answer to an upload: the server may hash and store everything before it answers.
const STORE_LIMIT: Duration = Duration::from_secs(600);

/// How long an upload waits for the server's word that it wants the data.
const CONTINUE_LIMIT: Duration = Duration::from_secs(5);

/// How many redirects a download follows.
const REDIRECT_LIMIT: usize = 5;

/// The door to the web. Cheap to make and to clone; clones share connections and may be used by several threads.
#[derive(Clone, Debug)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    proxies: Proxies,
    extra: ExtraRoots,
    guard: Option<Guard>,
    agent: OnceLock<Agent>,
}

impl HttpClient {
    /// A client that goes through `proxies` and trusts what the machine trusts.
    pub fn new(proxies: Proxies) -> Self {
        Self::with(proxies, ExtraRoots::default(), None)
    }

    /// Another client, for addresses that a stranger has given and those that their servers name: it refuses to connect to
    /// this machine and to its link, unless one of the addresses in `exempt` leads to the same.
    pub fn guarded(&self, exempt: Vec<Url>) -> Self {
        let Inner { proxies, extra, .. } = &*self.inner;
        Self::with(proxies.clone(), extra.clone(), Some(Guard { exempt }))
    }

    /// Another client that trusts the certificates in `pem` as well.
    pub fn trusting(&self, pem: &str) -> Result<Self, HttpError> {
        let Inner { proxies, extra, guard, .. } = &*self.inner;
        Ok(Self::with(proxies.clone(), extra.and(pem)?, guard.clone()))
    }

    /// Makes a request and reads its answer, whatever the status. Passing trouble is tried again where that is
    /// safe. Redirects are an error.
    pub fn call(&self, request: &Request, deadline: Deadline) -> Result<Answer, HttpError> {
        let repeatable = request.may_be_repeated();
        persist(deadline, || judge(repeatable, self.attempt(request, deadline)))
    }

    /// Makes a request whose answer is read by the caller as it arrives. Redirects are an error.
    pub fn open(&self, request: &Request, deadline: Deadline) -> Result<Opened, HttpError> {
        let repeatable = request.may_be_repeated();
        persist(deadline, || match self.begin(request, deadline) {
            // A part comes only to those who asked for one.
            Ok((trip, response))
                if matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) =>
            {
                Verdict::Done(Opened::Stream(Box::new(Incoming::new(trip, response))))
            }
            other => judge(repeatable, other.and_then(|(trip, response)| conclude(&trip, response))),
        })
    }

    /// Makes a request that sends `data`. The server is asked first whether it wants it, unless something on the
    /// way does not let that through; once data was read there is no second attempt. Redirects are an error.
    pub fn upload(
        &self,
        request: &Request,
        data: Outgoing<'_>,
        deadline: Deadline,
    ) -> Result<Answer, HttpError> {
        let mut source = Source::new(data);
        let asking = [("expect", "100-continue".to_owned())];
        let mut ask = asking.as_slice();
        persist(deadline, || match self.attempt_upload(request, ask, &mut source, deadline) {
            Ok(answer) if source.is_touched() => Verdict::Done(answer),
            Err(error) if source.is_touched() => Verdict::Fail(Setback::Error(error)),
            Ok(answer) if answer.status() == 417 && !ask.is_empty() => {
                ask = &[];
                Verdict::Retry(Setback::Answer(answer), None)
            }
            result => judge(Repeatable::Yes, result),
        })
    }

    /// Fetches a public file. Follows a few redirects, though never from https to http; nothing but the address
    /// is sent. An error status is an error.
    pub fn download(&self, url: &Url, deadline: Deadline) -> Result<Incoming, HttpError> {
        self.download_from(url, 0, deadline)
    }

    /// The same from byte `first` on, when the server gives parts; [`Incoming::first`] says whether it did.
    pub fn download_from(&self, url: &Url, first: u64, deadline: Deadline) -> Result<Incoming, HttpError> {
        let mut url = url.clone();
        for _ in 0..=REDIRECT_LIMIT {
            let request = Request::new(Method::Get, url.clone());
            let request = match first {
                0 => request,
                first => request.header(header::RANGE.as_str(), format!("bytes={first}-")),
            };
            match self.open(&request, deadline) {
                Ok(Opened::Stream(incoming)) => return Ok(*incoming),
                Ok(Opened::Refused(answer)) => match redirection(&answer) {
                    Some(location) => url = next_hop(&request, &url.joined(location)?)?,
                    None => return Err(no_file(answer)),
                },
                Err(error) => return Err(error),
            }
        }
        let operation = Request::new(Method::Get, url.clone()).operation();
        let reason = "there were too many redirects before it";
        Err(HttpError::Redirected { operation, location: url.to_string(), reason })
    }

    fn with(proxies: Proxies, extra: ExtraRoots, guard: Option<Guard>) -> Self {
        Self { inner: Arc::new(Inner { proxies, extra, guard, agent: OnceLock::new() }) }
    }

    fn agent(&self) -> &Agent {
        self.inner.agent.get_or_init(|| {
            let config = Config::builder()
                .proxy(None)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(concat!("runner-image-builder/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .timeout_connect(Some(CONNECT_LIMIT))
                .timeout_resolve(Some(CONNECT_LIMIT))
                .timeout_await_100(Some(CONTINUE_LIMIT))
                .timeout_per_read(Some(IDLE_LIMIT))
                .timeout_per_write(Some(IDLE_LIMIT))
                .build();
            let connector =
                ().chain(TcpConnector::default())
                    .chain(ThroughProxy::new(self.inner.proxies.clone()))
                    .chain(Tls::new(self.inner.extra.clone()))
                    .chain(Interim);
            let first_hop = FirstHop::new(self.inner.proxies.clone(), self.inner.guard.clone());
            Agent::with_parts(config, connector, first_hop)
        })
    }

    fn trip(&self, request: &Request) -> Trip {
        let proxy = self.inner.proxies.choose(request.url().uri()).map(ToString::to_string);
        Trip { operation: request.operation(), url: request.url().clone(), proxy, limit: request.limit() }
    }

    /// One exchange.
    fn attempt(&self, request: &Request, deadline: Deadline) -> Result<Answer, HttpError> {
        let (trip, response) = self.begin(request, deadline)?;
        let answer = conclude(&trip, response)?;
        refuse_redirection(&trip, answer)
    }

    /// Sends a request without streamed data, and reads the head of its answer.
    fn begin(&self, request: &Request, deadline: Deadline) -> Result<(Trip, Response<Body>), HttpError> {
        let trip = self.trip(request);
        let content = request.content();
        let response = if content.is_empty() {
            self.run(request.with_body(&[], ())?, request.may_be_repeated(), IDLE_LIMIT, deadline)
        } else {
            self.run(request.with_body(&[], content)?, request.may_be_repeated(), IDLE_LIMIT, deadline)
        };
        let response = response.map_err(|error| trip.explain(error))?;
        Ok((trip, response))
    }

    fn attempt_upload(
        &self,
        request: &Request,
        ask: &[(&str, String)],
        source: &mut Source<'_>,
        deadline: Deadline,
    ) -> Result<Answer, HttpError> {
        let trip = self.trip(request);
        let mut headers = ask.to_vec();
        headers.extend(source.size().map(|size| ("content-length", size.to_string())));
        let body = request.with_body(&headers, SendBody::from_reader(source))?;
        let result = self.run(body, Repeatable::No, STORE_LIMIT, deadline);
        let answer = match result {
            Ok(response) => conclude(&trip, response).and_then(|answer| refuse_redirection(&trip, answer)),
            Err(error) => Err(trip.explain(error)),
        };
        if answer.as_ref().is_ok_and(|answer| !answer.is_success()) {
            return answer;
        }
        match source.failure() {
            Some(cause) => Err(HttpError::Source { operation: trip.operation, cause }),
            None => answer,
        }
    }

    /// Runs one request. One that must not be made twice gets a connection of its own: a kept one may have been
    /// closed by the server in the very moment.
    fn run<B: ureq::AsSendBody>(
        &self,
        request: ureq::http::Request<B>,
        repeatable: Repeatable,
        silence: Duration,
        deadline: Deadline,
    ) -> Result<Response<Body>, ureq::Error> {
        let agent = self.agent();
        let kept = match repeatable {
            Repeatable::Yes => agent.config().max_idle_age(),
            Repeatable::No => Duration::ZERO,
        };
        let request = agent
            .configure_request(request)
            .timeout_global(Some(deadline.remaining()))
            .timeout_per_read(Some(silence))
            .max_idle_age(kept)
            .build();
        agent.run(request)
    }
}

/// Reads the rest of an answer, and tells a proxy's own words from the server's.
fn conclude(trip: &Trip, response: Response<Body>) -> Result<Answer, HttpError> {
    let answer = Answer::collect(trip, response)?;
    let proxy = trip.proxy.as_deref().filter(|_| !trip.url.is_https());
    match proxy.and_then(|proxy| answer.refused_by_proxy(proxy)) {
        Some(error) => Err(error),
        None => Ok(answer),
    }
}

/// Where an answer redirects to.
fn redirection(answer: &Answer) -> Option<&str> {
    match answer.status() {
        301 | 302 | 303 | 307 | 308 => answer.header(header::LOCATION.as_str()),
        _ => None,
    }
}

fn refuse_redirection(trip: &Trip, answer: Answer) -> Result<Answer, HttpError> {
    let Some(location) = redirection(&answer) else { return Ok(answer) };
    let location = trip.url.joined(location).map_or_else(|_| url::shown(location), |url| url.to_string());
    let reason = "a request with credentials does not follow redirects; configure the new address";
    Err(HttpError::Redirected { operation: trip.operation.clone(), location, reason })
}

/// An answer to a download that is no file.
fn no_file(answer: Answer) -> HttpError {
    match answer.or_error() {
        Ok(answer) => answer.not_understood("it holds no file".to_owned()),
        Err(error) => error,
    }
}

/// The next address of a download, unless it gives up encryption.
fn next_hop(request: &Request, location: &Url) -> Result<Url, HttpError> {
    if request.url().is_https() && !location.is_https() {
        let reason = "it leads from https to http";
        return Err(HttpError::Redirected {
            operation: request.operation(),
            location: location.to_string(),
            reason,
        });
    }
    Ok(location.clone())
}
