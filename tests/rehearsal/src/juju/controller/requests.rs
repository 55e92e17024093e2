//! What becomes of each request.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::api::{Answer, Request};
use super::{Controller, Refusal, refused, status};
use crate::agent::{ModelView, OptionView, Unit};

/// What tells the client of a task before it has ended.
pub(super) type Tell<'t> = &'t mut dyn FnMut(Answer);

impl Controller<'_> {
    pub(super) fn handle(&self, request: Request, tell: Tell<'_>) -> Result<Value, Refusal> {
        let model = &self.fixture.model;
        match request {
            Request::Deploy { charm, application, units, config } => {
                self.deploy(&charm, application, units, &config)
            }
            Request::Refresh { application, charm } => {
                let app = model.application(&application)?;
                app.refresh(self.bring(&charm)?)?;
                self.charm_of(&application)
            }
            Request::GetConfig { application } => self.config(&application),
            Request::SetConfig { application, values, reset } => {
                let app = model.application(&application)?;
                let values: Vec<(&str, &str)> =
                    values.iter().map(|(option, value)| (option.as_str(), value.as_str())).collect();
                let reset: Vec<&str> = reset.iter().map(String::as_str).collect();
                app.reset_config(&reset)?;
                app.set_config(&values)?;
                Ok(Value::Null)
            }
            Request::Integrate { one, other } => {
                model.integrate(&one, &other)?;
                Ok(Value::Null)
            }
            Request::RemoveRelation { one, other } => {
                model.remove_relation(&one, &other)?;
                Ok(Value::Null)
            }
            Request::AddUnit { application, units } => {
                let app = model.application(&application)?;
                let source = self.view_of(&application, |app| app.source.clone())?;
                for _ in 0..units {
                    app.add_unit(&source)?;
                }
                Ok(Value::Null)
            }
            Request::RemoveUnit { units } => {
                for unit in units.iter().map(|name| self.unit(name)).collect::<Result<Vec<_>, _>>()? {
                    let name = unit.name();
                    let (app, number) = name.split_once('/').unwrap_or_default();
                    model.application(app)?.remove_unit(number.parse().unwrap_or_default())?;
                }
                Ok(Value::Null)
            }
            Request::RemoveApplication { applications } => {
                for name in &applications {
                    model.application(name)?;
                }
                for name in &applications {
                    model.application(name)?.remove()?;
                }
                Ok(Value::Null)
            }
            Request::AddSecret { name, info, content } => {
                if model.secret(&name).is_ok() {
                    return Err(refused(format!("secret with name {name:?} already exists")));
                }
                let secret = model.add_secret(&borrowed(&content))?;
                secret.describe(&name, &info)?;
                Ok(json!(secret.uri()))
            }
            Request::UpdateSecret { secret, info, content } => {
                let name = self.secret_name(&secret)?;
                let secret = model.secret(&secret)?;
                if let Some(info) = info {
                    secret.describe(&name, &info)?;
                }
                if !content.is_empty() {
                    secret.update(&borrowed(&content))?;
                }
                Ok(Value::Null)
            }
            Request::RemoveSecret { secret } => {
                model.secret(&secret)?.remove()?;
                Ok(Value::Null)
            }
            Request::GrantSecret { secret, applications } => {
                let secret = model.secret(&secret)?;
                for application in &applications {
                    secret.grant(&model.application(application)?)?;
                }
                Ok(Value::Null)
            }
            Request::RevokeSecret { secret, applications } => {
                let secret = model.secret(&secret)?;
                for application in &applications {
                    secret.revoke(&model.application(application)?)?;
                }
                Ok(Value::Null)
            }
            Request::Secrets => Ok(status::secrets(&model.view())),
            Request::Run { unit, action, params, wait } => self.run(&unit, &action, params, wait, tell),
            Request::Exec { unit, commands, wait } => self.exec(&unit, &commands, wait, tell),
            Request::RestartAgent { machine } => self.restart_agent(machine),
            Request::ShowTask { task, wait } => self.show_task(&task, wait),
            Request::Relations => Ok(status::relations(&model.view())),
            Request::Status => Ok(status::model(&model.view())),
            Request::ShowUnit { unit } => {
                let unit_info = super::units::describe(&model.view(), &unit);
                unit_info.ok_or_else(|| refused(format!("unit {unit:?} not found")))
            }
            Request::StatusLog { entity } => self.status_log(&entity),
            Request::DebugLog { from } => {
                let lines = model.debug_log();
                let lines = lines.iter().skip(from).map(status::log_line);
                Ok(lines.collect())
            }
        }
    }

    fn deploy(
        &self,
        charm: &std::path::Path,
        application: Option<String>,
        units: u32,
        config: &BTreeMap<String, String>,
    ) -> Result<Value, Refusal> {
        let folder = self.bring(charm)?;
        let text = std::fs::read_to_string(folder.join("metadata.yaml")).unwrap_or_default();
        let metadata: Value =
            serde_yaml::from_str(&text).map_err(|error| refused(format!("metadata.yaml: {error}")))?;
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let is_subordinate = metadata["subordinate"].as_bool().unwrap_or_default();
        let application = application.unwrap_or(name);
        let mut deployment =
            self.fixture.deployment(&application, &folder).units(if is_subordinate { 0 } else { units });
        for (option, value) in config {
            deployment = deployment.config(option, value);
        }
        deployment.run()?;
        self.charm_of(&application)
    }

    /// The charm of an application: its name and revision.
    fn charm_of(&self, application: &str) -> Result<Value, Refusal> {
        self.view_of(
            application,
            |app| json!({"application": application, "charm": app.charm, "revision": app.revision}),
        )
    }

    /// `juju config APPLICATION`.
    fn config(&self, application: &str) -> Result<Value, Refusal> {
        self.view_of(application, |app| {
            let settings: serde_json::Map<String, Value> =
                app.options.iter().map(|(name, option)| (name.clone(), setting(option))).collect();
            json!({"application": application, "charm": app.charm, "settings": settings})
        })
    }

    fn status_log(&self, entity: &str) -> Result<Value, Refusal> {
        let view = self.fixture.model.view();
        let unit =
            view.applications.values().flat_map(|app| app.units.values()).find(|unit| unit.name == entity);
        let unit = unit.ok_or_else(|| refused(format!("unit {entity:?} not found")))?;
        let entry = |kind: &str, status: &crate::agent::Status| json!({"status": status.state, "message": status.message, "since": status::since(status), "type": kind});
        let workload = unit.history.iter().map(|status| entry("workload", status));
        Ok(workload.chain([entry("juju-unit", &unit.agent)]).collect())
    }

    fn secret_name(&self, name_or_uri: &str) -> Result<String, Refusal> {
        let secret = self.fixture.model.secret(name_or_uri)?;
        let view = self.fixture.model.view();
        Ok(view.secrets.get(secret.id()).map(|secret| secret.name.clone()).unwrap_or_default())
    }

    fn view_of<T>(
        &self,
        application: &str,
        what: impl FnOnce(&crate::agent::ApplicationView) -> T,
    ) -> Result<T, Refusal> {
        let view: ModelView = self.fixture.model.view();
        let found = view.applications.get(application).map(what);
        found.ok_or_else(|| refused(format!("application {application:?} not found")))
    }

    /// The unit of a name, which may be `APPLICATION/leader`.
    pub(super) fn unit(&self, name: &str) -> Result<Unit, Refusal> {
        let (application, number) =
            name.split_once('/').ok_or_else(|| refused(format!("invalid unit name {name:?}")))?;
        let app = self.fixture.model.application(application)?;
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

fn borrowed(content: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    content.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
