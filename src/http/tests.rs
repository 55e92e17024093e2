//! Promises of the door to the web.
