//! An instance's sshd: public keys only, read from the tree at every login; sessions run in the machine.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Msg, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet, Sig};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::inside;
use super::sandbox::Machine;
use super::session::{self, Running};

/// What a login can do.
#[derive(Clone)]
pub(super) struct Door {
    pub tree: PathBuf,
    pub machine: Arc<Machine>,
    pub address: Ipv4Addr,
}

/// The key by which the host is known: the one that sshd's configuration names, else the host's own, which is made
/// when there is none, as cloud-init does.
pub(super) fn host_key(tree: &Path) -> io::Result<PrivateKey> {
    let own = own_key(tree)?;
    match configured_key(tree)? {
        Some(text) => PrivateKey::from_openssh(text.trim()).map_err(io::Error::other),
        None => Ok(own),
    }
}

/// Whether sshd starts with the machine.
pub(super) fn starts(tree: &Path) -> bool {
    let unit = inside::resolve(tree, "etc/systemd/system").map(|units| units.join("ssh.service"));
    !unit.and_then(fs::read_link).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// The first `HostKey` below sshd_config.d.
fn configured_key(tree: &Path) -> io::Result<Option<String>> {
    let mut files: Vec<PathBuf> = fs::read_dir(inside::resolve(tree, "etc/ssh/sshd_config.d")?)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    for file in files {
        let text = fs::read_to_string(file)?;
        if let Some(path) = text.lines().find_map(|line| line.trim().strip_prefix("HostKey ")) {
            return inside::read(tree, path.trim()).map(Some);
        }
    }
    Ok(None)
}

fn own_key(tree: &Path) -> io::Result<PrivateKey> {
    let place = inside::resolve(tree, "etc/ssh/ssh_host_ed25519_key")?;
    if let Ok(text) = fs::read_to_string(&place) {
        return PrivateKey::from_openssh(text.trim()).map_err(io::Error::other);
    }
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
        .map_err(io::Error::other)?;
    let public = key.public_key().to_openssh().map_err(io::Error::other)?;
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    key.write_openssh_file(&place, LineEnding::LF).map_err(io::Error::other)?;
    fs::write(place.with_extension("pub"), format!("{public} root@host\n"))?;
    Ok(key)
}

/// Answers at the instance's address until `stop` changes.
pub(super) async fn serve(door: Door, port: u16, key: PrivateKey, mut stop: watch::Receiver<()>) {
    let config = Arc::new(Config {
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(20),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        nodelay: true,
        window_size: 8 << 20,
        ..Config::default()
    });
    let address = SocketAddr::from((door.address, port));
    // Somebody else on this machine may have the port for a moment, on all addresses.
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                _ = stop.changed() => return,
            },
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((stream, peer)) = accepted else { continue };
        drop(stream.set_nodelay(true));
        let visitor = Visitor { door: door.clone(), peer, user: String::new(), channels: HashMap::new() };
        let (config, mut stop) = (Arc::clone(&config), stop.clone());
        tokio::spawn(async move {
            let Ok(session) = russh::server::run_stream(config, stream, visitor).await else { return };
            let handle = session.handle();
            tokio::select! {
                _ = session => {}
                _ = stop.changed() => {
                    let goodbye = handle.disconnect(russh::Disconnect::ByApplication, String::new(), String::new());
                    drop(goodbye.await);
                }
            }
        });
    }
}

/// One connection.
struct Visitor {
    door: Door,
    peer: SocketAddr,
    user: String,
    channels: HashMap<ChannelId, Slot>,
}

/// A session channel before and after its command started.
struct Slot {
    channel: Option<Channel<Msg>>,
    variables: Vec<(String, String)>,
    running: Option<Running>,
}

impl Visitor {
    /// The home directory of a user that may log in.
    fn home(&self, user: &str) -> Option<String> {
        let passwd = inside::read(&self.door.tree, "etc/passwd").ok()?;
        let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
        let shell = line.rsplit(':').next().unwrap_or_default();
        let may = user != "root" && !shell.ends_with("nologin") && !shell.ends_with("false");
        may.then(|| line.split(':').nth(5).map(str::to_owned)).flatten()
    }

    fn knows(&self, user: &str, key: &PublicKey) -> bool {
        let Some(home) = self.home(user) else { return false };
        let file = Path::new(&home).join(".ssh/authorized_keys");
        let text = inside::read(&self.door.tree, file).unwrap_or_default();
        let mut keys = text.lines().filter_map(|line| PublicKey::from_openssh(line.trim()).ok());
        keys.any(|known| known.key_data() == key.key_data())
    }

    fn start(&mut self, id: ChannelId, command: &str, session: &mut Session) -> Result<(), russh::Error> {
        let home = self.home(&self.user);
        let Some(slot) = self.channels.get_mut(&id) else { return session.channel_failure(id) };
        let (Some(channel), Some(home)) = (slot.channel.take(), home) else {
            return session.channel_failure(id);
        };
        let there = inside::resolve(&self.door.tree, &home).is_ok_and(|home| home.is_dir());
        let folder = if there { home.as_str() } else { "/" };
        let mut process = self.door.machine.command(&self.user, folder, command);
        for (name, value) in session::environment(&self.door.tree, &self.user, &home) {
            process.env(name, value);
        }
        process.envs(slot.variables.drain(..));
        let ports = format!("{} {}", self.peer.ip(), self.peer.port());
        process.env("SSH_CLIENT", format!("{ports} 22"));
        process.env("SSH_CONNECTION", format!("{ports} {} 22", self.door.address));
        match session::start(process, channel) {
            Ok(running) => {
                slot.running = Some(running);
                session.channel_success(id)
            }
            Err(_) => session.channel_failure(id),
        }
    }
}

impl russh::server::Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: russh::server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.knows(user, offer.public_key) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        if !self.knows(user, key.public_key) {
            return Ok(Auth::reject());
        }
        user.clone_into(&mut self.user);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let slot = |channel| Slot { channel: Some(channel), variables: Vec::new(), running: None };
        self.channels.insert(channel.id(), slot(channel));
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // What Ubuntu's sshd_config accepts.
        if name != "LANG" && !name.starts_with("LC_") {
            return session.channel_failure(id);
        }
        if let Some(slot) = self.channels.get_mut(&id) {
            slot.variables.push((name.to_owned(), value.to_owned()));
        }
        session.channel_success(id)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        self.start(id, &command, session)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, "", session)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(running) = self.channels.get(&id).and_then(|slot| slot.running.as_ref()) {
            running.signal(&signal);
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }
}
