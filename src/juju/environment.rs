//! The environment of a hook, an action or a juju-exec command, parsed once.

use std::collections::BTreeMap;

use super::{RelationId, UnitName};
use crate::secret::Secret;

/// The environment lacks what every hook context has: we were not started by a unit agent.
#[derive(Debug, thiserror::Error)]
#[error(
    "reading the hook environment: {variable} {problem}; dispatch is started by the Juju agent, see `dispatch help`"
)]
pub struct EnvironmentError {
    variable: &'static str,
    problem: &'static str,
}

/// What Juju says of the event and of the unit. Optional fields are absent where the event has none.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `hooks/install`, `actions/run`, or what a juju-exec command set (JUJU_DISPATCH_PATH).
    pub dispatch_path: String,
    /// This unit (JUJU_UNIT_NAME).
    pub unit: UnitName,
    /// The model (JUJU_MODEL_UUID).
    pub model_uuid: String,
    /// The relation that the event is about (JUJU_RELATION_ID).
    pub relation_id: Option<RelationId>,
    /// The endpoint of that relation (JUJU_RELATION).
    pub relation_name: Option<String>,
    /// The unit on the other side that the event is about (JUJU_REMOTE_UNIT).
    pub remote_unit: Option<UnitName>,
    /// The unit that leaves the relation (JUJU_DEPARTING_UNIT): this one, when it or its application is being removed.
    pub departing_unit: Option<UnitName>,
    /// The secret that the event is about (JUJU_SECRET_ID).
    pub secret_id: Option<String>,
    /// The model's proxy for http URLs (JUJU_CHARM_HTTP_PROXY); may hold credentials.
    pub http_proxy: Option<Secret<String>>,
    /// The model's proxy for https URLs (JUJU_CHARM_HTTPS_PROXY); may hold credentials.
    pub https_proxy: Option<Secret<String>>,
    /// Hosts reached without proxy (JUJU_CHARM_NO_PROXY).
    pub no_proxy: Option<String>,
}

impl Environment {
    /// Reads our own environment.
    pub fn from_process() -> Result<Self, EnvironmentError> {
        Self::from_variables(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Reads an environment from its variables. A variable that is set to nothing counts as unset.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, EnvironmentError> {
        let mut variables: BTreeMap<String, String> =
            variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut required = |variable: &'static str| {
            variables.remove(variable).ok_or(EnvironmentError { variable, problem: "is not set" })
        };
        let dispatch_path = required("JUJU_DISPATCH_PATH")?;
        let unit = required("JUJU_UNIT_NAME")?;
        let model_uuid = required("JUJU_MODEL_UUID")?;
        let unit = UnitName::parse(&unit)
            .ok_or(EnvironmentError { variable: "JUJU_UNIT_NAME", problem: "is not a unit's name" })?;
        let relation_id = match variables.remove("JUJU_RELATION_ID") {
            None => None,
            Some(id) => Some(RelationId::parse(&id).ok_or(EnvironmentError {
                variable: "JUJU_RELATION_ID",
                problem: "is not a relation's id",
            })?),
        };
        let mut optional = |name: &str| variables.remove(name);
        Ok(Self {
            dispatch_path,
            unit,
            model_uuid,
            relation_id,
            remote_unit: optional("JUJU_REMOTE_UNIT").and_then(|unit| UnitName::parse(&unit)),
            departing_unit: optional("JUJU_DEPARTING_UNIT").and_then(|unit| UnitName::parse(&unit)),
            relation_name: optional("JUJU_RELATION"),
            secret_id: optional("JUJU_SECRET_ID"),
            http_proxy: optional("JUJU_CHARM_HTTP_PROXY").map(Secret::new),
            https_proxy: optional("JUJU_CHARM_HTTPS_PROXY").map(Secret::new),
            no_proxy: optional("JUJU_CHARM_NO_PROXY"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        Environment::from_variables(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    #[test]
    fn an_environment_without_a_unit_is_refused_by_the_variables_name() {
        let error = read(&[("JUJU_DISPATCH_PATH", "hooks/install")]).unwrap_err();
        assert!(error.to_string().contains("JUJU_UNIT_NAME is not set"), "{error}");
    }

    #[test]
    fn empty_variables_are_unset() {
        let environment = read(&[
            ("JUJU_DISPATCH_PATH", "hooks/install"),
            ("JUJU_UNIT_NAME", "builder/3"),
            ("JUJU_MODEL_UUID", "c0ffee"),
            ("JUJU_RELATION_ID", ""),
            ("JUJU_CHARM_HTTP_PROXY", ""),
        ])
        .unwrap();
        assert_eq!(environment.unit.application(), "builder");
        assert!(environment.relation_id.is_none() && environment.http_proxy.is_none());
    }
}
