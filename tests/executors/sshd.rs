//! A real sshd on the loopback interface, for one test: keys, configuration and address are its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rehearsal::servers::own_address;
use runner_image_builder::deadline::Deadline;
use runner_image_builder::host::Host;
use runner_image_builder::instance::{KeyPair, SshExecutor, SshTarget};

/// A running server.
pub struct Sshd {
    pub host: Host,
    pub address: SocketAddr,
    host_key: KeyPair,
    user_key: KeyPair,
    folder: tempfile::TempDir,
    server: Child,
}

impl Sshd {
    /// Starts one that lets root in, by key.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::below("/");
        let host_key = KeyPair::generate(&host, folder.path(), "host").unwrap();
        let user_key = KeyPair::generate(&host, folder.path(), "user").unwrap();
        let address = own_address().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            host.write(&path, text.as_bytes(), 0o600).unwrap();
            path.display().to_string()
        };
        let key = file("host_key", host_key.private.expose());
        let authorized = file("authorized_keys", &format!("{}\n", user_key.public));
        let config = format!(
            "ListenAddress {address}\nHostKey {key}\nAuthorizedKeysFile {authorized}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPrintMotd no\nMaxStartups 100\n"
        );
        file("sshd_config", &config);
        let server = serve(&folder.path().join("sshd_config"));
        Self { host, address, host_key, user_key, folder, server }
    }

    /// How it is reached.
    pub fn target(&self) -> SshTarget {
        SshTarget {
            name: "loopback".into(),
            address: self.address.ip().to_string(),
            user: "root".into(),
            key: self.user_key.private.clone(),
            host_key: self.host_key.public.clone(),
            options: vec![format!("Port={}", self.address.port())],
        }
    }

    /// The folder of a connection.
    pub fn connection(&self) -> PathBuf {
        self.folder.path().join("connection")
    }

    /// A connection.
    pub fn connect(&self) -> SshExecutor {
        let deadline = Deadline::after(Duration::from_secs(60));
        SshExecutor::connect(&self.host, self.target(), self.connection(), deadline).unwrap()
    }

    /// Ends the server and every connection, as a machine does that is booted again.
    pub fn stop(&mut self) {
        let connections = Command::new("pgrep").args(["-P", &self.server.id().to_string()]).output().unwrap();
        for process in String::from_utf8(connections.stdout).unwrap().split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", process]).status();
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// Starts it again, after [`Sshd::stop`].
    pub fn start_again(&mut self) {
        self.server = serve(&self.folder.path().join("sshd_config"));
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(config: &std::path::Path) -> Child {
    // Where sshd puts what has no rights; the package's service makes it otherwise.
    fs::create_dir_all("/run/sshd").unwrap();
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stderr(Stdio::null());
    sshd.spawn().expect("sshd: tests/deps.sh installs it")
}
