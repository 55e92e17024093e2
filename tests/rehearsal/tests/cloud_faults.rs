//! Promises of misbehaviour on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cloud_support;

use std::time::{Duration, Instant};

use cloud_support::{cloud, log_in, send};
use rehearsal::cloud::{Fault, What};

#[test]
fn requests_go_wrong_in_every_way() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let url = builder.url("glance", "/v2/images");
    let ask = || send("GET", &url, &[("X-Auth-Token", &builder.token)], b"");
    let inject = |what| {
        cloud.heal();
        cloud.inject(Fault::new("GET", "/v2/images$", what).unwrap().times(1))
    };

    inject(What::Status(503, vec![("Retry-After".into(), "1".into())], "later".into()));
    let reply = ask().unwrap();
    assert_eq!(
        (reply.status, reply.header("retry-after"), reply.bytes.as_slice()),
        (503, Some("1"), &b"later"[..])
    );
    assert_eq!(ask().unwrap().status, 200);

    inject(What::GarbageJson);
    let reply = ask().unwrap();
    assert!(reply.status == 200 && serde_json::from_slice::<serde_json::Value>(&reply.bytes).is_err());

    inject(What::TruncateBody);
    assert!(ask().is_err());
    inject(What::DropConnection);
    assert!(ask().is_err());
    inject(What::Delay(Duration::from_millis(100)));
    let began = Instant::now();
    assert_eq!(ask().unwrap().status, 200);
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_lost_reply_has_had_its_effect() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    cloud.inject(Fault::new("POST", "/v2/images$", What::LoseReply).unwrap().times(1));
    let headers = [("X-Auth-Token", builder.token.as_str()), ("Content-Type", "application/json")];
    assert!(send("POST", &builder.url("glance", "/v2/images"), &headers, br#"{"name": "ghost"}"#).is_err());
    assert_eq!(cloud.project("builder-project").images().len(), 1);
}

#[test]
fn a_service_can_refuse_and_come_back() {
    let cloud = cloud();
    let address = cloud.auth_url().trim_start_matches("http://").trim_end_matches("/v3").to_owned();
    let fault = cloud.inject(Fault::new("*", &format!("^http://{address}/$"), What::Refuse).unwrap());
    let error = std::net::TcpStream::connect(&address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    cloud.lift(fault);
    assert_eq!(send("GET", &cloud.auth_url(), &[], b"").unwrap().status, 200);
}

#[test]
fn a_hanging_service_does_not_hang_the_end() {
    let cloud = cloud();
    cloud.inject(Fault::new("GET", "/v3$", What::AcceptAndHang).unwrap());
    let url = cloud.auth_url();
    let client = std::thread::spawn(move || send("GET", &url, &[], b"").is_err());
    cloud_support::until(|| cloud.log().iter().any(|entry| entry.status == 0).then_some(()));
    let began = Instant::now();
    drop(cloud);
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(client.join().unwrap());
}

#[test]
fn the_log_has_every_request_and_no_token() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    builder.get("nova", "/v2.1/servers?limit=1");
    let log = cloud.log();
    assert_eq!((log[0].method.as_str(), log[0].status), ("POST", 201));
    assert!(log[1].url.ends_with("/v2.1/servers?limit=1"));
    assert!(!format!("{log:?}").contains(&builder.token));
}
