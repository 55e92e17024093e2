//! With whom images of the build project are shared: noted before the first is, kept until none is any more.

use serde::{Deserialize, Serialize};

use super::Journal;
use crate::openstack_cloud::ProjectId;
use crate::record::{BuilderRunConfig, CloudName};

/// A related project that images may be shared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its name in clouds.yaml.
    pub cloud: CloudName,
    /// Its id, as the build project's Keystone has told it.
    pub project: ProjectId,
}

impl Journal {
    /// Images may be shared with `project`, which `cloud` leads to.
    pub fn joins(&mut self, cloud: &CloudName, project: &ProjectId) {
        self.memberships.retain(|known| known.cloud != *cloud);
        self.memberships.push(Membership { cloud: cloud.clone(), project: project.clone() });
    }

    /// The project that `cloud` leads to, if images may be shared with it.
    pub fn member(&self, cloud: &CloudName) -> Option<&ProjectId> {
        self.memberships.iter().find(|known| known.cloud == *cloud).map(|known| &known.project)
    }

    /// Whether images may be shared with a project that no relation of `config` leads to as it did.
    pub fn has_former_members(&self, config: &BuilderRunConfig) -> bool {
        self.memberships.iter().any(|known| !config.clouds.contains(&known.cloud))
    }

    /// Nothing is shared any more with those whom no relation of `config` leads to.
    pub fn former_members_have_left(&mut self, config: &BuilderRunConfig) {
        self.memberships.retain(|known| config.clouds.contains(&known.cloud));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_former_once_no_relation_leads_to_it() {
        let [here, there] = ["here", "there"].map(CloudName::new);
        let mut journal = Journal::default();
        let [p, q]: [ProjectId; 2] = ["p", "q"].map(|id| id.parse().unwrap());
        journal.joins(&here, &p);
        journal.joins(&there, &p);
        journal.joins(&there, &q);
        assert_eq!((journal.member(&here), journal.member(&there)), (Some(&p), Some(&q)));
        let mut config = crate::testing::run_config();
        config.clouds = vec![here.clone(), there];
        assert!(!journal.has_former_members(&config));
        config.clouds.pop();
        assert!(journal.has_former_members(&config));
        journal.former_members_have_left(&config);
        assert!(!journal.has_former_members(&config) && journal.member(&here).is_some());
    }
}
