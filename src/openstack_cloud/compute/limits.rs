//! What a project may use of Nova, and what it uses.

use serde::Deserialize;

use super::{Compute, Flavor};
use crate::http::Method;
use crate::model::Deadline;
use crate::openstack_cloud::OpenStackError;
use crate::openstack_cloud::catalog::Service;
use crate::openstack_cloud::session::Call;

/// Nova's limits of the project. A limit below zero is none.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    max_total_instances: i64,
    total_instances_used: i64,
    max_total_cores: i64,
    total_cores_used: i64,
    #[serde(rename = "maxTotalRAMSize")]
    max_total_ram_size: i64,
    #[serde(rename = "totalRAMUsed")]
    total_ram_used: i64,
}

/// What a cloud does not tell limits nothing.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_total_instances: -1,
            total_instances_used: 0,
            max_total_cores: -1,
            total_cores_used: 0,
            max_total_ram_size: -1,
            total_ram_used: 0,
        }
    }
}

impl Limits {
    /// What one more server of this flavor would exceed: `instance quota (10 of 10 used)`.
    pub fn lacks_room_for(&self, flavor: &Flavor) -> Vec<String> {
        let size = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let resources = [
            ("instance", "", 1, self.total_instances_used, self.max_total_instances),
            ("core", "", size(flavor.vcpus), self.total_cores_used, self.max_total_cores),
            ("memory", " MB", size(flavor.ram), self.total_ram_used, self.max_total_ram_size),
        ];
        let exceeded = resources
            .iter()
            .filter(|(.., need, used, most)| *most >= 0 && used.saturating_add(*need) > *most);
        exceeded
            .map(|(name, unit, need, used, most)| {
                format!("{name} quota ({used} of {most}{unit} used, {need} needed)")
            })
            .collect()
    }
}

impl Compute<'_> {
    /// The project's limits and what it uses of them ("Show rate and absolute limits").
    pub fn limits(&self, deadline: Deadline) -> Result<Limits, OpenStackError> {
        let call = Call::new(Service::Compute, Method::Get, "reading the project's limits", "/limits");
        let answer: Answer = self.session.read(&call, deadline)?;
        Ok(answer.limits.absolute)
    }
}

#[derive(Deserialize)]
struct Answer {
    limits: Both,
}

#[derive(Deserialize)]
struct Both {
    absolute: Limits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_needs_room_in_every_quota_that_the_cloud_tells() {
        let flavor = Flavor {
            id: "f".parse().unwrap(),
            name: "f".into(),
            vcpus: 2,
            ram: 2048,
            disk: 20,
            disabled: false,
            public: true,
        };
        let lacks = |absolute: &str| {
            let answer: Answer =
                serde_json::from_str(&format!(r#"{{"limits": {{"absolute": {absolute}}}}}"#)).unwrap();
            answer.limits.absolute.lacks_room_for(&flavor)
        };
        assert!(lacks("{}").is_empty(), "what is not told limits nothing");
        assert!(lacks(r#"{"maxTotalInstances": -1, "totalInstancesUsed": 99}"#).is_empty());
        assert!(lacks(r#"{"maxTotalCores": 4, "totalCoresUsed": 2}"#).is_empty());
        assert_eq!(
            lacks(
                r#"{"maxTotalInstances": 10, "totalInstancesUsed": 10, "maxTotalCores": 4, "totalCoresUsed": 3}"#
            ),
            ["instance quota (10 of 10 used, 1 needed)", "core quota (3 of 4 used, 2 needed)"]
        );
        assert_eq!(
            lacks(r#"{"maxTotalRAMSize": 4096, "totalRAMUsed": 4000}"#),
            ["memory quota (4000 of 4096 MB used, 2048 needed)"]
        );
    }
}
