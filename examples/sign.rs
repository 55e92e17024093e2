//! Signs where the builds come from that a unit's folder has on record, with a new key as the worker would, and prints the
//! public key: `sign ROOT`. `make test-packaging` has other implementations verify what comes of it.

use std::io;

use runner_image_builder::dsse::SigningKey;
use runner_image_builder::host::Host;
use runner_image_builder::record::{Journal, sign_provenance};

fn main() -> io::Result<()> {
    let root = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("use: sign ROOT"))?;
    let host = Host::below(root);
    let key = SigningKey::generate().map_err(io::Error::other)?;
    for build in &Journal::load(&host).map_err(io::Error::other)?.revisions {
        if !sign_provenance(&host, build, &key).map_err(io::Error::other)? {
            return Err(io::Error::other(format!("build {} cannot be signed", build.id)));
        }
    }
    print!("{}", key.public());
    Ok(())
}
