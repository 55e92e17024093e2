//! HTTP/1.1 on a loopback port, one thread per connection: keep-alive, chunked and streamed bodies in both
//! directions, and a say over each connection, so that it can misbehave on demand.

mod connection;
mod fault;
mod hostile;
mod message;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub use fault::{Asked, Fault, FaultId, Faults, LogEntry, ProjectOf, What};
pub use hostile::Script;
pub use message::{Payload, Plus, Request, Response, decode, encode, reason};

use crate::lock;

/// Answers requests.
pub type Handler = Arc<dyn Fn(&mut Request<'_>) -> Response + Send + Sync>;

/// Takes over a whole connection after a CONNECT request: the proxy's tunnel.
pub type Tunnel = Arc<dyn Fn(&str, TcpStream) -> u16 + Send + Sync>;

/// One listening server. Dropping it closes the port and every connection.
pub struct Server {
    shared: Arc<Shared>,
    acceptor: Mutex<Option<thread::JoinHandle<()>>>,
}

/// What the acceptor and the connections know of their server.
struct Shared {
    address: SocketAddr,
    handler: Handler,
    tunnel: Option<Tunnel>,
    faults: Arc<Faults>,
    stopping: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    open: AtomicUsize,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(faults: Arc<Faults>, handler: Handler) -> io::Result<Self> {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, faults, handler, None)
    }

    /// The same, and answers CONNECT with `tunnel`.
    pub fn start_with_tunnel(faults: Arc<Faults>, handler: Handler, tunnel: Tunnel) -> io::Result<Self> {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, faults, handler, Some(tunnel))
    }

    /// Serves a port that is already bound (whose number the handler may have to know).
    pub fn on(
        listener: TcpListener,
        faults: Arc<Faults>,
        handler: Handler,
        tunnel: Option<Tunnel>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            handler,
            tunnel,
            faults,
            stopping: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
            open: AtomicUsize::new(0),
        });
        let server = Self { shared, acceptor: Mutex::new(None) };
        server.accept(listener)?;
        Ok(server)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.shared.address.port()
    }

    /// Its URL without a trailing slash.
    pub fn url(&self) -> String {
        self.shared.base_url()
    }

    /// Opens or closes the port as the [`What::Refuse`] rules say. Called after rules were added or lifted.
    pub fn follow_rules(&self) -> io::Result<()> {
        let refuse = self.shared.faults.refuses(&format!("{}/", self.url()));
        let listening = lock(&self.acceptor).is_some();
        match (listening, refuse) {
            (true, true) => self.silence(),
            (false, false) => {
                self.shared.stopping.store(false, Ordering::SeqCst);
                self.accept(TcpListener::bind(self.shared.address)?)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn accept(&self, listener: TcpListener) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let acceptor = thread::Builder::new().name("http".into()).spawn(move || {
            for stream in listener.incoming() {
                if shared.stopping.load(Ordering::SeqCst) {
                    break;
                }
                if let Ok(stream) = stream {
                    serve(&shared, stream);
                }
            }
        })?;
        *lock(&self.acceptor) = Some(acceptor);
        Ok(())
    }

    /// Closes the port and all connections.
    fn silence(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(acceptor) = lock(&self.acceptor).take() {
            // The acceptor sleeps in accept(): a connection of our own wakes it.
            drop(TcpStream::connect(self.shared.address));
            drop(acceptor.join());
        }
        for connection in lock(&self.shared.connections).drain(..) {
            drop(connection.shutdown(std::net::Shutdown::Both));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.silence();
        let patience = Instant::now() + Duration::from_secs(2);
        while self.shared.open.load(Ordering::SeqCst) > 0 && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Shared {
    fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Gives a connection a thread of its own.
fn serve(shared: &Arc<Shared>, stream: TcpStream) {
    let Ok(handle) = stream.try_clone() else { return };
    let peer = stream.peer_addr();
    {
        let mut connections = lock(&shared.connections);
        connections.retain(|known| known.peer_addr().is_ok());
        connections.push(handle);
    }
    shared.open.fetch_add(1, Ordering::SeqCst);
    let inner = Arc::clone(shared);
    let spawned = thread::Builder::new().name("http-connection".into()).spawn(move || {
        connection::run(&inner, stream);
        if let Ok(peer) = peer {
            lock(&inner.connections).retain(|known| known.peer_addr().is_ok_and(|address| address != peer));
        }
        inner.open.fetch_sub(1, Ordering::SeqCst);
    });
    if spawned.is_err() {
        shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}
