//! The texts that make a machine a runner: from the templates in `templates/`, each value escaped for the place where it
//! stands. A template's name says in whose language it is, so no value can be put there as it is by mistake.

use std::collections::BTreeMap;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde_json::json;

use super::proxies::ProxyStringValues;
use super::ssh_debug::SshDebugConnection;

const USER_DATA: (&str, &str) =
    ("runner-user-data.sh", include_str!("../../../templates/runner-user-data.sh"));
const ENVIRONMENT: (&str, &str) = ("runner.env", include_str!("../../../templates/runner.env"));
const RUNNER_UNIT: (&str, &str) =
    ("actions-runner.service", include_str!("../../../templates/actions-runner.service"));
const DOCKER_PROXY: (&str, &str) =
    ("docker-proxy.service", include_str!("../../../templates/docker-proxy.service"));

/// A text could not be made: a value cannot stand where it would have to.
#[derive(Debug, thiserror::Error)]
#[error("writing {template}: {problem}")]
pub struct TemplateError {
    template: &'static str,
    /// Holds no value: it may be a secret.
    problem: String,
}

/// The languages of templates.
const SHELL: &str = "shell";
const SYSTEMD: &str = "systemd";
const LINES: &str = "lines";

/// The values of a template, by name.
type Values = BTreeMap<&'static str, Value>;

/// What the runner finds in its environment.
#[derive(Debug, Default)]
pub(super) struct RunnerEnvironment<'a> {
    /// The way to the web.
    pub(super) proxies: ProxyStringValues,
    /// A mirror of Docker Hub.
    pub(super) dockerhub_mirror: Option<&'a str>,
    /// Where people may look into jobs.
    pub(super) ssh_debug: Option<&'a SshDebugConnection>,
}

impl RunnerEnvironment<'_> {
    /// The runner's file `.env`: a variable a line, without any way to write a line break.
    pub(super) fn render(&self) -> Result<String, TemplateError> {
        let ssh_debug = self.ssh_debug.map(|connection| {
            Value::from(BTreeMap::from([
                ("host", Value::from(connection.host.to_string())),
                ("port", Value::from(connection.port)),
                ("rsa_fingerprint", Value::from(connection.rsa_fingerprint.as_str())),
                ("ed25519_fingerprint", Value::from(connection.ed25519_fingerprint.as_str())),
            ]))
        });
        let values = Values::from([
            ("proxies", proxies(&self.proxies)),
            ("dockerhub_mirror", Value::from(self.dockerhub_mirror.unwrap_or_default())),
            ("ssh_debug", ssh_debug.unwrap_or(Value::from(""))),
        ]);
        render(ENVIRONMENT, values)
    }
}

/// A file of the machine.
#[derive(Clone, Debug)]
pub struct MachineFile {
    /// Where it lies.
    pub path: &'static str,
    /// Whose it is.
    pub owner: &'static str,
    /// Its permissions, in octal digits.
    pub mode: &'static str,
    /// What it says.
    pub content: String,
}

/// What the machine is told at its first boot.
pub(super) struct UserData<'a> {
    pub(super) files: &'a [MachineFile],
    pub(super) behind_proxy: bool,
    pub(super) user: &'a str,
    pub(super) user_home: &'a str,
    pub(super) home: &'a str,
    pub(super) url: &'a str,
    pub(super) token: &'a str,
    pub(super) name: &'a str,
    pub(super) labels: &'a str,
    pub(super) group: Option<&'a str>,
}

impl UserData<'_> {
    /// The script that cloud-init runs.
    pub(super) fn render(&self) -> Result<String, TemplateError> {
        let file = |file: &MachineFile| {
            let MachineFile { path, owner, mode, content } = file;
            let fields = [("path", *path), ("owner", *owner), ("mode", *mode), ("content", content)];
            Value::from(BTreeMap::from(fields.map(|(name, value)| (name, Value::from(value)))))
        };
        let values = Values::from([
            ("files", self.files.iter().map(file).collect::<Vec<_>>().into()),
            ("behind_proxy", self.behind_proxy.into()),
            ("user", self.user.into()),
            ("user_home", self.user_home.into()),
            ("home", self.home.into()),
            ("url", self.url.into()),
            ("token", self.token.into()),
            ("name", self.name.into()),
            ("labels", self.labels.into()),
            ("group", self.group.unwrap_or_default().into()),
        ]);
        render(USER_DATA, values)
    }
}

/// The unit that runs the runner.
pub(super) fn runner_unit(user: &str, home: &str) -> Result<String, TemplateError> {
    render(RUNNER_UNIT, Values::from([("user", user.into()), ("home", home.into())]))
}

/// What leads docker's daemon and its client through the proxies; nothing where there are none. The client's file is
/// that of the user who runs the runner.
pub fn docker_files(
    proxies_: &ProxyStringValues,
    user: &'static str,
) -> Result<Vec<MachineFile>, TemplateError> {
    if !proxies_.is_set() {
        return Ok(Vec::new());
    }
    let unit = render(DOCKER_PROXY, Values::from([("proxies", proxies(proxies_))]))?;
    Ok(vec![
        MachineFile {
            path: "/etc/systemd/system/docker.service.d/http-proxy.conf",
            owner: "root",
            // The addresses may hold credentials.
            mode: "0600",
            content: unit,
        },
        MachineFile {
            path: "/home/ubuntu/.docker/config.json",
            owner: user,
            mode: "0600",
            content: docker_client_config(proxies_),
        },
    ])
}

fn docker_client_config(ProxyStringValues { http, https, no_proxy }: &ProxyStringValues) -> String {
    let values = [("httpProxy", http.expose()), ("httpsProxy", https.expose()), ("noProxy", no_proxy)];
    let set = values.into_iter().filter(|(_, value)| !value.is_empty());
    let default: serde_json::Map<_, _> = set.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    format!("{}\n", json!({"proxies": {"default": default}}))
}

fn proxies(ProxyStringValues { http, https, no_proxy }: &ProxyStringValues) -> Value {
    let values = [("http", http.expose()), ("https", https.expose()), ("no_proxy", no_proxy)];
    Value::from(
        values
            .map(|(name, value)| (name, Value::from(value.as_str())))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    )
}

fn render((name, source): (&'static str, &'static str), values: Values) -> Result<String, TemplateError> {
    let failed = |error: &Error| TemplateError {
        template: name,
        problem: error.detail().unwrap_or("it is broken").to_owned(),
    };
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| match name.rsplit_once('.') {
        Some((_, "sh")) => AutoEscape::Custom(SHELL.into()),
        Some((_, "service")) => AutoEscape::Custom(SYSTEMD.into()),
        _ => AutoEscape::Custom(LINES.into()),
    });
    environment.set_formatter(write_escaped);
    let context: Value = values.into();
    let mut text = environment.render_named_str(name, source, context).map_err(|error| failed(&error))?;
    // The engine leaves out a template's last line break.
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn write_escaped(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let refusal = |problem: &'static str| Error::new(ErrorKind::InvalidOperation, problem);
    if value.is_undefined() {
        return Err(refusal("a value is missing"));
    }
    let text = value.to_string();
    if text.contains('\0') {
        return Err(refusal("a value has a zero byte"));
    }
    let escaped = match state.auto_escape() {
        AutoEscape::Custom(language) if language == SHELL => shell(&text),
        AutoEscape::Custom(language) if language == SYSTEMD => systemd(&text),
        _ if text.contains(['\n', '\r']) => {
            return Err(refusal("a value has a line break, which this file cannot hold"));
        }
        _ => text,
    };
    output.write_str(&escaped).map_err(|_| refusal("out of memory"))
}

/// One word of a shell's command line.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A part of a setting of a unit, which may stand within double quotes: systemd.syntax(7), systemd.unit(5).
fn systemd(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            '%' => escaped.push_str("%%"),
            '\n' => escaped.push_str(r"\n"),
            '\r' => escaped.push_str(r"\r"),
            other => escaped.push(other),
        }
        escaped
    })
}

#[cfg(test)]
mod tests;
