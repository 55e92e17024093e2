//! The words of the commands that show images and decide about them.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Output, parse_target};
use crate::model::Target;

/// `dispatch show-image`.
#[derive(Debug, clap::Args)]
pub struct ShowImage {
    /// The ID of the build or of a copy of it, its first characters (at least 4), the SHA-512 of the image, or a target such
    /// as noble-x64 to show its published build
    pub image: String,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: ShowFormat,
}

/// How `dispatch show-image` prints an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// For people
    #[default]
    Text,
    /// For programs; docs/reference/json-output.md describes it
    Json,
    /// A software bill of materials, SPDX 2.3 as JSON
    Spdx,
    /// The provenance: an unsigned in-toto statement with a SLSA v1 predicate
    Slsa,
    /// The same statement, signed, in a DSSE envelope for `dispatch verify`
    Dsse,
}

/// `dispatch verify`.
#[derive(Debug, clap::Args)]
#[group(id = "subject", required = true, multiple = false, args = ["image", "sha512"])]
pub struct Verify {
    /// The downloaded image; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// The SHA-512 that a cloud reports for the image, instead of its bytes; this trusts the cloud
    #[arg(long, value_name = "DIGEST", value_parser = parse_sha512)]
    pub sha512: Option<String>,
    /// The signed statement, which show-image prints with --format dsse
    #[arg(long, value_name = "FILE")]
    pub statement: PathBuf,
    /// The trusted public keys, which show-public-key prints
    #[arg(long, value_name = "FILE")]
    pub public_key: PathBuf,
    /// How the result is printed.
    #[command(flatten)]
    pub output: Output,
}

/// Reads a digest as Glance writes it.
fn parse_sha512(word: &str) -> Result<String, &'static str> {
    let digest = word.strip_prefix("sha512:").unwrap_or(word).to_ascii_lowercase();
    let is_digest = digest.len() == 128 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { Ok(digest) } else { Err("use the 128 hexadecimal digits of os_hash_value") }
}

/// `dispatch diff-images`.
#[derive(Debug, clap::Args)]
pub struct DiffImages {
    /// The earlier build, in any form that show-image accepts; if it is the only one given, it is compared with the previous
    /// build of its target
    pub first: String,
    /// The later build
    pub second: Option<String>,
    /// How the difference is printed.
    #[command(flatten)]
    pub output: Output,
}

/// `dispatch pin`.
#[derive(Debug, clap::Args)]
pub struct Pin {
    /// The ID of the build or of a copy of it, or its first characters (at least 4)
    pub image: String,
    /// Pin the build even if GitHub no longer assigns jobs to its runner
    #[arg(long)]
    pub force: bool,
}

/// `dispatch unpin`.
#[derive(Debug, clap::Args)]
pub struct Unpin {
    /// Target to unpin, such as noble-x64; all by default
    #[arg(value_parser = parse_target)]
    pub target: Option<Target>,
}

/// `dispatch revoke`.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// The ID of the build or of a copy of it, or its first characters (at least 4)
    pub image: String,
    /// Reason, which the status and list-images show
    pub reason: String,
}

/// `dispatch clean-up`.
#[derive(Debug, clap::Args)]
pub struct CleanUp {
    /// IDs of the resources to delete, from an earlier list; without IDs, nothing is deleted
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// How the list is printed.
    #[command(flatten)]
    pub output: Output,
}
