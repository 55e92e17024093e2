//! Agents that are stopped, or have lost their controller: their socket is missing or refuses, and what asks them fails.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::error::{AgentError, Result};
use super::world::{Job, Queued, Shared};

/// What becomes of the agents' socket while they are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoppedSocket {
    /// It is not there.
    Missing,
    /// It is there, and nobody listens.
    Refusing,
}

impl Shared {
    /// Stops all agents: what runs ends first, `juju-exec` that waits for its turn fails, the rest of the queues waits.
    pub fn stop_agents(&self, socket: StoppedSocket) -> Result<()> {
        let mut world = self.lock();
        if std::mem::replace(&mut world.stopped, true) {
            return Err(AgentError::refused("the agents are stopped already"));
        }
        let is_running = |app: &super::world::App| app.units.values().any(|unit| unit.running.is_some());
        while !world.closed && world.apps.values().any(is_running) {
            world = self.wait(world);
        }
        for unit in world.apps.values_mut().flat_map(|app| app.units.values_mut()) {
            let waiting = std::mem::take(&mut unit.queue).into_iter();
            let (lost, kept) = waiting.partition(|queued: &Queued| matches!(queued.job, Job::Exec { .. }));
            unit.queue = kept;
            let lost: VecDeque<Queued> = lost;
            for queued in lost {
                if let Job::Exec { reply, .. } = queued.job {
                    // Nobody may be waiting for it any more.
                    let _ = reply.send(Err(AgentError::refused("connection is shut down")));
                }
            }
        }
        let moved = fs::rename(&self.socket, self.hidden_socket());
        moved.map_err(AgentError::io("hiding the agents' socket"))?;
        if socket == StoppedSocket::Refusing {
            let listener = UnixListener::bind(&self.socket);
            drop(listener.map_err(AgentError::io("making a socket without a listener"))?);
        }
        drop(world);
        self.announce();
        Ok(())
    }

    /// Starts them again, if they are stopped.
    pub fn start_agents(&self) -> Result<()> {
        let mut world = self.lock();
        if std::mem::take(&mut world.stopped) {
            let moved = fs::rename(self.hidden_socket(), &self.socket);
            moved.map_err(AgentError::io("bringing the agents' socket back"))?;
        }
        drop(world);
        self.announce();
        Ok(())
    }

    fn hidden_socket(&self) -> PathBuf {
        self.socket.with_extension("stopped")
    }
}
