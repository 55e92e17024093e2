//! Promises of the client.
