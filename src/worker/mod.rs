//! The processes that do what hooks ask for: the worker builds images, the launcher launches runners. Each is a copy of
//! this binary that outlives hooks, and writes what comes of its work into `record`.

mod check;
mod error;
mod launch;
mod launcher;
mod overdue;
mod preparation;
mod process;
mod record;
mod reporter;
mod shared_journal;
mod take_over;
mod work;

pub use error::WorkerError;
pub use launcher::{launch, launcher_lives, launcher_log, stop_launcher, tend};
pub use overdue::worker_gets_on;
pub use process::{StartError, start_worker, stop_worker};
pub use reporter::call_hook;
pub use work::{work, work_externally, worker_log};
