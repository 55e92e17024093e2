//! Applications: deploy, refresh, config, integrate, and their opposites.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rehearsal::juju::api::Request;
use rehearsal::juju::offer_url::OfferUrl;
use serde_json::Value;

use crate::arguments::{Config, Deploy, Integrate, Refresh, RemoveApplication, RemoveRelation};
use crate::connection::Controller;
use crate::output::{confirm, inform, print};
use crate::{Failure, failed, usage};

pub fn deploy(controller: &Controller, words: Deploy) -> Result<(), Failure> {
    let charm = words.charm.ok_or_else(|| usage("no charm or bundle specified"))?;
    let charm = local_charm(&charm)?;
    let mut config = BTreeMap::new();
    for given in &words.config {
        match given.split_once('=') {
            Some((option, value)) => drop(config.insert(option.to_owned(), value_of(value)?)),
            None => config.extend(options(&read(given)?, words.application.as_deref())?),
        }
    }
    let request = Request::Deploy { charm, application: words.application, units: words.num_units, config };
    let deployed = controller.ask(&request)?;
    let charm = format!("local charm {}, revision {}", deployed["charm"], deployed["revision"]);
    inform(&format!("Located {charm}"));
    inform(&format!("Deploying {} from {charm} on ubuntu@24.04/stable", deployed["application"]));
    Ok(())
}

pub fn refresh(controller: &Controller, words: Refresh) -> Result<(), Failure> {
    let application = words.application.ok_or_else(|| usage("no application specified"))?;
    let path = words.path.ok_or_else(|| no_charmhub(words.switch.as_ref().unwrap_or(&application)))?;
    let charm = local_charm(&path)?;
    let refreshed = controller.ask(&Request::Refresh { application, charm })?;
    let (charm, revision) = (&refreshed["charm"], &refreshed["revision"]);
    inform(&format!("Added local charm {charm}, revision {revision}, to the model"));
    Ok(())
}

pub fn config(controller: &Controller, words: Config) -> Result<(), Failure> {
    let mut given = words.words.iter();
    let application = given.next().filter(|word| !word.contains('='));
    let application = application.ok_or_else(|| usage("no application name specified"))?.clone();
    let (set, get): (Vec<&String>, Vec<&String>) = given.partition(|word| word.contains('='));
    let mut values = BTreeMap::new();
    if let Some(file) = &words.file {
        values.extend(options(&read(file)?, Some(&application))?);
    }
    for (option, value) in set.iter().filter_map(|word| word.split_once('=')) {
        values.insert(option.to_owned(), value_of(value)?);
    }
    let changes = !values.is_empty() || !words.reset.is_empty() || words.file.is_some();
    match get.as_slice() {
        [] if changes => {}
        [] => {
            let config = controller.ask(&Request::GetConfig { application })?;
            return words.format.write(&config, Value::to_string);
        }
        [_, ..] if changes => return Err(usage("cannot set and retrieve values simultaneously")),
        [option] => {
            let config = controller.ask(&Request::GetConfig { application: application.clone() })?;
            let setting = config["settings"].get(option.as_str()).ok_or_else(|| {
                failed(format!(
                    "key {option:?} not found in {application:?} application config or charm settings."
                ))
            })?;
            return print(&format!("{}\n", text_of(&setting["value"])));
        }
        _ => return Err(usage("can only retrieve a single value, or all values")),
    }
    if let Some(both) = words.reset.iter().find(|option| values.contains_key(*option)) {
        return Err(usage(format!("key {both:?} cannot be both set and reset in the same command")));
    }
    controller.ask(&Request::SetConfig { application, values, reset: words.reset }).map(drop)
}

pub fn integrate(controller: &Controller, words: Integrate) -> Result<(), Failure> {
    let ends = ends(words.ends)?;
    let offers = ends.each_ref().map(|end| OfferUrl::parse(end));
    let [one, other] = [0, 1].map(|index| match &offers[index] {
        // What is consumed has the offer's name.
        Some(url) => match &url.endpoint {
            Some(endpoint) => format!("{}:{endpoint}", url.offer),
            None => url.offer.clone(),
        },
        None => ends[index].clone(),
    });
    let offer = match offers {
        [Some(_), Some(_)] => return Err(usage("providing more than one remote endpoints not supported")),
        [Some(url), None] | [None, Some(url)] => Some(url),
        [None, None] => None,
    };
    controller.ask(&Request::Integrate { one, other, offer }).map(drop)
}

pub fn remove_relation(controller: &Controller, words: RemoveRelation) -> Result<(), Failure> {
    let [one, other] = ends(words.ends)?;
    controller.ask(&Request::RemoveRelation { one, other }).map(drop)
}

pub fn remove(controller: &Controller, words: RemoveApplication) -> Result<(), Failure> {
    let (force, words) = (words.force, words.remove);
    if words.names.is_empty() {
        return Err(usage("no application specified"));
    }
    let status = controller.ask(&Request::Status)?;
    let mut plan = String::new();
    for name in &words.names {
        let app = status["applications"].get(name);
        let app = app.ok_or_else(|| {
            failed(format!("removing application {name} failed: application {name:?} not found"))
        })?;
        plan += &format!("will remove application {name}\n");
        for unit in app["units"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            plan += &format!("- will remove unit {unit}\n");
        }
    }
    if agreed(&plan, words.no_prompt, words.dry_run, "application removal")? {
        controller.ask(&Request::RemoveApplication { applications: words.names, force })?;
    }
    Ok(())
}

/// Shows what will be removed, and asks unless that is not wanted; whether it is to be done.
pub fn agreed(plan: &str, no_prompt: bool, dry_run: bool, what: &str) -> Result<bool, Failure> {
    if !no_prompt {
        inform("WARNING This command will perform the following actions:");
    }
    print(plan)?;
    if !no_prompt && !dry_run {
        confirm(what)?;
    }
    Ok(!dry_run)
}

fn ends(words: Vec<String>) -> Result<[String; 2], Failure> {
    words.try_into().map_err(|_| usage("an integration must involve two applications"))
}

/// A local charm's path, whole.
fn local_charm(word: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(word);
    let is_path = path.is_absolute() || word.starts_with("./") || word.starts_with("../");
    match std::path::absolute(path) {
        Ok(whole) if is_path && whole.exists() => Ok(whole),
        _ if is_path => Err(failed(format!("no charm was found at {word:?}"))),
        Ok(whole) if whole.exists() => {
            Err(failed(format!("charm is ambiguous: use ./{word} to deploy the local file or folder")))
        }
        _ => Err(no_charmhub(word)),
    }
}

fn no_charmhub(name: &str) -> Failure {
    failed(format!("{name:?}: the rehearsal has no Charmhub; name a local charm, such as ./{name}.charm"))
}

/// A value of the command line: `@FILE` is what the file holds.
fn value_of(value: &str) -> Result<String, Failure> {
    value.strip_prefix('@').map_or_else(|| Ok(value.to_owned()), read)
}

/// What a file holds, `-` being standard input.
fn read(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin().read_to_string(&mut text).map(drop),
        file => fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| failed(format!("cannot read {file}: {error}")))?;
    Ok(text)
}

/// The options of an application in a file, which may be one that `juju config` has printed.
fn options(text: &str, application: Option<&str>) -> Result<BTreeMap<String, String>, Failure> {
    let document: Value =
        serde_yaml::from_str(text).map_err(|error| failed(format!("cannot parse yaml: {error}")))?;
    if let Some(settings) = document.get("settings").and_then(Value::as_object) {
        let set = settings.iter().filter(|(_, setting)| setting["source"] == "user");
        return Ok(set.map(|(option, setting)| (option.clone(), text_of(&setting["value"]))).collect());
    }
    let found = match application {
        Some(application) => document.get(application),
        None => document.as_object().and_then(|all| all.values().next()),
    };
    let found = found.and_then(Value::as_object);
    let found = found.ok_or_else(|| {
        failed(format!("no settings found for {:?}", application.unwrap_or("the application")))
    })?;
    Ok(found.iter().map(|(option, value)| (option.clone(), text_of(value))).collect())
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
