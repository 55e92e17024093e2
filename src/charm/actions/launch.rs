//! The action `launch-runner`: what an operator asks for becomes an order for the launcher, and its end the action's result.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::image_relation::ImageRelation;
use crate::charm::options::InvalidOption;
use crate::charm::state::{CharmState, proxies};
use crate::charm::turn::Turn;
use crate::host::Host;
use crate::juju::{Environment, HookToolError, RelationId, SecretUri};
use crate::model::{Arch, Backoff, BaseImage, Deadline, Secret, Target, poll, redact_from_now_on};
use crate::record::{JobId, Launch, LaunchOrder, LaunchSecrets, LaunchState, Server};
use crate::worker::{self, WorkerError};

/// How long the action holds the unit's turn at most.
const WAIT: Duration = Duration::from_secs(10 * 60);
/// How often the launch is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks a launcher may take to start.
const START: u32 = 60;
/// Minutes that a runner may live: as long as GitHub lets a job run at most.
const TTL: std::ops::RangeInclusive<i64> = 1..=7200;

impl Unit<'_> {
    pub(in crate::charm) fn launch_runner(&self, event: &Event) -> Result<(), DispatchError> {
        let turn = Turn::take(self.host)?;
        let Some(state) = self.state_for_action(event)? else { return Ok(()) };
        // clouds.yaml has the clouds of all relations from here on.
        self.converge(&state, event, None)?;
        let parameters = self.tools.action_get()?;
        let asked = order(&parameters, &state, self.environment)
            .and_then(|order| Ok((order, self.token(&token_secret(&parameters)?)?)));
        let (order, token) = match asked {
            Ok(asked) => asked,
            Err(reason) => return Ok(self.tools.action_fail(&reason.to_string())?),
        };
        let proxies = proxies(self.environment);
        let secrets = LaunchSecrets { token, proxies: proxies.clone() };
        let id = Launch::order(self.host, order, &secrets).map_err(WorkerError::from)?.id;
        self.tools.action_set(&[("launch", id.to_string())])?;
        worker::tend(self.host, &proxies)?;
        drop(turn);
        let Some(launch) = follow(self.host, &id)? else {
            let message =
                format!("Launch {id} continues in the background; `dispatch jobs` on the unit shows it.");
            return Ok(self.tools.action_fail(&message)?);
        };
        match (launch.state, launch.server) {
            (LaunchState::Running, Some(Server { name, id, address })) => Ok(self.tools.action_set(&[
                ("name", name),
                ("id", id.map(String::from).unwrap_or_default()),
                ("address", address.unwrap_or_default()),
                ("expires", launch.expires.to_string()),
            ])?),
            (LaunchState::Failed { message }, _) => Ok(self.tools.action_fail(&message)?),
            _ => Ok(self
                .tools
                .action_fail(&format!("Launch {id} failed without a reason; see the unit's log."))?),
        }
    }

    /// The token for GitHub, out of its secret.
    fn token(&self, uri: &SecretUri) -> Result<Secret<String>, InvalidOption> {
        let refusal = |text: String| Err(InvalidOption::new(text));
        match self.tools.secret_get(uri) {
            Ok(mut content) => match content.remove("token").filter(|token| !token.expose().is_empty()) {
                Some(token) => {
                    redact_from_now_on(&token);
                    Ok(token)
                }
                None => refusal(format!(
                    "Secret {uri} does not contain a 'token' key. Add it with juju update-secret."
                )),
            },
            Err(HookToolError::SecretNotFound(_)) => {
                refusal(format!("Secret not found: {uri}. Set token-secret-id to a secret that exists."))
            }
            Err(HookToolError::SecretNotGranted(_)) => refusal(format!(
                "Charm does not have access to secret {uri}. Please grant the charm read access to it."
            )),
            Err(HookToolError::SecretRefused { reason, .. }) => {
                refusal(format!("Secret {uri} cannot be read: {reason}. Check the secret and its grant."))
            }
            Err(error) => refusal(format!("Secret {uri} could not be read: {error}")),
        }
    }
}

/// Waits for the end of a launch; `None` when it goes on for longer than we may wait.
fn follow(host: &Host, id: &JobId) -> Result<Option<Launch>, WorkerError> {
    let mut lonely = 0;
    let ended = poll(Backoff::steady(LOOK), Deadline::after(WAIT), || {
        let launch = Launch::all(host)?.into_iter().find(|launch| launch.id == *id);
        if launch.as_ref().is_none_or(Launch::has_ended) {
            return Ok::<_, WorkerError>(Some(launch));
        }
        // One that has just been started holds no lock yet; one that was killed leaves the rest to the next hook.
        lonely = if worker::launcher_lives(host)? { 0 } else { lonely + 1 };
        Ok((lonely > START).then_some(None))
    })?;
    Ok(ended.flatten())
}

type Parameters = BTreeMap<String, Value>;

fn text<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, InvalidOption> {
    text(parameters, name).ok_or_else(|| InvalidOption::new(format!("Please supply {name}.")))
}

fn token_secret(parameters: &Parameters) -> Result<SecretUri, InvalidOption> {
    let id = required(parameters, "token-secret-id")?;
    SecretUri::parse(id).ok_or_else(|| {
        InvalidOption::new(format!(
            "Secret not found: {id}. Not a secret's URI. Set token-secret-id to one, such as secret:ID."
        ))
    })
}

/// What the parameters ask for; where they say nothing, what is configured first.
fn order(
    parameters: &Parameters,
    state: &CharmState,
    environment: &Environment,
) -> Result<LaunchOrder, InvalidOption> {
    let path = required(parameters, "path")?;
    let mut path: crate::github::GithubPath =
        path.parse().map_err(|error| InvalidOption::new(format!("Invalid path: {error}.")))?;
    if let Some(group) = text(parameters, "runner-group") {
        path = path.in_group(group);
    }
    let unknown = |what: &str, word: &str, known: &[&str]| {
        InvalidOption::new(format!("Unsupported {what} {word:?}: use one of {}.", known.join(", ")))
    };
    let first = state.run.targets.first();
    let base = match text(parameters, "base") {
        Some(word) => Some(
            BaseImage::parse(word)
                .ok_or_else(|| unknown("base", word, &BaseImage::ALL.map(BaseImage::as_str)))?,
        ),
        None => first.map(|target| target.base),
    };
    let arch = match text(parameters, "arch") {
        Some(word) => {
            Some(Arch::parse(word).ok_or_else(|| unknown("arch", word, &Arch::ALL.map(Arch::as_str)))?)
        }
        None => first.map(|target| target.arch),
    };
    let target = base.zip(arch).map(|(base, arch)| Target { base, arch });
    let target = target.ok_or_else(|| InvalidOption::new("Please supply base and arch."))?;
    let ttl = parameters.get("ttl").map_or(Some(360), Value::as_i64).filter(|ttl| TTL.contains(ttl));
    let ttl_minutes = ttl.and_then(|ttl| u32::try_from(ttl).ok());
    let labels = text(parameters, "labels").unwrap_or_default().split(',').map(str::trim);
    let debug = match text(parameters, "ssh-debug-connections") {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| InvalidOption::new(format!("Invalid ssh-debug-connections: {error}.")))?,
    };
    let owned = |name: &str| text(parameters, name).map(str::to_owned);
    Ok(LaunchOrder {
        unit_name: environment.unit.to_string(),
        owner: state.run.owner.clone(),
        cloud: cloud(text(parameters, "cloud"), state)?.cloud.clone(),
        target,
        path,
        github_api_url: state.run.runner.api_url.clone(),
        flavor: owned("flavor"),
        network: owned("network"),
        labels: labels.filter(|label| !label.is_empty()).map(str::to_owned).collect(),
        ttl_minutes: ttl_minutes.ok_or_else(|| InvalidOption::new("ttl must be from 1 to 7200 minutes."))?,
        dockerhub_mirror: owned("dockerhub-mirror"),
        ssh_debug_connections: debug,
    })
}

/// The cloud of a related application: the one that was named, by its relation, its project, or its name in clouds.yaml, else
/// the only one. Relations that bring the same are one, the oldest.
fn cloud<'a>(wanted: Option<&str>, state: &'a CharmState) -> Result<&'a ImageRelation, InvalidOption> {
    if state.relations.is_empty() {
        return Err(InvalidOption::new("Image relation not yet ready."));
    }
    let is_wanted = |id: &RelationId, relation: &ImageRelation| {
        let names = [id.as_str(), relation.cloud.as_str(), &relation.config.project_name];
        wanted.is_none_or(|wanted| names.contains(&wanted))
    };
    let mut found: Vec<&ImageRelation> = Vec::new();
    for (_, relation) in state.relations.iter().filter(|(id, relation)| is_wanted(id, relation)) {
        if found.iter().all(|known| known.config != relation.config) {
            found.push(relation);
        }
    }
    match found[..] {
        [relation] => Ok(relation),
        _ => {
            let all = state
                .relations
                .iter()
                .map(|(id, relation)| format!("{id} ({})", relation.config.project_name));
            let all = all.collect::<Vec<_>>().join(", ");
            Err(InvalidOption::new(format!("Set cloud to one of {all}.")))
        }
    }
}
