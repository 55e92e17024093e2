//! Servers, and the security groups that they are in.

use super::*;

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
