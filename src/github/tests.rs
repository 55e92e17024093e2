//! The client over real HTTP on the loopback interface.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::http::testing::{Reply, Server};
use crate::http::{HttpClient, Proxies};
use crate::model::{Arch, Deadline, Secret, Timestamp};

const TOKEN: &str = "ghp_planted-token-0c5d";

fn client(server: &Server) -> GithubClient {
    let api = server.url("/api/v3").to_string();
    GithubClient::anonymous(&HttpClient::new(Proxies::default()), &api).with_token(Secret::new(TOKEN.into()))
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

fn path(text: &str) -> GithubPath {
    text.parse().unwrap()
}

#[test]
fn tokens_are_asked_for_where_organisations_and_repositories_have_them() {
    let answer = || {
        Reply::json(
            201,
            r#"{"token": "AABF3JGZDX3P5PMEXLND6TS6FCWO6", "expires_at": "2026-01-22T12:13:35Z"}"#,
        )
    };
    let server = Server::start(vec![answer(), answer()]);
    let client = client(&server);
    let token = client.registration_token(&path("canonical"), soon()).unwrap();
    assert_eq!(token.expose(), "AABF3JGZDX3P5PMEXLND6TS6FCWO6");
    client.registration_token(&path("canonical/operator"), soon()).unwrap();
    let lines: Vec<String> = server.received().iter().map(|request| request.line.clone()).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v3/orgs/canonical/actions/runners/registration-token HTTP/1.1",
            "POST /api/v3/repos/canonical/operator/actions/runners/registration-token HTTP/1.1",
        ]
    );
    let request = &server.received()[0];
    assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(request.header("x-github-api-version"), Some("2022-11-28"));
}

#[test]
fn the_application_of_an_architecture_needs_a_digest() {
    let offer = |arch: &str, digest: &str| {
        format!(
            r#"{{"os": "linux", "architecture": "{arch}", "download_url": "https://d/{arch}", "filename": "f", "sha256_checksum": "{digest}"}}"#
        )
    };
    let digest = "a".repeat(64);
    let osx = offer("x64", &digest).replace("linux", "osx");
    let list = format!("[{osx}, {}, {}]", offer("x64", &digest), offer("arm64", ""));
    let server = Server::start(vec![Reply::json(200, &list), Reply::json(200, &list)]);
    let found = client(&server).runner_application(&path("o/r"), Arch::X64, soon()).unwrap();
    assert_eq!((found.download_url.as_str(), found.sha256_checksum), ("https://d/x64", Some(digest)));
    let error = client(&server).runner_application(&path("o/r"), Arch::Arm64, soon()).unwrap_err();
    assert!(matches!(error, GithubError::NoApplication { .. }) && error.operator_must_act(), "{error}");
}

#[test]
fn each_refusal_says_what_to_do_and_never_the_token() {
    let reset = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let limited = format!("x-ratelimit-remaining: 0\r\nx-ratelimit-reset: {reset}\r\n");
    let message = r#"{"message": "Resource not accessible by personal access token"}"#;
    for (reply, words, must_act) in [
        (Reply::json(401, r#"{"message": "Bad credentials"}"#), "replace it", true),
        (
            Reply::json(403, message),
            "Resource not accessible by personal access token; the token needs",
            true,
        ),
        (Reply::with(403, &limited, message), "it is reset in 10 min", false),
        (Reply::with(429, "retry-after: 7200\r\n", message), "it is reset in 120 min", false),
        (Reply::json(404, r#"{"message": "Not Found"}"#), "check the path", true),
        (Reply::json(422, r#"{"message": "no"}"#), "HTTP 422", false),
    ] {
        let server = Server::start(vec![reply]);
        let error = client(&server).registration_token(&path("canonical"), soon()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("asking GitHub for a registration token of canonical: "), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!(error.operator_must_act(), must_act, "{text}");
        assert!(!text.contains(TOKEN) && !format!("{error:?} {:?}", client(&server)).contains(TOKEN));
    }
}

#[test]
fn a_pause_that_github_asks_for_is_kept_and_the_call_made_again() {
    let server = Server::start(vec![
        Reply::with(403, "retry-after: 1\r\n", r#"{"message": "You have exceeded a secondary rate limit"}"#),
        Reply::json(201, r#"{"token": "A1B2"}"#),
    ]);
    let token = client(&server).registration_token(&path("canonical"), soon()).unwrap();
    assert_eq!((token.expose().as_str(), server.received().len()), ("A1B2", 2));
}

#[test]
fn the_latest_release_gives_the_tarball_and_its_digest() {
    let digest = "b".repeat(64);
    let release = format!(
        r#"{{"tag_name": "v2.337.1", "assets": [{{"name": "actions-runner-linux-x64-2.337.1.tar.gz", "digest": "sha256:{digest}"}}]}}"#
    );
    let server = Server::start(vec![Reply::json(200, &release), Reply::json(404, "{}")]);
    let found = client(&server).runner_release("actions/runner", Arch::X64, None, soon()).unwrap();
    assert_eq!((found.version.as_str(), found.sha256), ("2.337.1", digest));
    assert!(found.path.ends_with("/download/v2.337.1/actions-runner-linux-x64-2.337.1.tar.gz"));
    let error =
        client(&server).runner_release("actions/runner", Arch::X64, Some("9.9.9"), soon()).unwrap_err();
    assert!(matches!(error, GithubError::NoRelease { .. }), "{error}");
}

/// A store that lasts as long as the test.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<String, KnownRelease>>);

impl ReleaseStore for Kept {
    fn last(&self, url: &str) -> Option<KnownRelease> {
        self.0.lock().unwrap().get(url).cloned()
    }

    fn keep(&self, url: &str, release: &KnownRelease) {
        self.0.lock().unwrap().insert(url.to_owned(), release.clone());
    }
}

impl Kept {
    /// As if the answers had been given so long ago.
    fn age(&self, age: Duration) {
        let confirmed = Timestamp(Timestamp::now().0 - age.as_secs());
        self.0.lock().unwrap().values_mut().for_each(|known| known.confirmed = confirmed);
    }
}

/// GitHub's answer about a release that has a runner, with its ETag.
fn release(version: &str) -> Reply {
    let name = format!("actions-runner-linux-x64-{version}.tar.gz");
    let assets = format!(r#"[{{"name": "{name}", "digest": "sha256:{}"}}]"#, "b".repeat(64));
    let body = format!(r#"{{"tag_name": "v{version}", "assets": {assets}}}"#);
    Reply::with(200, &format!("etag: W/\"{version}\"\r\n"), &body)
}

fn latest(client: &GithubClient) -> Result<String, GithubError> {
    client.runner_release("actions/runner", Arch::X64, None, soon()).map(|release| release.version)
}

#[test]
fn a_release_is_asked_for_once_a_job_and_the_next_job_asks_only_whether_it_has_changed() {
    let store = Arc::new(Kept::default());
    let server = Server::start(vec![
        release("2.337.1"),
        Reply::with(304, "etag: W/\"2.337.1\"\r\n", ""),
        release("2.338.0"),
    ]);
    let job = || client(&server).remembering(store.clone());
    let first = job();
    assert_eq!([latest(&first).unwrap(), latest(&first).unwrap()], ["2.337.1", "2.337.1"]);
    assert_eq!(server.received().len(), 1);
    store.age(Duration::from_secs(7200));
    assert_eq!(latest(&job()).unwrap(), "2.337.1");
    assert_eq!(server.received()[1].header("if-none-match"), Some("W/\"2.337.1\""));
    let confirmed = store.0.lock().unwrap().values().next().unwrap().confirmed;
    assert!(confirmed.age() < Duration::from_secs(3600), "{confirmed}");
    assert_eq!(latest(&job()).unwrap(), "2.338.0");
}

#[test]
fn a_used_up_rate_limit_is_no_failure_while_the_answer_of_before_is_young() {
    let store = Arc::new(Kept::default());
    let limited =
        || Reply::with(403, "x-ratelimit-remaining: 0\r\n", r#"{"message": "API rate limit exceeded"}"#);
    let server =
        Server::start(vec![limited(), release("2.337.1"), limited(), limited(), Reply::json(401, "{}")]);
    let job = || client(&server).remembering(store.clone());
    let unknown = latest(&job()).unwrap_err();
    assert!(
        unknown.to_string().contains("rate limit is used up") && !unknown.operator_must_act(),
        "{unknown}"
    );
    latest(&job()).unwrap();
    store.age(Duration::from_secs(23 * 3600));
    assert_eq!(latest(&job()).unwrap(), "2.337.1");
    store.age(Duration::from_secs(25 * 3600));
    assert!(latest(&job()).unwrap_err().to_string().contains("rate limit is used up"));
    store.age(Duration::from_secs(3600));
    let refused = latest(&job()).unwrap_err();
    assert!(refused.operator_must_act() && refused.to_string().contains("replace it"), "{refused}");
}

#[test]
fn whoever_shares_a_question_shares_its_failure() {
    let server = Server::start(vec![Reply::json(404, "{}")]);
    let job = client(&server).remembering(Arc::new(Kept::default()));
    for _ in 0..3 {
        let error = latest(&job).unwrap_err();
        assert!(error.to_string().contains("no release latest") && error.operator_must_act(), "{error}");
    }
    assert_eq!(server.received().len(), 1);
}
