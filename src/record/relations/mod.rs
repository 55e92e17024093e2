//! What hooks keep of the databags: what each relation is told, what other units name and acknowledge.

mod former_names;
mod last_hook;
mod peers;
mod published;
mod told;

pub use former_names::FormerNames;
pub use last_hook::{Heard, LastHook};
pub use peers::{Announcement, Own, Peer, Peers};
pub use published::Published;
pub use told::Told;
