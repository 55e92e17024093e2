//! The client over real HTTP on the loopback interface.

use std::time::Duration;

use super::*;
use crate::deadline::Deadline;
use crate::http::testing::{Reply, Server};
use crate::http::{HttpClient, Proxies};
use crate::secret::Secret;
use crate::target::Arch;

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
        (Reply::json(401, r#"{"message": "Bad credentials"}"#), "give a new one", true),
        (Reply::json(403, message), "Resource not accessible by personal access token; the token must", true),
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
