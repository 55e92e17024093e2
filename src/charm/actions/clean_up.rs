//! The action `clean-up`: lists what the Python charm has left in the build project, and removes of it what an operator
//! names by its id.

use std::time::Duration;

use crate::builder::{door, http_client, python_charm};
use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::state::CharmState;
use crate::model::Deadline;
use crate::openstack_cloud::Cloud;
use crate::record::Published;

/// `juju run` itself gives up after 60 s.
const LIMIT: Duration = Duration::from_secs(50);

impl Unit<'_> {
    pub(in crate::charm) fn clean_up(&self, event: &Event) -> Result<(), DispatchError> {
        let Some(state) = self.state_for_action(event)? else { return Ok(()) };
        let parameters = self.tools.action_get()?;
        let asked = parameters.get("ids").and_then(serde_json::Value::as_str).unwrap_or_default();
        let ids: Vec<&str> = asked.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
        match self.clean_up_by_id(&state, &ids)? {
            Ok(results) => Ok(self.tools.action_set(&results)?),
            Err(refusal) => Ok(self.tools.action_fail(&refusal)?),
        }
    }

    fn clean_up_by_id(
        &self,
        state: &CharmState,
        ids: &[&str],
    ) -> Result<Result<Vec<(&'static str, String)>, String>, DispatchError> {
        let deadline = Deadline::after(LIMIT);
        let cloud = match build_cloud(state, deadline) {
            Ok(cloud) => cloud,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let found = match python_charm::find(&cloud, &state.run.owner.application, deadline) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Some(unknown) = ids.iter().find(|id| found.iter().all(|remnant| remnant.id() != **id)) {
            return Ok(Err(format!(
                "Nothing that the Python charm has left has the id {unknown}. Run clean-up without ids for the list."
            )));
        }
        let named = Published::load(self.host)?.named_images();
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        for remnant in &found {
            if !ids.contains(&remnant.id()) {
                left.push(remnant.to_string());
            } else if named.contains(remnant.id()) {
                left.push(format!("{remnant}: a relation names it"));
            } else {
                match python_charm::remove(&cloud, remnant, deadline) {
                    None => removed.push(remnant.to_string()),
                    Some(why) => left.push(why),
                }
            }
        }
        Ok(Ok(vec![("removed", removed.join("\n")), ("left", left.join("\n"))]))
    }
}

fn build_cloud(state: &CharmState, deadline: Deadline) -> Result<Cloud, String> {
    let http = http_client(&state.secrets).map_err(|failure| failure.to_string())?;
    let name = &state.run.build_cloud;
    let config = state.clouds.get(name).ok_or("The build project is not configured.")?;
    Cloud::connect(config, &door(&state.clouds, name, &http), deadline).map_err(|error| error.to_string())
}
