//! The hooks that units are to run, with what they are about.

/// A hook that is to run, with what makes its environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    pub hook: String,
    pub step: Step,
    pub relation: Option<RelationEvent>,
    pub secret: Option<SecretEvent>,
}

/// What a hook means to the agent itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Step {
    #[default]
    Plain,
    Created,
    Joined,
    Departed,
    /// Somebody departs whom this unit has never met.
    DepartedStranger,
    Broken,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RelationEvent {
    pub id: u32,
    pub remote_app: String,
    pub remote_unit: String,
    pub departing: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretEvent {
    pub uri: String,
    pub label: String,
}

impl Event {
    /// A hook without a relation or a secret.
    pub fn plain(hook: &str) -> Self {
        Self { hook: hook.to_owned(), ..Self::default() }
    }
}
