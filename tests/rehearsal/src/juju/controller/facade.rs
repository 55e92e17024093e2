//! What becomes of each request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::api::{Answer, Asked, CONTROLLER, Request, USER};
use super::models::HostedModel;
use super::{Controller, Refusal, offers, refused, status};
use crate::agent::Model;

/// What tells the client of a task before it has ended.
pub(super) type Tell<'t> = &'t mut dyn FnMut(Answer);

/// The controller as one request sees it: with the model that the request is about.
pub(super) struct Facade<'c, 'f> {
    pub controller: &'c Controller<'f>,
    pub here: Arc<HostedModel>,
}

impl Controller<'_> {
    pub(super) fn handle(&self, asked: Asked, tell: Tell<'_>) -> Result<Value, Refusal> {
        let here = self.models.find(asked.model.as_deref())?;
        Facade { controller: self, here }.handle(asked.request, tell)
    }
}

impl Facade<'_, '_> {
    fn handle(&self, request: Request, tell: Tell<'_>) -> Result<Value, Refusal> {
        let model = &self.here.model;
        match request {
            Request::AddModel { name, switch } => self.add_model(&name, switch),
            Request::DestroyModel { name } => {
                let model = self.controller.models.find(Some(&name))?;
                self.controller.models.remove(&model.name)?;
                offers::isolate(self, &model);
                Ok(Value::Null)
            }
            Request::Models => Ok(self.models()),
            Request::Switch { model } => self.switch(model.as_deref()),
            Request::Deploy { charm, application, units, config } => {
                self.deploy(&charm, application, units, &config)
            }
            Request::Refresh { application, charm } => {
                let app = model.application(&application)?;
                app.refresh(self.controller.bring(&charm)?)?;
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
            Request::Integrate { one, other, offer } => {
                if let Some(offer) = offer {
                    self.consume(&offer, None)?;
                }
                if let Some(done) = self.integrate_across(&one, &other)? {
                    return Ok(done);
                }
                model.integrate(&one, &other)?;
                Ok(Value::Null)
            }
            Request::RemoveRelation { one, other } => {
                if let Some(done) = self.part_across(&one, &other)? {
                    return Ok(done);
                }
                model.remove_relation(&one, &other)?;
                Ok(Value::Null)
            }
            Request::Offer { model, application, endpoints, name } => {
                self.offer(model.as_deref(), &application, endpoints, &name)
            }
            Request::RemoveOffer { offers, force } => self.remove_offers(&offers, force),
            Request::Offers => Ok(self.offers()),
            Request::Consume { offer, alias } => self.consume(&offer, alias.as_deref()),
            Request::RemoveSaas { names } => Ok(self.remove_consumed(&names)),
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
            Request::RemoveApplication { applications, force } => {
                for name in &applications {
                    model.application(name)?;
                }
                for name in &applications {
                    self.withdraw(name, force)?;
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
            Request::Run { units, action, params, wait } => self.run(&units, &action, &params, wait, tell),
            Request::Exec { units, commands, wait } => self.exec(&units, &commands, wait, tell),
            Request::RestartAgent { machine } => self.restart_agent(machine),
            Request::ShowTask { task, wait } => self.show_task(&task, wait),
            Request::ShowOperation { operation, wait } => self.show_operation(&operation, wait),
            Request::Operations => Ok(self.operations()),
            Request::Relations => Ok(status::relations(&model.view())),
            Request::Status => Ok(self.status()),
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

    fn add_model(&self, name: &str, switch: bool) -> Result<Value, Refusal> {
        let is_valid = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !name.ends_with('-');
        if !is_valid {
            return Err(refused(format!(
                "{name:?} is not a valid name: model names may only contain lowercase letters, digits and hyphens"
            )));
        }
        let models = &self.controller.models;
        models.add(name, Model::named(name, self.here.model.version())?)?;
        if switch {
            models.switch(name);
        }
        Ok(Value::Null)
    }

    fn models(&self) -> Value {
        let each = |hosted: &Arc<HostedModel>| {
            let view = hosted.model.view();
            let units = || view.applications.values().flat_map(|app| app.units.values());
            let machines: BTreeSet<u64> = units().map(|unit| unit.machine).collect();
            json!({
                "name": format!("{USER}/{}", hosted.name),
                "short-name": hosted.name,
                "model-uuid": hosted.model.uuid(),
                "model-type": "iaas",
                "controller-name": CONTROLLER,
                "owner": USER,
                "cloud": CONTROLLER,
                "status": {"current": "available"},
                "machines": machines.len(),
                "units": units().count(),
            })
        };
        let all: Vec<Value> = self.controller.models.all().iter().map(each).collect();
        json!({"models": all, "current-model": self.controller.models.current()})
    }

    fn switch(&self, model: Option<&str>) -> Result<Value, Refusal> {
        let name = |model: &str| format!("{CONTROLLER}:{USER}/{model}");
        let before = self.controller.models.current();
        let Some(model) = model else { return Ok(json!(name(&before))) };
        let after = self.controller.models.find(Some(model))?;
        self.controller.models.switch(&after.name);
        Ok(json!(format!("{} -> {}", name(&before), name(&after.name))))
    }

    fn status(&self) -> Value {
        let view = self.here.model.view();
        let mut shown = status::model(&self.here.name, &view);
        for (key, of_others) in
            [("application-endpoints", self.consumed_shown(&view)), ("offers", self.offers_shown(&view))]
        {
            if of_others.is_empty() {
                continue;
            }
            match &mut shown[key] {
                Value::Object(known) => known.extend(of_others),
                other => *other = Value::Object(of_others),
            }
        }
        shown
    }
}

fn borrowed(content: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    content.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
