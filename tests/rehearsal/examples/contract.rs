//! The same calls against a real OpenStack and against the embedded one: prints call, both status codes, and what
//! differs in the keys of the answers. Exits 1 when something does.
//!
//! `OS_CLIENT_CONFIG_FILE=clouds.yaml cargo run -p rehearsal --example contract`, where clouds.yaml has the clouds
//! `builder` and `upload`, users of two projects. Run it where the real cloud is reachable; it cleans up there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rehearsal::cloud::{CloudSetup, Latencies, RehearsalCloud};
use serde_json::{Value, json};

struct Side {
    name: &'static str,
    tokens: BTreeMap<&'static str, String>,
    endpoints: BTreeMap<String, String>,
    vars: BTreeMap<String, String>,
}

struct Seen {
    status: u16,
    kind: String,
    keys: BTreeSet<String>,
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
    config.timeout_global(Some(Duration::from_secs(60))).build().into()
}

impl Side {
    fn log_in(name: &'static str, clouds: &Value) -> Self {
        let mut side =
            Self { name, tokens: BTreeMap::new(), endpoints: BTreeMap::new(), vars: BTreeMap::new() };
        for who in ["builder", "upload"] {
            let auth = &clouds["clouds"][who]["auth"];
            let domain = json!({"name": "Default"});
            let body = json!({"auth": {
                "identity": {"methods": ["password"], "password": {"user": {"name": auth["username"],
                    "domain": domain, "password": auth["password"]}}},
                "scope": {"project": {"name": auth["project_name"], "domain": domain}}}});
            let url = format!("{}/auth/tokens", auth["auth_url"].as_str().unwrap());
            let mut reply = agent().post(&url).send(body.to_string()).unwrap();
            let token = reply.headers()["x-subject-token"].to_str().unwrap().to_owned();
            let text = reply.body_mut().read_to_string().unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            for entry in document["token"]["catalog"].as_array().unwrap() {
                let endpoints = entry["endpoints"].as_array().unwrap();
                let public = endpoints.iter().find(|endpoint| endpoint["interface"] == "public").unwrap();
                let url = public["url"].as_str().unwrap().trim_end_matches("/v2.1").trim_end_matches("/v3");
                side.endpoints.insert(entry["name"].as_str().unwrap().to_owned(), url.to_owned());
            }
            let project = document["token"]["project"]["id"].as_str().unwrap();
            side.vars.insert(format!("{who}-project"), project.to_owned());
            side.vars.insert("token".into(), token.clone());
            side.tokens.insert(who, token);
        }
        side.vars.insert("nothing".into(), "70a599e0-31e7-49b7-b260-868f441e862b".into());
        side
    }

    fn fill(&self, text: &str) -> String {
        self.vars.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("<{key}>"), value))
    }

    fn call(&mut self, step: &Step) -> Seen {
        let began = Instant::now();
        loop {
            let (seen, document) = self.once(step);
            let done = match step.until {
                None => true,
                Some((pointer, wanted)) => document.pointer(pointer) == Some(&json!(wanted)),
            };
            if done || began.elapsed() > Duration::from_secs(120) {
                if let Some((name, pointer)) = step.save {
                    let value = document.pointer(pointer).and_then(Value::as_str);
                    let value = value.unwrap_or_else(|| {
                        panic!("{}: {} has no {pointer}: {document}", self.name, step.name)
                    });
                    self.vars.insert(name.to_owned(), value.to_owned());
                }
                return seen;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn once(&self, step: &Step) -> (Seen, Value) {
        let url = format!("{}{}", self.endpoints[step.service], self.fill(step.path));
        let mut request = ureq::http::Request::builder().method(step.method).uri(url);
        if step.who != "nobody" {
            request = request.header("X-Auth-Token", &self.tokens[step.who]);
        }
        request = request.header("X-Subject-Token", &self.vars["token"]);
        if step.service == "nova" {
            request = request.header("X-OpenStack-Nova-API-Version", step.version);
        }
        let body = self.fill(step.body);
        let mut reply = if matches!(step.method, "GET" | "DELETE") {
            agent().run(request.body(()).unwrap())
        } else {
            agent().run(request.header("Content-Type", step.media_type).body(body).unwrap())
        }
        .unwrap();
        let kind = reply.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap());
        let kind = kind.split(';').next().unwrap().to_owned();
        let status = reply.status().as_u16();
        let text = reply.body_mut().read_to_string().unwrap_or_default();
        let document: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let mut keys = BTreeSet::new();
        collect(&document, String::new(), &mut keys);
        (Seen { status, kind, keys }, document)
    }
}

/// The paths of all keys, array positions left out.
fn collect(value: &Value, path: String, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = format!("{path}/{key}");
                keys.insert(path.clone());
                collect(value, path, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, path.clone(), keys)),
        _ => {}
    }
}

#[derive(Clone, Copy)]
struct Step {
    name: &'static str,
    who: &'static str,
    method: &'static str,
    service: &'static str,
    path: &'static str,
    body: &'static str,
    media_type: &'static str,
    version: &'static str,
    save: Option<(&'static str, &'static str)>,
    until: Option<(&'static str, &'static str)>,
}

const fn step(name: &'static str, method: &'static str, service: &'static str, path: &'static str) -> Step {
    Step {
        name,
        who: "builder",
        method,
        service,
        path,
        body: "",
        media_type: "application/json",
        version: "2.93",
        save: None,
        until: None,
    }
}

impl Step {
    const fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }
    const fn kind(mut self, media_type: &'static str) -> Self {
        self.media_type = media_type;
        self
    }
    const fn by(mut self, who: &'static str) -> Self {
        self.who = who;
        self
    }
    const fn at(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }
    const fn save(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.save = Some((name, pointer));
        self
    }
    const fn until(mut self, pointer: &'static str, value: &'static str) -> Self {
        self.until = Some((pointer, value));
        self
    }
}

const PATCH: &str = "application/openstack-images-v2.1-json-patch";
const BYTES: &str = "application/octet-stream";

fn steps() -> Vec<Step> {
    let mut steps = vec![
        step("versions", "GET", "keystone", "/"),
        step("version", "GET", "keystone", "/v3"),
        step("another's token", "GET", "keystone", "/v3/auth/tokens"),
        step("own token", "GET", "keystone", "/v3/auth/tokens").by("upload"),
        step("nobody", "GET", "keystone", "/v3/auth/catalog").by("nobody"),
        step("own projects", "GET", "keystone", "/v3/auth/projects"),
        step("all projects", "GET", "keystone", "/v3/projects"),
        step("empty auth", "POST", "keystone", "/v3/auth/tokens").body("{}"),
        step("no JSON", "POST", "keystone", "/v3/auth/tokens").body("x{"),
        step("versions", "GET", "glance", "/versions"),
        step("nobody", "GET", "glance", "/v2/images").by("nobody"),
        step("create", "POST", "glance", "/v2/images")
            .body(r#"{"name":"contract","disk_format":"raw","container_format":"bare","os_version":"24.04"}"#)
            .save("image", "/id"),
        step("create again", "POST", "glance", "/v2/images").body(r#"{"name":"x","id":"<image>"}"#),
        step("create read-only", "POST", "glance", "/v2/images").body(r#"{"name":"x","size":1}"#),
        step("create public", "POST", "glance", "/v2/images").body(r#"{"name":"x","visibility":"public"}"#),
        step("create off schema", "POST", "glance", "/v2/images").body(r#"{"name":"x","p":1}"#),
        step("no data yet", "GET", "glance", "/v2/images/<image>/file"),
        step("upload as JSON", "PUT", "glance", "/v2/images/<image>/file").body("x"),
        step("upload", "PUT", "glance", "/v2/images/<image>/file").kind(BYTES).body("0123456789abcdef"),
        step("upload again", "PUT", "glance", "/v2/images/<image>/file").kind(BYTES).body("x"),
        step("show", "GET", "glance", "/v2/images/<image>"),
        step("list", "GET", "glance", "/v2/images?name=contract"),
        step("page", "GET", "glance", "/v2/images?name=contract&limit=1"),
        step("bad limit", "GET", "glance", "/v2/images?limit=-1"),
        step("bad sort", "GET", "glance", "/v2/images?sort=bad:desc"),
        step("bad marker", "GET", "glance", "/v2/images?marker=<nothing>"),
        step("unknown", "GET", "glance", "/v2/images/<nothing>"),
        step("patch", "PATCH", "glance", "/v2/images/<image>").kind(PATCH).body(
            r#"[{"op":"add","path":"/p","value":"1"},{"op":"replace","path":"/os_hidden","value":false}]"#,
        ),
        step("patch as JSON", "PATCH", "glance", "/v2/images/<image>").body("[]"),
        step("patch unknown", "PATCH", "glance", "/v2/images/<image>")
            .kind(PATCH)
            .body(r#"[{"op":"replace","path":"/q","value":"1"}]"#),
        step("patch self", "PATCH", "glance", "/v2/images/<image>")
            .kind(PATCH)
            .body(r#"[{"op":"add","path":"/self","value":"1"}]"#),
        step("foreign show", "GET", "glance", "/v2/images/<image>").by("upload"),
        step("foreign delete", "DELETE", "glance", "/v2/images/<image>").by("upload"),
        step("share", "POST", "glance", "/v2/images/<image>/members")
            .body(r#"{"member":"<upload-project>"}"#),
        step("share again", "POST", "glance", "/v2/images/<image>/members")
            .body(r#"{"member":"<upload-project>"}"#),
        step("members", "GET", "glance", "/v2/images/<image>/members"),
        step("member show", "GET", "glance", "/v2/images/<image>").by("upload"),
        step(
            "member list",
            "GET",
            "glance",
            "/v2/images?member_status=pending&visibility=shared&name=contract",
        )
        .by("upload"),
        step("member members", "GET", "glance", "/v2/images/<image>/members").by("upload"),
        step("member data", "GET", "glance", "/v2/images/<image>/file").by("upload"),
        step("member delete", "DELETE", "glance", "/v2/images/<image>").by("upload"),
        step("member patch", "PATCH", "glance", "/v2/images/<image>")
            .by("upload")
            .kind(PATCH)
            .body(r#"[{"op":"add","path":"/p","value":"2"}]"#),
        step("owner accepts", "PUT", "glance", "/v2/images/<image>/members/<upload-project>")
            .body(r#"{"status":"accepted"}"#),
        step("accept", "PUT", "glance", "/v2/images/<image>/members/<upload-project>")
            .by("upload")
            .body(r#"{"status":"accepted"}"#),
        step("unshare", "DELETE", "glance", "/v2/images/<image>/members/<upload-project>"),
        step("unshare again", "DELETE", "glance", "/v2/images/<image>/members/<upload-project>"),
        step("tag", "PUT", "glance", "/v2/images/<image>/tags/t"),
        step("extensions", "GET", "neutron", "/v2.0/extensions/security-group"),
        step("networks", "GET", "neutron", "/v2.0/networks?name=runner-net")
            .save("network", "/networks/0/id"),
        step("subnets", "GET", "neutron", "/v2.0/subnets"),
        step("bad filter", "GET", "neutron", "/v2.0/networks?bogus=1"),
        step("unknown network", "GET", "neutron", "/v2.0/networks/<nothing>"),
        step("create group", "POST", "neutron", "/v2.0/security-groups")
            .body(r#"{"security_group":{"name":"contract","description":"d"}}"#)
            .save("group", "/security_group/id"),
        step("create default", "POST", "neutron", "/v2.0/security-groups")
            .body(r#"{"security_group":{"name":"default"}}"#),
        step("groups", "GET", "neutron", "/v2.0/security-groups?name=contract"),
        step("create rule", "POST", "neutron", "/v2.0/security-group-rules").body(RULE),
        step("create rule again", "POST", "neutron", "/v2.0/security-group-rules").body(RULE),
        step("rules", "GET", "neutron", "/v2.0/security-group-rules?security_group_id=<group>"),
        step("tags", "PUT", "neutron", "/v2.0/security-groups/<group>/tags").body(r#"{"tags":["a"]}"#),
        step("by tag", "GET", "neutron", "/v2.0/security-groups?tags=a"),
        step("quotas", "GET", "neutron", "/v2.0/quotas/<builder-project>"),
        step("quota details", "GET", "neutron", "/v2.0/quotas/<builder-project>/details.json"),
        step("versions", "GET", "nova", "/"),
        step("version", "GET", "nova", "/v2.1/"),
        step("nobody", "GET", "nova", "/v2.1/servers").by("nobody"),
        step("too new", "GET", "nova", "/v2.1/servers").at("2.999"),
        step("flavors", "GET", "nova", "/v2.1/flavors/detail?limit=1"),
        step("old flavors", "GET", "nova", "/v2.1/flavors/detail?minDisk=10")
            .at("2.1")
            .save("flavor", "/flavors/0/id"),
        step("unknown flavor", "GET", "nova", "/v2.1/flavors/<nothing>"),
        step("limits", "GET", "nova", "/v2.1/limits"),
        step("quota set", "GET", "nova", "/v2.1/os-quota-sets/<builder-project>"),
        step("zones", "GET", "nova", "/v2.1/os-availability-zone"),
        step("no networks", "POST", "nova", "/v2.1/servers")
            .body(r#"{"server":{"name":"x","flavorRef":"<flavor>","imageRef":"<image>"}}"#),
        step("no such image", "POST", "nova", "/v2.1/servers").body(
            r#"{"server":{"name":"x","flavorRef":"<flavor>","imageRef":"<nothing>","networks":"auto"}}"#,
        ),
        step("launch", "POST", "nova", "/v2.1/servers").body(SERVER).save("server", "/server/id"),
        step("building", "GET", "nova", "/v2.1/servers/<server>"),
        step("active", "GET", "nova", "/v2.1/servers/<server>").until("/server/status", "ACTIVE"),
        step("old show", "GET", "nova", "/v2.1/servers/<server>").at("2.1"),
        step("servers", "GET", "nova", "/v2.1/servers/detail?name=contract"),
        step("briefly", "GET", "nova", "/v2.1/servers?name=contract"),
        step("bad query", "GET", "nova", "/v2.1/servers/detail?bogus=1"),
        step("everybody's", "GET", "nova", "/v2.1/servers/detail?all_tenants=1"),
        step("foreign server", "GET", "nova", "/v2.1/servers/<server>").by("upload"),
        step("metadata", "POST", "nova", "/v2.1/servers/<server>/metadata").body(r#"{"metadata":{"a":"b"}}"#),
        step("console", "POST", "nova", "/v2.1/servers/<server>/action")
            .body(r#"{"os-getConsoleOutput":{}}"#),
        step("bad action", "POST", "nova", "/v2.1/servers/<server>/action").body(r#"{"bogus":{}}"#),
        step("start running", "POST", "nova", "/v2.1/servers/<server>/action").body(r#"{"os-start":null}"#),
        step("interfaces", "GET", "nova", "/v2.1/servers/<server>/os-interface"),
        step("ports", "GET", "neutron", "/v2.0/ports?device_id=<server>"),
        step("group in use", "DELETE", "neutron", "/v2.0/security-groups/<group>"),
        step("snapshot", "POST", "nova", "/v2.1/servers/<server>/action")
            .body(r#"{"createImage":{"name":"contract-snap","metadata":{"m":"v"}}}"#)
            .save("snap", "/image_id"),
        step("snapshot image", "GET", "glance", "/v2/images/<snap>").until("/status", "active"),
        step("idle again", "GET", "nova", "/v2.1/servers/<server>")
            .until("/server/OS-EXT-STS:vm_state", "active"),
        step("delete server", "DELETE", "nova", "/v2.1/servers/<server>"),
        step("server is gone", "GET", "nova", "/v2.1/servers/<server>")
            .until("/itemNotFound/message", "gone"),
    ];
    steps.extend([
        step("delete snapshot", "DELETE", "glance", "/v2/images/<snap>"),
        step("delete image", "DELETE", "glance", "/v2/images/<image>"),
        step("delete image again", "DELETE", "glance", "/v2/images/<image>"),
        step("delete group", "DELETE", "neutron", "/v2.0/security-groups/<group>"),
        step("delete group again", "DELETE", "neutron", "/v2.0/security-groups/<group>"),
    ]);
    steps
}

const RULE: &str = r#"{"security_group_rule":{"security_group_id":"<group>","direction":"ingress","protocol":"tcp",
"port_range_min":22,"port_range_max":22,"remote_ip_prefix":"10.0.0.0/8"}}"#;
const SERVER: &str = r#"{"server":{"name":"contract","flavorRef":"<flavor>","imageRef":"<image>",
"networks":[{"uuid":"<network>"}],"security_groups":[{"name":"contract"}],"metadata":{"k":"v"},"config_drive":true}}"#;

fn main() {
    let file =
        std::env::var("OS_CLIENT_CONFIG_FILE").expect("OS_CLIENT_CONFIG_FILE names the real clouds.yaml");
    let real: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    // Slow enough to be seen while it builds.
    let latencies = Latencies { build: Duration::from_secs(3), ..Latencies::default() };
    let setup = CloudSetup { latencies, ..CloudSetup::default() };
    let cloud = RehearsalCloud::start(setup).unwrap();
    let embedded: Value = serde_yaml::from_str(&cloud.clouds_yaml()).unwrap();
    let (mut embedded, mut real) = (Side::log_in("rehearsal", &embedded), Side::log_in("real", &real));
    let mut differences = 0;
    println!("{:<34} {:>9} {:>5}  differences", "call", "rehearsal", "real");
    for step in steps() {
        let mut step = step;
        if step.until.is_some_and(|(_, wanted)| wanted == "gone") {
            // The message names the id: only its being there counts.
            step.until = None;
            for side in [&mut embedded, &mut real] {
                let end = Instant::now() + Duration::from_secs(120);
                while side.once(&step).0.status != 404 && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(300));
                }
            }
        }
        let (ours, theirs) = (embedded.call(&step), real.call(&step));
        let name = format!("{} {} {}", step.method, step.service, step.name);
        let mut notes = Vec::new();
        if ours.status != theirs.status {
            notes.push("STATUS".to_owned());
        }
        if ours.kind != theirs.kind {
            notes.push(format!("type {} / {}", ours.kind, theirs.kind));
        }
        notes.extend(theirs.keys.difference(&ours.keys).map(|key| format!("-{key}")));
        notes.extend(ours.keys.difference(&theirs.keys).map(|key| format!("+{key}")));
        differences += notes.len();
        println!("{name:<34} {:>9} {:>5}  {}", ours.status, theirs.status, notes.join(" "));
    }
    println!("{differences} differences");
    // exit() runs no destructors.
    drop(cloud);
    std::process::exit(i32::from(differences > 0));
}
