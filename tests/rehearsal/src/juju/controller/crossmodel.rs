//! Offers, what other models consume of them, and the relations that come of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::api::{CONTROLLER, USER};
use super::super::offer_url::OfferUrl;
use super::connections::Connection;
use super::facade::Facade;
use super::models::HostedModel;
use super::{Refusal, refused};
use crate::agent::{Elsewhere, EndpointView};

/// What a model offers of an application.
#[derive(Clone)]
pub(super) struct Offer {
    pub application: String,
    pub endpoints: Vec<String>,
}

/// An offer that a model consumes. Juju calls it SAAS.
#[derive(Clone)]
pub(super) struct Consumed {
    pub model: String,
    pub offer: String,
}

/// One end of a relation that is asked for.
#[derive(Clone)]
struct End {
    application: String,
    name: String,
    endpoint: EndpointView,
}

impl Facade<'_, '_> {
    /// `juju offer`, in this model or the one that is named.
    pub(super) fn offer(
        &self,
        model: Option<&str>,
        application: &str,
        endpoints: Vec<String>,
        name: &str,
    ) -> Result<Value, Refusal> {
        let here = self.controller.models.find(model.or(Some(&self.here.name)))?;
        let view = here.model.view();
        let found = view.applications.get(application).ok_or_else(|| {
            refused(format!(
                "cannot add application offer {name:?}: cannot offer non-existent application {application:?}"
            ))
        })?;
        if let Some(unknown) = endpoints.iter().find(|name| !found.endpoints.contains_key(*name)) {
            return Err(refused(format!(
                "cannot add application offer {name:?}: application {application:?} has no {unknown:?} relation"
            )));
        }
        let url = url_of(&here.name, name);
        let said =
            format!("Application {application:?} endpoints [{}] available at {url:?}", endpoints.join(", "));
        let offer = Offer { application: application.to_owned(), endpoints };
        crate::lock(&here.offers).insert(name.to_owned(), offer);
        Ok(json!(said))
    }

    /// `juju consume`; what the offer is called here.
    pub(super) fn consume(&self, url: &OfferUrl, alias: Option<&str>) -> Result<Value, Refusal> {
        let (offering, _) = self.offered(url)?;
        let name = alias.unwrap_or(&url.offer);
        let failed = |why: &str| refused(format!("could not consume {url}: cannot add saas {name:?}: {why}"));
        if self.here.model.application(name).is_ok() {
            return Err(failed("local application with same name already exists"));
        }
        let consumed = Consumed { model: offering.name.clone(), offer: url.offer.clone() };
        let mut all = crate::lock(&self.here.consumed);
        match all.get(name) {
            Some(other) if (&other.model, &other.offer) != (&consumed.model, &consumed.offer) => {
                return Err(failed("saas application with same name already exists"));
            }
            _ => all.insert(name.to_owned(), consumed),
        };
        Ok(json!(name))
    }

    /// `juju integrate` with something that is consumed: `one` and `other` are applications here or such names, each with
    /// an endpoint or without. Nothing if neither is such a name.
    pub(super) fn integrate_across(&self, one: &str, other: &str) -> Result<Option<Value>, Refusal> {
        let (remote, local) = match (self.consumed(one), self.consumed(other)) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(refused("cannot add relation between two remote applications"));
            }
            (Some(_), None) => (one, other),
            (None, Some(_)) => (other, one),
        };
        let Some((name, consumed)) = self.consumed(remote) else { return Ok(None) };
        let offering = self.controller.models.find(Some(&consumed.model))?;
        let offer = offer_of(&offering, &consumed.offer)?;
        let (here, there) = self.ends(local, remote, &offering, &offer)?;
        let relation = format!("{}:{} {name}:{}", here.application, here.name, there.name);
        let consumer = (here.application.clone(), here.name.clone());
        let is_there = |connection: &Connection| {
            connection.consuming_model == self.here.name
                && connection.consumed_as == name
                && connection.consumer == consumer
                && connection.offered.1 == there.name
        };
        if self.controller.connections.count(is_there) > 0 {
            return Err(refused(format!(
                "cannot add relation {relation:?}: relation {relation} already exists"
            )));
        }
        // The model that offers is not told the consumer's name.
        let token = format!("remote-{}", Uuid::new_v4().simple());
        let application = offering.model.application(&offer.application)?;
        let elsewhere = Elsewhere { endpoint: here.name.clone(), is_consumer: true };
        let offering_side = application.integrate_elsewhere(&there.name, &token, elsewhere)?;
        let elsewhere = Elsewhere { endpoint: there.name.clone(), is_consumer: false };
        let consuming_side = self
            .here
            .model
            .application(&here.application)?
            .integrate_elsewhere(&here.name, &name, elsewhere)
            .inspect_err(|_| drop(offering_side.remove()))?;
        self.controller.connections.add(Connection {
            offering_model: offering.name.clone(),
            offer: consumed.offer,
            offered: (offer.application, there.name),
            consuming_model: self.here.name.clone(),
            consumed_as: name,
            consumer,
            offering: offering_side,
            consuming: consuming_side,
        });
        Ok(Some(Value::Null))
    }

    /// `juju remove-relation` with something that is consumed. Nothing if neither is such a name.
    pub(super) fn part_across(&self, one: &str, other: &str) -> Result<Option<Value>, Refusal> {
        let (remote, local) = match (self.consumed(one), self.consumed(other)) {
            (Some(_), _) => (one, other),
            (None, Some(_)) => (other, one),
            (None, None) => return Ok(None),
        };
        let (saas, there) = split(remote);
        let (application, here) = split(local);
        let ended = self.controller.connections.end(|connection| {
            connection.consuming_model == self.here.name
                && connection.consumed_as == saas
                && connection.consumer.0 == application
                && here.is_none_or(|here| connection.consumer.1 == here)
                && there.is_none_or(|there| connection.offered.1 == there)
        });
        match ended {
            0 => Err(refused(format!("relation \"{local} {remote}\" not found"))),
            _ => Ok(Some(Value::Null)),
        }
    }

    /// What is consumed under the name in `NAME[:ENDPOINT]`.
    fn consumed(&self, word: &str) -> Option<(String, Consumed)> {
        let (name, _) = split(word);
        let found = crate::lock(&self.here.consumed).get(name).cloned();
        found.map(|consumed| (name.to_owned(), consumed))
    }

    /// The model and the offer that a URL leads to.
    fn offered(&self, url: &OfferUrl) -> Result<(std::sync::Arc<HostedModel>, Offer), Refusal> {
        if let Some(other) = url.controller.as_deref().filter(|name| *name != CONTROLLER) {
            return Err(refused(format!("controller {other} not found")));
        }
        let missing = || refused(format!("application offer {:?} not found", url.to_string()));
        let model = self.controller.models.find(Some(&url.model)).map_err(|_| missing())?;
        let offer = offer_of(&model, &url.offer).map_err(|_| missing())?;
        Ok((model, offer))
    }

    /// The two endpoints that are meant: of an application here, and of an offer.
    fn ends(
        &self,
        local: &str,
        remote: &str,
        offering: &HostedModel,
        offer: &Offer,
    ) -> Result<(End, End), Refusal> {
        let (application, wanted) = split(local);
        let view = self.here.model.view();
        let found = view.applications.get(application);
        let found = found.ok_or_else(|| refused(format!("application {application:?} not found")))?;
        let here = candidates(application, &found.endpoints, wanted)?;
        let (name, wanted) = split(remote);
        let view = offering.model.view();
        let mut offered = view.applications.get(&offer.application).map(|app| app.endpoints.clone());
        if let Some(endpoints) = &mut offered {
            endpoints.retain(|endpoint, _| offer.endpoints.contains(endpoint));
        }
        let there = candidates(name, &offered.unwrap_or_default(), wanted)?;
        let all = here.iter().flat_map(|near| there.iter().map(move |far| (near.clone(), far.clone())));
        let fits = |(near, far): &(End, End)| {
            near.endpoint.interface == far.endpoint.interface
                && near.endpoint.is_provider != far.endpoint.is_provider
        };
        let mut fitting: Vec<(End, End)> = all.filter(fits).collect();
        match fitting.len() {
            0 => Err(refused("no relations found")),
            1 => Ok(fitting.remove(0)),
            _ => {
                let shown = fitting
                    .iter()
                    .map(|(a, b)| format!("\"{}:{} {}:{}\"", a.application, a.name, b.application, b.name));
                Err(refused(format!(
                    "ambiguous relation: \"{local} {remote}\" could refer to {}",
                    shown.collect::<Vec<_>>().join("; ")
                )))
            }
        }
    }
}

/// `USER/MODEL.OFFER`
pub(super) fn url_of(model: &str, offer: &str) -> String {
    format!("{USER}/{model}.{offer}")
}

pub(super) fn offer_of(model: &HostedModel, name: &str) -> Result<Offer, Refusal> {
    let found = crate::lock(&model.offers).get(name).cloned();
    found.ok_or_else(|| refused(format!("application offer {name:?} not found")))
}

fn candidates(
    application: &str,
    endpoints: &BTreeMap<String, EndpointView>,
    wanted: Option<&str>,
) -> Result<Vec<End>, Refusal> {
    let named = endpoints.iter().filter(|(name, _)| wanted.is_none_or(|wanted| *name == wanted));
    let ends: Vec<End> = named
        .map(|(name, endpoint)| End {
            application: application.to_owned(),
            name: name.clone(),
            endpoint: endpoint.clone(),
        })
        .collect();
    match wanted {
        Some(wanted) if ends.is_empty() => {
            Err(refused(format!("application {application:?} has no {wanted:?} relation")))
        }
        _ => Ok(ends),
    }
}

/// `APPLICATION[:ENDPOINT]`
fn split(word: &str) -> (&str, Option<&str>) {
    word.split_once(':').map_or((word, None), |(name, endpoint)| (name, Some(endpoint)))
}
