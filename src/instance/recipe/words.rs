//! The words of a recipe, each checked where it is read: a name that is wrong is refused with its line and column, and
//! no later code has to ask whether it may go into a command or a file.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::http::Url;

/// What a kind of word looks like.
pub trait Rule {
    /// What it is, and what it may be made of, to complete "... is no".
    const WHAT: &'static str;
    /// Whether `text` is one.
    fn holds(text: &str) -> bool;
}

/// A text that obeys a rule.
pub struct Word<R> {
    text: String,
    rule: PhantomData<fn() -> R>,
}

impl<R: Rule> Word<R> {
    /// `text`, when it obeys the rule; else what to tell the author.
    pub fn parse(text: &str) -> Result<Self, String> {
        match R::holds(text) {
            true => Ok(Self { text: text.to_owned(), rule: PhantomData }),
            false => {
                Err(format!("{:?} is not a valid {}", text.chars().take(80).collect::<String>(), R::WHAT))
            }
        }
    }
}

impl<R> Word<R> {
    /// A word of our own, which is known to obey the rule.
    pub(super) fn known(text: &'static str) -> Self {
        Self { text: text.to_owned(), rule: PhantomData }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Mode {
    /// The permissions as a number.
    pub fn bits(&self) -> u32 {
        self.text.bytes().fold(0, |bits, digit| bits * 8 + u32::from(digit - b'0'))
    }
}

impl<R> Clone for Word<R> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), rule: PhantomData }
    }
}

impl<R> fmt::Debug for Word<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl<R> fmt::Display for Word<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<R> PartialEq for Word<R> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<R> Eq for Word<R> {}

impl<R> PartialOrd for Word<R> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Word<R> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl<R> Serialize for Word<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, R: Rule> Deserialize<'de> for Word<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // In a visitor, not after it: only there does the reader know the line.
        struct Text<R>(PhantomData<R>);
        impl<R: Rule> Visitor<'_> for Text<R> {
            type Value = Word<R>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a {}", R::WHAT)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<R>, E> {
                Word::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// Declares kinds of words: the rule's type, its description, what holds for the text.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident, $rule:ident: $what:literal, $holds:expr;)*) => {$(
        $(#[$doc])*
        pub type $name = Word<$rule>;

        #[doc = concat!("A ", $what, ".")]
        pub enum $rule {}

        impl Rule for $rule {
            const WHAT: &'static str = $what;
            fn holds(text: &str) -> bool {
                let holds: fn(&str) -> bool = $holds;
                holds(text)
            }
        }
    )*};
}

words! {
    /// The name of a package, with an architecture where it is a foreign one.
    PackageName, PackageRule:
        "package name (lower-case letters, digits, + - . and an architecture after a colon)", is_package;
    /// The name of a file of apt, without its ending.
    SourceName, SourceRule:
        "source name (lower-case letters, digits and -)",
        |text| made_of(text, 64, |c| lower(c) || c == '-') && !text.starts_with('-');
    /// A suite of an apt archive.
    Suite, SuiteRule:
        "suite or component of an apt archive (letters, digits, . _ / -)",
        |text| made_of(text, 128, |c| c.is_ascii_alphanumeric() || "._/-".contains(c)) && !text.starts_with('-');
    /// The address of an apt archive.
    ArchiveUrl, ArchiveRule: "http or https URL", is_url;
    /// A key that signs an apt archive.
    ArchiveKey, KeyRule:
        "PGP public key in ASCII armor",
        |text| text.trim_start().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") && text.is_ascii();
    /// The address of such a key.
    KeyUrl, KeyUrlRule: "https URL", |text| is_url(text) && text.starts_with("https://");
    /// A file with such keys that the base image has.
    Keyring, KeyringRule:
        "absolute path of a keyring in the image (letters, digits, . _ + - between slashes)",
        |text| is_path(text) && text.split('/').skip(1).all(is_plain);
    /// An architecture of dpkg.
    PackageArch, PackageArchRule:
        "architecture of dpkg (such as armhf)",
        |text| made_of(text, 32, |c| lower(c) || c == '-') && !text.starts_with('-');
    /// The name of a snap.
    SnapName, SnapRule: "snap name (lower-case letters, digits and single hyphens, 40 at most)", is_snap;
    /// A snap's channel.
    Channel, ChannelRule:
        "snap channel (TRACK/RISK, such as latest/edge)",
        |text| text.split('/').count() <= 3
            && text.split('/').all(|part| made_of(part, 64, |c| c.is_ascii_alphanumeric() || "._-".contains(c)))
            && !text.starts_with('-');
    /// The name of an npm package.
    NpmName, NpmRule: "npm package name (such as yarn or @scope/name)", is_npm;
    /// A version as one word: a tag, a release.
    Version, VersionRule:
        "version (letters, digits, . _ + -)",
        |text| is_plain(text) && text.len() <= 64;
    /// A kernel parameter.
    SysctlName, SysctlRule:
        "kernel parameter (such as net.core.default_qdisc)",
        |text| text.contains(['.', '/']) && !text.contains("..")
            && made_of(text, 128, |c| c.is_ascii_alphanumeric() || "._/-".contains(c))
            && text.starts_with(|c: char| c.is_ascii_lowercase());
    /// The value of a kernel parameter.
    SysctlValue, SysctlValueRule:
        "value of a kernel parameter (one line)",
        |text| made_of(text, 256, |c| (' '..='~').contains(&c));
    /// The name of a user or a group.
    AccountName, AccountRule: "name of a user or group (lower-case letters, digits, - and _)", is_account;
    /// Who owns a file.
    Owner, OwnerRule:
        "owner (user or user:group)",
        |text| text.split(':').count() <= 2 && text.split(':').all(is_account);
    /// A systemd unit.
    UnitName, UnitRule: "unit of systemd (with its ending, such as apt-daily.timer)", is_unit;
    /// Where a file lies in the image.
    FilePath, PathRule:
        "absolute path in the image (no . or .. in it, not below /dev, /proc, /run, /sys or /tmp)", is_path;
    /// The permissions of a file.
    Mode, ModeRule:
        "file mode (three or four octal digits, such as 0644)",
        |text| matches!(text.len(), 3 | 4) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    /// What a shell runs.
    Script, ScriptRule:
        "command (some text without a NUL character)",
        |text| !text.trim().is_empty() && !text.contains('\0');
    /// A repository on GitHub.
    Repository, RepositoryRule:
        "repository (OWNER/NAME)",
        |text| text.split('/').count() == 2 && text.split('/').all(|part| is_plain(part) && part.len() <= 100);
    /// A file of a release.
    AssetName, AssetRule:
        "name of a release's file (letters, digits, . _ + -)",
        |text| is_plain(text) && text.len() <= 200;
    /// The address of a download.
    DownloadUrl, DownloadRule: "http or https URL", is_url;
    /// A SHA-256 digest.
    Sha256, Sha256Rule:
        "SHA-256 digest (64 lower-case hexadecimal digits)",
        |text| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn made_of(text: &str, longest: usize, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.len() <= longest && text.chars().all(allowed)
}

/// A word that may stand in a URL, in a path and in a command, and means nothing but itself in all of them.
fn is_plain(text: &str) -> bool {
    made_of(text, 200, |c| c.is_ascii_alphanumeric() || "._+-".contains(c)) && !text.starts_with(['.', '-'])
}

/// Debian's rule. A hyphen at the end would tell apt to remove the package.
fn is_package(text: &str) -> bool {
    let (name, architecture) = text.split_once(':').map_or((text, None), |(name, other)| (name, Some(other)));
    let plain = |part: &str| part.starts_with(lower) && !part.ends_with('-');
    name.len() >= 2
        && plain(name)
        && made_of(name, 128, |c| lower(c) || "+.-".contains(c))
        && architecture.is_none_or(|word| plain(word) && made_of(word, 32, |c| lower(c) || c == '-'))
}

fn is_snap(text: &str) -> bool {
    made_of(text, 40, |c| lower(c) || c == '-')
        && text.contains(|c: char| c.is_ascii_lowercase())
        && text.split('-').all(|part| !part.is_empty())
}

fn is_npm(text: &str) -> bool {
    let part = |part: &str| part.starts_with(lower) && made_of(part, 200, |c| lower(c) || "._-".contains(c));
    match text.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name)),
        None => part(text),
    }
}

fn is_account(text: &str) -> bool {
    made_of(text, 32, |c| lower(c) || "_-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
}

fn is_unit(text: &str) -> bool {
    const ENDINGS: [&str; 8] =
        [".service", ".timer", ".socket", ".path", ".target", ".mount", ".slice", ".automount"];
    made_of(text, 255, |c| c.is_ascii_alphanumeric() || ":_.@-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && ENDINGS.iter().any(|ending| text.ends_with(ending) && text.len() > ending.len())
}

fn is_path(text: &str) -> bool {
    const GONE: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
    let Some(below) = text.strip_prefix('/') else { return false };
    text.len() <= 1024
        && !text.contains(char::is_control)
        && below.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 200)
        && !below.split('/').next().is_some_and(|first| GONE.contains(&first))
        && below.split('/').take(2).collect::<Vec<_>>() != ["var", "tmp"]
}

fn is_url(text: &str) -> bool {
    text.len() <= 1024
        && text.chars().all(|c| ('!'..='~').contains(&c))
        && !text.contains(['"', '\'', '\\', '<', '>', '`', '#'])
        && text.parse::<Url>().is_ok()
}
