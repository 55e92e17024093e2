//! What is shown of offers and of what is consumed, and how they go.

use serde_json::{Map, Value, json};

use super::super::api::CONTROLLER;
use super::super::offer_url::OfferUrl;
use super::connections::Connection;
use super::crossmodel::{Offer, offer_of, url_of};
use super::facade::Facade;
use super::models::HostedModel;
use super::{Refusal, refused, status};
use crate::agent::{EndpointView, ModelView};

impl Facade<'_, '_> {
    /// What `juju status` shows as offers.
    pub(super) fn offers_shown(&self, view: &ModelView) -> Map<String, Value> {
        let each = |(name, offer): (&String, &Offer)| {
            let app = view.applications.get(&offer.application);
            let charm = app.map(|app| format!("local:{}-{}", app.charm, app.revision)).unwrap_or_default();
            let mut shown = json!({
                "application": offer.application,
                "charm": charm,
                "endpoints": endpoints(view, offer),
            });
            let connected = self.connected(name);
            if connected > 0 {
                shown["total-connected-count"] = json!(connected);
                shown["active-connected-count"] = json!(connected);
            }
            (name.clone(), shown)
        };
        crate::lock(&self.here.offers).iter().map(each).collect()
    }

    /// What `juju status` shows of what is consumed.
    pub(super) fn consumed_shown(&self, view: &ModelView) -> Map<String, Value> {
        let consumed = crate::lock(&self.here.consumed).clone();
        let each = |(name, consumed): (String, super::crossmodel::Consumed)| {
            let url = format!("{CONTROLLER}:{}", url_of(&consumed.model, &consumed.offer));
            let mut shown = json!({"url": url});
            let there = self.controller.models.find(Some(&consumed.model)).ok();
            let offer = there.as_ref().and_then(|there| offer_of(there, &consumed.offer).ok());
            match there.zip(offer) {
                Some((there, offer)) => {
                    let view = there.model.view();
                    shown["endpoints"] = endpoints(&view, &offer);
                    if let Some(app) = view.applications.get(&offer.application) {
                        shown["application-status"] = status::shown(&status::application_status(app));
                    }
                }
                None => {
                    let message = "offer has been removed";
                    shown["application-status"] = json!({"current": "terminated", "message": message});
                }
            }
            let related = view.relations.values().filter(|relation| {
                relation.elsewhere.as_ref().is_some_and(|elsewhere| !elsewhere.is_consumer)
                    && relation.remote_application == name
            });
            let mut relations: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
            for relation in related {
                relations.entry(&relation.remote_endpoint).or_default().push(&relation.application);
            }
            if !relations.is_empty() {
                shown["relations"] = json!(relations);
            }
            (name, shown)
        };
        consumed.into_iter().map(each).collect()
    }

    /// `juju offers`
    pub(super) fn offers(&self) -> Value {
        let view = self.here.model.view();
        let mut shown = Map::new();
        for (name, status) in self.offers_shown(&view) {
            let mut offer = status;
            if let Some(offer) = offer.as_object_mut() {
                offer.remove("active-connected-count");
                offer.remove("total-connected-count");
                offer.insert("store".into(), json!(CONTROLLER));
                offer.insert("offer-url".into(), json!(url_of(&self.here.name, &name)));
            }
            let connections = self.controller.connections.list(|connection| {
                (connection.offering_model == self.here.name && connection.offer == name).then(|| {
                    let uuid = self.controller.models.find(Some(&connection.consuming_model));
                    json!({
                        "source-model-uuid": uuid.map(|model| model.model.uuid()).unwrap_or_default(),
                        "username": super::super::api::USER,
                        "relation-id": connection.offering.number(),
                        "endpoint": connection.offered.1,
                        "status": {"current": "joined"},
                    })
                })
            });
            if !connections.is_empty() {
                offer["connections"] = Value::Array(connections);
            }
            shown.insert(name, offer);
        }
        Value::Object(shown)
    }

    /// `juju remove-offer`
    pub(super) fn remove_offers(&self, offers: &[String], force: bool) -> Result<Value, Refusal> {
        for word in offers {
            let (model, name) = match OfferUrl::parse(word) {
                Some(url) => (self.controller.models.find(Some(&url.model))?, url.offer),
                None => (std::sync::Arc::clone(&self.here), word.clone()),
            };
            offer_of(&model, &name)?;
            let is_of_it =
                |connection: &Connection| connection.offering_model == model.name && connection.offer == name;
            match self.controller.connections.count(is_of_it) {
                0 => {}
                _ if force => drop(self.controller.connections.end(is_of_it)),
                count => {
                    let plural = if count == 1 { "" } else { "s" };
                    return Err(refused(format!(
                        "cannot delete application offer {name:?}: offer has {count} relation{plural}"
                    )));
                }
            }
            crate::lock(&model.offers).remove(&name);
        }
        Ok(Value::Null)
    }

    /// `juju remove-saas`: what was not found.
    pub(super) fn remove_consumed(&self, names: &[String]) -> Value {
        let mut failures = Vec::new();
        for name in names {
            self.controller.connections.end(|connection| {
                connection.consuming_model == self.here.name && connection.consumed_as == *name
            });
            if crate::lock(&self.here.consumed).remove(name).is_none() {
                failures.push(format!(
                    "removing SAAS application {name} failed: saas application {name:?} not found"
                ));
            }
        }
        json!(failures)
    }

    /// What goes with an application: its offers, unless somebody uses them.
    pub(super) fn withdraw(&self, application: &str, force: bool) -> Result<(), Refusal> {
        let is_of_it = |connection: &Connection| {
            connection.offering_model == self.here.name && connection.offered.0 == application
        };
        match self.controller.connections.count(is_of_it) {
            count if count > 0 && !force => {
                let plural = if count == 1 { "" } else { "s" };
                Err(refused(format!(
                    "removing application {application} failed: cannot destroy application {application:?}: \
                     application is used by {count} consumer{plural}"
                )))
            }
            _ => {
                self.controller.connections.end(is_of_it);
                crate::lock(&self.here.offers).retain(|_, offer| offer.application != application);
                Ok(())
            }
        }
    }

    fn connected(&self, offer: &str) -> usize {
        self.controller
            .connections
            .count(|connection| connection.offering_model == self.here.name && connection.offer == offer)
    }
}

/// Ends all that a model has with others.
pub(super) fn isolate(facade: &Facade<'_, '_>, model: &HostedModel) {
    facade.controller.connections.end(|connection| {
        connection.offering_model == model.name || connection.consuming_model == model.name
    });
}

fn endpoints(view: &ModelView, offer: &Offer) -> Value {
    let app = view.applications.get(&offer.application);
    let all = app.into_iter().flat_map(|app| &app.endpoints);
    let offered = all.filter(|(name, _)| offer.endpoints.contains(name));
    let shown = |(name, endpoint): (&String, &EndpointView)| {
        let role = if endpoint.is_provider { "provider" } else { "requirer" };
        (name.clone(), json!({"interface": endpoint.interface, "role": role}))
    };
    Value::Object(offered.map(shown).collect())
}
