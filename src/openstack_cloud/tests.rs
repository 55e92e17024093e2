//! Promises of the client, against a server that answers by script.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use super::*;
use crate::http::Proxies;
use crate::http::testing::{Reply, Server};
use crate::secret::Secret;

const ID: &str = "11111111-2222-4333-8444-555555555555";

fn token(origin: &str, lifetime: u32) -> Reply {
    let endpoint = |path: &str| {
        format!(r#"[{{"interface":"public","region":"One","region_id":"One","url":"{origin}{path}"}}]"#)
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
fn an_images_own_properties_are_told_from_glances_fields() {
    let (_server, cloud) = cloud(vec![Reply::json(200, &image_json(ID, "queued")), Reply::json(404, "{}")]);
    let image = cloud.images().get(&id(), soon()).unwrap().unwrap();
    assert_eq!((image.status, image.size, image.hidden), (ImageStatus::Queued, Some(5), Hidden::Yes));
    assert_eq!(image.hash.as_deref(), Some("ab"));
    let properties: Vec<_> = image.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(properties, ["architecture=x86_64", "stores=a"]);
    assert!(cloud.images().get(&id(), soon()).unwrap().is_none());
}

#[test]
fn an_upload_has_a_fresh_token_and_is_repeated_only_untouched() {
    let refusal = "HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Server::scripted(|origin| {
        vec![token(origin, 59), Reply::Early(refusal.into()), token(origin, 59), Reply::json(204, "")]
    });
    let cloud = connect(&server).unwrap();
    cloud.images().upload(&id(), Some(4), &mut &b"data"[..], soon()).unwrap();
    let received = server.received();
    assert_eq!(received[3].line, format!("PUT /image/v2/images/{ID}/file HTTP/1.1"));
    assert_eq!(received[3].body, b"data");

    let server = Server::scripted(|origin| {
        vec![token(origin, 59), Reply::json(401, ""), token(origin, 59), Reply::json(204, "")]
    });
    let cloud = connect(&server).unwrap();
    let error = cloud.images().upload(&id(), None, &mut &b"data"[..], soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
}

#[test]
fn a_download_that_breaks_off_is_a_read_error() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort";
    let (_server, cloud) = cloud(vec![Reply::Raw(short.into()), Reply::json(403, "<p>Forbidden<p>")]);
    let mut data = cloud.images().download(&id(), soon()).unwrap();
    assert_eq!(data.size(), Some(9));
    assert!(data.read_to_end(&mut Vec::new()).is_err());
    let error = cloud.images().download(&id(), soon()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Forbidden, "Forbidden"));
}

#[test]
fn a_deletion_says_what_became_of_it() {
    let (_server, cloud) = cloud(vec![
        Reply::json(204, ""),
        Reply::json(404, "{}"),
        Reply::json(409, "<html><body>Image is in use</body></html>"),
        Reply::json(403, "{}"),
    ]);
    let delete = || cloud.images().delete(&id(), soon());
    assert_eq!(delete().unwrap(), Deletion::Deleted);
    assert_eq!(delete().unwrap(), Deletion::Absent);
    assert_eq!(delete().unwrap(), Deletion::InUse("Image is in use".to_owned()));
    assert_eq!(delete().unwrap_err().kind(), ErrorKind::Forbidden);
}

#[test]
fn waiting_for_an_image_ends_when_it_cannot_become_active() {
    let (_server, cloud) = cloud(vec![
        Reply::json(200, &image_json(ID, "saving")),
        Reply::json(200, &image_json(ID, "active")),
        Reply::json(200, &image_json(ID, "killed")),
        Reply::json(404, "{}"),
    ]);
    let wait = || cloud.images().wait_until_active(&id(), soon());
    assert_eq!(wait().unwrap().status, ImageStatus::Active);
    assert!(wait().unwrap_err().to_string().ends_with("it is killed"));
    assert_eq!(wait().unwrap_err().kind(), ErrorKind::Failed);
}

#[test]
fn a_server_is_made_as_described() {
    let (server, cloud) = cloud(vec![
        Reply::json(202, &format!(r#"{{"server":{{"id":"{ID}","adminPass":"hunter2"}}}}"#)),
        Reply::json(400, r#"{"badRequest":{"code":400,"message":"Flavor x could not be found."}}"#),
    ]);
    let new = NewServer {
        name: "b".to_owned(),
        image: id(),
        flavor: "f".parse().unwrap(),
        network: id(),
        security_group: Some(id()),
        metadata_source: MetadataSource::ConfigDrive,
        user_data: Secret::new(b"hunter2".to_vec()),
        metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
    };
    assert_eq!(cloud.compute().create_server(&new, soon()).unwrap().as_str(), ID);
    let error = cloud.compute().create_server(&new, soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), "creating server b: Flavor x could not be found. (HTTP 400)");
    let body: serde_json::Value = serde_json::from_slice(&server.received()[1].body).unwrap();
    assert_eq!(body["server"]["config_drive"], true);
    assert_eq!(body["server"]["user_data"], "aHVudGVyMg==");
    assert_eq!(body["server"]["networks"][0]["uuid"], ID);
    assert!(!format!("{new:?}").contains("hunter2"));
}

#[test]
fn waiting_for_a_server_ends_with_its_fault() {
    let (_server, cloud) = cloud(vec![
        server_json("BUILD", ""),
        server_json("ACTIVE", ""),
        server_json("ERROR", r#","fault":{"code":500,"message":"No valid host was found."}"#),
        Reply::json(404, "{}"),
        server_json("BUILD", ""),
    ]);
    let wait = |deadline| cloud.compute().wait_for_server(&id(), &ServerStatus::Active, deadline);
    let server = wait(soon()).unwrap();
    assert_eq!(server.addresses[0].mac.as_deref(), Some("fa:16:3e:00:00:01"));
    assert_eq!(server.addresses[1].address.to_string(), "2001:db8::5");
    let error = wait(soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("to become ACTIVE: No valid host was found; "), "{error}");
    assert!(wait(soon()).unwrap_err().to_string().ends_with("it disappeared"));
    let start = Instant::now();
    assert_eq!(wait(Deadline::after(Duration::from_millis(100))).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_server_is_gone_when_it_is_not_listed_any_more() {
    let (server, cloud) = cloud(vec![
        server_json("ACTIVE", ""),
        server_json("DELETED", ""),
        Reply::json(404, "{}"),
        server_json("SOFT_DELETED", ""),
    ]);
    cloud.compute().wait_until_gone(&id(), soon()).unwrap();
    assert_eq!(server.received().len(), 4);
    cloud.compute().wait_until_gone(&id(), soon()).unwrap();
}

#[test]
fn a_server_that_is_busy_is_deleted_as_soon_as_it_can_be() {
    let busy = r#"{"conflictingRequest": {"code": 409, "message": "it is being snapshotted"}}"#;
    let replies = vec![Reply::json(409, busy), Reply::json(204, ""), Reply::json(404, "{}")];
    let (server, cloud) = cloud(replies);
    cloud.compute().remove_server(&id(), soon()).unwrap();
    assert_eq!(server.received().len(), 4, "a token, two deletions, a look");
}

#[test]
fn a_snapshot_is_named_by_new_and_old_clouds() {
    let location = format!("location: http://glance/v2/images/{ID}\r\n");
    let (server, cloud) = cloud(vec![
        Reply::json(202, &format!(r#"{{"image_id":"{ID}"}}"#)),
        Reply::json(406, r#"{"computeFault":{"message":"Version 2.45 is not supported"}}"#),
        Reply::with(202, &location, ""),
    ]);
    let metadata = BTreeMap::new();
    let snapshot = || cloud.compute().create_server_image(&id(), "s", &metadata, soon()).unwrap();
    assert_eq!((snapshot().as_str(), snapshot().as_str()), (ID, ID));
    let received = server.received();
    assert_eq!(received[1].header("openstack-api-version"), Some("compute 2.45"));
    assert_eq!(received[3].header("openstack-api-version"), None);
}

#[test]
fn servers_of_a_name_are_not_those_of_similar_names() {
    let body = format!(
        r#"{{"servers":[{{"id":"{ID}","name":"a.b","status":"ACTIVE"}},{{"id":"x","name":"axb","status":"ACTIVE"}}]}}"#
    );
    let (server, cloud) = cloud(vec![Reply::json(200, &body)]);
    let servers = cloud.compute().servers(Some("a.b"), soon()).unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(
        server.received()[1].line,
        "GET /compute/v2.1/servers/detail?name=%5Ea%5C.b%24&limit=100 HTTP/1.1"
    );
}

#[test]
fn an_existing_rule_is_no_error_and_a_used_group_is_in_use() {
    let exists = r#"{"NeutronError":{"type":"SecurityGroupRuleExists","message":"exists","detail":""}}"#;
    let quota = r#"{"NeutronError":{"type":"OverQuota","message":"Quota exceeded","detail":""}}"#;
    let in_use =
        r#"{"NeutronError":{"type":"SecurityGroupInUse","message":"Security Group g in use.","detail":""}}"#;
    let (server, cloud) =
        cloud(vec![Reply::json(409, exists), Reply::json(409, quota), Reply::json(409, in_use)]);
    let network = cloud.network();
    let rule = NewRule {
        protocol: Protocol::Tcp(22),
        ethertype: EtherType::IPv4,
        remote: Some("10.0.0.0/8".parse().unwrap()),
    };
    network.create_security_group_rule(&id(), &rule, soon()).unwrap();
    assert_eq!(
        network.create_security_group_rule(&id(), &rule, soon()).unwrap_err().kind(),
        ErrorKind::Quota
    );
    let deletion = network.delete_security_group(&id(), soon()).unwrap();
    assert_eq!(deletion, Deletion::InUse("Security Group g in use.".to_owned()));
    let body: serde_json::Value = serde_json::from_slice(&server.received()[1].body).unwrap();
    assert_eq!(body["security_group_rule"]["remote_ip_prefix"], "10.0.0.0/8");
    assert_eq!(body["security_group_rule"]["port_range_max"], 22);
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
