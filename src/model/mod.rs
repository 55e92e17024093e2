//! The plain names and values that all folders share, and how all of them wait and retry. Uses no other folder.

mod cause;
mod deadline;
mod digest;
mod disk_format;
mod elapsed;
mod image_name;
mod printable;
mod release_date;
mod retry;
mod secret;
mod target;
mod timestamp;
mod transfer;

pub use cause::{Cause, Classified};
pub use deadline::Deadline;
pub use digest::{Digesting, hex};
pub use disk_format::DiskFormat;
pub use elapsed::Elapsed;
pub use image_name::{IMAGE_NAME_TMPL, image_name};
pub use printable::{is_printable_line, printable_line, printable_lines};
pub use release_date::{NotAReleaseDate, ReleaseDate};
pub use retry::{Attempts, Backoff, GaveUp, RetryPolicy, Verdict, poll, retries, retry};
pub use secret::{Secret, redact_from_now_on, redacted, shown};
pub use target::{Arch, BaseImage, Target};
pub use timestamp::Timestamp;
pub use transfer::{Metered, Transfer, transfers};
