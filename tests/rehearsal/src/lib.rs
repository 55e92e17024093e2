//! A Juju unit agent and an OpenStack cloud, embedded, for the charm's tests and for newcomers.

pub mod agent;
