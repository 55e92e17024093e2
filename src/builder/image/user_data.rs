//! What cloud-init of our VMs is told: who may come in, and which host key makes sure that we come to the right machine.

use serde::Serialize;

use crate::instance::KeyPair;
use crate::model::Secret;

/// The host key that only this VM's sshd uses, beside those that the machine has of its own.
const KEY_ASIDE: &str = "/etc/ssh/runner-image-builder-host-key";
/// Makes sshd use it.
const CONFIG_ASIDE: &str = "/etc/ssh/sshd_config.d/00-runner-image-builder.conf";

/// What a VM does with the host key that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyUse {
    /// It is the machine's only one, and what its image had goes.
    InPlace,
    /// Our connection alone goes by it: the machine keeps the keys of its image and makes those that are missing, so that
    /// one can see what machines of this image have.
    Aside,
}

#[derive(Serialize)]
struct UserData<'a> {
    ssh_deletekeys: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_keys: Option<HostKey<'a>>,
    ssh_authorized_keys: [&'a str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    write_files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct HostKey<'a> {
    ed25519_private: &'a str,
    ed25519_public: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    permissions: &'a str,
    content: &'a str,
}

/// The user-data of a VM that is reached with `our_key` and known by `host_key`.
pub fn user_data(host_key: &KeyPair, host_key_use: HostKeyUse, our_key: &KeyPair) -> Secret<Vec<u8>> {
    let private = host_key.private.expose();
    let config = format!("HostKey {KEY_ASIDE}\n");
    let in_place = HostKey { ed25519_private: private, ed25519_public: &host_key.public };
    let aside = [
        File { path: KEY_ASIDE, permissions: "0600", content: private },
        File { path: CONFIG_ASIDE, permissions: "0644", content: &config },
    ];
    let (ssh_keys, write_files) = match host_key_use {
        HostKeyUse::InPlace => (Some(in_place), Vec::new()),
        HostKeyUse::Aside => (None, Vec::from(aside)),
    };
    let data = UserData {
        ssh_deletekeys: host_key_use == HostKeyUse::InPlace,
        ssh_keys,
        ssh_authorized_keys: [&our_key.public],
        write_files,
    };
    let yaml = serde_yaml::to_string(&data).unwrap_or_default();
    Secret::new(format!("#cloud-config\n{yaml}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(host_key_use: HostKeyUse) -> serde_json::Value {
        let pair = |text: &str| KeyPair {
            private: Secret::new(format!("{text}\nline: 2\n")),
            public: format!("{text} {{ x }}"),
        };
        let data = user_data(&pair("host"), host_key_use, &pair("ours"));
        let text = String::from_utf8(data.expose().clone()).unwrap();
        assert!(text.starts_with("#cloud-config\n"));
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn user_data_is_cloud_config_whatever_is_in_the_keys() {
        let data = read(HostKeyUse::InPlace);
        assert_eq!(data["ssh_keys"]["ed25519_private"], "host\nline: 2\n");
        assert_eq!(data["ssh_authorized_keys"][0], "ours { x }");
        assert_eq!(data["ssh_deletekeys"], true);
    }

    #[test]
    fn a_key_beside_the_machines_own_leaves_those_as_they_are() {
        let data = read(HostKeyUse::Aside);
        assert_eq!((&data["ssh_keys"], &data["ssh_deletekeys"]), (&serde_json::Value::Null, &false.into()));
        let [key, config] = [0, 1].map(|index| &data["write_files"][index]);
        assert_eq!((&key["content"], &key["permissions"]), (&"host\nline: 2\n".into(), &"0600".into()));
        assert_eq!(config["content"], format!("HostKey {}\n", key["path"].as_str().unwrap()));
    }
}
