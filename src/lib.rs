//! runner-image-builder: a Juju machine charm that keeps a fresh, tested GitHub Actions runner image in every
//! OpenStack project related to it.
//!
//! # The house
//!
//! | room | what lives there |
//! |---|---|
//! | [`juju`] | what Juju tells us and what we tell Juju: environment, hook tools, log |
//! | [`charm`] | from an event to a decision: state, reconciliation, relation data, actions, status |
//! | [`cli`] | what people do by hand, with the charm's options |
//! | [`builder`] | building: clouds.yaml, cron, requests and journal, the worker, a run over targets and clouds |
//! | [`openstack_cloud`] | the thin client of Keystone, Glance, Nova and Neutron; on top of it [`openstack_manager`](openstack_cloud::openstack_manager): runners and their images |
//! | [`instance`] | what goes into an instance ([`Base`](instance::Base)), and where it runs ([`Executor`](instance::Executor)) |
//! | [`disk_image`] | disk images as files of this machine: grown, mounted, packed |
//! | [`github`] | what releases hold and with which digests, and what makes a runner one of a repository |
//! | [`http`] | the one door to the web: deadlines, retries, proxies, trust |
//! | [`host`] | the one door to the machine: its files and its commands |
//! | [`target`], [`timestamp`], [`secret`], [`printable`], [`deadline`], [`digest`] | the small types that all rooms share |
//!
//! Dependencies point one way: `cli` -> `charm` -> `builder` -> {`openstack_cloud`, `instance`, `disk_image`, `github`}
//! -> {`http`, `host`}; `openstack_cloud::openstack_manager` uses `instance` and `github` beside it; `juju` is known to
//! `charm` only.
//!
//! # The way of the data
//!
//! environment -> [`charm::Event`] -> `CharmState` -> [`builder::BuilderRunConfig`] -> [`builder::Job`] ->
//! (executor x base) -> snapshot -> [`builder::BuildResult`] -> databag.
//!
//! A hook decides and ends; the worker, a process of its own, builds. They talk through files: hooks write
//! `request.json` and `databags.json`, the worker writes `journal.json`, and each reads the other's. In the same way the
//! launcher does what the action `launch-runner` leaves in `launches/`.

pub mod builder;
pub mod charm;
pub mod cli;
pub mod deadline;
pub mod digest;
pub mod disk_image;
pub mod github;
pub mod host;
pub mod http;
pub mod instance;
pub mod juju;
pub mod openstack_cloud;
pub mod printable;
pub mod secret;
pub mod target;
#[cfg(test)]
mod testing;
pub mod timestamp;
