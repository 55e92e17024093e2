//! What the last hook has heard in the image relations: the other side's units are asked again only in the events that are about
//! them, and now and then all of them, so that a hook costs the same however many relations there are.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::ImageRelation;
use super::said::{ImageRelations, Said};
use crate::builder::Clouds;
use crate::charm::event::Event;
use crate::host::Host;
use crate::juju::RelationId;
use crate::model::{Timestamp, hex};
use crate::openstack_cloud::CloudConfig;
use crate::record::{Heard, LastHook};

/// What need not be asked in this hook.
#[derive(Debug, Default)]
pub struct Remembered {
    last: LastHook,
    clouds: Clouds,
}

impl Remembered {
    /// What the hook of `event` need not ask, where `clouds` stand in clouds.yaml: nothing in the events that may change
    /// everything, and once an hour.
    pub fn in_event(host: &Host, event: &Event, clouds: Clouds) -> Self {
        let last = LastHook::load(host).unwrap_or_default();
        let reads_all = match event {
            Event::Install
            | Event::UpgradeCharm
            | Event::ConfigChanged
            | Event::Start
            | Event::LeaderElected => true,
            Event::UpdateStatus | Event::Scheduled => !last.is_fresh(),
            _ => false,
        };
        let last = if reads_all || last.read.is_none() { LastHook::default() } else { last };
        Self { last, clouds }
    }

    /// The same where relations inherit their connection from `own` now.
    pub fn beside(self, own: &CloudConfig) -> Self {
        if self.last.inherited == inherited(own) {
            return self;
        }
        Self { last: LastHook::default(), ..self }
    }

    /// What a relation has said.
    pub(super) fn of(&self, id: &RelationId) -> Option<Said> {
        Some(match self.last.relations.get(id.as_str())? {
            Heard::Cloud { name, application, digest: known } => {
                // What was tampered with is read again.
                let config = self.clouds.get(name).filter(|config| digest(config) == *known)?.clone();
                let application = application.clone();
                Said::Usable(Box::new(ImageRelation { cloud: name.clone(), config, application }))
            }
            Heard::Refused(why) => Said::Refused(why.clone()),
            Heard::Incomplete => Said::Incomplete,
        })
    }

    /// What the next hook need not ask, after `relations` were heard; `own` is the cloud that they inherit from. Also returns what
    /// stands in clouds.yaml.
    pub fn then(self, relations: &ImageRelations, own: &CloudConfig) -> (LastHook, Clouds) {
        let heard = |id: &RelationId| match (relations.usable.get(id), relations.refused.get(id)) {
            (Some(ImageRelation { cloud, config, application }), _) => {
                let (name, application) = (cloud.clone(), application.clone());
                Heard::Cloud { name, application, digest: digest(config) }
            }
            (None, Some(why)) => Heard::Refused(why.clone()),
            (None, None) => Heard::Incomplete,
        };
        let heard: BTreeMap<String, Heard> =
            relations.ids.iter().map(|id| (id.to_string(), heard(id))).collect();
        let last = LastHook {
            read: self.last.read.or_else(|| Some(Timestamp::now())),
            inherited: inherited(own),
            relations: heard,
            status: self.last.status,
        };
        (last, self.clouds)
    }
}

/// A digest of how a cloud is reached.
fn digest(config: &CloudConfig) -> String {
    // The first part leaves out the password.
    hex(&Sha256::digest(format!("{config:?}\n{}", config.password.expose())))
}

/// A digest of what relations inherit.
fn inherited(CloudConfig { auth_url, region_name, interface, ca_certificate, .. }: &CloudConfig) -> String {
    hex(&Sha256::digest(format!("{auth_url}\n{region_name:?}\n{interface:?}\n{ca_certificate:?}")))
}
