//! What a cloud answers: objects, or an error that fits into a status. The first byte of the input chooses the status of
//! the answer, and whether Keystone gives it, too; the rest is its body.

#![no_main]
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, reason = "a failure is what is looked for")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use runner_image_builder::http::{HttpClient, Proxies};
use runner_image_builder::model::{Deadline, Secret};
use runner_image_builder::openstack_cloud::{Cloud, CloudConfig, ImageFilter, Interface, OpenStackError};

/// Those after which nothing is asked again, which would take its time.
const STATUSES: [u16; 8] = [200, 200, 200, 200, 400, 403, 404, 409];

/// The longest error, in characters, when each of its parts is as long as it may be.
const LONGEST: usize = 1500;

/// How the cloud answers.
#[derive(Clone)]
struct Answer {
    status: u16,
    body: Vec<u8>,
    from_keystone: bool,
}

static ANSWER: Mutex<Answer> = Mutex::new(Answer { status: 404, body: Vec::new(), from_keystone: false });
static AUTH_URL: LazyLock<String> = LazyLock::new(serve);
static HTTP: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new(Proxies::default()));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate_json(data, size, max_size, seed, 1)
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    let status = STATUSES[usize::from(*first) % STATUSES.len()];
    let from_keystone = first / 8 % 4 == 0;
    *ANSWER.lock().unwrap() = Answer { status, body: body.to_vec(), from_keystone };
    let Some(cloud) = read(Cloud::connect(&config(), &HTTP, soon())) else { return };
    // Where a catalog that nobody can foresee leads is not asked.
    if from_keystone {
        return;
    }
    read(cloud.images().list(&ImageFilter::default(), soon()));
    read(cloud.images().get(&"i".parse().expect("an id"), soon()));
    read(cloud.compute().flavors(soon()));
    read(cloud.compute().servers(None, soon()));
    read(cloud.compute().server(&"s".parse().expect("an id"), soon()));
    read(cloud.network().networks(None, soon()));
    read(cloud.network().network(&"n".parse().expect("an id"), soon()));
    read(cloud.network().subnets(&"n".parse().expect("an id"), soon()));
    read(cloud.network().security_groups(None, soon()));
});

fn read<T>(answer: Result<T, OpenStackError>) -> Option<T> {
    let error = match answer {
        Ok(found) => return Some(found),
        Err(error) => error.to_string(),
    };
    assert!(error.chars().count() < LONGEST && !error.contains(char::is_control), "{error:?}");
    None
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn config() -> CloudConfig {
    let text = |text: &str| text.to_owned();
    CloudConfig {
        auth_url: AUTH_URL.clone(),
        region_name: None,
        interface: Interface::Public,
        ca_certificate: None,
        project_name: text("p"),
        project_domain_name: text("Default"),
        user_domain_name: text("Default"),
        username: text("u"),
        application_credential: None,
        password: Secret::new(text("secret")),
    }
}

/// Begins to serve; returns the address of Keystone.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let origin = url.clone();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let origin = origin.clone();
            // Who goes away in the middle is none of our concern.
            thread::spawn(move || converse(&connection, &origin).ok());
        }
    });
    format!("{url}/v3")
}

/// Answers one request after the other.
fn converse(connection: &TcpStream, origin: &str) -> io::Result<()> {
    let mut from = BufReader::new(connection);
    loop {
        let (mut request, mut length, mut line) = (String::new(), 0, String::new());
        if from.read_line(&mut request)? == 0 {
            return Ok(());
        }
        while from.read_line(&mut line)? > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        io::copy(&mut from.by_ref().take(length), &mut io::sink())?;
        let answer = ANSWER.lock().unwrap().clone();
        let is_login = request.contains("/auth/tokens");
        let (status, body) = match is_login && !answer.from_keystone {
            true => (201, token(origin).into_bytes()),
            false if is_login && answer.status == 200 => (201, answer.body),
            false => (answer.status, answer.body),
        };
        let head = format!(
            "HTTP/1.1 {status} Word\r\ncontent-type: application/json\r\nx-subject-token: token\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut to = connection;
        to.write_all(&[head.as_bytes(), &body].concat())?;
    }
}

fn token(origin: &str) -> String {
    let service = |kind: &str| {
        let endpoint =
            serde_json::json!({"interface": "public", "region_id": "One", "url": format!("{origin}/{kind}")});
        serde_json::json!({"type": kind, "endpoints": [endpoint]})
    };
    let catalog = ["image", "compute", "network"].map(service);
    serde_json::json!({"token": {
        "issued_at": "2026-05-01T12:00:00.000000Z", "expires_at": "2026-05-01T13:00:00.000000Z",
        "project": {"id": "p1", "name": "p"}, "user": {"id": "u1", "name": "u"},
        "catalog": catalog,
    }})
    .to_string()
}
