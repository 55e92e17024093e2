//! Requests through a real Squid with the access rules that Debian ships.
//!
//! Squid listens on a loopback address of its own and knows the name `cloud.test`, which nobody else does: what reaches the
//! target under that name came through the proxy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rehearsal::servers::own_address;
use runner_image_builder::deadline::Deadline;
use runner_image_builder::http::{HttpClient, HttpError, Method, Outgoing, Proxies, Request};
use runner_image_builder::secret::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

const SQUID: &str = "/usr/sbin/squid";
const RULES: &str = "/etc/squid/squid.conf";
const BASIC_AUTH: &str = "/usr/lib/squid/basic_ncsa_auth";
const UPLOAD: u64 = 8 * 1024 * 1024;

/// A running Squid. Ends with the test, however that ends.
struct Squid {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

/// Who may use the proxy.
enum Users {
    Anybody,
    /// Only `me` with the password `hunter2`.
    Me,
}

impl Squid {
    /// Starts Squid. `tunnels` are ports beside 443 to which it lets CONNECT.
    fn start(users: &Users, tunnels: &[u16]) -> Self {
        assert!(Path::new(SQUID).exists(), "{SQUID} is missing: apt-get install squid");
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let address = own_address().unwrap();
        let shipped = std::fs::read_to_string(RULES).unwrap();
        let mut config: Vec<String> =
            tunnels.iter().map(|port| format!("acl SSL_ports port {port}")).collect();
        if let Users::Me = users {
            let passwords = file("passwords", "me:$apr1$abcdefgh$ckT15POyCRlen.h6XtGAZ1\n");
            config.push(format!("auth_param basic program {BASIC_AUTH} {passwords}"));
            config.push("auth_param basic children 1".to_owned());
            config.push("acl known proxy_auth REQUIRED".to_owned());
        }
        for rule in
            shipped.lines().filter(|line| line.starts_with("acl ") || line.starts_with("http_access "))
        {
            if matches!(users, Users::Me) && rule == "http_access allow localhost" {
                config.push("http_access deny !known".to_owned());
            }
            config.push(rule.to_owned());
        }
        config.extend([
            format!("http_port {address}"),
            format!("hosts_file {}", file("hosts", "127.0.0.1 cloud.test\n")),
            format!("coredump_dir {}", folder.path().display()),
            "visible_hostname squid.test".to_owned(),
            "pid_filename none".to_owned(),
            "access_log none".to_owned(),
            "cache_log /dev/null".to_owned(),
            "netdb_filename none".to_owned(),
            "pinger_enable off".to_owned(),
            "cache deny all".to_owned(),
            "shutdown_lifetime 0 seconds".to_owned(),
        ]);
        let config = file("squid.conf", &(config.join("\n") + "\n"));
        let process = Command::new(SQUID)
            .args(["-N", "-f", &config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut squid = Self { process, address, _folder: folder };
        squid.wait_until_it_listens();
        squid
    }

    fn wait_until_it_listens(&mut self) {
        let deadline = soon();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait().unwrap() {
                let mut words = String::new();
                self.process.stderr.take().unwrap().read_to_string(&mut words).unwrap();
                panic!("squid ended with {status}: {words}");
            }
            assert!(!deadline.passed(), "squid does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn client(&self, user: &str, no_proxy: &str) -> HttpClient {
        let proxy = Secret::new(format!("http://{user}{}", self.address));
        HttpClient::new(Proxies::parse(&proxy, &proxy, no_proxy).unwrap())
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the target saw: the request's lines in lower case, and how many bytes followed.
#[derive(Debug)]
struct Seen {
    head: String,
    body: u64,
}

/// A web server behind the proxy.
struct Target {
    port: u16,
    seen: mpsc::Receiver<Seen>,
}

impl Target {
    fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, seen) = mpsc::channel();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let request = match &tls {
                    None => answer(connection),
                    Some(config) => {
                        let session = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                        answer(rustls::StreamOwned::new(session, connection))
                    }
                };
                if let Some(request) = request {
                    sender.send(request).unwrap();
                }
            }
        });
        Self { port, seen }
    }

    fn request(&self, method: Method, scheme: &str) -> Request {
        let url = format!("{scheme}://cloud.test:{}/v3?a=b", self.port);
        Request::new(method, url.parse().unwrap()).header("x-auth-token", "a-token")
    }

    fn seen(&self) -> Seen {
        self.seen.recv_timeout(Duration::from_secs(120)).unwrap()
    }
}

fn answer(stream: impl Read + Write) -> Option<Seen> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    head.make_ascii_lowercase();
    if head.contains("expect: 100-continue") {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<u64>().ok());
    let mut body = 0;
    if let Some(length) = length {
        body = std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).ok()?;
    } else if head.contains("transfer-encoding: chunked") {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let size = u64::from_str_radix(line.trim(), 16).ok()?;
            body += std::io::copy(&mut stream.by_ref().take(size), &mut std::io::sink()).ok()?;
            stream.read_line(&mut line).ok()?;
            if size == 0 {
                break;
            }
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    stream.get_mut().write_all(answer).ok()?;
    stream.get_mut().flush().ok()?;
    Some(Seen { head, body })
}

/// A certificate for `cloud.test`, and a TLS server that has it.
fn certificate() -> (String, Arc<rustls::ServerConfig>) {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=cloud.test"
                .split(' '),
        )
        .args(["-addext", "subjectAltName=DNS:cloud.test", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is missing: apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&certificate).unwrap()],
            PrivateKeyDer::from_pem_file(&key).unwrap(),
        )
        .unwrap();
    (std::fs::read_to_string(certificate).unwrap(), Arc::new(config))
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

#[test]
fn plain_http_to_any_port_is_fetched_by_the_proxy() {
    let squid = Squid::start(&Users::Anybody, &[]);
    let target = Target::start(None);
    let client = squid.client("", "");
    for _ in 0..2 {
        assert_eq!(client.call(&target.request(Method::Get, "http"), soon()).unwrap().status(), 200);
        let seen = target.seen();
        assert!(seen.head.starts_with("get /v3?a=b http/1.1\r\n"), "{}", seen.head);
        assert!(seen.head.contains("\r\nvia: 1.1 squid.test"), "{}", seen.head);
        assert!(seen.head.contains("\r\nx-auth-token: a-token\r\n"), "{}", seen.head);
    }
}

#[test]
fn uploads_stream_through_the_proxy() {
    let squid = Squid::start(&Users::Anybody, &[]);
    let target = Target::start(None);
    for size in [Some(UPLOAD), None] {
        let mut data = std::io::repeat(7).take(UPLOAD);
        let outgoing = Outgoing { size, reader: &mut data };
        let request = target.request(Method::Put, "http");
        assert_eq!(squid.client("", "").upload(&request, outgoing, soon()).unwrap().status(), 200);
        assert_eq!(target.seen().body, UPLOAD);
    }
}

#[test]
fn https_goes_through_a_tunnel_and_is_verified() {
    let (pem, config) = certificate();
    let target = Target::start(Some(config));
    let squid = Squid::start(&Users::Me, &[target.port]);
    let client = squid.client("me:hunter2@", "");
    let request = target.request(Method::Get, "https");
    let error = client.call(&request, soon()).unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "{error}");

    let trusting = client.trusting(&pem).unwrap();
    assert_eq!(trusting.call(&request, soon()).unwrap().status(), 200);
    let seen = target.seen();
    assert!(!seen.head.contains("via:") && !seen.head.contains("proxy-"), "{}", seen.head);
}

#[test]
fn a_tunnel_against_the_rules_is_explained() {
    let squid = Squid::start(&Users::Anybody, &[]);
    let request = Request::new(Method::Get, "https://cloud.test:5000/v3".parse().unwrap());
    let error = squid.client("me:hunter2@", "").call(&request, soon()).unwrap_err();
    let shown = error.to_string();
    assert!(matches!(error, HttpError::Proxy { status: 403, .. }), "{shown}");
    assert!(shown.contains(&format!("the proxy {} answered 403", squid.address)), "{shown}");
    assert!(shown.contains("add the host to Juju's no-proxy settings"), "{shown}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_server_that_the_proxy_does_not_reach_is_explained() {
    let squid = Squid::start(&Users::Anybody, &[]);
    for url in ["http://cloud.test:1025/", "https://cloud.test/", "http://nowhere.test/"] {
        let request = Request::new(Method::Post, url.parse().unwrap());
        let error = squid.client("", "").call(&request, soon()).unwrap_err();
        assert!(matches!(error, HttpError::Proxy { status: 502 | 503, .. }), "{url}: {error}");
    }
}

#[test]
fn exceptions_are_reached_directly() {
    let squid = Squid::start(&Users::Me, &[]);
    let target = Target::start(None);
    // Without credentials Squid would refuse; this machine is never reached through a proxy.
    let url = format!("http://127.0.0.1:{}/", target.port).parse().unwrap();
    let direct = squid.client("", "").call(&Request::new(Method::Get, url), soon());
    assert_eq!(direct.unwrap().status(), 200);
    assert!(!target.seen().head.contains("via:"));
    // Only Squid knows the name.
    let within = Deadline::after(Duration::from_secs(10));
    let error =
        squid.client("me:hunter2@", ".test").call(&target.request(Method::Get, "http"), within).unwrap_err();
    assert!(error.to_string().contains("connecting to cloud.test"), "{error}");
}

#[test]
fn credentials_open_the_proxy_and_are_never_shown() {
    let squid = Squid::start(&Users::Me, &[]);
    let target = Target::start(None);
    let request = target.request(Method::Get, "http");
    assert_eq!(squid.client("me:hunter2@", "").call(&request, soon()).unwrap().status(), 200);
    let seen = target.seen();
    assert!(!seen.head.contains("proxy-authorization"), "{}", seen.head);
    let tunnel = Request::new(Method::Get, "https://cloud.test/".parse().unwrap());
    for request in [request, tunnel] {
        for user in ["", "me:hunter3@"] {
            let error = squid.client(user, "").call(&request, soon()).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(matches!(error, HttpError::Proxy { status: 407, .. }), "{shown}");
            assert!(shown.contains("user and password") && !shown.contains("hunter"), "{shown}");
        }
    }
}
