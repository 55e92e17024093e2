//! cloud-init: what user-data asks for, done to a tree before ssh answers, and in the machine afterwards. What it
//! does not know makes it end in error, as a mistake in a template would.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use serde_yaml::Value;

use super::inside;

/// What is left to do once the machine runs.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Commands for a root shell, in order.
    pub commands: Vec<String>,
    /// What went wrong already.
    pub errors: Vec<String>,
}

/// Where cloud-init remembers for which instance it has run.
const INSTANCE_ID: &str = "var/lib/cloud/data/instance-id";

/// The keys that need nothing done here.
const HARMLESS: [&str; 19] = [
    "apt",
    "disable_root",
    "final_message",
    "fqdn",
    "growpart",
    "locale",
    "manage_etc_hosts",
    "manage_resolv_conf",
    "ntp",
    "package_reboot_if_required",
    "package_update",
    "package_upgrade",
    "preserve_hostname",
    "resize_rootfs",
    "snap",
    "ssh_genkeytypes",
    "ssh_pwauth",
    "swap",
    "timezone",
];

/// Applies the config drive of the instance `id` to a tree: host name, users, keys, files.
pub(super) fn apply(
    tree: &Path,
    id: &str,
    hostname: &str,
    public_keys: &[String],
    user_data: Option<&[u8]>,
) -> io::Result<Plan> {
    let mut plan = Plan::default();
    let text = String::from_utf8_lossy(user_data.unwrap_or_default()).into_owned();
    let config = match text.lines().next() {
        None => Value::Null,
        Some(first) if first.starts_with("#cloud-config") => {
            serde_yaml::from_str(&text).unwrap_or_else(|error| {
                plan.errors.push(format!("user-data is no YAML: {error}"));
                Value::Null
            })
        }
        Some(first) if first.starts_with("#!") => {
            plan.commands.push(text.clone());
            Value::Null
        }
        Some(first) => {
            plan.errors.push(format!("unhandled user-data that begins with {first:?}"));
            Value::Null
        }
    };
    let name = config["hostname"].as_str().unwrap_or(hostname);
    write(tree, "etc/hostname", &format!("{name}\n"), 0o644)?;
    fs::create_dir_all(inside::resolve(tree, "var/lib/cloud/instance")?)?;
    users(tree, &config, public_keys, &mut plan)?;
    let is_new = inside::read(tree, INSTANCE_ID).unwrap_or_default().trim() != id;
    write(tree, INSTANCE_ID, &format!("{id}\n"), 0o644)?;
    host_keys(tree, &config, is_new)?;
    for file in list(&config["write_files"]) {
        if let Err(error) = write_file(tree, file) {
            plan.errors.push(format!("write_files: {error}"));
        }
    }
    remaining(&config, &mut plan);
    Ok(plan)
}

fn list(value: &Value) -> &[Value] {
    value.as_sequence().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn write(tree: &Path, path: &str, text: &str, mode: u32) -> io::Result<()> {
    let path = inside::resolve(tree, path)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    replaceable(&path)?;
    fs::write(&path, text)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Makes a file writable that its mode protects even from its owner; root in a machine would not notice.
fn replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o200 == 0 => {
            fs::set_permissions(path, Permissions::from_mode(0o600))
        }
        _ => Ok(()),
    }
}

/// Keys that go into the machine's own hands, and those that nobody knows.
fn remaining(config: &Value, plan: &mut Plan) {
    let Some(entries) = config.as_mapping() else { return };
    for (key, value) in entries {
        match key.as_str().unwrap_or_default() {
            "users"
            | "hostname"
            | "ssh_authorized_keys"
            | "ssh_deletekeys"
            | "ssh_keys"
            | "write_files"
            | "bootcmd"
            | "runcmd" => {}
            "packages" => {
                let names = texts(value).join(" ");
                plan.commands.push(format!("apt-get update && apt-get install -y {names}"));
            }
            known if HARMLESS.contains(&known) => {}
            unknown => plan.errors.push(format!("Cloud config schema errors: unknown key {unknown}")),
        }
    }
    for key in ["bootcmd", "runcmd"] {
        for command in list(&config[key]) {
            match command {
                Value::String(line) => plan.commands.push(line.clone()),
                Value::Sequence(words) => {
                    let words: Vec<String> = words.iter().filter_map(Value::as_str).map(quote).collect();
                    plan.commands.push(words.join(" "));
                }
                other => plan.errors.push(format!("{key}: {other:?} is no command")),
            }
        }
    }
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn users(tree: &Path, config: &Value, public_keys: &[String], plan: &mut Plan) -> io::Result<()> {
    let mut keys: Vec<String> = public_keys.to_vec();
    keys.extend(texts(&config["ssh_authorized_keys"]));
    let wanted = list(&config["users"]);
    let default = wanted.is_empty() || wanted.iter().any(|user| user.as_str() == Some("default"));
    if default {
        let groups = ["adm", "cdrom", "dip", "lxd", "sudo"].map(str::to_owned);
        add_user(tree, "ubuntu", "/bin/bash", &groups, &keys)?;
        write(tree, "etc/sudoers.d/90-cloud-init-users", "ubuntu ALL=(ALL) NOPASSWD:ALL\n", 0o440)?;
    }
    for user in wanted.iter().filter(|user| user.is_mapping()) {
        let Some(name) = user["name"].as_str() else {
            plan.errors.push("users: an entry has no name".into());
            continue;
        };
        let groups = match &user["groups"] {
            Value::String(groups) => groups.split(',').map(|group| group.trim().to_owned()).collect(),
            other => texts(other),
        };
        let own = texts(&user["ssh_authorized_keys"]);
        add_user(tree, name, user["shell"].as_str().unwrap_or("/bin/sh"), &groups, &own)?;
        let rules = match &user["sudo"] {
            Value::String(rule) => vec![rule.clone()],
            other => texts(other),
        };
        for rule in rules {
            let path = inside::resolve(tree, "etc/sudoers.d/90-cloud-init-users")?;
            replaceable(&path)?;
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{name} {rule}")?;
        }
    }
    Ok(())
}

fn add_user(tree: &Path, name: &str, shell: &str, groups: &[String], keys: &[String]) -> io::Result<()> {
    let passwd = inside::read(tree, "etc/passwd")?;
    let known = passwd.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    let home = match known {
        Some(rest) => rest.split(':').nth(4).unwrap_or_default().to_owned(),
        None => {
            let taken = |id: &u32| passwd.lines().any(|line| line.split(':').nth(2) == Some(&id.to_string()));
            let id = (1000..).find(|id| !taken(id)).unwrap_or(1000);
            append(tree, "etc/passwd", &format!("{name}:x:{id}:{id}::/home/{name}:{shell}\n"))?;
            append(tree, "etc/shadow", &format!("{name}:!:19000:0:99999:7:::\n"))?;
            let group = inside::read(tree, "etc/group")?;
            let joined: String = group.lines().map(|line| join(line, name, groups)).collect();
            write(tree, "etc/group", &format!("{joined}{name}:x:{id}:\n"), 0o644)?;
            let home = inside::resolve(tree, Path::new("home").join(name))?;
            fs::create_dir_all(&home)?;
            fs::set_permissions(home, Permissions::from_mode(0o750))?;
            fs::create_dir_all(inside::resolve(tree, "var/lib/.rehearsal")?)?;
            append(tree, "var/lib/.rehearsal/owners", &format!("R {id} {id} /home/{name}\n"))?;
            format!("/home/{name}")
        }
    };
    if !keys.is_empty() {
        let ssh = format!("{}/.ssh", home.trim_start_matches('/'));
        let text: String = keys.iter().map(|key| format!("{}\n", key.trim())).collect();
        write(tree, &format!("{ssh}/authorized_keys"), &text, 0o600)?;
        fs::set_permissions(inside::resolve(tree, ssh)?, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// A line of /etc/group, with `name` added when the group is one of `groups`.
fn join(line: &str, name: &str, groups: &[String]) -> String {
    let group = line.split(':').next().unwrap_or_default();
    if !groups.iter().any(|wanted| wanted == group) {
        return format!("{line}\n");
    }
    let comma = if line.ends_with(':') { "" } else { "," };
    format!("{line}{comma}{name}\n")
}

fn append(tree: &Path, path: &str, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(inside::resolve(tree, path)?)?
        .write_all(text.as_bytes())
}

/// The host keys that user-data gives. A new instance loses those of its image first, unless it is told not to.
fn host_keys(tree: &Path, config: &Value, is_new: bool) -> io::Result<()> {
    if is_new && config["ssh_deletekeys"].as_bool() != Some(false) {
        for entry in fs::read_dir(inside::resolve(tree, "etc/ssh")?)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    if let Some(keys) = config["ssh_keys"].as_mapping() {
        for (name, value) in keys {
            let (Some(name), Some(text)) = (name.as_str(), value.as_str()) else { continue };
            let text = format!("{}\n", text.trim_end());
            match name.rsplit_once('_') {
                Some((kind, "private")) => {
                    write(tree, &format!("etc/ssh/ssh_host_{kind}_key"), &text, 0o600)?
                }
                Some((kind, "public")) => {
                    write(tree, &format!("etc/ssh/ssh_host_{kind}_key.pub"), &text, 0o644)?
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn write_file(tree: &Path, file: &Value) -> Result<(), String> {
    let path = file["path"].as_str().ok_or("an entry has no path")?;
    let content = file["content"].as_str().unwrap_or_default();
    let bytes = match file["encoding"].as_str() {
        None | Some("text/plain") => content.as_bytes().to_vec(),
        Some("b64" | "base64") => {
            let joined: String = content.split_whitespace().collect();
            base64::engine::general_purpose::STANDARD.decode(joined).map_err(|error| error.to_string())?
        }
        Some(other) => return Err(format!("the rehearsal does not know the encoding {other}")),
    };
    let mode = match &file["permissions"] {
        Value::String(text) => {
            u32::from_str_radix(text.trim_start_matches("0o"), 8).map_err(|e| e.to_string())?
        }
        Value::Number(number) => number.as_u64().and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644),
        _ => 0o644,
    };
    let put = || -> io::Result<()> {
        let place = inside::resolve(tree, path)?;
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        replaceable(&place)?;
        let append = file["append"].as_bool() == Some(true);
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(append).truncate(!append);
        options.open(&place)?.write_all(&bytes)?;
        fs::set_permissions(place, Permissions::from_mode(mode))
    };
    put().map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_joins_a_group_once() {
        assert_eq!(join("sudo:x:27:", "u", &["sudo".into()]), "sudo:x:27:u\n");
        assert_eq!(join("sudo:x:27:a", "u", &["sudo".into()]), "sudo:x:27:a,u\n");
        assert_eq!(join("adm:x:4:", "u", &["sudo".into()]), "adm:x:4:\n");
    }
}
