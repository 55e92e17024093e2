//! OpenPGP signatures by a throw-away key, made with gpg in a home of its own.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A key that lives as long as its directory.
pub(super) struct Signer {
    home: PathBuf,
    keyring: PathBuf,
}

impl Signer {
    /// Makes a key below `directory`.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let home = directory.join("gnupg");
        fs::create_dir(&home)?;
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let signer = Self { home, keyring: directory.join("keyring.gpg") };
        let name = "Rehearsal cloud image builder <rehearsal@example.invalid>";
        signer.gpg(&["--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never"], b"")?;
        let public = signer.gpg(&["--export"], b"")?;
        fs::write(&signer.keyring, public)?;
        Ok(signer)
    }

    /// The public key, as gpgv wants it.
    pub fn keyring(&self) -> &Path {
        &self.keyring
    }

    /// A detached binary signature.
    pub fn sign(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.gpg(&["--passphrase", "", "--detach-sign"], bytes)
    }

    /// The bytes with a signature, as InRelease has it.
    pub fn sign_inline(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.gpg(&["--passphrase", "", "--clearsign"], bytes)
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> io::Result<Vec<u8>> {
        let mut child = Command::new("gpg")
            .arg("--homedir")
            .arg(&self.home)
            .args(["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input)?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(format!("gpg {arguments:?}: {why}")))
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // gpg leaves an agent behind that watches over its home.
        let kill = Command::new("gpgconf").arg("--homedir").arg(&self.home).args(["--kill", "all"]).status();
        drop(kill);
    }
}
