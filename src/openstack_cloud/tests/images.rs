//! Images.

use super::*;

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
fn another_user_beside_a_connection_works_in_its_region_whatever_comes_first_in_the_catalog() {
    let server = Server::scripted(|origin| {
        let two = "http://192.0.2.1:9";
        let flavors = Reply::json(200, r#"{"flavors":[]}"#);
        vec![
            token_for(&[("One", origin), ("Two", two)], 59),
            token_for(&[("Two", two), ("One", origin)], 59),
            flavors,
        ]
    });
    let cloud = connect(&server).unwrap();
    let member = cloud.connect_beside(&config(&server), soon()).unwrap();
    assert!(member.compute().flavors(soon()).unwrap().is_empty());
    let named = |region: &str| CloudConfig { region_name: Some(region.to_owned()), ..config(&server) };
    let regions = [&config(&server), &named("One"), &named("Two")];
    assert_eq!(regions.map(|config| cloud.is_in_region_of(config)), [true, true, false]);
}

#[test]
fn another_user_beside_a_connection_goes_its_ways_whatever_the_catalog_says() {
    let server = Server::scripted(|origin| {
        let member = Reply::json(200, r#"{"member_id":"p1","status":"accepted"}"#);
        vec![token(origin, 59), token("http://192.0.2.1:9", 59), member, Reply::json(404, "{}")]
    });
    let cloud = connect(&server).unwrap();
    let elsewhere = CloudConfig {
        auth_url: "http://192.0.2.1:5000".to_owned(),
        ca_certificate: Some("no certificate".to_owned()),
        username: "member".to_owned(),
        ..config(&server)
    };
    let member = cloud.connect_beside(&elsewhere, soon()).unwrap();
    let status = |cloud: &Cloud| cloud.images().membership(&id(), &cloud.project_id(), soon()).unwrap();
    assert_eq!((status(&member), status(&member)), (Some(MemberStatus::Accepted), None));
    let received = server.received();
    let body: serde_json::Value = serde_json::from_slice(&received[1].body).unwrap();
    assert_eq!(body["auth"]["identity"]["password"]["user"]["name"], "member");
    assert_eq!(received[2].line, format!("GET /image/v2/images/{ID}/members/p1 HTTP/1.1"));
}
