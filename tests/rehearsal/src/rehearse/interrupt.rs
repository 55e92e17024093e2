//! Ctrl-C: the rehearsal ends in order, so that nothing of it is left.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

static ASKED: Mutex<bool> = Mutex::new(false);
static CHANGED: Condvar = Condvar::new();

/// Listens from now on. Who asks a second time does not get an orderly end.
pub fn listen() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    thread::spawn(move || {
        runtime.block_on(async move {
            for last in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                if last {
                    std::process::exit(130);
                }
                *ASKED.lock().unwrap_or_else(PoisonError::into_inner) = true;
                CHANGED.notify_all();
            }
        });
    });
    Ok(())
}

/// Whether somebody has asked for the end.
pub fn is_asked() -> bool {
    *ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until somebody does.
pub fn wait() {
    let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    drop(CHANGED.wait_while(asked, |asked| !*asked).unwrap_or_else(PoisonError::into_inner));
}
