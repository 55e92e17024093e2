//! Keystone: a token for a user and a project or for an application credential, and what comes with it.
//!
//! Only this file and the session know the password and the token.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::catalog::{Catalog, Interface};
use super::error::{ErrorKind, OpenStackError};
use super::ids::{ProjectId, UserId};
use super::project_key::plain;
use crate::http::{Answer, HttpClient, HttpError, Method, Request, Url};
use crate::model::{Deadline, Secret, Timestamp};

/// The longest answer with a token, in bytes: the catalog of a large cloud has some 100 KiB.
const ANSWER: u64 = 1 << 20;

/// The longest time that getting a token may take.
const TOKEN_LIMIT: Duration = Duration::from_secs(60);

/// A token with less time left than this is renewed first.
const TOKEN_RESERVE: Duration = Duration::from_secs(120);

/// Which cloud, which project, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudConfig {
    /// Keystone's address, with or without `/v3`.
    pub auth_url: String,
    /// The region, which may be left out where there is only one.
    pub region_name: Option<String>,
    /// Which of the services' addresses to use.
    pub interface: Interface,
    /// PEM certificates to trust beside those that the machine trusts.
    pub ca_certificate: Option<String>,
    /// The project to work in.
    pub project_name: String,
    /// The domain of the project.
    pub project_domain_name: String,
    /// The domain of the user.
    pub user_domain_name: String,
    /// The user.
    pub username: String,
    /// The id of the application credential to authenticate with in place of a user: it belongs to one user and one project, so
    /// the four names above are empty then.
    pub application_credential: Option<String>,
    /// The user's password, or the secret of the application credential.
    pub password: Secret<String>,
}

impl CloudConfig {
    /// Whether both name one Keystone and, where both name a region, one region of its cloud.
    pub fn is_same_cloud(&self, other: &Self) -> bool {
        let keystone = |config: &Self| Some(plain(&tokens_url(&config.auth_url).ok()?));
        let regions = (&self.region_name, &other.region_name);
        // Without a region the cloud has only one, or the other's is meant.
        let is_same_region = !matches!(regions, (Some(one), Some(two)) if one != two);
        keystone(self).is_some() && keystone(self) == keystone(other) && is_same_region
    }

    /// A cloud in which an application credential says who works in which project.
    pub fn of_application_credential(auth_url: String, id: String, secret: Secret<String>) -> Self {
        Self {
            auth_url,
            region_name: None,
            interface: Interface::default(),
            ca_certificate: None,
            project_name: String::new(),
            project_domain_name: String::new(),
            user_domain_name: String::new(),
            username: String::new(),
            application_credential: Some(id),
            password: secret,
        }
    }

    /// What Keystone is asked for: a token of a user for a project, or of an application credential, whose project is given.
    fn authentication(&self) -> Value {
        match &self.application_credential {
            // With a scope beside it Keystone refuses.
            Some(id) => json!({"auth": {"identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": id, "secret": self.password.expose()},
            }}}),
            None => json!({"auth": {
                "identity": {"methods": ["password"], "password": {"user": {
                    "name": self.username,
                    "domain": {"name": self.user_domain_name},
                    "password": self.password.expose(),
                }}},
                "scope": {"project": {
                    "name": self.project_name,
                    "domain": {"name": self.project_domain_name},
                }},
            }}),
        }
    }

    fn operation(&self) -> String {
        let Self { username, project_name, auth_url, .. } = self;
        match &self.application_credential {
            Some(id) => format!("authenticating with application credential {id} at {auth_url}"),
            None => format!("authenticating as {username} for project {project_name} at {auth_url}"),
        }
    }
}

/// What Keystone gave us last.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) token: Secret<String>,
    pub(super) granted: Instant,
    pub(super) renew: Instant,
    pub(super) catalog: Catalog,
    pub(super) project: ProjectId,
    /// Empty when Keystone does not tell it.
    pub(super) project_name: String,
    pub(super) user: UserId,
    /// What the cloud's clock said then, and ours.
    pub(super) clocks: Option<(Timestamp, Timestamp)>,
}

/// Where Keystone gives tokens.
pub(super) fn tokens_url(auth_url: &str) -> Result<Url, HttpError> {
    let url: Url = auth_url.parse()?;
    let path = url.path().trim_end_matches('/');
    let version = if path.ends_with("/v3") { "" } else { "/v3" };
    format!("{}{path}{version}/auth/tokens", url.origin()).parse()
}

/// Gets a token (Keystone: "Password authentication with scoped authorization", "Authenticating with an Application
/// Credential").
pub(super) fn authenticate(
    config: &CloudConfig,
    http: &HttpClient,
    tokens: &Url,
    deadline: Deadline,
) -> Result<Access, OpenStackError> {
    let operation = config.operation();
    let broken = |error: HttpError| OpenStackError::http(&operation, &error);
    let request = Request::new(Method::Post, tokens.clone()).repeatable().answer_limit(ANSWER);
    let request = request.json(&config.authentication()).map_err(broken)?;
    let granted = Instant::now();
    let answer = http.call(&request, deadline.at_most(TOKEN_LIMIT)).map_err(broken)?;
    if !answer.is_success() {
        return Err(not_granted(operation, &answer));
    }
    let token: TokenAnswer = answer.json().map_err(broken)?;
    let token = token.token;
    let strange = |message| OpenStackError::new(ErrorKind::Protocol, &operation, message);
    let secret = answer.header("x-subject-token").ok_or_else(|| strange("the answer has no token"))?;
    // The token's life is measured by the cloud's clock alone; ours may differ.
    let life = Timestamp::of_rfc3339(&token.expires_at)
        .zip(Timestamp::of_rfc3339(&token.issued_at))
        .and_then(|(end, start)| end.0.checked_sub(start.0))
        .ok_or_else(|| strange("the answer does not say how long the token is valid"))?;
    let life = Duration::from_secs(life.min(24 * 3600));
    Ok(Access {
        token: Secret::new(secret.to_owned()),
        granted,
        renew: granted + life.saturating_sub(TOKEN_RESERVE),
        catalog: token.catalog,
        project: token.project.id,
        project_name: token.project.name.unwrap_or_default(),
        user: token.user.id,
        clocks: answer
            .header("date")
            .and_then(Timestamp::of_http_date)
            .map(|cloud| (cloud, Timestamp::now())),
    })
}

fn not_granted(operation: String, answer: &Answer) -> OpenStackError {
    if answer.status() == 404 {
        let message = "no Keystone v3 answers at this URL; check openstack-auth-url";
        return OpenStackError::new(ErrorKind::Configuration, operation, message);
    }
    OpenStackError::refused(operation, answer)
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    issued_at: String,
    expires_at: String,
    catalog: Catalog,
    project: Named<ProjectId>,
    user: Named<UserId>,
}

#[derive(Deserialize)]
struct Named<T> {
    id: T,
    name: Option<String>,
}
