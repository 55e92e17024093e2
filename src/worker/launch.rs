//! What the launcher does in a cloud.

use std::cell::RefCell;
use std::time::Duration;

use crate::builder::ownership::labels;
use crate::builder::{CloudsYamlError, GetLatestImageError, door, entry, get_latest_image, read_clouds_yaml};
use crate::github::{GithubClient, GithubError};
use crate::host::Host;
use crate::http::{HttpClient, HttpError};
use crate::model::{Deadline, Target, redact_from_now_on, redacted};
use crate::openstack_cloud::openstack_manager::{
    LaunchNotes, LaunchSite, OpenstackInstanceLaunchError, create_instance, create_instance_config, remove,
};
use crate::openstack_cloud::{Cloud, CloudConfig, OpenStackError, Server as CloudServer, ServerId};
use crate::record::{
    CloudName, Launch, LaunchOrder, LaunchSecrets, LaunchState, ProxyConfig, RecordError, Server,
};

/// How long a launch may take, all tries together: the registration token is good for an hour.
const LIMIT: Duration = Duration::from_secs(45 * 60);
/// How long it takes to remove a server.
const REMOVAL: Duration = Duration::from_secs(900);

/// Why there is no runner.
#[derive(Debug, thiserror::Error)]
enum LaunchFailure {
    #[error("the GitHub token was lost when an earlier launcher ended; run the action again")]
    SecretsLost,
    #[error("no image {0} is published in {1} yet; run the action `run` first")]
    NoImage(Target, CloudName),
    #[error("connecting to {cloud}: {source}")]
    Cloud { cloud: CloudName, source: OpenStackError },
    #[error(transparent)]
    Proxies(#[from] HttpError),
    #[error(transparent)]
    CloudsYaml(#[from] CloudsYamlError),
    #[error(transparent)]
    Image(#[from] GetLatestImageError),
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Instance(#[from] OpenstackInstanceLaunchError),
}

/// Launches a runner of the newest published image, and returns how that ended.
pub fn perform(host: &Host, launch: Launch, secrets: Option<LaunchSecrets>) -> Result<Launch, RecordError> {
    log::info!("{launch}");
    let note = Note { host, launch: RefCell::new(launch) };
    let result = note.work(secrets);
    let mut launch = note.launch.into_inner();
    launch.state = match result {
        Ok(server) => {
            let address = server.addresses.first().map(|address| address.address.to_string());
            launch.server = Some(Server { name: server.name, id: Some(server.id), address });
            LaunchState::Running
        }
        Err(failure) => {
            let message = redacted(&failure.to_string());
            log::error!("launch {}: {message}", launch.id);
            LaunchState::Failed { message }
        }
    };
    log::info!("{launch}");
    Ok(launch)
}

/// Removes the server of a launch, whatever there is of it.
pub fn clear_up(host: &Host, launch: &Launch, proxies: &ProxyConfig) -> Result<(), String> {
    let Launch { id, order: LaunchOrder { owner, cloud: name, .. }, .. } = launch;
    let Some(Server { name: server, .. }) = &launch.server else { return Ok(()) };
    let work = || {
        let http = HttpClient::new(proxies.resolved()?);
        let cloud = connect(name, &way_to(host, name, &http)?, Deadline::after(REMOVAL))?;
        remove(&cloud, server, &labels::mark_of_runner(owner, id))
            .map_err(|source| LaunchFailure::Cloud { cloud: name.clone(), source })
    };
    log::info!("{launch}: deleting its server");
    match work() {
        // Nobody can reach it there any more; should the relation come again, a sweep finds it by its labels.
        Err(error @ LaunchFailure::CloudsYaml(CloudsYamlError::UnknownCloud(_))) => {
            log::warn!("launch {id}: server {server} cannot be deleted: {error}");
            Ok(())
        }
        other => other.map_err(|error| redacted(&error.to_string())),
    }
}

/// The credentials of a cloud, and the door by which it is reached.
fn way_to(
    host: &Host,
    name: &CloudName,
    http: &HttpClient,
) -> Result<(CloudConfig, HttpClient), LaunchFailure> {
    let clouds = read_clouds_yaml(host)?;
    let unknown = || CloudsYamlError::UnknownCloud(name.as_str().to_owned());
    Ok((entry(&clouds, name).ok_or_else(unknown)?.clone(), door(&clouds, name, http)))
}

fn connect(
    name: &CloudName,
    (config, http): &(CloudConfig, HttpClient),
    deadline: Deadline,
) -> Result<Cloud, LaunchFailure> {
    Cloud::connect(config, http, deadline)
        .map_err(|source| LaunchFailure::Cloud { cloud: name.clone(), source })
}

/// A launch under way, and where it is noted.
struct Note<'a> {
    host: &'a Host,
    launch: RefCell<Launch>,
}

impl Note<'_> {
    fn work(&self, secrets: Option<LaunchSecrets>) -> Result<CloudServer, LaunchFailure> {
        let Launch { id, order, expires, .. } = self.launch.borrow().clone();
        let LaunchSecrets { token, proxies } = secrets.ok_or(LaunchFailure::SecretsLost)?;
        [&proxies.http, &proxies.https].into_iter().flatten().for_each(redact_from_now_on);
        let deadline = Deadline::after(LIMIT);
        let http = HttpClient::new(proxies.resolved()?);
        let Target { base, arch } = order.target;
        let no_image = || LaunchFailure::NoImage(order.target, order.cloud.clone());
        let newest = get_latest_image(self.host, &http, arch, [base], &order.cloud)?.pop();
        let newest = newest.ok_or_else(no_image)?;
        let way = way_to(self.host, &order.cloud, &http)?;
        let cloud = connect(&order.cloud, &way, deadline)?;
        let (config, door) = way;
        let image = cloud.images().get(&newest.id, deadline);
        let image = image.map_err(|source| LaunchFailure::Cloud { cloud: order.cloud.clone(), source })?;
        let image = image.ok_or_else(no_image)?;
        let github = GithubClient::anonymous(&http, &order.github_api_url).with_token(token);
        let mut instance = create_instance_config(&order.unit_name, &image, &order.path, &github, deadline)?;
        instance.labels.extend(order.labels);
        let site = LaunchSite {
            http: &door,
            flavor: order.flavor.as_deref(),
            network: order.network.as_deref(),
            labels: &labels::of_runner(&order.owner, &id, expires),
            notes: self,
            deadline,
        };
        let (mirror, debug) = (order.dockerhub_mirror.as_deref(), &order.ssh_debug_connections);
        Ok(create_instance(&config, &instance, Some(&proxies), mirror, debug, site)?)
    }

    fn change(&self, server: Option<Server>) -> Result<(), RecordError> {
        let mut launch = self.launch.borrow_mut();
        launch.server = server;
        launch.save(self.host)
    }

    /// The same where nothing is made: it goes on, and the next note has it.
    fn try_change(&self, server: Option<Server>) {
        if let Err(error) = self.change(server) {
            log::error!("{error}");
        }
    }
}

impl LaunchNotes for Note<'_> {
    fn makes(&self, name: &str) -> Result<(), String> {
        let server = Server { name: name.to_owned(), id: None, address: None };
        self.change(Some(server)).map_err(|error| error.to_string())
    }

    fn made(&self, id: &ServerId) {
        let server = self.launch.borrow().server.clone();
        self.try_change(server.map(|server| Server { id: Some(id.clone()), ..server }));
    }

    fn gone(&self) {
        self.try_change(None);
    }
}
