//! What the tests of the cloud share: a client that knows nothing of the rehearsal's inside.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rehearsal::cloud::{CloudSetup, RehearsalCloud};
use serde_json::{Value, json};

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .proxy(None);
    config.build().into()
}

pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent = agent();
    let mut response = if matches!(method, "GET" | "DELETE" | "HEAD") {
        agent.run(request.body(()).unwrap())?
    } else {
        agent.run(request.body(body).unwrap())?
    };
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    Ok(Reply {
        status: response.status().as_u16(),
        headers: headers.collect(),
        bytes: response.body_mut().with_config().limit(1 << 30).read_to_vec()?,
    })
}

/// A user with a token for a project.
pub struct Login<'a> {
    pub cloud: &'a RehearsalCloud,
    pub token: String,
}

pub fn log_in<'a>(cloud: &'a RehearsalCloud, who: &str) -> Login<'a> {
    let project = if who == "admin" { "admin".to_owned() } else { format!("{who}-project") };
    let user = if who == "admin" { "admin".to_owned() } else { format!("{who}-user") };
    let reply = authenticate(cloud, &user, &format!("{who}-password"), &project);
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.bytes));
    Login { cloud, token: reply.header("x-subject-token").unwrap().to_owned() }
}

pub fn authenticate(cloud: &RehearsalCloud, user: &str, password: &str, project: &str) -> Reply {
    let default = json!({"name": "Default"});
    let body = json!({"auth": {
        "identity": {"methods": ["password"],
            "password": {"user": {"name": user, "domain": default, "password": password}}},
        "scope": {"project": {"name": project, "domain": default}}}});
    let url = format!("{}/auth/tokens", cloud.auth_url());
    send("POST", &url, &[("Content-Type", "application/json")], body.to_string().as_bytes()).unwrap()
}

impl Login<'_> {
    pub fn url(&self, service: &str, path: &str) -> String {
        format!("{}{path}", self.cloud.service_url("RegionOne", service).unwrap())
    }

    pub fn call(&self, method: &str, service: &str, path: &str, body: &Value) -> Reply {
        self.call_as(method, service, path, "application/json", body.to_string().as_bytes())
    }

    pub fn call_as(&self, method: &str, service: &str, path: &str, media_type: &str, body: &[u8]) -> Reply {
        let headers = [
            ("X-Auth-Token", self.token.as_str()),
            ("Content-Type", media_type),
            ("X-OpenStack-Nova-API-Version", "2.93"),
        ];
        send(method, &self.url(service, path), &headers, body).unwrap()
    }

    pub fn get(&self, service: &str, path: &str) -> Reply {
        self.call("GET", service, path, &Value::Null)
    }

    pub fn upload(&self, name: &str, bytes: &[u8]) -> String {
        let record = json!({"name": name, "disk_format": "qcow2", "container_format": "bare",
            "os_distro": "ubuntu", "os_version": "24.04"});
        let id = self.call("POST", "glance", "/v2/images", &record).json()["id"].as_str().unwrap().to_owned();
        let put = self.call_as(
            "PUT",
            "glance",
            &format!("/v2/images/{id}/file"),
            "application/octet-stream",
            bytes,
        );
        assert_eq!(put.status, 204);
        id
    }

    pub fn patch(&self, image: &str, operations: &Value) -> Reply {
        let media_type = "application/openstack-images-v2.1-json-patch";
        let path = format!("/v2/images/{image}");
        self.call_as("PATCH", "glance", &path, media_type, operations.to_string().as_bytes())
    }

    pub fn flavor(&self, name: &str) -> String {
        let flavors = self.get("nova", "/v2.1/flavors").json();
        let found =
            flavors["flavors"].as_array().unwrap().iter().find(|flavor| flavor["name"] == name).cloned();
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    pub fn network(&self) -> String {
        let networks = self.get("neutron", "/v2.0/networks").json();
        networks["networks"][0]["id"].as_str().unwrap().to_owned()
    }

    pub fn server_body(&self, image: &str, user_data: &str) -> Value {
        use base64::Engine as _;
        let user_data = base64::engine::general_purpose::STANDARD.encode(user_data);
        json!({"server": {"name": "vm", "flavorRef": self.flavor("builder"), "imageRef": image,
            "networks": [{"uuid": self.network()}], "user_data": user_data, "config_drive": true,
            "metadata": {"owner": "test"}}})
    }

    pub fn launch(&self, image: &str, user_data: &str) -> String {
        let reply = self.call("POST", "nova", "/v2.1/servers", &self.server_body(image, user_data));
        assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.bytes));
        reply.json()["server"]["id"].as_str().unwrap().to_owned()
    }

    pub fn server(&self, id: &str) -> Value {
        self.get("nova", &format!("/v2.1/servers/{id}")).json()["server"].clone()
    }

    pub fn act(&self, server: &str, action: &Value) -> Reply {
        self.call("POST", "nova", &format!("/v2.1/servers/{server}/action"), action)
    }

    pub fn await_status(&self, server: &str, status: &str) -> Value {
        until(|| {
            let server = self.server(server);
            let failed = status != "ERROR" && server["status"] == "ERROR";
            assert!(!failed, "the server failed: {}", server["fault"]);
            (server["status"] == status && server["OS-EXT-STS:task_state"].is_null()).then_some(server)
        })
    }

    pub fn snapshot(&self, server: &str, name: &str) -> String {
        let reply = self.act(server, &json!({"createImage": {"name": name}}));
        assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.bytes));
        let image = reply.json()["image_id"].as_str().unwrap().to_owned();
        until(|| {
            let record = self.get("glance", &format!("/v2/images/{image}")).json();
            (record["status"] == "active").then_some(())
        });
        image
    }
}

/// Polls for at most a minute.
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn cloud() -> RehearsalCloud {
    RehearsalCloud::start(CloudSetup::default()).unwrap()
}

/// A key pair, a pinned host key, and how to reach an instance with them.
pub struct Ssh {
    directory: tempfile::TempDir,
    pub user_data: String,
    port: u16,
}

impl Ssh {
    pub fn new(cloud: &RehearsalCloud) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keygen = |name: &str| {
            let file = directory.path().join(name);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status();
            assert!(made.unwrap().success());
            let read = |file| std::fs::read_to_string(file).unwrap();
            (read(&file), read(&file.with_extension("pub")).trim().to_owned())
        };
        let (_, own) = keygen("id");
        let (host, host_public) = keygen("host");
        let indented: String = host.lines().map(|line| format!("    {line}\n")).collect();
        let user_data = format!(
            "#cloud-config\nssh_authorized_keys:\n  - {own}\nssh_keys:\n  ed25519_private: |\n{indented}  \
             ed25519_public: {host_public}\n"
        );
        let mut words = host_public.split(' ');
        let line = format!("* {} {}\n", words.next().unwrap(), words.next().unwrap());
        std::fs::write(directory.path().join("known_hosts"), line).unwrap();
        Self { directory, user_data, port: cloud.ssh_port() }
    }

    pub fn command(&self, server: &Value) -> Command {
        let address = server["addresses"]["runner-net"][0]["addr"].as_str().unwrap();
        let mut command = Command::new("ssh");
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        command.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]);
        command.args([
            "-o",
            "ConnectTimeout=5",
            "-o",
            &format!("UserKnownHostsFile={}", file("known_hosts")),
        ]);
        command.args(["-p", &self.port.to_string(), "-i", &file("id"), &format!("ubuntu@{address}")]);
        command
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command with some input once ssh answers.
    pub fn run(&self, server: &Value, command: &str, input: &str) -> Output {
        until(|| {
            let mut ssh = self.command(server);
            let output = feed(ssh.arg(command), input);
            (output.status.code() != Some(255)).then_some(output)
        })
    }

    /// Runs a script as root and returns its output; it must succeed.
    pub fn root(&self, server: &Value, script: &str) -> String {
        let output = self.run(server, "sudo -n /bin/bash -s", &format!("set -euo pipefail\n{script}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

pub fn feed(command: &mut Command, input: &str) -> Output {
    use std::io::Write as _;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
