//! What happened, parsed from Juju's environment. Total: a name that we do not know is a variant.

use std::fmt;

use crate::juju::Environment;

/// The endpoint of the image relation in metadata.yaml.
pub const IMAGE_ENDPOINT: &str = "image";

/// The endpoint of the peer relation in metadata.yaml.
pub const PEER_ENDPOINT: &str = "units";

/// The endpoint of the relation with a collector of metrics in metadata.yaml.
pub const COS_AGENT_ENDPOINT: &str = "cos-agent";

/// Why Juju, cron or our own worker has started us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The charm was placed on its machine.
    Install,
    /// The charm was replaced by another revision.
    UpgradeCharm,
    /// An option, or something else that counts as configuration, changed; also after each agent restart.
    ConfigChanged,
    /// The unit begins its life.
    Start,
    /// The agent's periodic question, every five minutes as a rule.
    UpdateStatus,
    /// This unit leads now.
    LeaderElected,
    /// A secret that we read has a new revision.
    SecretChanged {
        /// The secret, by its id in any form.
        id: String,
    },
    /// Something about an image relation.
    ImageRelation(RelationChange),
    /// Something about the relation with a collector of metrics.
    CosAgent(RelationChange),
    /// A unit of ours came or went, or told us something.
    Peers,
    /// The relation with our own units ends, and with it this unit's part of the application.
    PeersEnd,
    /// The unit ends its life.
    Stop,
    /// The last that the unit sees.
    Remove,
    /// Cron says that it is time to look for work (`JUJU_DISPATCH_PATH=run`).
    Scheduled,
    /// Cron says that it is time to look for releases (`JUJU_DISPATCH_PATH=look`).
    Look,
    /// The worker has news in its journal (`JUJU_DISPATCH_PATH=worker`).
    WorkerReport,
    /// An operator's action.
    Action(Action),
    /// Anything else: logged, and nothing is done.
    Other(String),
}

/// What happened to a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationChange {
    /// It exists.
    Created,
    /// A remote unit came.
    Joined,
    /// A remote unit's data changed.
    Changed,
    /// A remote unit went.
    Departed,
    /// It is gone when this hook ends.
    Broken,
}

/// The actions of actions.yaml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Build now.
    Run,
    /// Stop building.
    Cancel,
    /// List what nothing needs, and delete it.
    CleanUp,
    /// Check what builds and deliveries stand on.
    Check,
    /// Launch a runner of the newest image.
    LaunchRunner,
    /// Tell what the last jobs were.
    History,
    /// List the images that there are.
    ListImages,
    /// Show what is inside of an image.
    ShowImage,
    /// Show what differs between two images.
    DiffImages,
    /// Tell what verifies the provenance of images.
    ShowPublicKey,
    /// Sign it with a new key.
    RotateSigningKey,
    /// Hold a build.
    Pin,
    /// Hold it no longer.
    Unpin,
    /// Never tell a build again.
    Revoke,
}

/// The dispatch path of cron's call.
pub const SCHEDULED: &str = "run";
/// The dispatch path of cron's call in the hours between.
pub const LOOK: &str = "look";
/// The dispatch path of the worker's call.
pub const WORKER_REPORT: &str = "worker";

impl Event {
    /// The event that the environment tells of.
    pub fn from_environment(environment: &Environment) -> Self {
        let path = environment.dispatch_path.as_str();
        let other = || Self::Other(path.to_owned());
        if let Some(action) = path.strip_prefix("actions/") {
            return match action {
                "run" => Self::Action(Action::Run),
                "cancel" => Self::Action(Action::Cancel),
                "check" => Self::Action(Action::Check),
                "launch-runner" => Self::Action(Action::LaunchRunner),
                "clean-up" => Self::Action(Action::CleanUp),
                "history" => Self::Action(Action::History),
                "list-images" => Self::Action(Action::ListImages),
                "show-image" => Self::Action(Action::ShowImage),
                "diff-images" => Self::Action(Action::DiffImages),
                "show-public-key" => Self::Action(Action::ShowPublicKey),
                "rotate-signing-key" => Self::Action(Action::RotateSigningKey),
                "pin" => Self::Action(Action::Pin),
                "unpin" => Self::Action(Action::Unpin),
                "revoke" => Self::Action(Action::Revoke),
                _ => other(),
            };
        }
        match path.strip_prefix("hooks/").unwrap_or(path) {
            SCHEDULED => Self::Scheduled,
            LOOK => Self::Look,
            WORKER_REPORT => Self::WorkerReport,
            "install" => Self::Install,
            "upgrade-charm" => Self::UpgradeCharm,
            "config-changed" => Self::ConfigChanged,
            "start" => Self::Start,
            "update-status" => Self::UpdateStatus,
            "leader-elected" => Self::LeaderElected,
            "stop" => Self::Stop,
            "remove" => Self::Remove,
            "secret-changed" => match &environment.secret_id {
                Some(id) => Self::SecretChanged { id: id.clone() },
                None => other(),
            },
            "units-relation-created"
            | "units-relation-joined"
            | "units-relation-changed"
            | "units-relation-departed" => Self::Peers,
            "units-relation-broken" => Self::PeersEnd,
            "cos-agent-relation-created" => Self::CosAgent(RelationChange::Created),
            "cos-agent-relation-joined" => Self::CosAgent(RelationChange::Joined),
            "cos-agent-relation-changed" => Self::CosAgent(RelationChange::Changed),
            "cos-agent-relation-departed" => Self::CosAgent(RelationChange::Departed),
            "cos-agent-relation-broken" => Self::CosAgent(RelationChange::Broken),
            "image-relation-created" => Self::ImageRelation(RelationChange::Created),
            "image-relation-joined" => Self::ImageRelation(RelationChange::Joined),
            "image-relation-changed" => Self::ImageRelation(RelationChange::Changed),
            "image-relation-departed" => Self::ImageRelation(RelationChange::Departed),
            "image-relation-broken" => Self::ImageRelation(RelationChange::Broken),
            _ => other(),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(path) => write!(f, "{path:?}"),
            Self::SecretChanged { id } => write!(f, "SecretChanged({id})"),
            known => write!(f, "{known:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(path: &str) -> Event {
        let variables = [("JUJU_DISPATCH_PATH", path), ("JUJU_UNIT_NAME", "b/0"), ("JUJU_MODEL_UUID", "m")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Event::from_environment(&Environment::from_variables(variables).unwrap())
    }

    #[test]
    fn every_event_of_the_charm_has_its_variant() {
        for (path, expected) in [
            ("hooks/install", Event::Install),
            ("hooks/upgrade-charm", Event::UpgradeCharm),
            ("hooks/config-changed", Event::ConfigChanged),
            ("hooks/start", Event::Start),
            ("hooks/update-status", Event::UpdateStatus),
            ("hooks/leader-elected", Event::LeaderElected),
            ("hooks/image-relation-created", Event::ImageRelation(RelationChange::Created)),
            ("hooks/image-relation-joined", Event::ImageRelation(RelationChange::Joined)),
            ("hooks/image-relation-changed", Event::ImageRelation(RelationChange::Changed)),
            ("hooks/image-relation-departed", Event::ImageRelation(RelationChange::Departed)),
            ("hooks/image-relation-broken", Event::ImageRelation(RelationChange::Broken)),
            ("hooks/cos-agent-relation-created", Event::CosAgent(RelationChange::Created)),
            ("hooks/cos-agent-relation-joined", Event::CosAgent(RelationChange::Joined)),
            ("hooks/cos-agent-relation-changed", Event::CosAgent(RelationChange::Changed)),
            ("hooks/cos-agent-relation-departed", Event::CosAgent(RelationChange::Departed)),
            ("hooks/cos-agent-relation-broken", Event::CosAgent(RelationChange::Broken)),
            ("hooks/units-relation-created", Event::Peers),
            ("hooks/units-relation-joined", Event::Peers),
            ("hooks/units-relation-changed", Event::Peers),
            ("hooks/units-relation-departed", Event::Peers),
            ("hooks/units-relation-broken", Event::PeersEnd),
            ("hooks/stop", Event::Stop),
            ("hooks/remove", Event::Remove),
            ("run", Event::Scheduled),
            ("look", Event::Look),
            ("worker", Event::WorkerReport),
            ("actions/run", Event::Action(Action::Run)),
            ("actions/cancel", Event::Action(Action::Cancel)),
            ("actions/check", Event::Action(Action::Check)),
            ("actions/launch-runner", Event::Action(Action::LaunchRunner)),
            ("actions/clean-up", Event::Action(Action::CleanUp)),
            ("actions/history", Event::Action(Action::History)),
            ("actions/list-images", Event::Action(Action::ListImages)),
            ("actions/show-image", Event::Action(Action::ShowImage)),
            ("actions/diff-images", Event::Action(Action::DiffImages)),
            ("actions/show-public-key", Event::Action(Action::ShowPublicKey)),
            ("actions/rotate-signing-key", Event::Action(Action::RotateSigningKey)),
            ("actions/pin", Event::Action(Action::Pin)),
            ("actions/unpin", Event::Action(Action::Unpin)),
            ("actions/revoke", Event::Action(Action::Revoke)),
        ] {
            assert_eq!(event(path), expected, "{path}");
        }
    }

    #[test]
    fn names_of_other_charms_and_of_nobody_are_other() {
        for path in
            ["hooks/collect-metrics", "hooks/secret-changed", "actions/format-disk", "hooks/", "/bin/sh"]
        {
            assert_eq!(event(path), Event::Other(path.to_owned()));
        }
    }
}
