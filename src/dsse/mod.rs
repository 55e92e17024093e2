//! Signed envelopes: ed25519 keys as PEM, and what is signed with them, in the form of
//! [DSSE](https://github.com/secure-systems-lab/dsse). What is inside of an envelope is of no concern here.

mod envelope;
mod keys;

pub use envelope::{Envelope, EnvelopeError, Opened};
pub use keys::{KeyError, PublicKey, SigningKey, pem};
