//! Whatever a value holds, it comes out as it is, or is refused where a text cannot hold it.

use std::process::Command;

use super::*;
use crate::model::Secret;

/// What breaks out of other people's templates.
const HOSTILE: [&str; 10] = [
    "it's",
    "\"quoted\"",
    "$(touch /tmp/escaped) `id` ${HOME}",
    "a\nb\r\nEVIL=1\n",
    "{{ token }} {% for x in files %} {# note #}",
    "'; rm -rf / #",
    "--help",
    "\\n \\ %h %% \t",
    "",
    "ü\u{2028}\u{1b}[0m",
];

fn data<'a>(files: &'a [MachineFile], value: &'a str) -> UserData<'a> {
    UserData {
        files,
        behind_proxy: true,
        user: "ubuntu",
        user_home: "/home/ubuntu",
        home: "/home/ubuntu/actions-runner",
        url: value,
        token: value,
        name: value,
        labels: value,
        group: Some(value),
    }
}

/// What the script would do: the words of each command that matters.
fn commands(script: &str) -> Vec<Vec<String>> {
    let told = "tell() { printf '%s\\0' \"$@\"; printf '\\1\\0'; }
        put() { tell put \"$@\"; }; runuser() { tell runuser \"$@\"; }; systemctl() { :; }; cd() { tell cd \"$@\"; }\n";
    let script = format!("{told}{}", script.replacen("put() {", "replaced() {", 1));
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.split('\0').collect();
    words
        .split(|word| *word == "\u{1}")
        .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
        .collect()
}

#[test]
fn in_the_script_every_value_is_one_word() {
    for value in HOSTILE {
        let file = MachineFile { path: "/a b", owner: "ubuntu", mode: "0600", content: value.to_owned() };
        let script = data(&[file], value).render().unwrap();
        let commands = commands(&script);
        assert_eq!(commands[0], ["put", "/a b", "ubuntu", "0600", value], "{script}");
        assert_eq!(commands[1], ["cd", "/home/ubuntu/actions-runner"]);
        let mut expected = vec!["runuser", "-u", "ubuntu", "--", "env", "HOME=/home/ubuntu", "./config.sh"];
        expected.extend(["--unattended", "--ephemeral", "--url", value, "--token", value, "--name", value]);
        expected.extend(["--labels", value]);
        // None is none.
        expected.extend(["--runnergroup", value].iter().filter(|_| !value.is_empty()));
        assert_eq!(commands[2], expected, "{script}");
    }
}

#[test]
fn in_the_environment_a_value_is_the_rest_of_its_line_or_refused() {
    for value in HOSTILE {
        let secret = || Secret::new(value.to_owned());
        let proxies = ProxyStringValues { http: secret(), https: secret(), no_proxy: value.into() };
        let environment = RunnerEnvironment { proxies, dockerhub_mirror: Some(value), ssh_debug: None };
        match environment.render() {
            Err(error) => {
                assert!(value.contains('\n') && error.to_string().contains("line break"), "{error}");
                assert!(!format!("{error:?}").contains("EVIL"), "errors hold no value");
            }
            Ok(text) => {
                assert!(!value.contains('\n'));
                let lines: Vec<&str> = text.lines().collect();
                let names =
                    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];
                let names = names.iter().chain(&["DOCKERHUB_MIRROR", "CONTAINER_REGISTRY_URL"]);
                let set: Vec<String> = names.map(|name| format!("{name}={value}")).collect();
                let set = if value.is_empty() { Vec::new() } else { set };
                assert_eq!(lines[0], "LANG=C.UTF-8");
                assert_eq!(lines[1..], set);
            }
        }
    }
}

#[test]
fn a_debug_connection_is_four_variables() {
    let connection: SshDebugConnection = serde_json::from_str(
        r#"{"host": "fd00::9", "port": 22, "rsa_fingerprint": "SHA256:a", "ed25519_fingerprint": "SHA256:b"}"#,
    )
    .unwrap();
    let environment = RunnerEnvironment { ssh_debug: Some(&connection), ..RunnerEnvironment::default() };
    assert_eq!(
        environment.render().unwrap(),
        "LANG=C.UTF-8\nTMATE_SERVER_HOST=fd00::9\nTMATE_SERVER_PORT=22\nTMATE_SERVER_RSA_FINGERPRINT=SHA256:a\n\
         TMATE_SERVER_ED25519_FINGERPRINT=SHA256:b\n"
    );
}

#[test]
fn docker_is_led_through_the_proxies_that_there_are() {
    assert!(docker_files(&ProxyStringValues::default(), "ubuntu").unwrap().is_empty());
    for value in HOSTILE.iter().filter(|value| !value.is_empty()) {
        let http = Secret::new((*value).to_owned());
        let proxies = ProxyStringValues { http, ..ProxyStringValues::default() };
        let [unit, client] = &docker_files(&proxies, "ubuntu").unwrap()[..] else { panic!("two files") };
        assert_eq!((unit.mode, client.mode, client.owner), ("0600", "0600", "ubuntu"));
        let read: serde_json::Value = serde_json::from_str(&client.content).unwrap();
        assert_eq!(read, serde_json::json!({"proxies": {"default": {"httpProxy": value}}}));
        let setting = unit.content.strip_prefix("[Service]\nEnvironment=\"HTTP_PROXY=");
        let setting = setting.and_then(|rest| rest.strip_suffix("\"\n")).expect("one setting");
        assert_eq!(unquoted(setting), *value);
    }
}

/// What systemd makes of the inside of double quotes.
fn unquoted(text: &str) -> String {
    let (mut value, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        value.push(match character {
            '%' => characters.next().filter(|next| *next == '%').expect("a specifier"),
            '\\' => match characters.next().expect("an escape") {
                'n' => '\n',
                'r' => '\r',
                other => other,
            },
            '"' => panic!("the quotes end within the value"),
            '\n' => panic!("the line ends within the value"),
            other => other,
        });
    }
    value
}

#[test]
fn the_runners_unit_runs_it_as_its_user() {
    let unit = runner_unit("ubuntu", "/home/ubuntu/actions-runner").unwrap();
    for line in ["User=ubuntu", "ExecStart=/home/ubuntu/actions-runner/run.sh"] {
        assert!(unit.lines().any(|known| known == line), "{unit}");
    }
}

#[test]
fn a_zero_byte_is_refused() {
    assert!(data(&[], "a\0b").render().is_err());
}
