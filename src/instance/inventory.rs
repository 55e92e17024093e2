//! What is installed in an instance, as the instance itself says it: one command, whatever leads to the instance. What it
//! says is not trusted: it is bounded, each line is parsed strictly, and what does not parse is left out and told of.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::executor::{Command, Executor, ExecutorError};
use crate::model::{Deadline, Secret, printable_line};

/// What is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The release of the kernel that the next boot starts, such as `6.8.0-31-generic`.
    #[serde(default)]
    pub kernel: Option<String>,
    /// The serial of Ubuntu's cloud image, such as `20260423`, from `/etc/cloud/build.info`.
    #[serde(default)]
    pub base_serial: Option<String>,
    /// Debian packages, by name and architecture.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// Snaps, by name. In a system that is not booted, those that its first boot seeds.
    #[serde(default)]
    pub snaps: Vec<InstalledSnap>,
    /// Global npm packages, by name.
    #[serde(default)]
    pub npm: Vec<NpmPackage>,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, in Debian's word.
    pub architecture: String,
}

/// A snap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstalledSnap {
    /// Its name.
    pub name: String,
    /// Its version, unless only its file is there.
    #[serde(default)]
    pub version: Option<String>,
    /// Its revision; of one that did not come from the store, `x` and a number.
    pub revision: String,
    /// The channel that it follows, if any.
    #[serde(default)]
    pub channel: Option<String>,
}

impl InstalledSnap {
    /// Version and revision, as people tell releases of a snap apart: `1.0 (1380)`.
    pub fn release(&self) -> String {
        match &self.version {
            Some(version) => format!("{version} ({})", self.revision),
            None => format!("({})", self.revision),
        }
    }
}

/// An npm package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NpmPackage {
    /// Its name, with its scope.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How long the instance may take to say it.
const LIMIT: Duration = Duration::from_secs(300);
/// The longest name or version.
const LONGEST: usize = 200;
/// The most that is taken of one kind: an Ubuntu server has about a thousand packages.
const MOST: usize = 10_000;

/// Prints `[SECTION]` and what belongs to it, fields separated by tabs. `$1` says whether the system is booted: snapd answers
/// only then. npm's answer, which is JSON, comes last.
const SCRIPT: &str = r#"lacks() { echo "$1 failed"; }
    echo '[system]'
    [ ! -e /boot/vmlinuz ] || printf 'kernel\t%s\n' "$(basename "$(readlink -f /boot/vmlinuz)" | sed s/^vmlinuz-//)"
    [ ! -r /etc/cloud/build.info ] || sed -n 's/^serial: */serial\t/p' /etc/cloud/build.info
    echo '[packages]'
    dpkg-query --show --showformat='${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n' || lacks dpkg-query
    echo '[snaps]'
    if [ "$1" = booted ]; then
        ! command -v snap >/dev/null ||
            timeout 60 snap list --color=never --unicode=never | awk 'NR > 1 {print $1 "\t" $2 "\t" $3 "\t" $4}' || lacks 'snap list'
    else
        for file in /var/lib/snapd/seed/snaps/*_*.snap; do
            [ -e "$file" ] || continue
            name=${file##*/}; name=${name%.snap}
            printf '%s\t-\t%s\t-\n' "${name%_*}" "${name##*_}"
        done
    fi
    echo '[npm]'
    ! command -v npm >/dev/null || timeout 120 npm list --global --depth=0 --json || true"#;

/// Asks the instance what is installed in it.
pub fn take_inventory(executor: &dyn Executor, deadline: Deadline) -> Result<Inventory, ExecutorError> {
    let booted = if executor.is_booted() { "booted" } else { "not booted" };
    let words = ["bash", "-uo", "pipefail", "-c", SCRIPT, "bash", booted];
    let command =
        Command::new(words).environment([("LC_ALL".into(), Some(Secret::new("C.UTF-8".to_owned())))]);
    let output = executor.run(command.limit(LIMIT).unlogged(), deadline)?;
    let (inventory, unread) = parse(&output.stdout);
    if let Some(first) = unread.first() {
        let (instance, count) = (executor.instance(), unread.len());
        log::warn!("{instance}: invalid lines in the inventory: {count}; the first: {first}");
    }
    Ok(inventory)
}

/// What the instance says, and the lines that make no sense, fit for a log.
pub fn parse(said: &[u8]) -> (Inventory, Vec<String>) {
    let (mut inventory, mut unread) = (Inventory::default(), Vec::new());
    let text = String::from_utf8_lossy(said);
    let (lines, npm) = text.split_once("[npm]\n").unwrap_or((&text, ""));
    let mut section = "";
    for line in lines.lines() {
        if matches!(line, "[system]" | "[packages]" | "[snaps]") {
            section = line;
        } else if inventory.take(section, line).is_none() {
            unread.push(shown(line));
        }
    }
    if text.len() >= CUT || !text.contains("[npm]\n") {
        unread.push("its end is missing".to_owned());
    } else if !npm.trim().is_empty() {
        match serde_json::from_str::<NpmList>(npm) {
            Ok(list) => list.dependencies.into_iter().for_each(|(name, package)| {
                let version = package.version.filter(|version| is_word(version));
                match version.filter(|_| is_npm_name(&name) && inventory.npm.len() < MOST) {
                    Some(version) => inventory.npm.push(NpmPackage { name, version }),
                    None => unread.push(shown(&name)),
                }
            }),
            Err(error) => unread.push(format!("npm list: {}", shown(&error.to_string()))),
        }
    }
    inventory.packages.sort();
    inventory.packages.dedup();
    inventory.snaps.sort();
    inventory.snaps.dedup();
    (inventory, unread)
}

/// What an executor keeps of a command's output.
const CUT: usize = 1 << 20;

/// As `npm list --json` prints it.
#[derive(Deserialize)]
struct NpmList {
    #[serde(default)]
    dependencies: BTreeMap<String, NpmEntry>,
}

#[derive(Deserialize)]
struct NpmEntry {
    #[serde(default)]
    version: Option<String>,
}

impl Inventory {
    /// Takes one line of a section; none when it makes no sense.
    fn take(&mut self, section: &str, line: &str) -> Option<()> {
        let fields: Vec<&str> = line.split('\t').collect();
        match (section, fields.as_slice()) {
            ("[system]", ["kernel", release]) if is_word(release) => {
                self.kernel = Some((*release).to_owned())
            }
            ("[system]", ["serial", serial]) if is_word(serial) => {
                self.base_serial = Some((*serial).to_owned());
            }
            ("[packages]", [status, name, version, architecture]) => {
                let is_sound = is_package_name(name) && is_version(version) && is_package_name(architecture);
                if !is_sound || self.packages.len() >= MOST {
                    return None;
                }
                // What was removed may have left its configuration: `rc`.
                if status.get(1..2) == Some("i") {
                    let [name, version, architecture] =
                        [name, version, architecture].map(|&field| field.into());
                    self.packages.push(Package { name, version, architecture });
                }
            }
            ("[snaps]", [name, version, revision, channel]) => {
                let given = |field: &str| Some(field.to_owned()).filter(|field| field != "-");
                let is_sound = [name, version, revision, channel].iter().all(|field| is_word(field));
                if !is_sound || !is_package_name(name) || self.snaps.len() >= MOST {
                    return None;
                }
                let (version, channel) = (given(version), given(channel));
                let (name, revision) = ((*name).to_owned(), (*revision).to_owned());
                self.snaps.push(InstalledSnap { name, version, revision, channel });
            }
            _ => return None,
        }
        Some(())
    }
}

/// A name of Debian's, of a snap, or of an architecture.
fn is_package_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c);
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_version(version: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"+-.:~".contains(&c);
    (1..=LONGEST).contains(&version.len()) && version.bytes().all(is_plain)
}

/// `name` or `@scope/name`.
fn is_npm_name(name: &str) -> bool {
    let is_plain = |part: &str| {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
        !part.is_empty() && part.bytes().all(is_plain)
    };
    let parts = name.strip_prefix('@').map_or(Some(("", name)), |scoped| scoped.split_once('/'));
    name.len() <= LONGEST
        && parts.is_some_and(|(scope, own)| is_plain(own) && (is_plain(scope) || !name.starts_with('@')))
}

/// Visible ASCII without blanks.
fn is_word(word: &str) -> bool {
    (1..=LONGEST).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_graphic())
}

fn shown(line: &str) -> String {
    printable_line(&line.chars().take(80).collect::<String>().replace('\t', " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_read_and_what_was_removed_is_not() {
        let said = "[system]\nkernel\t6.8.0-31-generic\nserial\t20260423\n[packages]\nii \tzlib1g\t1:1.3.dfsg-3.1ubuntu2\tamd64\n\
                    rc \tgone\t1\tall\nhi \tlibc6\t2.39-0ubuntu8\tamd64\n[snaps]\ncore22\t20260101\t1380\tlatest/stable\n\
                    own\t-\tx1\t-\n[npm]\n{\"dependencies\": {\"@a/b\": {\"version\": \"1.0.0\"}, \"yarn\": {\"version\": \"1.22.22\"}}}\n";
        let (inventory, unread) = parse(said.as_bytes());
        assert_eq!(unread, [] as [&str; 0]);
        let text = serde_json::to_value(&inventory).unwrap();
        assert_eq!(
            text,
            serde_json::json!({
                "kernel": "6.8.0-31-generic", "base_serial": "20260423",
                "packages": [
                    {"name": "libc6", "version": "2.39-0ubuntu8", "architecture": "amd64"},
                    {"name": "zlib1g", "version": "1:1.3.dfsg-3.1ubuntu2", "architecture": "amd64"}],
                "snaps": [
                    {"name": "core22", "version": "20260101", "revision": "1380", "channel": "latest/stable"},
                    {"name": "own", "version": null, "revision": "x1", "channel": null}],
                "npm": [{"name": "@a/b", "version": "1.0.0"}, {"name": "yarn", "version": "1.22.22"}]})
        );
    }

    #[test]
    fn what_makes_no_sense_is_left_out_and_told_of_in_print() {
        for line in [
            "[packages]\nii \ta\u{1b}[2J\t1\tamd64",
            "[packages]\nii \tlibc6\t$(id)\tamd64",
            "[packages]\nii \tlibc6\t1",
            "[packages]\ndpkg-query failed",
            "[packages]\nii \t../etc\t1\tamd64",
            "[snaps]\ncore\t1\t\t-",
            "[system]\nkernel\t6.8 generic",
            "[system]\nserial\t\u{202e}1",
            "no section",
        ] {
            let (inventory, unread) = parse(format!("{line}\n[npm]\n").as_bytes());
            assert_eq!((inventory, unread.len()), (Inventory::default(), 1), "{line}");
            assert!(crate::model::is_printable_line(&unread[0]), "{line}");
        }
        for npm in
            ["7", "{", r#"{"dependencies": {"a b": {"version": "1"}}}"#, r#"{"dependencies": {"a": {}}}"#]
        {
            let (inventory, unread) = parse(format!("[npm]\n{npm}").as_bytes());
            assert_eq!((inventory, unread.len()), (Inventory::default(), 1), "{npm}");
        }
        let (_, unread) = parse(b"[packages]\nii \ta\t1\tall\n");
        assert_eq!(unread, ["its end is missing"]);
    }

    #[test]
    fn of_endless_output_no_more_is_kept_than_a_system_can_have() {
        let lines: String = (0..20_000).map(|number| format!("ii \tp{number}\t1\tall\n")).collect();
        let (inventory, unread) = parse(format!("[packages]\n{lines}[npm]\n").as_bytes());
        assert_eq!((inventory.packages.len(), unread.len()), (MOST, MOST));
    }
}
