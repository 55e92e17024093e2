//! What the operator and the related applications want, parsed once at the start of a hook. What comes after never
//! looks at a raw option again.

mod signing_key;

use std::collections::BTreeMap;

pub use self::signing_key::{Earlier, Need, SigningKeyError, SigningSecret};
use super::image_relation::ImageRelation;
use super::image_relation::remembered::Remembered;
use super::image_relation::said::ImageRelations;
use super::options::{CloudSecret, Connection, InvalidOption, Options};
use crate::builder::{Clouds, cloud_name, former_names, inherit_connection};
use crate::host::Host;
use crate::juju::{Environment, HookToolError, HookTools, RelationId, SecretUri};
use crate::model::Secret;
use crate::openstack_cloud::CloudConfig;
use crate::openstack_cloud::openstack_manager::ProxyConfig;
use crate::record::{
    BaseImageSource, BuildSecrets, BuilderRunConfig, BuilderVm, CloudName, FormerNames, Journal, LastHook,
    Levers, Owner, Peers, RecordError, RunnerSource,
};

/// The state cannot be known, or makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operator's configuration is at fault: the unit is blocked with this text.
    #[error("{0}")]
    Invalid(#[from] InvalidOption),
    /// A hook tool failed: the hook fails, and Juju runs it again.
    #[error(transparent)]
    Juju(#[from] HookToolError),
}

/// Everything that decides what the charm does, as of this hook.
#[derive(Clone, Debug)]
pub struct CharmState {
    /// Whether this unit leads: only the leader builds.
    pub leader: bool,
    /// Whether builds are not to be started.
    pub paused: bool,
    /// Hours between looks for work.
    pub build_interval: u32,
    /// The image relations that have usable data, by id.
    pub relations: BTreeMap<RelationId, ImageRelation>,
    /// All image relations that exist.
    pub relation_ids: Vec<RelationId>,
    /// Those whose data cannot be used, and why.
    pub refused: BTreeMap<RelationId, String>,
    /// The contents of clouds.yaml: the build cloud and the cloud of each usable relation.
    pub clouds: Clouds,
    /// What to build, for the clouds of the usable relations, the oldest relation first.
    pub run: BuilderRunConfig,
    /// The secrets that go with it.
    pub secrets: BuildSecrets,
    /// The secret option of the external script, to know its event by.
    pub script_secret: Option<SecretUri>,
    /// What the next hook need not ask.
    pub last_hook: LastHook,
    /// What stands in clouds.yaml before this hook writes it.
    pub installed: Clouds,
}

impl CharmState {
    /// Asks Juju for everything that is not `remembered`, and parses it. `broken` is a relation that ends with this hook.
    pub fn load(
        tools: &dyn HookTools,
        environment: &Environment,
        broken: Option<&RelationId>,
        remembered: Remembered,
    ) -> Result<Self, StateError> {
        let options = tools.config_get().map_err(|error| match error {
            HookToolError::TooLong { .. } => StateError::from(InvalidOption::new(
                "The configuration is longer than 1 MiB. Shorten its longest option (recipe).".to_owned(),
            )),
            error => error.into(),
        })?;
        let options = Options::new(options);
        // The Python charm's order: OpenStack first, then as the options stand in its documentation.
        let build_cloud_config = build_cloud(&options, tools)?;
        let targets = options.targets()?;
        let build_interval = options.build_interval()?;
        let paused = options.flag("paused")?;
        let build_mode = options.build_mode()?;
        let (delivery, image_format) = (options.delivery()?, options.image_format()?);
        let revision_history_limit = options.revision_history_limit()?;
        let runner_version = options.runner_version()?;
        let recipe = options.recipe()?;
        let script_url = options.script_url()?;
        let script_secret = options.script_secret()?;
        let script = match &script_secret {
            None => BTreeMap::new(),
            Some(uri) => script_variables(tools, uri)?,
        };
        let github_token = match options.github_token_secret()? {
            None => None,
            Some(uri) => Some(github_token(tools, &uri)?),
        };
        let vm = BuilderVm {
            flavor: options.text("build-flavor")?,
            network: options.text("build-network")?,
            ssh_ingress: options.ssh_ingress()?,
            ssh_options: options.ssh_options()?,
            boot_timeout_s: options.boot_timeout()?,
            apt_mirror: options.web_url("build-apt-mirror")?,
        };
        let base_image = BaseImageSource {
            url: options.base_image_source()?,
            keyring: options.base_image_keyring()?,
            pins: options.pins()?,
        };
        let runner = RunnerSource {
            version: runner_version,
            source: options.required_web_url("runner-source")?,
            api_url: options.trusted_url("github-api-url")?,
            scope: options.github_scope()?,
        };
        let max_image_age_hours = options.max_image_age()?;
        let rebuild_on = options.rebuild_on()?;
        let security_mirror = options.security_mirror()?;
        let verify_image = options.flag("verify-image")?;
        let prepared_images = options.prepared_images()?;
        let verify_local_image = options.verify_local_image()?;

        let leader = tools.is_leader()?;
        let remembered = remembered.beside(&build_cloud_config);
        let mut relations = ImageRelations::load(tools, environment, broken, &remembered)?;
        relations.refuse_near(&build_cloud_config);
        relations
            .usable
            .values_mut()
            .for_each(|relation| inherit_connection(&mut relation.config, &build_cloud_config));
        let (last_hook, installed) = remembered.then(&relations, &build_cloud_config);
        let ImageRelations { ids: relation_ids, usable: relations, refused } = relations;

        let build_cloud = cloud_name(&build_cloud_config);
        let related = |relation: &ImageRelation| (relation.cloud.clone(), relation.config.clone());
        let mut clouds: Clouds = relations.values().map(related).collect();
        let wanted: Vec<CloudName> = relations.values().map(|relation| relation.cloud.clone()).collect();
        clouds.insert(build_cloud.clone(), build_cloud_config);

        let unit = &environment.unit;
        let owner = Owner {
            model_uuid: environment.model_uuid.clone(),
            application: unit.application().to_owned(),
            unit: unit.number(),
        };
        let run = BuilderRunConfig {
            owner,
            targets,
            build_cloud,
            clouds: wanted,
            build_mode,
            delivery,
            image_format,
            base_image,
            vm,
            recipe,
            runner,
            script_url,
            script_secret: script_secret.as_ref().map(ToString::to_string),
            verify_image,
            verify_local_image,
            adopt: options.flag("adopt")?,
            revision_history_limit,
            max_image_age_hours,
            prepared_images,
            rebuild_on,
            security_mirror,
        };
        let proxies = proxies(environment);
        let secrets = BuildSecrets { script, github_token, signing_key: None, proxies };
        Ok(Self {
            leader,
            paused,
            build_interval,
            relations,
            relation_ids,
            refused,
            clouds,
            run,
            secrets,
            script_secret,
            last_hook,
            installed,
        })
    }

    /// Whether this unit is to build, and needs a key to sign that with.
    pub fn need_of_key(&self) -> Need {
        if self.leader && !self.paused && !self.relations.is_empty() { Need::ToBuild } else { Need::No }
    }

    /// The journal, with the names that clouds have now, since a worker of an earlier revision may still write it, and with
    /// the images that operators let relations be told.
    pub fn journal(&self, host: &Host) -> Result<Journal, RecordError> {
        let mut journal = Journal::load(host)?;
        self.former_names().renew(&mut journal);
        if !self.leader {
            journal.follow(&Peers::load(host)?);
        }
        Ok(Levers::load(host)?.applied_to(journal))
    }

    /// The names that earlier revisions of the charm have given to the clouds of now.
    pub fn former_names(&self) -> FormerNames {
        former_names(&self.clouds, &self.run)
    }
}

/// The model's proxy settings.
pub fn proxies(environment: &Environment) -> ProxyConfig {
    ProxyConfig {
        http: environment.http_proxy.clone(),
        https: environment.https_proxy.clone(),
        no_proxy: environment.no_proxy.clone(),
    }
}

fn build_cloud(options: &Options, tools: &dyn HookTools) -> Result<CloudConfig, StateError> {
    let Connection { config, secret: CloudSecret { uri, option, what, key } } = options.openstack()?;
    let secret = match tools.secret_get(&uri) {
        Ok(mut content) => content.remove(key).filter(|secret| !secret.expose().is_empty()),
        Err(HookToolError::SecretNotFound(_)) => {
            return Err(InvalidOption::new(format!(
                "OpenStack {what} secret not found: {uri}. Set {option} to a secret that exists."
            ))
            .into());
        }
        Err(HookToolError::SecretNotGranted(_)) => {
            return Err(InvalidOption::new(format!(
                "Charm does not have access to the OpenStack {what} secret. Please grant the charm read access to \
                 the secret. ({uri})"
            ))
            .into());
        }
        Err(HookToolError::SecretRefused { reason, .. }) => {
            return Err(InvalidOption::new(format!(
                "OpenStack {what} secret cannot be read: {reason}. Check the secret and its grant, or set \
                 {option} to another. ({uri})"
            ))
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    let password = secret.ok_or_else(|| {
        InvalidOption::new(format!(
            "Secret {uri} does not contain a '{key}' key. Add it with juju update-secret."
        ))
    })?;
    Ok(CloudConfig { password, ..config })
}

fn script_variables(
    tools: &dyn HookTools,
    uri: &SecretUri,
) -> Result<BTreeMap<String, Secret<String>>, StateError> {
    match tools.secret_get(uri) {
        // Juju's keys may have hyphens, names of shell variables may not.
        Ok(content) => Ok(content.into_iter().map(|(key, value)| (key.replace('-', "_"), value)).collect()),
        Err(HookToolError::SecretNotFound(_)) => Err(InvalidOption::new(format!(
            "Secret label not found: {uri}. Set script-secret-id to a secret that exists."
        ))
        .into()),
        Err(HookToolError::SecretNotGranted(_)) => Err(InvalidOption::new(format!(
            "Charm does not have access to the script secret. Please grant the charm read access to the secret. ({uri})"
        ))
        .into()),
        Err(HookToolError::SecretRefused { reason, .. }) => Err(InvalidOption::new(format!(
            "Script secret cannot be read: {reason}. Check the secret and its grant, or set script-secret-id to \
             another. ({uri})"
        ))
        .into()),
        Err(error) => Err(error.into()),
    }
}

/// The token for GitHub's releases.
fn github_token(tools: &dyn HookTools, uri: &SecretUri) -> Result<Secret<String>, StateError> {
    let invalid = |text: String| StateError::from(InvalidOption::new(text));
    match tools.secret_get(uri) {
        Ok(mut content) => {
            let token = content.remove("token").map(|token| token.expose().trim().to_owned());
            token.filter(|token| !token.is_empty()).map(Secret::new).ok_or_else(|| {
                invalid(format!(
                    "Secret {uri} does not contain a 'token' key. Add it with juju update-secret. (github-token-secret-id)"
                ))
            })
        }
        Err(HookToolError::SecretNotFound(_)) => Err(invalid(format!(
            "GitHub token secret not found: {uri}. Set github-token-secret-id to a secret that exists."
        ))),
        Err(HookToolError::SecretNotGranted(_)) => Err(invalid(format!(
            "Charm does not have access to the GitHub token secret. Please grant the charm read access to the secret. \
             ({uri})"
        ))),
        Err(HookToolError::SecretRefused { reason, .. }) => Err(invalid(format!(
            "GitHub token secret cannot be read: {reason}. Check the secret and its grant, or set \
             github-token-secret-id to another. ({uri})"
        ))),
        Err(error) => Err(error.into()),
    }
}
