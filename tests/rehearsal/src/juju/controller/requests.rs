//! Applications, their options, units and secrets: what each request does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::api::MODEL;
use super::facade::Facade;
use super::{Refusal, refused, status};
use crate::agent::{ModelView, OptionView, Unit};

impl Facade<'_, '_> {
    pub(super) fn deploy(
        &self,
        charm: &std::path::Path,
        application: Option<String>,
        units: u32,
        config: &BTreeMap<String, String>,
    ) -> Result<Value, Refusal> {
        if crate::lock(&self.here.consumed).contains_key(application.as_deref().unwrap_or_default()) {
            return Err(refused(format!(
                "cannot add application {:?}: saas application with same name already exists",
                application.unwrap_or_default()
            )));
        }
        let folder = self.controller.bring(charm)?;
        let text = std::fs::read_to_string(folder.join("metadata.yaml")).unwrap_or_default();
        let metadata: Value =
            serde_yaml::from_str(&text).map_err(|error| refused(format!("metadata.yaml: {error}")))?;
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let is_subordinate = metadata["subordinate"].as_bool().unwrap_or_default();
        let application = application.unwrap_or(name);
        let fixture = self.controller.fixture;
        let deployment = match self.here.name.as_str() {
            MODEL => fixture.deployment(&application, &folder),
            other => fixture.deployment_in(&self.here.model, other, &application, &folder),
        };
        let mut deployment = deployment.units(if is_subordinate { 0 } else { units });
        for (option, value) in config {
            deployment = deployment.config(option, value);
        }
        deployment.run()?;
        self.charm_of(&application)
    }

    /// The charm of an application: its name and revision.
    pub(super) fn charm_of(&self, application: &str) -> Result<Value, Refusal> {
        self.view_of(
            application,
            |app| json!({"application": application, "charm": app.charm, "revision": app.revision}),
        )
    }

    /// `juju config APPLICATION`.
    pub(super) fn config(&self, application: &str) -> Result<Value, Refusal> {
        self.view_of(application, |app| {
            let settings: serde_json::Map<String, Value> =
                app.options.iter().map(|(name, option)| (name.clone(), setting(option))).collect();
            json!({"application": application, "charm": app.charm, "settings": settings})
        })
    }

    pub(super) fn status_log(&self, entity: &str) -> Result<Value, Refusal> {
        let view = self.here.model.view();
        let unit =
            view.applications.values().flat_map(|app| app.units.values()).find(|unit| unit.name == entity);
        let unit = unit.ok_or_else(|| refused(format!("unit {entity:?} not found")))?;
        let entry = |kind: &str, status: &crate::agent::Status| json!({"status": status.state, "message": status.message, "since": status::since(status), "type": kind});
        let workload = unit.history.iter().map(|status| entry("workload", status));
        Ok(workload.chain([entry("juju-unit", &unit.agent)]).collect())
    }

    pub(super) fn secret_name(&self, name_or_uri: &str) -> Result<String, Refusal> {
        let secret = self.here.model.secret(name_or_uri)?;
        let view = self.here.model.view();
        Ok(view.secrets.get(secret.id()).map(|secret| secret.name.clone()).unwrap_or_default())
    }

    pub(super) fn view_of<T>(
        &self,
        application: &str,
        what: impl FnOnce(&crate::agent::ApplicationView) -> T,
    ) -> Result<T, Refusal> {
        let view: ModelView = self.here.model.view();
        let found = view.applications.get(application).map(what);
        found.ok_or_else(|| refused(format!("application {application:?} not found")))
    }

    /// The unit of a name, which may be `APPLICATION/leader`.
    pub(super) fn unit(&self, name: &str) -> Result<Unit, Refusal> {
        let (application, number) =
            name.split_once('/').ok_or_else(|| refused(format!("invalid unit name {name:?}")))?;
        let app = self.here.model.application(application)?;
        if number == "leader" {
            let leader = app.leader()?;
            return leader.ok_or_else(|| refused(format!("could not determine leader for {application:?}")));
        }
        let found = app.units().into_iter().find(|unit| unit.name() == name);
        found.ok_or_else(|| refused(format!("unit {name:?} not found")))
    }
}

fn setting(option: &OptionView) -> Value {
    let mut setting = json!({"description": option.description, "type": option.kind});
    if !option.default.is_null() {
        setting["default"] = option.default.clone();
    }
    let (value, source) = match &option.set {
        Some(value) => (value.clone(), "user"),
        None if option.default.is_null() => (Value::Null, "unset"),
        None => (option.default.clone(), "default"),
    };
    setting["source"] = json!(source);
    if !value.is_null() {
        setting["value"] = value;
    }
    setting
}
