//! Models: added, switched to, listed and destroyed.

use clap::Args;
use rehearsal::juju::api::{CONTROLLER, Request, USER};
use serde_json::Value;

use crate::connection::Controller;
use crate::output::{Format, answer, inform, print};
use crate::table::Table;
use crate::{Failure, failed, usage};

#[derive(Args)]
pub struct AddModel {
    pub name: Option<String>,
    /// The cloud: a rehearsal has one.
    cloud: Option<String>,
    /// Controller to operate in.
    #[arg(short, long)]
    pub controller: Option<String>,
    /// Do not switch to the newly created model.
    #[arg(long)]
    pub no_switch: bool,
}

#[derive(Args)]
pub struct DestroyModel {
    pub name: Option<String>,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub no_prompt: bool,
    /// Force destroy model ignoring any errors: there are none here.
    #[arg(long)]
    force: bool,
    /// Destroy all storage instances in the model: there are none here.
    #[arg(long)]
    destroy_storage: bool,
    /// Release all storage instances from the model: there are none here.
    #[arg(long)]
    release_storage: bool,
    /// Rush through model destruction: it does so here.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Args)]
pub struct Models {
    #[arg(long, default_value = "tabular", value_parser = Format::any)]
    pub format: Format,
}

#[derive(Args)]
pub struct Switch {
    pub model: Option<String>,
}

pub fn add(controller: &Controller, words: AddModel) -> Result<(), Failure> {
    let name = words.name.ok_or_else(|| usage("model name is required"))?;
    check_controller(words.controller.as_deref())?;
    controller.ask(&Request::AddModel { name: name.clone(), switch: !words.no_switch })?;
    inform(&format!("Added '{name}' model on {CONTROLLER}/default for user '{USER}'"));
    Ok(())
}

pub fn destroy(controller: &Controller, words: DestroyModel) -> Result<(), Failure> {
    let name = words.name.ok_or_else(|| usage("no model specified"))?;
    if !words.no_prompt {
        inform(&format!("WARNING This command will destroy the {name:?} model and all that is in it."));
        let answer = answer("\nTo continue, enter the name of the model to be destroyed: ")?;
        if answer != name.rsplit(['/', ':']).next().unwrap_or_default() {
            return Err(failed("model destruction: aborted"));
        }
    }
    controller.ask(&Request::DestroyModel { name })?;
    inform("Model destroyed.");
    Ok(())
}

pub fn list(controller: &Controller, words: Models) -> Result<(), Failure> {
    let all = controller.ask(&Request::Models)?;
    words.format.write(&all, |all| {
        let titles = ["Model", "Cloud/Region", "Type", "Status", "Machines", "Units", "Access"];
        let mut table = Table::new(&titles);
        for model in all["models"].as_array().into_iter().flatten() {
            let text = |key: &str| model[key].as_str().unwrap_or_default();
            let star = if all["current-model"] == model["short-name"] { "*" } else { "" };
            table.row(&[
                &format!("{}{star}", text("short-name")),
                text("cloud"),
                CONTROLLER,
                model["status"]["current"].as_str().unwrap_or_default(),
                &model["machines"].to_string(),
                &model["units"].to_string(),
                USER,
            ]);
        }
        format!("Controller: {CONTROLLER}\n\n{}", table.text())
    })
}

pub fn switch(controller: &Controller, words: Switch) -> Result<(), Failure> {
    let is_asked = words.model.is_none();
    let said = controller.ask(&Request::Switch { model: words.model })?;
    let said = said.as_str().map(str::to_owned).unwrap_or_else(|| Value::to_string(&said));
    if is_asked {
        return print(&format!("{said}\n"));
    }
    inform(&said);
    Ok(())
}

/// Refuses another controller than the rehearsal's.
pub fn check_controller(name: Option<&str>) -> Result<(), Failure> {
    match name.filter(|name| *name != CONTROLLER) {
        Some(other) => Err(failed(format!("controller {other} not found"))),
        None => Ok(()),
    }
}
