//! The clouds of a run, by the credentials in clouds.yaml.

use std::panic::resume_unwind;

use super::names::{Clouds, cloud_name};
use crate::http::HttpClient;
use crate::model::{Cause, Classified, Deadline};
use crate::openstack_cloud::{Cloud, CloudConfig, ErrorKind, OpenStackError};
use crate::record::{BuildSecrets, CloudName, Failure};

/// A cloud could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Whatever named it is gone.
    #[error("the credentials of the project are no longer in clouds.yaml")]
    Forgotten,
    /// Keystone refuses the credentials, and does not say which of them.
    #[error("Keystone refuses {whose} (HTTP 401); check {remedy}; Keystone says: {}", error.message())]
    Refused {
        /// Who brings them, and as whom for which project.
        whose: String,
        /// What Keystone says.
        error: Box<OpenStackError>,
        /// What may be wrong.
        remedy: &'static str,
    },
    /// It did not answer, or refused.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
}

impl ConnectError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Forgotten => false,
            Self::Refused { .. } => true,
            Self::Cloud(error) => error.operator_must_act(),
        }
    }

    fn of(error: OpenStackError, known: &Clouds, name: &CloudName, config: &CloudConfig) -> Self {
        if error.kind() != ErrorKind::Credentials {
            return Self::Cloud(error);
        }
        let CloudConfig { username, project_name, application_credential, .. } = config;
        let (whose, remedy) = match (is_operators(known, name), application_credential) {
            (true, Some(id)) => (format!("application credential {id}"), CREDENTIAL),
            (true, None) => (format!("user {username} for project {project_name}"), OPTIONS),
            (false, _) => (format!("user {username} of relation {name}"), FIELDS),
        };
        Self::Refused { whose, error: Box::new(error), remedy }
    }
}

/// The options that hold the build project's credentials.
const OPTIONS: &str = "openstack-user-name, openstack-user-domain-name, openstack-project-name, \
                       openstack-project-domain-name, and the password in openstack-password-secret";

/// The options that hold an application credential.
const CREDENTIAL: &str =
    "openstack-application-credential-id, and the secret in openstack-application-credential-secret";

/// What a relation brings.
const FIELDS: &str = "username, user_domain_name, project_name, project_domain_name and password, which the related \
                      application gives";

/// Whether the cloud of this name is the one of the options.
fn is_operators(known: &Clouds, name: &CloudName) -> bool {
    known.get(name).is_some_and(|config| *name == cloud_name(config))
}

impl Classified for ConnectError {
    fn cause(&self) -> Cause {
        match self {
            Self::Forgotten | Self::Refused { .. } => Cause::Credentials,
            Self::Cloud(error) => error.cause(),
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Cloud(error) => error.summary(),
            Self::Refused { whose, remedy, .. } => {
                format!("Keystone refuses {whose} (HTTP 401); check {remedy}")
            }
            Self::Forgotten => self.to_string(),
        }
    }
}

/// The door to the web, through the model's proxies.
pub fn http_client(secrets: &BuildSecrets) -> Result<HttpClient, Failure> {
    Ok(HttpClient::new(secrets.proxies.resolved().map_err(|error| Failure::of(&error, true))?))
}

/// The door by which the cloud of this name is reached. What a relation names, and what its servers name in turn, must not
/// lead to the unit itself unless the operator's own cloud is there too.
pub fn door(known: &Clouds, name: &CloudName, http: &HttpClient) -> HttpClient {
    if is_operators(known, name) {
        return http.clone();
    }
    let own = known.iter().filter(|(name, _)| is_operators(known, name));
    http.guarded(own.filter_map(|(_, config)| config.auth_url.parse().ok()).collect())
}

/// Connects to the cloud of this name.
pub fn connect_to(
    known: &Clouds,
    name: &CloudName,
    http: &HttpClient,
    deadline: Deadline,
) -> Result<Cloud, ConnectError> {
    let config = known.get(name).ok_or(ConnectError::Forgotten)?;
    Cloud::connect(config, &door(known, name, http), deadline)
        .map_err(|error| ConnectError::of(error, known, name, config))
}

/// Connects to each of these clouds, each within `deadline`, and does `work` with what came of it, side by side: one that
/// hangs uses up the time of no other. The results come in the order of the names.
pub fn in_each<T: Send>(
    known: &Clouds,
    names: &[&CloudName],
    http: &HttpClient,
    deadline: Deadline,
    work: impl Fn(&CloudName, Result<Cloud, ConnectError>) -> T + Sync,
) -> Vec<T> {
    let visit = |name: &CloudName| work(name, connect_to(known, name, http, deadline));
    let visit = &visit;
    std::thread::scope(|scope| {
        let visits: Vec<_> = names.iter().map(|name| scope.spawn(move || visit(name))).collect();
        visits.into_iter().map(|visit| visit.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::builder::clouds::names::related_cloud_name;
    use crate::http::Proxies;
    use crate::model::Secret;
    use crate::openstack_cloud::{ErrorKind, Interface};

    fn config(auth_url: &str) -> CloudConfig {
        CloudConfig {
            auth_url: auth_url.into(),
            region_name: None,
            interface: Interface::Public,
            ca_certificate: None,
            project_name: "p".into(),
            project_domain_name: "Default".into(),
            user_domain_name: "Default".into(),
            username: "me".into(),
            application_credential: None,
            password: Secret::default(),
        }
    }

    /// What comes of connecting to what a relation says, beside this cloud of the operator's.
    fn beside(operators: &str, said: &str) -> ErrorKind {
        let name = related_cloud_name(&config(said), "image:3");
        let own = (cloud_name(&config(operators)), config(operators));
        let known = Clouds::from([(name.clone(), config(said)), own]);
        let http = HttpClient::new(Proxies::default());
        match connect_to(&known, &name, &http, Deadline::after(Duration::from_secs(20))) {
            Err(ConnectError::Cloud(error)) => error.kind(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_relation_reaches_the_units_own_machine_only_where_the_operators_cloud_is() {
        // Nobody listens there.
        let local = "http://localhost:1/v3";
        assert_eq!(beside("http://192.0.2.1:5000", local), ErrorKind::Configuration);
        assert_eq!(beside("http://127.0.0.1:2", local), ErrorKind::Unavailable);
        assert_eq!(beside("http://127.0.0.1:2", "http://169.254.169.254/v3"), ErrorKind::Configuration);
    }

    #[test]
    fn refused_credentials_are_told_with_where_they_come_from() {
        let refused = |name: &CloudName, known: &Clouds| {
            let error =
                OpenStackError::credentials_refused("The request you have made requires authentication.");
            ConnectError::of(error, known, name, &known[name])
        };
        let own = config("http://192.0.2.1:5000");
        let related = related_cloud_name(&own, "image:3");
        let known = Clouds::from([(cloud_name(&own), own.clone()), (related.clone(), own.clone())]);
        let error = refused(&cloud_name(&own), &known);
        let summary = error.summary();
        let (cause, remedy) = summary.split_once("; ").unwrap();
        assert_eq!(cause, "Keystone refuses user me for project p (HTTP 401)");
        for option in
            ["user-name", "user-domain-name", "project-name", "project-domain-name", "password-secret"]
        {
            assert!(remedy.contains(&format!("openstack-{option}")), "{remedy}");
        }
        assert!(
            error
                .to_string()
                .ends_with("; Keystone says: The request you have made requires authentication.")
        );
        let summary = refused(&related, &known).summary();
        assert!(
            summary.starts_with("Keystone refuses user me of relation p (image:3) (HTTP 401); check "),
            "{summary}"
        );
        assert!(summary.contains("user_domain_name") && !summary.contains("openstack-"), "{summary}");
    }
}
