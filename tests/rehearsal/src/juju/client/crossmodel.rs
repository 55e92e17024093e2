//! Offers, and what is consumed of other models.

use clap::Args;
use rehearsal::juju::api::Request;
use rehearsal::juju::offer_url::OfferUrl;
use serde_json::Value;

use crate::connection::Controller;
use crate::model::check_controller;
use crate::output::{Format, confirm, inform};
use crate::table::Table;
use crate::{Failure, silent, usage};

#[derive(Args)]
pub struct Offer {
    pub words: Vec<String>,
    /// Controller to operate in.
    #[arg(short, long)]
    pub controller: Option<String>,
}

#[derive(Args)]
pub struct Consume {
    pub words: Vec<String>,
}

#[derive(Args)]
pub struct RemoveOffer {
    pub offers: Vec<String>,
    /// Remove the offer as well as any relations to the offer.
    #[arg(long)]
    pub force: bool,
    /// Do not prompt for confirmation.
    #[arg(short, long)]
    pub yes: bool,
    /// Controller to operate in.
    #[arg(short, long)]
    pub controller: Option<String>,
}

#[derive(Args)]
pub struct RemoveSaas {
    pub names: Vec<String>,
    /// Completely remove an application and all its dependencies: it is so here.
    #[arg(long)]
    force: bool,
    /// Rush through application removal: it does so here.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Args)]
pub struct Offers {
    pub offer: Option<String>,
    #[arg(long, default_value = "tabular", value_parser = Format::any)]
    pub format: Format,
}

pub fn offer(controller: &Controller, words: Offer) -> Result<(), Failure> {
    let (what, name) = match words.words.as_slice() {
        [] => return Err(usage("an offer must at least specify application endpoint")),
        [what] => (what, None),
        [what, name] => (what, Some(name)),
        [_, _, more @ ..] => return Err(usage(format!("unrecognized args: {more:?}"))),
    };
    check_controller(words.controller.as_deref())?;
    let form = || usage("endpoints must conform to format \"<application-name>:<endpoint-name>[,...]\" ");
    let (application, endpoints) = what.split_once(':').ok_or_else(form)?;
    let (model, application) = match application.split_once('.') {
        Some((model, application)) => (Some(model.to_owned()), application),
        None => (None, application),
    };
    if endpoints.is_empty() {
        return Err(usage(format!("specify endpoints for {application}\" ")));
    }
    let said = controller.ask(&Request::Offer {
        model,
        application: application.to_owned(),
        endpoints: endpoints.split(',').map(str::to_owned).collect(),
        name: name.map_or(application, String::as_str).to_owned(),
    })?;
    inform(said.as_str().unwrap_or_default());
    Ok(())
}

pub fn consume(controller: &Controller, words: Consume) -> Result<(), Failure> {
    let (path, alias) = match words.words.as_slice() {
        [] => return Err(usage("no remote offer specified")),
        [path] => (path, None),
        [path, alias] => (path, Some(alias.clone())),
        [_, _, more @ ..] => return Err(usage(format!("unrecognized args: {more:?}"))),
    };
    let offer =
        OfferUrl::parse(path).ok_or_else(|| usage(format!("offer URL is missing model: {path:?}")))?;
    if offer.endpoint.is_some() {
        return Err(usage(format!("saas offer {path:?} shouldn't include endpoint")));
    }
    let shown = if offer.user.is_some() { path.clone() } else { offer.to_string() };
    let name = controller.ask(&Request::Consume { offer, alias })?;
    inform(&format!("Added {shown} as {}", name.as_str().unwrap_or_default()));
    Ok(())
}

pub fn remove_offer(controller: &Controller, words: RemoveOffer) -> Result<(), Failure> {
    if words.offers.is_empty() {
        return Err(usage("no offers specified"));
    }
    check_controller(words.controller.as_deref())?;
    if words.force && !words.yes {
        inform(&format!(
            "WARNING! This command will remove offers: {}\nThis includes all relations to those offers.",
            words.offers.join(", ")
        ));
        confirm("offer removal")?;
    }
    controller.ask(&Request::RemoveOffer { offers: words.offers, force: words.force }).map(drop)
}

pub fn remove_saas(controller: &Controller, words: RemoveSaas) -> Result<(), Failure> {
    if words.names.is_empty() {
        return Err(usage("no SAAS application names specified"));
    }
    let failures = controller.ask(&Request::RemoveSaas { names: words.names })?;
    let failures: Vec<&str> = failures.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    failures.iter().for_each(|failure| inform(failure));
    if failures.is_empty() { Ok(()) } else { Err(silent()) }
}

pub fn offers(controller: &Controller, words: Offers) -> Result<(), Failure> {
    let mut all = controller.ask(&Request::Offers)?;
    if let (Some(wanted), Some(all)) = (&words.offer, all.as_object_mut()) {
        all.retain(|name, _| name == wanted);
    }
    words.format.write(&all, |all| {
        let titles = ["Offer", "User", "Relation ID", "Status", "Endpoint", "Interface", "Role"];
        let mut table = Table::new(&titles);
        for (name, offer) in all.as_object().into_iter().flatten() {
            let connections = offer["connections"].as_array().cloned().unwrap_or_default();
            if connections.is_empty() {
                table.row(&[name, "-"]);
            }
            for (index, connection) in connections.iter().enumerate() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let endpoint = text(&connection["endpoint"]);
                let of = &offer["endpoints"][&endpoint];
                table.row(&[
                    if index == 0 { name } else { "" },
                    &text(&connection["username"]),
                    &connection["relation-id"].to_string(),
                    &text(&connection["status"]["current"]),
                    &endpoint,
                    &text(&of["interface"]),
                    &text(&of["role"]),
                ]);
            }
        }
        table.text()
    })
}
