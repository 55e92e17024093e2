//! Promises of the client, against a server that answers by script.

mod images;
mod servers;

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use super::*;
use crate::http::Proxies;
use crate::http::testing::{Reply, Server};
use crate::model::Secret;

const ID: &str = "11111111-2222-4333-8444-555555555555";

fn token(origin: &str, lifetime: u32) -> Reply {
    token_for(&[("One", origin)], lifetime)
}

/// A token whose catalog has these regions, each at its address.
fn token_for(regions: &[(&str, &str)], lifetime: u32) -> Reply {
    let endpoint = |path: &str| {
        let of = |(name, origin): &(&str, &str)| {
            format!(
                r#"{{"interface":"public","region":"{name}","region_id":"{name}","url":"{origin}{path}"}}"#
            )
        };
        format!("[{}]", regions.iter().map(of).collect::<Vec<_>>().join(","))
    };
    let body = format!(
        r#"{{"token":{{"issued_at":"2026-05-01T12:00:00.000000Z","expires_at":"2026-05-01T12:{lifetime:02}:00.000000Z",
        "project":{{"id":"p1","name":"p"}},"user":{{"id":"u1","name":"u"}},"catalog":[
        {{"type":"image","endpoints":{}}},{{"type":"compute","endpoints":{}}},{{"type":"network","endpoints":{}}}]}}}}"#,
        endpoint("/image"),
        endpoint("/compute/v2.1"),
        endpoint("/network")
    );
    Reply::with(201, "x-subject-token: hunter2-token\r\n", &body)
}

fn config(server: &Server) -> CloudConfig {
    CloudConfig {
        auth_url: server.url("/identity/").to_string(),
        region_name: None,
        interface: Interface::Public,
        ca_certificate: None,
        project_name: "p".to_owned(),
        project_domain_name: "Default".to_owned(),
        user_domain_name: "Default".to_owned(),
        username: "u".to_owned(),
        application_credential: None,
        password: Secret::new("hunter2".to_owned()),
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

fn connect(server: &Server) -> Result<Cloud, OpenStackError> {
    Cloud::connect(&config(server), &HttpClient::new(Proxies::default()), soon())
}

/// A server whose first answer is a token, and a session with it.
fn cloud(replies: Vec<Reply>) -> (Server, Cloud) {
    let server = Server::scripted(|origin| std::iter::once(token(origin, 59)).chain(replies).collect());
    let cloud = connect(&server).unwrap();
    (server, cloud)
}

fn image_json(id: &str, status: &str) -> String {
    format!(
        r#"{{"id":"{id}","name":"n","status":"{status}","size":5,"min_disk":20,"min_ram":0,"visibility":"private",
        "created_at":"2026-05-01T12:00:00Z","os_hidden":true,"owner":"p1","self":"/v2/images/{id}","tags":[],
        "checksum":null,"os_hash_algo":"sha512","os_hash_value":"ab","architecture":"x86_64","stores":"a",
        "container_format":"bare","disk_format":"qcow2","protected":false,"unset":null}}"#
    )
}

fn server_json(status: &str, extra: &str) -> Reply {
    Reply::json(
        200,
        &format!(
            r#"{{"server":{{"id":"{ID}","name":"b","status":"{status}","created":"2026-05-01T12:00:00Z","metadata":{{"k":"v"}},
            "OS-EXT-STS:task_state":null,"addresses":{{"net":[{{"addr":"10.0.0.5","version":4,"OS-EXT-IPS:type":"fixed",
            "OS-EXT-IPS-MAC:mac_addr":"fa:16:3e:00:00:01"}},{{"addr":"2001:db8::5","version":6}}]}}{extra}}}}}"#
        ),
    )
}

fn id<T: std::str::FromStr<Err = NotAnId>>() -> T {
    ID.parse().unwrap()
}

#[test]
fn a_session_begins_with_the_password_and_goes_on_with_the_token() {
    let (server, cloud) = cloud(vec![Reply::json(200, r#"{"images":[]}"#)]);
    assert_eq!((cloud.project_id().as_str(), cloud.user_id().as_str()), ("p1", "u1"));
    cloud.images().list(&ImageFilter::default(), soon()).unwrap();
    let received = server.received();
    assert_eq!(received[0].line, "POST /identity/v3/auth/tokens HTTP/1.1");
    let body: serde_json::Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(body["auth"]["identity"]["password"]["user"]["password"], "hunter2");
    assert_eq!(body["auth"]["scope"]["project"]["domain"]["name"], "Default");
    assert_eq!(received[1].line, "GET /image/v2/images?limit=100 HTTP/1.1");
    assert_eq!(received[1].header("x-auth-token"), Some("hunter2-token"));
}

#[test]
fn a_refused_token_is_renewed_once() {
    let server = Server::scripted(|origin| {
        vec![
            token(origin, 59),
            Reply::json(401, "{}"),
            token(origin, 59),
            Reply::json(200, r#"{"images":[]}"#),
            Reply::json(401, r#"{"error":{"message":"No."}}"#),
            token(origin, 59),
            Reply::json(401, r#"{"error":{"message":"No."}}"#),
        ]
    });
    let cloud = connect(&server).unwrap();
    cloud.images().list(&ImageFilter::default(), soon()).unwrap();
    let error = cloud.images().list(&ImageFilter::default(), soon()).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Credentials, Some(401)));
    assert_eq!(error.to_string(), "listing images: No. (HTTP 401)");
    assert!(error.operator_must_act());
    assert_eq!(server.received().len(), 7);
}

#[test]
fn a_token_that_is_about_to_expire_is_renewed_first() {
    let server = Server::scripted(|origin| {
        vec![token(origin, 1), token(origin, 59), Reply::json(200, r#"{"images":[]}"#)]
    });
    connect(&server).unwrap().images().list(&ImageFilter::default(), soon()).unwrap();
    assert_eq!(server.received().len(), 3);
}

#[test]
fn refused_credentials_are_told_from_a_wrong_address() {
    for (status, kind) in
        [(401, ErrorKind::Credentials), (404, ErrorKind::Configuration), (500, ErrorKind::Unavailable)]
    {
        let body = r#"{"error":{"code":1,"message":"The request you have made requires authentication."}}"#;
        let server = Server::start(vec![Reply::json(status, body); 4]);
        let error = connect(&server).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.to_string().contains("(HTTP 500, 4 attempts)"), status == 500, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("authenticating as u for project p") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn lists_are_read_to_the_end() {
    let page = |ids: &[&str], next: &str| {
        let image =
            |id: &&str| image_json(id, "active").replace(r#""name":"n""#, r#""name":"a b","k":"v&w""#);
        // What was not asked for is left out, whatever the cloud thinks of it.
        let other = |id: &&str| [image(id), image_json(&format!("{id}-other"), "active")];
        let images: Vec<_> = ids.iter().rev().flat_map(other).rev().collect();
        Reply::json(200, &format!(r#"{{"images":[{}]{next}}}"#, images.join(",")))
    };
    let (server, cloud) = cloud(vec![
        page(&["a1", "a2"], r#","next":"/v2/images?marker=a2""#),
        page(&["a3"], r#","next":"/v2/images?marker=a3""#),
        page(&[], ""),
    ]);
    let filter = ImageFilter {
        name: Some("a b".to_owned()),
        status: Some(ImageStatus::Active),
        properties: vec![("k".to_owned(), "v&w".to_owned())],
        hidden: Hidden::Yes,
        owner: Some("p1".parse().unwrap()),
    };
    let ids: Vec<_> =
        cloud.images().list(&filter, soon()).unwrap().into_iter().map(|image| image.id.to_string()).collect();
    assert_eq!(ids, ["a1", "a2", "a3"]);
    let lines: Vec<_> = server.received().into_iter().skip(1).map(|request| request.line).collect();
    let query = "name=a%20b&status=active&owner=p1&os_hidden=true&k=v%26w&limit=100";
    assert_eq!(lines[0], format!("GET /image/v2/images?{query} HTTP/1.1"));
    assert_eq!(lines[2], format!("GET /image/v2/images?{query}&marker=a3 HTTP/1.1"));
}

#[test]
fn a_list_that_repeats_itself_is_not_read_for_ever() {
    let page = Reply::json(200, &format!(r#"{{"images":[{}],"next":"/again"}}"#, image_json("a1", "active")));
    let (_server, cloud) = cloud(vec![page; 3]);
    let error = cloud.images().list(&ImageFilter::default(), soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

#[test]
fn nothing_of_a_session_shows_a_secret() {
    let (server, cloud) = cloud(vec![]);
    let shown = format!("{cloud:?} {:?} {:?}", config(&server), cloud.images());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn threads_may_share_a_cloud() {
    fn shared<T: Clone + Send + Sync>() {}
    shared::<Cloud>();
    shared::<HttpClient>();
    let page = Reply::json(200, r#"{"images":[]}"#);
    let (server, cloud) = cloud(vec![page; 8]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| cloud.images().list(&ImageFilter::default(), soon()).unwrap());
        }
    });
    assert_eq!(server.received().len(), 9);
}

/// What a cloud answers, distorted in many ways: an error that fits a line of a status, or objects, never a panic.
#[test]
fn no_answer_of_a_cloud_makes_us_stumble() {
    let image: serde_json::Value = serde_json::from_str(&image_json(ID, "active")).unwrap();
    let server = serde_json::json!({"id": ID, "name": "b", "status": "ERROR", "created": "2026-05-01T12:00:00Z",
        "metadata": {"k": "v"}, "fault": {"message": "no valid host", "code": 500},
        "addresses": {"net": [{"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed"}]}});
    let flavor = serde_json::json!({"id": "1", "name": "f", "vcpus": 2, "ram": 2048, "disk": 20,
        "OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": true});
    let group = serde_json::json!({"id": ID, "name": "g", "description": "", "security_group_rules": [
        {"direction": "ingress", "protocol": "tcp", "ethertype": "IPv4",
         "port_range_min": 22, "remote_ip_prefix": null}]});
    let network = serde_json::json!({"id": ID, "name": "n", "router:external": false});
    let bodies = [
        serde_json::json!({"images": [image]}),
        serde_json::json!({"servers": [server]}),
        serde_json::json!({"flavors": [flavor]}),
        serde_json::json!({"security_groups": [group]}),
        serde_json::json!({"networks": [network]}),
    ];
    let mut random = crate::testing::Random::seeded(0xc1_00d);
    let rounds = 100;
    let mut reply = |body: &serde_json::Value| match random.below(4) {
        0 => Reply::json(200, &String::from_utf8_lossy(&random.damaged(body.to_string().as_bytes()))),
        1 => Reply::json(
            409,
            &random.distorted(&serde_json::json!({"error": {"message": "m", "code": 409}})).to_string(),
        ),
        _ => Reply::json(200, &random.distorted(body).to_string()),
    };
    let mut replies: Vec<Reply> = bodies.iter().map(|body| Reply::json(200, &body.to_string())).collect();
    (0..rounds).for_each(|_| replies.extend(bodies.iter().map(&mut reply)));
    let (_server, cloud) = cloud(replies);
    let mut good = 0;
    for round in 0..=rounds {
        let errors = [
            cloud.images().list(&ImageFilter::default(), soon()).map(|found| good += found.len()).err(),
            cloud.compute().servers(None, soon()).map(|found| good += found.len()).err(),
            cloud.compute().flavors(soon()).map(|found| good += found.len()).err(),
            cloud.network().security_groups(None, soon()).map(|found| good += found.len()).err(),
            cloud.network().networks(None, soon()).map(|found| good += found.len()).err(),
        ];
        assert!(round > 0 || good == bodies.len(), "before anything is distorted: {errors:?}");
        for error in errors.into_iter().flatten() {
            let text = error.to_string();
            assert!(text.len() < 1500 && !text.contains(|c: char| c.is_control()), "{text:?}");
        }
    }
    assert!(good > 2 * bodies.len(), "only {good} objects were read: the errors say nothing");
}

#[test]
fn a_cloud_is_the_same_by_its_keystone_and_region_and_not_by_who_asks() {
    let server = Server::scripted(|_| Vec::new());
    let one = config(&server);
    let port = one.auth_url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let of = |auth_url: &str, region: Option<&str>| CloudConfig {
        auth_url: auth_url.replace("PORT", port),
        region_name: region.map(str::to_owned),
        username: "another".to_owned(),
        ca_certificate: Some("theirs".to_owned()),
        ..one.clone()
    };
    let host = one.auth_url.split("://").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let same = format!("http://{host}:PORT/identity/v3/");
    for (auth_url, region, is_same) in [
        (same.as_str(), None, true),
        (same.as_str(), Some("One"), true),
        ("http://192.0.2.1:PORT/identity", None, false),
        (same.replace("http:", "https:").as_str(), None, false),
        (same.replace("identity", "other").as_str(), None, false),
        ("nonsense", None, false),
    ] {
        assert_eq!(one.is_same_cloud(&of(auth_url, region)), is_same, "{auth_url}");
    }
    assert!(!of(&same, Some("One")).is_same_cloud(&of(&same, Some("Two"))));
    assert!(!of("nonsense", None).is_same_cloud(&of("nonsense", None)));
}
