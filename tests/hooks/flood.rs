//! A cloud whose lists have no end: what the worker holds of them is bounded.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::deploy::Plan;

/// What the worker may have resident, whatever a cloud answers.
const BOUND: u64 = 32 << 20;

/// How long each page is.
#[derive(Clone, Copy, Debug)]
enum Pages {
    /// Far too long to be read.
    Huge,
    /// As long as one may be, full of what is asked for, each object with as many small properties as it may have.
    Wanted,
}

/// Serves Keystone, and lists without an end for all other services. Returns the address of Keystone, and how many lists it
/// was asked for.
fn flooding(pages: Pages) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (url, asked) = (format!("{origin}/v3"), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (origin, count) = (origin.clone(), Arc::clone(&count));
            thread::spawn(move || answer(connection, &origin, pages, &count));
        }
    });
    (url, asked)
}

fn answer(mut connection: TcpStream, origin: &str, pages: Pages, count: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length: ").map_or(length, |number| number.parse().unwrap());
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    let target = first.split(' ').nth(1)?;
    let (status, body) = match target.split_once('?') {
        Some((path, query)) => (200, page(path, query, pages, count.fetch_add(1, Ordering::Relaxed))),
        None if target == "/v3/auth/tokens" => (201, token(origin)),
        None => (404, "{}".into()),
    };
    let head = format!("HTTP/1.1 {status} X\r\nx-subject-token: t\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all(head.as_bytes()).ok()?;
    connection.write_all(body.as_bytes()).ok()
}

fn token(origin: &str) -> String {
    let endpoint = json!([{"interface": "public", "region_id": "R", "url": origin}]);
    let catalog: Vec<_> = ["image", "compute", "network"]
        .iter()
        .map(|service| json!({"type": service, "endpoints": endpoint}))
        .collect();
    json!({"token": {"issued_at": "2026-05-01T12:00:00Z", "expires_at": "2026-05-01T20:00:00Z", "catalog": catalog,
        "project": {"id": "p"}, "user": {"id": "u"}}})
    .to_string()
}

fn page(path: &str, query: &str, pages: Pages, number: usize) -> String {
    let key = path.rsplit('/').find(|part| *part != "detail").unwrap().replace('-', "_");
    let decoded = query.replace("%2F", "/").replace("%3A", ":");
    let asked = decoded.split('&').filter_map(|pair| pair.split_once('='));
    let mut common: Map<String, Value> = asked
        .filter(|(name, _)| !matches!(*name, "limit" | "marker"))
        .map(|(n, v)| (n.into(), v.into()))
        .collect();
    let more = json!({"status": "active", "visibility": "private", "created_at": "2026-05-01T12:00:00Z", "owner": "p"});
    common.extend(more.as_object().unwrap().clone());
    common.remove("os_hidden");
    common.extend((0..100).map(|number| (format!("p{number}"), "".into())));
    if matches!(pages, Pages::Huge) {
        return format!(r#"{{"{key}":[{}"#, " ".repeat(16 << 20));
    }
    common.extend(["id", "self"].map(|name| (name.into(), "@".into())));
    let template = Value::Object(common).to_string();
    let object = |index: usize| template.replace('@', &format!("{number}-{index}"));
    let objects: Vec<String> = (0..(500 << 10) / object(100).len()).map(object).collect();
    format!(r#"{{"{key}":[{}],"next":"/more","{key}_links":[{{"rel":"next"}}]}}"#, objects.join(","))
}

/// The most that a living process has had resident so far.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[test]
fn the_worker_stays_small_whatever_a_cloud_lists() {
    for (pages, words) in
        [(Pages::Huge, "the answer is larger than"), (Pages::Wanted, "would have to be held")]
    {
        let (keystone, asked) = flooding(pages);
        let (site, _relation) = Plan::new().keystone(&keystone).option("build-mode", "external").related();
        let (worker, log) = (site.worker().pid, site.host().log_dir().join("worker.log"));
        let mut peak = 0;
        let told = || {
            peak = peak_of(worker).unwrap_or(peak);
            fs::read_to_string(&log).is_ok_and(|log| log.contains(words))
        };
        site.model.wait_until(words, Duration::from_secs(300), told).unwrap();
        assert!(asked.load(Ordering::Relaxed) > 3, "{pages:?}: hardly anything was asked for");
        assert!((1..BOUND).contains(&peak), "{pages:?}: {peak} bytes");
    }
}
