//! The servers around a cloud: what a charm downloads from, and the proxy it may have to go through.

pub mod http;
