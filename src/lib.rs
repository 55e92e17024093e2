//! runner-image-builder: a Juju machine charm that keeps a fresh, tested GitHub Actions runner image in every
//! OpenStack project related to it.
//!
//! # The map
//!
//! A hook decides (`charm`), a worker builds (`worker`), and they talk through files (`record`). Each folder uses only
//! those that its row names, all of which stand below it. `make check` holds the sources against this table.
//!
//! | folder | holds | uses |
//! |---|---|---|
//! | `cli` | what people run by hand: commands, and views of the unit's records | `charm`, `worker`, `builder`, `record`, `openstack_cloud/openstack_manager`, `instance`, `github`, `dsse`, `host`, `model` |
//! | `charm` | from an event to a decision: state, reconciliation, relation data, actions, status | `worker`, `builder`, `record`, `openstack_cloud/openstack_manager`, `openstack_cloud`, `instance`, `github`, `juju`, `http`, `dsse`, `host`, `model` |
//! | `worker` | the processes that do what hooks ask for: how they start, work, report and stop | `builder`, `builder/ownership`, `record`, `openstack_cloud/openstack_manager`, `openstack_cloud`, `github`, `http`, `dsse`, `host`, `model` |
//! | `builder` | building (seed `builder`): host set-up, what is due, one run over targets and clouds | `builder/upkeep`, `builder/delivery`, `builder/clouds`, `builder/image`, `builder/ownership`, `record`, `openstack_cloud/openstack_manager`, `openstack_cloud`, `instance`, `github`, `http`, `host`, `model` |
//! | `builder/upkeep` | what goes: orphans, old revisions and prepared images, clouds that are not used any more | `builder/delivery`, `builder/clouds`, `builder/image`, `builder/ownership`, `record`, `openstack_cloud`, `http`, `host`, `model` |
//! | `builder/delivery` | one image to many projects, and the builds that are kept to be delivered | `builder/clouds`, `builder/image`, `builder/ownership`, `record`, `openstack_cloud`, `http`, `host`, `model` |
//! | `builder/clouds` | clouds by name: clouds.yaml, connections, the latest image | `builder/ownership`, `record`, `openstack_cloud`, `http`, `host`, `model` |
//! | `builder/image` | making and proving one image: base image, builder VM, local build, verification | `builder/ownership`, `record`, `openstack_cloud`, `instance`, `disk_image`, `http`, `host`, `model` |
//! | `builder/ownership` | what is ours in a cloud, and by which evidence | `record`, `openstack_cloud`, `instance`, `model` |
//! | `record` | what is written on the unit's disk by one process and read by others | `openstack_cloud/openstack_manager`, `openstack_cloud`, `instance`, `github`, `dsse`, `host`, `model` |
//! | `openstack_cloud/openstack_manager` | runners and their images (seed `openstack_manager`) | `openstack_cloud`, `instance`, `github`, `http`, `host`, `model` |
//! | `openstack_cloud` | the thin client of Keystone, Glance, Nova and Neutron | `http`, `model` |
//! | `instance` | what goes into an instance (`Base`), and how it is reached (`Executor`) | `http`, `host`, `model` |
//! | `github` | releases and their digests; registration of runners | `http`, `model` |
//! | `disk_image` | disk images as files of this machine: grown, mounted, packed | `host`, `model` |
//! | `juju` | what Juju tells us and what we tell Juju: environment, hook tools, log | `host`, `model` |
//! | `http` | the web: deadlines, retries, proxies, trust | `model` |
//! | `dsse` | signed envelopes: keys, and what is signed with them | `model` |
//! | `host` | this machine: its files and its commands | `model` |
//! | `model` | plain names and values that all folders share; deadlines and the one retry | nothing |
//!
//! # The flow of data
//!
//! environment -> [`charm::Event`] -> `CharmState` -> [`builder::BuilderRunConfig`] -> [`record::Job`] ->
//! (executor x base) -> snapshot -> [`builder::BuildResult`] -> databag.
//!
//! A hook decides and ends; the worker, a process of its own, builds. They talk through files: hooks write
//! `request.json` and `databags.json`, the worker writes `journal.json`, and each reads the other's. In the same way the
//! launcher does what the action `launch-runner` leaves in `launches/`.

pub mod builder;
pub mod charm;
pub mod cli;
pub mod disk_image;
pub mod dsse;
pub mod github;
pub mod host;
pub mod http;
pub mod instance;
pub mod juju;
pub mod model;
pub mod openstack_cloud;
pub mod record;
#[cfg(test)]
mod testing;
pub mod worker;
