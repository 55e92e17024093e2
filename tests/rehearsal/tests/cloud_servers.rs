//! Promises of the embedded compute and network services.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cloud_support;

use cloud_support::{cloud, log_in, send, until};
use rehearsal::cloud::{CloudSetup, Quota, RehearsalCloud};
use serde_json::{Value, json};

#[test]
fn a_server_goes_from_build_to_active_to_nothing() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let image = builder.upload("base", b"x");
    let id = builder.launch(&image, "#cloud-config\n");
    assert_eq!(builder.server(&id)["status"], "BUILD");
    let early = builder.act(&id, &json!({"createImage": {"name": "s"}}));
    assert_eq!(early.status, 409);
    let server = builder.await_status(&id, "ACTIVE");
    assert!(server["addresses"]["runner-net"][0]["addr"].as_str().unwrap().starts_with("127."));
    assert_eq!(builder.call("DELETE", "nova", &format!("/v2.1/servers/{id}"), &Value::Null).status, 204);
    until(|| (builder.get("nova", &format!("/v2.1/servers/{id}")).status == 404).then_some(()));
    until(|| cloud.project("builder-project").ports().is_empty().then_some(()));
}

#[test]
fn a_failed_build_says_why() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let image = builder.upload("base", b"x");
    cloud.fail_next_build("No valid host was found.");
    let id = builder.launch(&image, "#cloud-config\n");
    let server = builder.await_status(&id, "ERROR");
    assert_eq!(server["fault"]["message"], "No valid host was found.");
}

#[test]
fn requests_that_cannot_work_are_refused_in_novas_words() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let image = builder.upload("base", b"x");
    let refusal = |change: &dyn Fn(&mut Value)| {
        let mut body = builder.server_body(&image, "");
        change(&mut body["server"]);
        let reply = builder.call("POST", "nova", "/v2.1/servers", &body);
        let message = reply.json()["badRequest"]["message"].as_str().unwrap_or_default().to_owned();
        (reply.status, message)
    };
    let none = "70a599e0-31e7-49b7-b260-868f441e862b";
    let (status, message) = refusal(&|server| server["imageRef"] = json!(none));
    assert_eq!((status, message.as_str()), (400, "Can not find requested image"));
    let (status, message) = refusal(&|server| server["networks"] = json!([{"uuid": none}]));
    assert_eq!((status, message), (400, format!("Network {none} could not be found.")));
    let (status, message) = refusal(&|server| server["security_groups"] = json!([{"name": "nosuch"}]));
    assert_eq!((status, message.as_str()), (400, "Unable to find security_group with name or id 'nosuch'"));
    let (status, message) = refusal(&|server| server["bogus"] = json!(1));
    assert!(status == 400 && message.contains("'bogus' was unexpected"), "{message}");
}

#[test]
fn a_quota_is_403() {
    let quota = Quota { instances: 1, ..CloudSetup::default().quota };
    let cloud = RehearsalCloud::start(CloudSetup { quota, ..CloudSetup::default() }).unwrap();
    let builder = log_in(&cloud, "builder");
    let image = builder.upload("base", b"x");
    builder.launch(&image, "");
    let reply = builder.call("POST", "nova", "/v2.1/servers", &builder.server_body(&image, ""));
    assert_eq!(reply.status, 403);
    let message = reply.json()["forbidden"]["message"].clone();
    assert_eq!(message, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances");
}

#[test]
fn a_microversion_that_nobody_knows_is_406() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ask = |version: &str| {
        let headers = [("X-Auth-Token", builder.token.as_str()), ("X-OpenStack-Nova-API-Version", version)];
        send("GET", &builder.url("nova", "/v2.1/flavors"), &headers, b"").unwrap().status
    };
    assert_eq!((ask("2.93"), ask("2.94"), ask("x")), (200, 406, 400));
}

#[test]
fn a_group_that_a_server_uses_cannot_go() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let group = builder.call(
        "POST",
        "neutron",
        "/v2.0/security-groups",
        &json!({"security_group": {"name": "ssh", "description": "d"}}),
    );
    assert_eq!(group.status, 201);
    let id = group.json()["security_group"]["id"].as_str().unwrap().to_owned();
    let rule = json!({"security_group_rule": {"security_group_id": id, "direction": "ingress", "protocol": "tcp",
        "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "10.0.0.0/8"}});
    assert_eq!(builder.call("POST", "neutron", "/v2.0/security-group-rules", &rule).status, 201);
    assert_eq!(builder.call("POST", "neutron", "/v2.0/security-group-rules", &rule).status, 409);
    let image = builder.upload("base", b"x");
    let mut body = builder.server_body(&image, "");
    body["server"]["security_groups"] = json!([{"name": "ssh"}]);
    let server = builder.call("POST", "nova", "/v2.1/servers", &body).json()["server"]["id"].clone();
    let path = format!("/v2.0/security-groups/{id}");
    assert_eq!(builder.call("DELETE", "neutron", &path, &Value::Null).status, 409);
    builder.call("DELETE", "nova", &format!("/v2.1/servers/{}", server.as_str().unwrap()), &Value::Null);
    until(|| (builder.call("DELETE", "neutron", &path, &Value::Null).status == 204).then_some(()));
}

#[test]
fn a_snapshot_carries_the_properties_of_its_base() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let base = builder.upload("base", b"x");
    builder.patch(&base, &json!([{"op": "add", "path": "/owned-by", "value": "somebody"}]));
    let server = builder.launch(&base, "#cloud-config\n");
    builder.await_status(&server, "ACTIVE");
    let image = builder.snapshot(&server, "snap");
    let record = builder.get("glance", &format!("/v2/images/{image}")).json();
    assert_eq!(record["owned-by"], "somebody");
    assert_eq!(record["base_image_ref"], base.as_str());
    assert_eq!(record["instance_uuid"], server.as_str());
    assert_eq!(record["image_type"], "snapshot");
    assert_eq!(record["min_disk"], 20);
    assert_eq!(record["visibility"], "private");
}
