//! Promises of the door to the web.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use super::testing::{Reply, Server, peak_memory};
use super::*;
use crate::model::Secret;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const HALF_A_GIB: u64 = 512 * 1024 * 1024;
const FLAT: u64 = 160 * 1024 * 1024;

fn client() -> HttpClient {
    HttpClient::new(Proxies::default())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

fn get(server: &Server, path: &str) -> Request {
    Request::new(Method::Get, server.url(path))
}

fn post(server: &Server, path: &str) -> Request {
    Request::new(Method::Post, server.url(path)).json(&"x").unwrap()
}

#[test]
fn passing_trouble_is_tried_again() {
    let server = Server::start(vec![Reply::Close, Reply::json(503, "{}"), Reply::json(200, "[1]")]);
    let answer = client().call(&get(&server, "/a?b=c"), soon()).unwrap();
    assert_eq!(answer.json::<Vec<u32>>().unwrap(), [1]);
    assert_eq!(server.received().len(), 3);
    assert_eq!(server.received()[2].line, "GET /a?b=c HTTP/1.1");
}

#[test]
fn what_may_have_been_acted_on_is_not_sent_twice() {
    let server = Server::start(vec![Reply::Close]);
    let error = client().call(&post(&server, "/"), soon()).unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error}");
    assert_eq!(server.received().len(), 1);

    let server = Server::start(vec![Reply::json(500, "{}")]);
    assert_eq!(client().call(&post(&server, "/"), soon()).unwrap().status(), 500);
    assert_eq!(server.received().len(), 1);
}

#[test]
fn a_server_that_asks_to_come_back_is_asked_again() {
    let server = Server::start(vec![Reply::with(503, "retry-after: 0\r\n", ""), Reply::json(200, "{}")]);
    assert_eq!(client().call(&post(&server, "/"), soon()).unwrap().status(), 200);
    let server = Server::start(vec![Reply::with(429, "retry-after: 3600\r\n", "")]);
    let deadline = soon();
    assert_eq!(client().call(&get(&server, "/"), deadline).unwrap().status(), 429);
    assert!(!deadline.passed(), "it waited");
}

#[test]
fn a_refused_connection_is_tried_again_for_every_request() {
    // An address that no other test has: its port is free again.
    let [.., second, third] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 255, second.max(1), third.clamp(1, 254));
    let address = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let listener = TcpListener::bind(address).unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = connection.read(&mut head).unwrap();
        std::io::Write::write_all(&mut connection, OK.as_bytes()).unwrap();
    });
    let url: Url = format!("http://{address}/").parse().unwrap();
    let request = Request::new(Method::Post, url).json(&"x").unwrap();
    assert_eq!(client().call(&request, soon()).unwrap().status(), 200);
    late.join().unwrap();
}

#[test]
fn a_server_that_accepts_and_hangs_ends_with_the_deadline() {
    let server = Server::start(vec![Reply::Hang]);
    let start = Instant::now();
    let error = client().call(&get(&server, "/"), Deadline::after(Duration::from_secs(1))).unwrap_err();
    assert!(matches!(error, HttpError::Timeout { deadline_passed: DeadlinePassed::Yes, .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_stream_that_stalls_ends_with_the_deadline() {
    let server = Server::start(vec![Reply::Zeros(u64::MAX)]);
    let mut incoming = client().download(&server.url("/"), Deadline::after(Duration::from_secs(2))).unwrap();
    let start = Instant::now();
    let error = std::io::copy(&mut incoming, &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("at its deadline"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn no_request_is_made_after_the_deadline() {
    let server = Server::start(vec![]);
    assert!(client().call(&get(&server, "/"), Deadline::after(Duration::ZERO)).is_err());
    assert!(server.received().is_empty());
}

#[test]
fn a_truncated_answer_is_an_error() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}";
    let server = Server::start(vec![Reply::Raw(short.into()); 4]);
    let error = client().call(&get(&server, "/"), soon()).unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error}");
    assert!(error.to_string().contains("/ (4 attempts): "), "{error}");

    let server = Server::start(vec![Reply::Raw(short.into())]);
    let mut text = String::new();
    let mut incoming = client().download(&server.url("/"), soon()).unwrap();
    assert_eq!(incoming.size(), Some(100));
    assert!(incoming.read_to_string(&mut text).is_err());

    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let server = Server::start(vec![Reply::Raw(chunks.into())]);
    assert!(client().download(&server.url("/"), soon()).unwrap().read_to_string(&mut text).is_err());
}

#[test]
fn an_oversize_answer_is_an_error_and_an_oversize_error_is_cut() {
    let server = Server::start(vec![Reply::Zeros(17 * 1024 * 1024)]);
    let error = client().call(&get(&server, "/"), soon()).unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error}");

    let server = Server::start(vec![Reply::json(404, &"x".repeat(1024 * 1024))]);
    let answer = client().call(&get(&server, "/"), soon()).unwrap();
    assert_eq!(answer.text().len(), 64 * 1024);
    assert!(answer.or_error().unwrap_err().to_string().len() < 400);
}

#[test]
fn an_answer_that_is_not_json_is_not_understood() {
    for body in ["<html>", "{\"a\":", "\"\u{fffd}"] {
        let server = Server::start(vec![Reply::json(200, body)]);
        let answer = client().call(&get(&server, "/"), soon()).unwrap();
        let error = answer.json::<serde_json::Value>().unwrap_err();
        assert!(matches!(error, HttpError::NotUnderstood { .. }), "{error}");
    }
}

#[test]
fn what_was_not_expected_is_quoted_only_in_part() {
    let server = Server::start(vec![Reply::json(200, &format!("\"{}\"", "x".repeat(10_000)))]);
    let answer = client().call(&get(&server, "/"), soon()).unwrap();
    assert!(answer.json::<u32>().unwrap_err().to_string().len() < 400);
}

#[test]
fn a_token_never_follows_a_redirect() {
    let elsewhere = Server::start(vec![]);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}?signature=hunter2\r\n", elsewhere.url("/stolen"));
        let server = Server::start(vec![Reply::with(status, &location, "")]);
        let request = get(&server, "/").header("x-auth-token", "hunter2");
        let error = client().call(&request, soon()).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("/stolen") && !shown.contains("hunter2"), "{shown}");
    }
    assert!(elsewhere.received().is_empty());
}

#[test]
fn a_download_follows_a_few_redirects() {
    let server = Server::scripted(|origin| {
        vec![
            Reply::with(302, &format!("location: {origin}/b\r\n"), ""),
            Reply::with(301, "location: c\r\n", ""),
            Reply::Raw(OK.into()),
        ]
    });
    let mut text = String::new();
    client().download(&server.url("/a"), soon()).unwrap().read_to_string(&mut text).unwrap();
    let lines: Vec<_> = server.received().into_iter().map(|request| request.line).collect();
    assert_eq!((text.as_str(), lines[2].as_str()), ("{}", "GET /c HTTP/1.1"));

    let server = Server::start(vec![Reply::with(302, "location: /again\r\n", ""); 9]);
    let error = client().download(&server.url("/a"), soon()).unwrap_err();
    assert!(error.to_string().contains("too many redirects"), "{error}");
    assert_eq!(server.received().len(), REDIRECT_LIMIT + 1);
}

#[test]
fn a_download_never_gives_up_encryption() {
    let from = Request::new(Method::Get, "https://a.test/x".parse().unwrap());
    let error = next_hop(&from, &"http://a.test/x".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("from https to http"), "{error}");
}

#[test]
fn a_missing_file_is_an_error_with_the_servers_words() {
    let server = Server::start(vec![Reply::with(404, "", "no such\nimage")]);
    let error = client().download(&server.url("/a?sig=hunter2"), soon()).unwrap_err().to_string();
    assert!(error.ends_with("/a: HTTP 404: no such image") && !error.contains("hunter2"), "{error}");
}

#[test]
fn an_upload_is_constant_in_memory_with_and_without_a_size() {
    for size in [Some(HALF_A_GIB), None] {
        let server = Server::start(vec![Reply::Raw(OK.into())]);
        let request = Request::new(Method::Put, server.url("/file"));
        let mut reader = std::io::repeat(7).take(HALF_A_GIB);
        let deadline = Deadline::after(Duration::from_secs(120));
        let answer = client().upload(&request, Outgoing { size, reader: &mut reader }, deadline).unwrap();
        assert_eq!(answer.status(), 200);
        let received = &server.received()[0];
        assert_eq!(received.length, HALF_A_GIB);
        assert_eq!(received.header("content-length").is_some(), size.is_some());
    }
    assert!(peak_memory() < FLAT, "{}", peak_memory());
}

#[test]
fn a_download_is_constant_in_memory() {
    let server = Server::start(vec![Reply::Zeros(HALF_A_GIB)]);
    let mut incoming =
        client().download(&server.url("/"), Deadline::after(Duration::from_secs(120))).unwrap();
    assert_eq!(std::io::copy(&mut incoming, &mut std::io::sink()).unwrap(), HALF_A_GIB);
    assert!(peak_memory() < FLAT, "{}", peak_memory());
}

#[test]
fn an_upload_that_is_not_wanted_sends_nothing() {
    let refusal = "HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Server::start(vec![Reply::Early(refusal.into())]);
    let request = Request::new(Method::Put, server.url("/file"));
    let mut data: &[u8] = b"0123456789";
    let outgoing = Outgoing { size: Some(10), reader: &mut data };
    assert_eq!(client().upload(&request, outgoing, soon()).unwrap().status(), 401);
    assert_eq!(data.len(), 10);
}

#[test]
fn an_upload_understands_whatever_lets_it_go_on() {
    for script in [
        vec![Reply::WordyContinue(OK.into())],
        vec![Reply::Early("HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n".into()), Reply::Raw(OK.into())],
    ] {
        let server = Server::start(script);
        let request = Request::new(Method::Put, server.url("/file"));
        let outgoing = Outgoing { size: None, reader: &mut &b"0123456789"[..] };
        assert_eq!(client().upload(&request, outgoing, soon()).unwrap().status(), 200);
        assert_eq!(server.received().last().unwrap().body, b"0123456789");
    }
}

#[test]
fn data_of_another_size_than_announced_is_an_error_of_the_source() {
    for (size, words) in [(11, "1 bytes before its announced size"), (9, "more data than announced")] {
        let server = Server::start(vec![Reply::Raw(OK.into())]);
        let request = Request::new(Method::Put, server.url("/file"));
        let mut data: &[u8] = b"0123456789";
        let outgoing = Outgoing { size: Some(size), reader: &mut data };
        let error = client().upload(&request, outgoing, soon()).unwrap_err();
        assert!(matches!(error, HttpError::Source { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_source_that_fails_is_told_from_the_network() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let server = Server::start(vec![Reply::Raw(OK.into())]);
    let request = Request::new(Method::Put, server.url("/file"));
    let outgoing = Outgoing { size: None, reader: &mut Broken };
    let error = client().upload(&request, outgoing, soon()).unwrap_err();
    assert!(error.to_string().ends_with("reading the data to send: the disk is gone"), "{error}");
}

#[test]
fn plain_http_is_asked_of_the_proxy_by_its_whole_address() {
    let proxy = Server::start(vec![Reply::json(200, "{}"), Reply::Raw(OK.into())]);
    let setting = Secret::new(proxy.url("").to_string().replace("//", "//me:hunter2@"));
    let client = HttpClient::new(Proxies::parse(&setting, &setting, "direct.test").unwrap());
    let request = Request::new(Method::Get, "http://cloud.test:5000/v3?a=b".parse().unwrap());
    client.call(&request.header("x-auth-token", "t"), soon()).unwrap();
    let put = Request::new(Method::Put, "http://cloud.test:9292/file".parse().unwrap());
    client.upload(&put, Outgoing { size: Some(3), reader: &mut &b"abc"[..] }, soon()).unwrap();
    let received = proxy.received();
    assert_eq!(received[0].line, "GET http://cloud.test:5000/v3?a=b HTTP/1.1");
    assert_eq!(received[0].header("host"), Some("cloud.test:5000"));
    assert_eq!(received[0].header("proxy-authorization"), Some("Basic bWU6aHVudGVyMg=="));
    assert_eq!(received[0].header("x-auth-token"), Some("t"));
    assert_eq!(received[1].line, "PUT http://cloud.test:9292/file HTTP/1.1");
    assert_eq!(received[1].body, b"abc");
}

#[test]
fn a_proxy_that_refuses_is_named_with_the_remedy_and_without_the_password() {
    let refusal = "HTTP/1.1 403 Forbidden\r\nx-squid-error: ERR_ACCESS_DENIED 0\r\ncontent-length: 0\r\n\r\n";
    let proxy = Server::start(vec![Reply::Raw(refusal.into()), Reply::Raw(refusal.into())]);
    let setting = Secret::new(proxy.url("").to_string().replace("//", "//me:hunter2@"));
    let client = HttpClient::new(Proxies::parse(&setting, &setting, "").unwrap());
    for url in ["http://cloud.test:5000/v3", "https://cloud.test:5000/v3"] {
        let error = client.call(&Request::new(Method::Get, url.parse().unwrap()), soon()).unwrap_err();
        let shown = format!("{error} {error:?} {client:?}");
        assert!(shown.contains("no-proxy") && shown.contains(&proxy.url("").authority()), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
    }
    let received = proxy.received();
    assert_eq!(received[1].line, "CONNECT cloud.test:5000 HTTP/1.1");
    assert!(received[1].header("proxy-authorization").is_some());
}

#[test]
fn a_dead_proxy_is_named() {
    let setting = Secret::new("me:hunter2@127.0.0.1:1".to_owned());
    let client = HttpClient::new(Proxies::parse(&setting, &setting, "").unwrap());
    let request = Request::new(Method::Get, "http://cloud.test/".parse().unwrap());
    let deadline = Deadline::after(Duration::from_secs(1));
    let error = client.call(&request, deadline).unwrap_err().to_string();
    assert!(error.contains("connecting to the proxy 127.0.0.1:1") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_server_without_tls_is_told_so() {
    let server = Server::start(vec![]);
    let url = server.url("/").to_string().replace("http:", "https:").parse().unwrap();
    let error =
        client().call(&Request::new(Method::Get, url), Deadline::after(Duration::from_secs(5))).unwrap_err();
    assert!(!error.to_string().is_empty());
}

#[test]
fn a_certificate_that_is_none_is_refused_at_once() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"] {
        let error = client().trusting(pem).unwrap_err();
        assert!(matches!(error, HttpError::Certificate { .. }), "{error}");
    }
}

#[test]
fn requests_and_answers_show_no_secret() {
    let server = Server::start(vec![Reply::with(200, "x-subject-token: hunter2\r\n", "hunter2")]);
    let request = Request::new(Method::Post, server.url("/?key=hunter2"))
        .header("x-auth-token", "hunter2")
        .json(&"hunter2")
        .unwrap();
    let answer = client().call(&request, soon()).unwrap();
    let broken = client().call(&request.clone().header("x-bad", "hunter2\n"), soon()).unwrap_err();
    let shown = format!("{request:?} {answer:?} {broken} {broken:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_guarded_client_does_not_connect_to_its_own_machine() {
    let server = Server::start(vec![Reply::json(200, "{}")]);
    let (port, exempt) = (server.url("/").authority(), |url: &str| vec![url.parse().unwrap()]);
    let port = port.rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "localhost", "127.1"] {
        let request = Request::new(Method::Get, format!("http://{host}:{port}/").parse().unwrap());
        for client in [client().guarded(Vec::new()), client().guarded(exempt("http://169.254.1.1/"))] {
            let error = client.call(&request, soon()).unwrap_err();
            assert!(matches!(error, HttpError::Address { .. }) && !error.is_transient(), "{host}: {error}");
        }
    }
    assert_eq!(server.received().len(), 0);
    let beside = client().guarded(exempt("http://localhost:5000/v3"));
    assert_eq!(beside.call(&get(&server, "/"), soon()).unwrap().status(), 200);
}

#[test]
fn a_guarded_client_does_not_ask_a_proxy_for_the_metadata_service() {
    let server = Server::start(vec![Reply::json(200, "{}"), Reply::json(200, "{}")]);
    let proxy = Secret::new(server.url("/").authority());
    let client = HttpClient::new(Proxies::parse(&proxy, &proxy, "").unwrap()).guarded(Vec::new());
    let ask = |url: &str| client.call(&Request::new(Method::Get, url.parse().unwrap()), soon());
    for url in ["http://169.254.169.254/latest/meta-data", "http://[fe80::a9fe:a9fe]/"] {
        assert!(matches!(ask(url).unwrap_err(), HttpError::Address { .. }), "{url}");
    }
    assert_eq!(server.received().len(), 0);
    assert_eq!(ask("http://glance.example/").unwrap().status(), 200, "the proxy itself is the operator's");
}
