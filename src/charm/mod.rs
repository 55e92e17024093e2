//! From an event to a decision. A hook reads the whole state, brings host and relations to it, asks the worker for
//! what is due, shows a status, and ends; it never waits for a cloud.

mod actions;
mod cos_agent;
mod credentials;
mod dispatch;
mod due;
mod event;
mod image_relation;
mod options;
mod peers;
mod reconcile;
mod removal;
mod state;
mod status;
mod turn;

pub use actions::cancel::{Cancelled, cancel};
pub use actions::check::{failure, lines};
pub use actions::clean_up::{clean_up, page};
pub use actions::history::Past;
pub use actions::image_list::ImageList;
pub use actions::levers::{self, Force, LeverError, tell_juju};
pub use actions::provenance::{envelope, provenance};
pub use actions::show_image::{ImageDifference, ShowError, ShownImage};
pub use actions::signing_keys::why_none as why_no_key;
pub use actions::spdx::spdx;
pub use actions::{FollowError, Followed, failures, follow};
pub use dispatch::{DispatchError, Unit};
pub use event::{Action, Event, RelationChange};
pub use image_relation::ImageRelation;
pub use options::{InvalidOption, Options};
pub use reconcile::ReconcileError;
pub use turn::Turn;
