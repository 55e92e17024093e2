//! A user's session with one cloud: calls made with a token that is renewed in time.

mod known;
mod once;
mod recent;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::catalog::Service;
use super::error::{ErrorKind, OpenStackError};
use super::ids::{ProjectId, UserId};
use super::keystone::{Access, CloudConfig, authenticate, tokens_url};
use super::listing::{Listing, PAGE, PAGE_BYTES, PAGES, Turned};
use super::project_key::ProjectKey;
use crate::http::{Answer, HttpClient, HttpError, Incoming, Method, Opened, Outgoing, Request, Url};
use crate::model::{Backoff, Deadline, Secret, Verdict, poll, printable_line, retry};
use once::Once;
use recent::{LAG, Recent};

/// A token older than this is renewed before a transfer of unknown length.
const FRESH: Duration = Duration::from_secs(60);

/// The longest answer about one object, in bytes.
const OBJECT: u64 = 256 << 10;

/// The pauses between two questions for the same.
const PAUSES: Backoff = Backoff::growing(Duration::from_millis(250), 1.5, Duration::from_secs(5)).jittered();

/// One call to one service. `operation` says what it is for, as a gerund with its object.
pub(super) struct Call {
    service: Service,
    method: Method,
    operation: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    content: Option<(&'static str, Value)>,
    repeatable: bool,
    about: Option<String>,
    limit: u64,
}

impl Call {
    pub(super) fn new(
        service: Service,
        method: Method,
        operation: impl Into<String>,
        path: impl Into<String>,
    ) -> Self {
        Self {
            service,
            method,
            operation: operation.into(),
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            content: None,
            repeatable: false,
            about: None,
            limit: OBJECT,
        }
    }

    pub(super) fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn json(self, content: Value) -> Self {
        self.json_of_type("application/json", content)
    }

    pub(super) fn json_of_type(mut self, content_type: &'static str, content: Value) -> Self {
        self.content = Some((content_type, content));
        self
    }

    /// Says that making this call twice is as good as making it once.
    pub(super) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Names what the call is about where its path does not.
    pub(super) fn about(mut self, id: &str) -> Self {
        self.about = Some(id.to_owned());
        self
    }

    /// The ids that the call may be about.
    fn subjects(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').chain(self.about.as_deref())
    }

    /// An error of this call.
    pub(super) fn failed(&self, kind: ErrorKind, message: impl AsRef<str>) -> OpenStackError {
        OpenStackError::new(kind, &self.operation, message)
    }

    /// A transport error of this call.
    pub(super) fn broken(&self, error: &HttpError) -> OpenStackError {
        OpenStackError::http(&self.operation, error)
    }

    fn request(&self, endpoint: &Url, token: &Secret<String>) -> Result<Request, HttpError> {
        let query: Vec<(&str, &str)> =
            self.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let url = endpoint.below(&self.path)?.with_query(&query)?;
        let mut request = Request::new(self.method, url).answer_limit(self.limit);
        request = request.header("x-auth-token", token.expose());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some((content_type, content)) = &self.content {
            request = request.json_of_type(content_type, content)?;
        }
        Ok(if self.repeatable { request.repeatable() } else { request })
    }
}

/// A session. Renews its token by itself; threads may share it.
#[derive(Debug)]
pub(super) struct Session {
    http: HttpClient,
    config: CloudConfig,
    /// The one that is named, or else the first that has Glance; none where the catalog names none.
    region: Option<String>,
    tokens: Url,
    /// Where images are, if that is known better than by the catalog.
    images: Option<Url>,
    project_name: String,
    access: Mutex<Arc<Access>>,
    recent: Recent,
}

impl Session {
    /// Gets the first token.
    pub(super) fn open(
        config: &CloudConfig,
        http: &HttpClient,
        deadline: Deadline,
    ) -> Result<Self, OpenStackError> {
        let operation = "reading the cloud's configuration";
        let http = match &config.ca_certificate {
            Some(pem) => http.trusting(pem).map_err(|error| OpenStackError::http(operation, &error))?,
            None => http.clone(),
        };
        let tokens = tokens_url(&config.auth_url).map_err(|error| OpenStackError::http(operation, &error))?;
        let access = Arc::new(authenticate(config, &http, &tokens, deadline)?);
        Ok(Self::of(http, config.clone(), tokens, access))
    }

    /// The session of another user in the same cloud: the way to Keystone, the region and the place of images are this session's.
    pub(super) fn beside(&self, config: &CloudConfig, deadline: Deadline) -> Result<Self, OpenStackError> {
        let CloudConfig { auth_url, interface, ca_certificate, .. } = self.config.clone();
        // The region even where none is named: catalogs differ in their order. Never the application credential of this session.
        let (region_name, user, application_credential) = (self.region.clone(), config.clone(), None);
        let config =
            CloudConfig { auth_url, region_name, interface, ca_certificate, application_credential, ..user };
        let images = self.endpoint(&Arc::clone(&self.lock()), Service::Image)?;
        let (http, tokens) = (self.http.clone(), self.tokens.clone());
        let access = Arc::new(authenticate(&config, &http, &tokens, deadline)?);
        Ok(Self { images: Some(images), ..Self::of(http, config, tokens, access) })
    }

    fn of(http: HttpClient, config: CloudConfig, tokens: Url, access: Arc<Access>) -> Self {
        let named = [&config.project_name, &access.project_name, access.project.as_str()];
        let project_name = named.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let project_name = printable_line(project_name).into_owned();
        let region = config.region_name.clone().or_else(|| first_region(&config, &project_name, &access));
        let (access, recent) = (Mutex::new(access), Recent::default());
        Self { http, config, region, tokens, images: None, project_name, access, recent }
    }

    pub(super) fn project(&self) -> ProjectId {
        self.lock().project.clone()
    }

    pub(super) fn project_key(&self) -> ProjectKey {
        let access = Arc::clone(&self.lock());
        let images = self.endpoint(&access, Service::Image).ok();
        ProjectKey::new(&self.tokens, self.config.ca_certificate.clone(), access.project.clone(), images)
    }

    pub(super) fn project_name(&self) -> &str {
        &self.project_name
    }

    pub(super) fn region_name(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub(super) fn user(&self) -> UserId {
        self.lock().user.clone()
    }

    /// Makes a call and returns its successful answer. That something which was just made is not found is not believed at once.
    pub(super) fn call(&self, call: &Call, deadline: Deadline) -> Result<Answer, OpenStackError> {
        let may_lag = |error: &OpenStackError| {
            error.status() == Some(404) && call.subjects().any(|id| self.recent.knows(id))
        };
        let attempt = || Verdict::of(self.call_once(call, deadline), may_lag);
        retry(LAG, deadline, attempt).map_err(|gave_up| gave_up.error)
    }

    fn call_once(&self, call: &Call, deadline: Deadline) -> Result<Answer, OpenStackError> {
        let answer = self.with_token(call, Duration::MAX, deadline, Answer::status, |request| {
            self.http.call(request, deadline)
        })?;
        if !answer.is_success() {
            return Err(OpenStackError::refused(&call.operation, &answer));
        }
        if matches!(call.method, Method::Delete) {
            call.subjects().for_each(|id| self.recent.forget(id));
        }
        Ok(answer)
    }

    /// Something was made: a replica that does not know it yet is asked again.
    pub(super) fn has_made(&self, id: &str) {
        self.recent.note(id);
    }

    /// Whether something was made so lately that not every replica may know it.
    pub(super) fn has_just_made(&self, id: &str) -> bool {
        self.recent.knows(id)
    }

    /// Makes a call that reads a long answer, with a fresh token.
    pub(super) fn open_stream(&self, call: &Call, deadline: Deadline) -> Result<Incoming, OpenStackError> {
        let status = |opened: &Opened| match opened {
            Opened::Stream(_) => 200,
            Opened::Refused(answer) => answer.status(),
        };
        match self.with_token(call, FRESH, deadline, status, |request| self.http.open(request, deadline))? {
            Opened::Stream(incoming) => Ok(*incoming),
            Opened::Refused(answer) => Err(OpenStackError::refused(&call.operation, &answer)),
        }
    }

    /// Makes a call that sends `data`, with a fresh token.
    pub(super) fn upload(
        &self,
        call: &Call,
        data: Outgoing<'_>,
        deadline: Deadline,
    ) -> Result<Answer, OpenStackError> {
        let mut source = Once { reader: data.reader, touched: false, refused: false };
        let answer = self.with_token(call, FRESH, deadline, Answer::status, |request| {
            source.refused = source.touched;
            self.http.upload(request, Outgoing { size: data.size, reader: &mut source }, deadline)
        })?;
        if answer.is_success() { Ok(answer) } else { Err(OpenStackError::refused(&call.operation, &answer)) }
    }

    /// Reads a whole list, page by page, and returns what of it is `wanted`: `key` names the list in each answer, `next`
    /// the field that is there as long as more follows. The last object's id marks where the next page begins, which also
    /// works where a service does not know its own outer address.
    pub(super) fn list<T: for<'a> Deserialize<'a>>(
        &self,
        call: impl Fn() -> Call,
        key: &str,
        next: &str,
        wanted: &dyn Fn(&T) -> bool,
        deadline: Deadline,
    ) -> Result<Vec<T>, OpenStackError> {
        let mut listing = Listing::new(key, next, wanted);
        let (mut marker, mut size) = (None::<String>, PAGE);
        for _ in 0..PAGES {
            let mut call = Call { limit: PAGE_BYTES, ..call().query("limit", size.to_string()) };
            if let Some(marker) = &marker {
                call = call.query("marker", marker);
            }
            let page = match self.call(&call, deadline) {
                // Its objects may be long ones.
                Err(error) if error.kind() == ErrorKind::TooLong && size > 1 => {
                    size = (size / 5).max(1);
                    continue;
                }
                page => page?,
            };
            let page = page.utf8().map_err(|error| call.broken(&error))?;
            let turned = listing.take(page).map_err(|problem| call.failed(ErrorKind::Protocol, problem))?;
            match turned {
                Turned { more: false, .. } | Turned { last: None, .. } => return Ok(listing.into_objects()),
                Turned { last, .. } if last == marker => {
                    return Err(call.failed(ErrorKind::Protocol, "the list repeats itself"));
                }
                Turned { last, .. } => marker = last,
            }
        }
        Err(call().failed(ErrorKind::Protocol, format!("the list has more than {PAGES} pages")))
    }

    /// Makes a call and reads its answer as JSON.
    pub(super) fn read<T: for<'a> Deserialize<'a>>(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<T, OpenStackError> {
        self.call(call, deadline)?.json().map_err(|error| call.broken(&error))
    }

    /// Sends a request with a token no older than `age`, and once more with a new one when it is refused.
    fn with_token<T>(
        &self,
        call: &Call,
        age: Duration,
        deadline: Deadline,
        status: impl Fn(&T) -> u16,
        mut send: impl FnMut(&Request) -> Result<T, HttpError>,
    ) -> Result<T, OpenStackError> {
        let mut attempt = |access: &Access| {
            let endpoint = self.endpoint(access, call.service)?;
            let request = call.request(&endpoint, &access.token).map_err(|error| call.broken(&error))?;
            send(&request).map_err(|error| call.broken(&error))
        };
        let access = self.access(age, deadline)?;
        let result = attempt(&access)?;
        if status(&result) != 401 {
            return Ok(result);
        }
        attempt(&*self.renewed(&access, deadline)?)
    }

    fn endpoint(&self, access: &Access, service: Service) -> Result<Url, OpenStackError> {
        if let (Service::Image, Some(images)) = (service, &self.images) {
            return Ok(images.clone());
        }
        access.catalog.endpoint(service, self.config.interface, self.region_name())
    }

    /// A token that is no older than `age` and has some time left.
    fn access(&self, age: Duration, deadline: Deadline) -> Result<Arc<Access>, OpenStackError> {
        let current = Arc::clone(&self.lock());
        if Instant::now() < current.renew && current.granted.elapsed() <= age {
            return Ok(current);
        }
        self.renewed(&current, deadline)
    }

    /// A token newer than `stale`: another thread's, or a new one.
    fn renewed(&self, stale: &Arc<Access>, deadline: Deadline) -> Result<Arc<Access>, OpenStackError> {
        let mut current = self.lock();
        if Arc::ptr_eq(&current, stale) {
            *current = Arc::new(authenticate(&self.config, &self.http, &self.tokens, deadline)?);
        }
        Ok(Arc::clone(&current))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Access>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The region that a client works in that names none, as openstacksdk chooses it.
fn first_region(config: &CloudConfig, project_name: &str, access: &Access) -> Option<String> {
    let regions = access.catalog.regions(config.interface);
    let first = *regions.first()?;
    if regions.len() > 1 {
        log::info!(
            "project {project_name} at {}: using region {first}, the first of {} with Glance, because none is configured",
            config.auth_url,
            regions.join(", ")
        );
    }
    Some(first.to_owned())
}

/// Asks `check` until it has an answer, at first a few times a second, soon every five: what takes a moment is not waited
/// for longer, and what takes minutes is not asked for often. Trouble that may pass is waited out too.
pub(super) fn wait_for<T>(
    operation: &str,
    deadline: Deadline,
    mut check: impl FnMut() -> Result<Option<T>, OpenStackError>,
) -> Result<T, OpenStackError> {
    let (mut trouble, mut attempts) = (None, 0_u32);
    let answer = poll(PAUSES, deadline, || {
        (trouble, attempts) = (None, attempts.saturating_add(1));
        match check() {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                log::warn!("attempt {attempts} failed: {error}; retrying");
                trouble = Some(error);
                Ok(None)
            }
            checked => checked,
        }
    })?;
    let late = || OpenStackError::new(ErrorKind::Unavailable, operation, "it did not happen in time");
    answer.ok_or_else(|| trouble.unwrap_or_else(late))
}
