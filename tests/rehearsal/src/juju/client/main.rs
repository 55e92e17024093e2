//! `juju` for a kept rehearsal: the words, flags and texts of the real client for what it offers, and a clear error for the
//! rest.

mod application;
mod arguments;
mod connection;
mod crossmodel;
mod log;
mod model;
mod operation;
mod output;
mod refusal;
mod secret;
mod status;
mod table;
mod task;
mod unit;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::arguments::Verb;
use crate::connection::Controller;
use crate::refusal::parse;

/// Why the client could not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The words are wrong; nothing was done.
    #[error("{0}")]
    Usage(String),
    /// It was refused, or failed.
    #[error("{0}")]
    Failed(String),
    /// It has failed, and all is said.
    #[error("")]
    Silent,
    /// Help that was asked for.
    #[error("{0}")]
    Help(String),
}

fn failed(text: impl Into<String>) -> Failure {
    Failure::Failed(text.into())
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::Usage(text.into())
}

fn silent() -> Failure {
    Failure::Silent
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    // Whoever reads may have gone: then there is nobody to tell.
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Help(text)) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(Failure::Usage(text)) => {
            let _ = writeln!(io::stderr(), "ERROR {text}");
            ExitCode::from(2)
        }
        Err(Failure::Silent) => ExitCode::FAILURE,
        Err(Failure::Failed(text)) => {
            let _ = writeln!(io::stderr(), "ERROR {text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let words = parse(std::env::args_os())?;
    let controller = Controller::find(words.model)?;
    match words.verb {
        Verb::AddModel(add) => model::add(&controller, add),
        Verb::DestroyModel(destroy) => model::destroy(&controller, destroy),
        Verb::Models(list) => model::list(&controller, list),
        Verb::Switch(switch) => model::switch(&controller, switch),
        Verb::Offer(offer) => crossmodel::offer(&controller, offer),
        Verb::Offers(list) => crossmodel::offers(&controller, list),
        Verb::RemoveOffer(remove) => crossmodel::remove_offer(&controller, remove),
        Verb::Consume(consume) => crossmodel::consume(&controller, consume),
        Verb::RemoveSaas(remove) => crossmodel::remove_saas(&controller, remove),
        Verb::Deploy(deploy) => application::deploy(&controller, deploy),
        Verb::Refresh(refresh) => application::refresh(&controller, refresh),
        Verb::Config(config) => application::config(&controller, config),
        Verb::Integrate(ends) => application::integrate(&controller, ends),
        Verb::RemoveRelation(ends) => application::remove_relation(&controller, ends),
        Verb::RemoveApplication(remove) => application::remove(&controller, remove),
        Verb::AddUnit(add) => unit::add(&controller, add),
        Verb::RemoveUnit(remove) => unit::remove(&controller, remove),
        Verb::ShowUnit(show) => unit::show(&controller, show),
        Verb::AddSecret(add) => secret::add(&controller, add),
        Verb::UpdateSecret(update) => secret::update(&controller, update),
        Verb::RemoveSecret(remove) => secret::remove(&controller, remove),
        Verb::GrantSecret(grant) => secret::grant(&controller, grant),
        Verb::RevokeSecret(revoke) => secret::revoke(&controller, revoke),
        Verb::Secrets(list) => secret::list(&controller, list),
        Verb::ShowSecret(show) => secret::show(&controller, show),
        Verb::Run(action) => task::run(&controller, action, words.quiet),
        Verb::Exec(exec) => task::exec(&controller, exec),
        Verb::ShowTask(show) => operation::show_task(&controller, show),
        Verb::ShowOperation(show) => operation::show(&controller, show),
        Verb::Operations(list) => operation::list(&controller, list),
        Verb::Status(status) => status::show(&controller, status),
        Verb::ShowStatusLog(show) => status::log(&controller, show),
        Verb::DebugLog(show) => log::show(&controller, show),
        Verb::Version(version) => status::version(&controller, version),
    }
}
