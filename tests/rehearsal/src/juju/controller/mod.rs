//! The controller: has the models of a kept rehearsal, and does what the client asks.

mod archive;
mod connections;
mod crossmodel;
mod facade;
mod models;
mod offers;
mod requests;
mod status;
mod tasks;
mod units;

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::api::{Answer, Asked, MODEL, SOCKET};
use crate::agent::AgentError;
use crate::fixture::Fixture;
use connections::Connections;
use models::Models;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often what one model says is carried to another.
const CARRIED_EVERY: Duration = Duration::from_millis(50);

/// The controller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The client's executable is missing.
    #[error("there is no juju at {}: build it with `cargo build -p rehearsal`", .0.display())]
    NoClient(PathBuf),
    /// Something of this machine.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Said(String),
    #[error("{}", .0.to_string().trim_start_matches("ERROR "))]
    Agent(#[from] AgentError),
}

fn refused(text: impl Into<String>) -> Refusal {
    Refusal::Said(text.into())
}

/// The controller of a fixture's model, and of more that the operator adds.
pub struct Controller<'f> {
    fixture: &'f Fixture,
    folder: PathBuf,
    listener: UnixListener,
    is_ended: AtomicBool,
    models: Models,
    connections: Connections,
    /// How many charms were brought.
    charms: Mutex<u32>,
}

impl<'f> Controller<'f> {
    /// Opens the fixture's model to `juju`, whose executable is `client`. From now on nobody waits for hooks.
    pub fn open(fixture: &'f Fixture, client: &Path) -> Result<Self, ControllerError> {
        let client = client.canonicalize().map_err(|_| ControllerError::NoClient(client.to_owned()))?;
        let failed = |doing| move |source| ControllerError::Io { doing, source };
        let folder = fixture.directory().join("bin");
        std::fs::create_dir_all(&folder).map_err(failed("making the folder of juju"))?;
        symlink(client, folder.join("juju")).map_err(failed("linking juju"))?;
        let listener = UnixListener::bind(folder.join(SOCKET)).map_err(failed("listening to juju"))?;
        fixture.model.run_hooks_in_background();
        Ok(Self {
            fixture,
            folder,
            listener,
            is_ended: AtomicBool::new(false),
            models: Models::of(MODEL, Arc::clone(&fixture.model)),
            connections: Connections::default(),
            charms: Mutex::new(0),
        })
    }

    /// The folder that has `juju`, for PATH.
    pub fn path_entry(&self) -> &Path {
        &self.folder
    }

    /// Answers until [`end`](Self::end), each client on a thread of its own.
    pub fn serve(&self) {
        thread::scope(|scope| {
            scope.spawn(|| {
                while !self.is_ended.load(Ordering::SeqCst) {
                    self.connections.carry();
                    thread::sleep(CARRIED_EVERY);
                }
            });
            for stream in self.listener.incoming() {
                if self.is_ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                // A client that goes away in the middle is its own problem.
                scope.spawn(move || drop(self.answer(stream)));
            }
        });
    }

    /// Ends it: whoever waits for a task is told.
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(self.folder.join(SOCKET)));
    }

    fn answer(&self, stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let send = |answer: &Answer| -> io::Result<()> {
            let mut line = serde_json::to_vec(answer)?;
            line.push(b'\n');
            (&stream).write_all(&line)
        };
        let outcome = match serde_json::from_str::<Asked>(&line) {
            Ok(asked) => self.handle(asked, &mut |answer| drop(send(&answer))),
            Err(error) => Err(refused(format!("the controller does not understand its client: {error}"))),
        };
        send(&match outcome {
            Ok(value) => Answer::Done(value),
            Err(refusal) => Answer::Refused(refusal.to_string()),
        })
    }
}
