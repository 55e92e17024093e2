//! Promises of the embedded identity and image services.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cloud_support;

use cloud_support::{authenticate, cloud, log_in, send};
use rehearsal::cloud::{CloudSetup, ImagesInUse, RehearsalCloud};
use serde_json::{Value, json};

#[test]
fn a_wrong_password_and_a_foreign_project_are_401() {
    let cloud = cloud();
    assert_eq!(authenticate(&cloud, "builder-user", "nope", "builder-project").status, 401);
    assert_eq!(authenticate(&cloud, "builder-user", "builder-password", "upload-project").status, 401);
    assert_eq!(authenticate(&cloud, "builder-user", "builder-password", "builder-project").status, 201);
}

#[test]
fn an_expired_token_is_401_everywhere() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    assert_eq!(builder.get("glance", "/v2/images").status, 200);
    cloud.expire_tokens();
    for (service, path) in
        [("glance", "/v2/images"), ("nova", "/v2.1/servers"), ("neutron", "/v2.0/networks")]
    {
        assert_eq!(builder.get(service, path).status, 401, "{service}");
    }
}

#[test]
fn an_uploaded_image_comes_back_with_its_digests() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let id = builder.upload("abc", b"abc");
    let image = builder.get("glance", &format!("/v2/images/{id}")).json();
    assert_eq!(image["status"], "active");
    assert_eq!(image["size"], 3);
    assert_eq!(image["checksum"], "900150983cd24fb0d6963f7d28e17f72");
    assert!(image["os_hash_value"].as_str().unwrap().starts_with("ddaf35a193617aba"));
    assert_eq!(builder.get("glance", &format!("/v2/images/{id}/file")).bytes, b"abc");
    assert_eq!(cloud.project("builder-project").image_bytes(&id).unwrap(), b"abc");
}

#[test]
fn an_upload_that_breaks_off_leaves_a_queued_image() {
    use std::io::Write as _;
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let record = json!({"name": "x", "disk_format": "raw", "container_format": "bare"});
    let id = builder.call("POST", "glance", "/v2/images", &record).json()["id"].as_str().unwrap().to_owned();
    let base = cloud.service_url("RegionOne", "glance").unwrap();
    let mut stream = std::net::TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    let head = format!(
        "PUT /v2/images/{id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\n\
         Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        builder.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    let status = || builder.get("glance", &format!("/v2/images/{id}")).json()["status"].clone();
    cloud_support::until(|| (status() == "queued").then_some(()));
}

#[test]
fn reserved_names_cannot_be_properties() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let id = builder.upload("x", b"x");
    let refused = builder.patch(&id, &json!([{"op": "add", "path": "/self", "value": id}]));
    assert_eq!(refused.status, 403);
    let taken = builder.patch(&id, &json!([{"op": "add", "path": "/self_id", "value": id}]));
    assert_eq!(taken.json()["self_id"], id.as_str());
}

#[test]
fn a_shared_image_is_usable_at_once_and_listed_once_accepted() {
    let cloud = cloud();
    let (builder, upload) = (log_in(&cloud, "builder"), log_in(&cloud, "upload"));
    let id = builder.upload("shared", b"x");
    let show = || upload.get("glance", &format!("/v2/images/{id}")).status;
    assert_eq!(show(), 404);
    let member = json!({"member": cloud.project("upload-project").id()});
    assert_eq!(builder.call("POST", "glance", &format!("/v2/images/{id}/members"), &member).status, 200);
    assert_eq!(show(), 200);
    let listed = || upload.get("glance", "/v2/images").json()["images"].as_array().unwrap().len();
    assert_eq!(listed(), 0);
    let path = format!("/v2/images/{id}/members/{}", cloud.project("upload-project").id());
    assert_eq!(builder.call("PUT", "glance", &path, &json!({"status": "accepted"})).status, 403);
    assert_eq!(upload.call("PUT", "glance", &path, &json!({"status": "accepted"})).status, 200);
    assert_eq!(listed(), 1);
    assert!(cloud.inventory().contains("image shared active shared shared-with=upload-project:accepted"));
}

#[test]
fn members_are_the_owners_to_choose_and_the_members_to_accept() {
    let cloud = RehearsalCloud::start(CloudSetup { image_members: 1, ..CloudSetup::default() }).unwrap();
    let [builder, upload, upload2] = ["builder", "upload", "upload2"].map(|name| log_in(&cloud, name));
    let id = builder.upload("shared", b"x");
    let path = format!("/v2/images/{id}/members");
    let [first, second] =
        ["upload-project", "upload2-project"].map(|name| cloud.project(name).id().to_owned());
    let of = |project: &str| format!("{path}/{project}");
    let add = |project: &str| builder.call("POST", "glance", &path, &json!({"member": project})).status;
    let accept = json!({"status": "accepted"});
    let visibility = |value: &str| {
        let change = json!([{"op": "replace", "path": "/visibility", "value": value}]);
        assert_eq!(builder.patch(&id, &change).status, 200);
    };
    visibility("private");
    assert_eq!((add(&first), builder.get("glance", &path).status), (403, 403), "it is private");
    visibility("shared");
    assert_eq!(add(&first), 200);
    assert_eq!(add(&second), 413, "the quota");
    assert_eq!(
        upload.call("POST", "glance", &path, &json!({"member": second})).status,
        403,
        "of another's image"
    );
    assert_eq!(builder.call("PUT", "glance", &of(&first), &accept).status, 403, "the owner does not accept");
    assert_eq!(upload2.call("PUT", "glance", &of(&first), &accept).status, 404, "nor does a stranger");
    assert_eq!(upload.call("PUT", "glance", &of(&first), &accept).status, 200);
    assert_eq!(upload.call("DELETE", "glance", &of(&first), &Value::Null).status, 403);
    assert_eq!(builder.call("DELETE", "glance", &of(&first), &Value::Null).status, 204);
    assert_eq!(builder.call("DELETE", "glance", &of(&first), &Value::Null).status, 404);
    assert_eq!(upload.get("glance", &format!("/v2/images/{id}")).status, 404, "it sees it no more");
}

#[test]
fn listings_come_in_pages_and_can_be_filtered() {
    let cloud = cloud();
    let builder = log_in(&cloud, "builder");
    let ids: Vec<String> = (0..5).map(|n| builder.upload(&format!("i{n}"), b"x")).collect();
    let mut path = "/v2/images?limit=2&sort=created_at:asc".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = builder.get("glance", &path).json();
        seen.extend(
            page["images"].as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    let count = |query: &str| {
        builder.get("glance", &format!("/v2/images?{query}")).json()["images"].as_array().unwrap().len()
    };
    assert_eq!(count("name=i3"), 1);
    assert_eq!(count("os_version=24.04"), 5);
    assert_eq!(count("os_version=22.04"), 0);
    assert_eq!(count(&format!("id=in:{},{}", ids[0], ids[1])), 2);
    assert_eq!(count("status=queued"), 0);
    builder.patch(&ids[0], &json!([{"op": "replace", "path": "/os_hidden", "value": true}]));
    assert_eq!((count("os_hidden=true"), count("limit=100")), (1, 4));
}

#[test]
fn a_protected_image_and_one_in_use_stay() {
    let setup = CloudSetup { images_in_use: ImagesInUse::AreKept, ..CloudSetup::default() };
    let cloud = RehearsalCloud::start(setup).unwrap();
    let builder = log_in(&cloud, "builder");
    let id = builder.upload("base", b"x");
    let path = format!("/v2/images/{id}");
    builder.patch(&id, &json!([{"op": "replace", "path": "/protected", "value": true}]));
    assert_eq!(builder.call("DELETE", "glance", &path, &Value::Null).status, 403);
    builder.patch(&id, &json!([{"op": "replace", "path": "/protected", "value": false}]));
    builder.launch(&id, "#cloud-config\n");
    assert_eq!(builder.call("DELETE", "glance", &path, &Value::Null).status, 409);
}

#[test]
fn regions_are_worlds_of_their_own() {
    let setup = CloudSetup { regions: vec!["one".into(), "two".into()], ..CloudSetup::default() };
    let cloud = RehearsalCloud::start(setup).unwrap();
    cloud.project_in("builder-project", "two").add_image("there", b"x", &[]).unwrap();
    let builder = log_in(&cloud, "builder");
    let listed = |region: &str| {
        let url = format!("{}/v2/images", cloud.service_url(region, "glance").unwrap());
        let reply = send("GET", &url, &[("X-Auth-Token", &builder.token)], b"").unwrap();
        reply.json()["images"].as_array().unwrap().len()
    };
    assert_eq!((listed("one"), listed("two")), (0, 1));
}
