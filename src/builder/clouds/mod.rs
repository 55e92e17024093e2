//! Clouds by name: clouds.yaml, the way in, and what is published there.

pub mod clouds_yaml;
pub mod connect;
pub mod latest;
pub mod names;
pub mod personal;
pub mod projects;
