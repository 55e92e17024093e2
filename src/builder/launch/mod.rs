//! Runners that an operator launches by hand: each is noted in a file of its own before anything is asked of a cloud, and
//! until nothing of it is left there. A process of its own, the launcher, does what the notes ask for.

mod launcher;
mod note;
mod perform;

pub use launcher::{LauncherError, launch, launcher_lives, launcher_log, stop_launcher, tend};
pub use note::{Launch, LaunchOrder, LaunchSecrets, LaunchState, Server};
