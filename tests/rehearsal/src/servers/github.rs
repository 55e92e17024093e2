//! Runners of organisations and repositories, as GitHub's REST API has them: which application they run, until when it gives
//! jobs to a version of it, and the tokens by which they come and go. Organisations and repositories whose owner is `nobody` do not exist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::http::{Request, Response};
use super::site::hex;
use crate::lock;

/// The one token that it accepts.
pub const GITHUB_TOKEN: &str = "github_pat_rehearsal-3d1c5b";

/// The state that the site and its handler share.
#[derive(Clone, Default)]
pub struct Runners(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    applications: Vec<Value>,
    tokens: Vec<String>,
    deprecated: BTreeMap<String, String>,
}

impl Runners {
    /// Gives no jobs to runners of `version` from that moment on.
    pub fn deprecate(&self, version: &str, at: &str) {
        lock(&self.0).deprecated.insert(version.to_owned(), at.to_owned());
    }

    /// The registration tokens that were given, oldest first.
    pub fn tokens(&self) -> Vec<String> {
        lock(&self.0).tokens.clone()
    }

    /// Offers these applications from now on.
    pub fn offer(&self, applications: Vec<Value>) {
        lock(&self.0).applications = applications;
    }

    /// The answer to a request about runners; `None` when it is about something else.
    pub fn answer(&self, request: &Request<'_>) -> Option<Response> {
        let segments = request.segments();
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (owner, rest) = match words[..] {
            ["api", "orgs" | "enterprises", owner, ref rest @ ..]
            | ["api", "repos", owner, _, ref rest @ ..] => (owner, rest),
            _ => return None,
        };
        let ["actions", "runners", what, of @ ..] = rest else { return None };
        let problem = |status, message: &str| {
            Response::json(status, &json!({"message": message, "status": status.to_string()}))
        };
        if request.header("authorization") != Some(format!("Bearer {GITHUB_TOKEN}").as_str()) {
            return Some(problem(401, "Bad credentials"));
        }
        let answer = match (request.method.as_str(), *what) {
            _ if owner == "nobody" => problem(404, "Not Found"),
            ("GET", "deprecations") if of.len() == 1 => {
                let runtime = lock(&self.0).deprecated.get(of[0]).cloned();
                let told = json!({"version": of[0], "runtime_deprecates_at": runtime,
                    "registration_deprecates_at": null});
                unless_known(request, &told)
            }
            ("GET", "downloads") => Response::json(200, &Value::from(lock(&self.0).applications.clone())),
            ("POST", "registration-token") => {
                let token = Uuid::new_v4().simple().to_string().to_uppercase();
                lock(&self.0).tokens.push(token.clone());
                Response::json(201, &json!({"token": token, "expires_at": "2030-01-01T00:00:00.000Z"}))
            }
            _ => problem(404, "Not Found"),
        };
        Some(answer)
    }
}

/// The answer, or that it is the one which the caller has had before.
fn unless_known(request: &Request<'_>, told: &Value) -> Response {
    let etag = format!("W/\"{}\"", hex(&Sha256::digest(told.to_string())));
    match request.header("if-none-match") {
        Some(known) if known == etag => Response::empty(304).with("ETag", etag),
        _ => Response::json(200, told).with("ETag", etag),
    }
}
