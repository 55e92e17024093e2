//! `juju` for the rehearsal: the client `juju`, and the controller in a kept rehearsal that answers it.
//!
//! The client has the words, flags and texts of the real one; the controller has the models. They talk through a socket
//! beside the client, in JSON, one value a line.

pub mod api;
mod controller;
pub mod offer_url;

pub use controller::{Controller, ControllerError};
