//! From an event to a decision. A hook reads the whole state, brings host and relations to it, asks the worker for
//! what is due, shows a status, and ends; it never waits for a cloud.

mod actions;
mod cancel;
mod cos_agent;
mod credentials;
mod departure;
mod dispatch;
mod due;
mod event;
mod image_relation;
mod launch;
mod options;
mod peers;
mod reconcile;
mod state;
mod status;
mod turn;

pub use actions::{FollowError, Followed, failures, follow};
pub use cancel::{Cancelled, cancel};
pub use dispatch::{DispatchError, Unit};
pub use event::{Action, Event, RelationChange};
pub use image_relation::ImageRelation;
pub use options::{InvalidOption, Options};
pub use reconcile::ReconcileError;
pub use turn::Turn;
