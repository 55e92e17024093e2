//! The unit's end: how it is known, and what goes with the unit.

use crate::builder::Extent;
use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::options::Options;
use crate::charm::removal;
use crate::charm::state::proxies;
use crate::juju::Status;
use crate::record;

impl Unit<'_> {
    /// Whether this unit, or the whole application, is being removed. Its relations go first: what it knows of their
    /// clouds is kept for `stop`, and nothing is begun any more.
    pub(in crate::charm) fn departs(&self, event: &Event) -> Result<bool, DispatchError> {
        let is_leaving = self.environment.departing_unit.as_ref() == Some(&self.environment.unit);
        if is_leaving || *event == Event::PeersEnd {
            removal::note_departure(self.host)?;
        }
        Ok(removal::departs(self.host))
    }

    /// What goes with this unit. In doubt, what others may need stays, and that is told.
    fn extent(&self) -> (Extent, Option<String>) {
        let ours = self.environment.unit.as_str();
        let others = match self.tools.goal_state_units() {
            Ok(units) => units.iter().any(|(unit, status)| unit != ours && status != "dying"),
            Err(error) => {
                return (Extent::Unit, Some(format!("what other units may need, if there are any: {error}")));
            }
        };
        if others {
            return (Extent::Unit, None);
        }
        match self.tools.config_get().map(|config| Options::new(config).remove_images_on_removal()) {
            Ok(true) => (Extent::ApplicationAndImages, None),
            Ok(false) => (Extent::Application, None),
            Err(error) => (Extent::Application, Some(format!("published images: {error}"))),
        }
    }

    pub(in crate::charm) fn stop(&self) -> Result<(), DispatchError> {
        self.show_status(&Status::Maintenance("Removing builder VMs and base images.".into()))?;
        let owner = record::Owner {
            model_uuid: self.environment.model_uuid.clone(),
            application: self.environment.unit.application().to_owned(),
            unit: self.environment.unit.number(),
        };
        let (extent, doubt) = self.extent();
        let proxies = proxies(self.environment);
        let mut left = removal::remove_cloud_resources(self.host, &owner, &proxies, extent);
        left.extend(doubt);
        for what in &left {
            log::warn!("left behind: {what}");
        }
        if !left.is_empty() {
            let message = format!("Left behind in the cloud: {}", left.join("; "));
            self.show_status(&Status::Maintenance(message.chars().take(400).collect()))?;
        }
        Ok(())
    }
}
