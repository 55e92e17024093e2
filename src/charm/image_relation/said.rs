//! What the remote units of image relations say: a cloud that can be used, one that cannot, or nothing complete yet.

use std::collections::BTreeMap;

use super::ImageRelation;
use super::remembered::Remembered;
use crate::builder::related_cloud_name;
use crate::charm::event::IMAGE_ENDPOINT;
use crate::http::Url;
use crate::juju::{Databag, Environment, HookToolError, HookTools, RelationId, UnitName};
use crate::model::{Secret, is_printable_line};
use crate::openstack_cloud::{CloudConfig, Interface};

/// A longer value is none that a cloud has; the longest is a chain of certificates.
const LONGEST: usize = 64 << 10;

/// How many units are looked at in search of complete data: each costs a call, whoever runs them.
const UNITS: usize = 10;

/// The values that stand on one line wherever they are shown: no name or address has a line's end or a control character,
/// which would forge lines of a log or move a terminal's cursor. A certificate has lines, and a password is shown nowhere.
const SHOWN: [&str; 6] =
    ["auth_url", "project_name", "project_domain_name", "user_domain_name", "username", "region_name"];

/// The image relations of this hook.
#[derive(Debug, Default)]
pub struct ImageRelations {
    /// All that exist.
    pub ids: Vec<RelationId>,
    /// Those that have usable data.
    pub usable: BTreeMap<RelationId, ImageRelation>,
    /// Those whose data cannot be used, and why: for people, who mend it on the other side.
    pub refused: BTreeMap<RelationId, String>,
}

impl ImageRelations {
    /// Asks Juju for those that the event is about and those that are not `remembered`. `broken` is one that ends with this hook.
    pub fn load(
        tools: &dyn HookTools,
        environment: &Environment,
        broken: Option<&RelationId>,
        remembered: &Remembered,
    ) -> Result<Self, HookToolError> {
        let mut ids = tools.relation_ids(IMAGE_ENDPOINT)?;
        ids.retain(|id| Some(id) != broken);
        let mut relations = Self { ids, ..Self::default() };
        for id in &relations.ids {
            let is_about = environment.relation_id.as_ref() == Some(id);
            let said = match remembered.of(id).filter(|_| !is_about) {
                Some(said) => said,
                None => Said::load(tools, id, environment.remote_unit.as_ref().filter(|_| is_about))?,
            };
            match said {
                Said::Usable(relation) => drop(relations.usable.insert(id.clone(), *relation)),
                Said::Refused(why) => drop(relations.refused.insert(id.clone(), why)),
                Said::Incomplete => (),
            }
        }
        Ok(relations)
    }

    /// Refuses those whose address leads to the unit itself or to its link, where the operator's own cloud is not.
    pub fn refuse_near(&mut self, own: &CloudConfig) {
        let near = |config: &CloudConfig| config.auth_url.parse().ok().and_then(|url: Url| url.near());
        let is_too_near = |_: &RelationId, relation: &mut ImageRelation| {
            let how = near(&relation.config);
            how.is_some() && how != near(own)
        };
        for (id, _) in self.usable.extract_if(.., is_too_near) {
            let why = "its auth_url leads to this unit's own machine or link";
            log::warn!("relation {id} is not used: {why}");
            self.refused.insert(id, why.to_owned());
        }
    }
}

/// What one relation, or one unit of it, says.
#[derive(Debug)]
pub(super) enum Said {
    /// A cloud.
    Usable(Box<ImageRelation>),
    /// Something that cannot be one, and why.
    Refused(String),
    /// Not all that is needed.
    Incomplete,
}

impl Said {
    /// Reads what the remote units say: the lowest-numbered unit with complete data counts, and no unit after it is read,
    /// so that a hook costs the same however many there are. The data of `changed`, the unit that the event is about, is
    /// compared with it, and disagreement logged. What is refused is told when none of those that are looked at is usable.
    fn load(
        tools: &dyn HookTools,
        relation: &RelationId,
        changed: Option<&UnitName>,
    ) -> Result<Self, HookToolError> {
        let mut units = tools.relation_list(relation)?;
        units.sort_by_key(UnitName::number);
        let (mut said, mut read) = (Self::Incomplete, 0);
        for unit in units.iter().take(UNITS) {
            read += 1;
            match Self::by(tools, relation, unit)? {
                usable @ Self::Usable(_) => {
                    said = usable;
                    break;
                }
                refused @ Self::Refused(_) if matches!(said, Self::Incomplete) => said = refused,
                Self::Refused(_) | Self::Incomplete => (),
            }
        }
        let is_unread = |unit: &&UnitName| units.iter().skip(read).any(|other| other == *unit);
        if let Some(unit) = changed.filter(is_unread)
            && let Self::Usable(other) = Self::by(tools, relation, unit)?
        {
            match &said {
                Self::Usable(known) if known.config != other.config => {
                    log::warn!(
                        "relation {relation}: {unit} gives other credentials than the units before it; its data is ignored"
                    );
                }
                Self::Usable(_) => (),
                Self::Refused(_) | Self::Incomplete => log::warn!(
                    "relation {relation}: the data of {unit} is not used: the {UNITS} units before it have no complete data"
                ),
            }
        }
        Ok(said)
    }

    /// What one remote unit says.
    fn by(tools: &dyn HookTools, relation: &RelationId, unit: &UnitName) -> Result<Self, HookToolError> {
        let said = match tools.relation_get(relation, unit) {
            Ok(databag) => Self::of(relation, &databag),
            // Another application's mistake is no failure of our hook.
            Err(error @ HookToolError::TooLong { .. }) => Self::Refused(error.to_string()),
            Err(error) => return Err(error),
        };
        match said {
            Self::Usable(mut relation) => {
                relation.application = Some(unit.application().to_owned());
                Ok(Self::Usable(relation))
            }
            Self::Refused(why) => {
                log::warn!(
                    "relation {relation}: the data of {unit} is not used: {why}; correct it in that application"
                );
                Ok(Self::Refused(why))
            }
            Self::Incomplete => Ok(Self::Incomplete),
        }
    }

    /// What a databag says.
    pub(super) fn of(relation: &RelationId, databag: &Databag) -> Self {
        if let Some(why) = refusal(databag) {
            return Self::Refused(why);
        }
        Self::complete(relation, databag)
            .map_or(Self::Incomplete, |relation| Self::Usable(Box::new(relation)))
    }

    fn complete(relation: &RelationId, databag: &Databag) -> Option<ImageRelation> {
        let field = |name: &str| {
            let value = databag.get(name)?.trim();
            Some(value.to_owned()).filter(|value| !value.is_empty())
        };
        let config = CloudConfig {
            auth_url: field("auth_url")?,
            region_name: field("region_name"),
            interface: Interface::Public,
            ca_certificate: field("ca_certificate"),
            project_name: field("project_name")?,
            project_domain_name: field("project_domain_name")?,
            user_domain_name: field("user_domain_name")?,
            username: field("username")?,
            application_credential: None,
            password: Secret::new(databag.get("password").filter(|password| !password.is_empty())?.clone()),
        };
        let cloud = related_cloud_name(&config, relation.as_str());
        Some(ImageRelation { cloud, config, application: None })
    }
}

/// Why a databag cannot be used, whatever else it may say yet.
fn refusal(databag: &Databag) -> Option<String> {
    let is_shown = |name: &&str| SHOWN.contains(name);
    for name in SHOWN.into_iter().chain(["password", "ca_certificate"]) {
        let Some(value) = databag.get(name) else { continue };
        if value.len() > LONGEST {
            return Some(format!("{name} is longer than {} KiB", LONGEST >> 10));
        }
        if value.contains('\0') || (is_shown(&name) && !is_printable_line(value.trim())) {
            return Some(format!("{name} contains control characters"));
        }
    }
    let auth_url = databag.get("auth_url").map(|url| url.trim()).filter(|url| !url.is_empty())?;
    let is_web = auth_url.starts_with("http://") || auth_url.starts_with("https://");
    (!is_web).then(|| "auth_url begins with neither http:// nor https://".to_owned())
}
