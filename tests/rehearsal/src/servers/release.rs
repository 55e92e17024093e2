//! A stand-in for the runner application: the same names as in the real tarball, next to nothing in them.

use std::io;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// Deterministic bytes of `actions-runner-linux-ARCH-VERSION.tar.gz`.
pub fn runner_tarball(architecture: &str, version: &str) -> io::Result<Vec<u8>> {
    let zipped = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let mut archive = Builder::new(zipped);
    let listener = format!(
        "#!/bin/sh\n# Stand-in for {architecture}.\ncase \"${{1:-}}\" in\n    --version) echo {version} ;;\n    \
         *) echo \"Runner.Listener: the stand-in only knows --version\" >&2; exit 1 ;;\nesac\n"
    );
    let config = "#!/bin/sh\n# Notes what it was called with.\nprintf '%s\\n' \"$@\" > \"$(dirname \"$0\")/.runner\"\n";
    let run = "#!/bin/sh\ncd \"$(dirname \"$0\")\" && exec ./bin/Runner.Listener \"$@\"\n";
    for (name, text) in [
        ("./", None),
        ("./bin/", None),
        ("./bin/Runner.Listener", Some(listener.as_str())),
        ("./bin/installdependencies.sh", Some("#!/bin/sh\nexit 0\n")),
        ("./config.sh", Some(config)),
        ("./env.sh", Some("#!/bin/sh\ntouch \"$(dirname \"$0\")/.env\"\n")),
        ("./run.sh", Some(run)),
    ] {
        let mut header = Header::new_ustar();
        header.set_entry_type(if text.is_some() { EntryType::Regular } else { EntryType::Directory });
        header.set_mode(0o755);
        header.set_uid(1001);
        header.set_gid(121);
        header.set_mtime(1_714_003_200);
        header.set_size(text.map_or(0, |text| text.len() as u64));
        archive.append_data(&mut header, name, text.unwrap_or_default().as_bytes())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tarball_depends_on_nothing_but_its_name() {
        assert_eq!(runner_tarball("x64", "2.1").unwrap(), runner_tarball("x64", "2.1").unwrap());
        assert_ne!(runner_tarball("x64", "2.1").unwrap(), runner_tarball("x64", "2.2").unwrap());
    }
}
