//! Which runners a token may manage: those of a repository, an organisation or an enterprise.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::path::is_name;

/// A scope in the words of the REST API: `repos/OWNER/REPOSITORY`, `orgs/ORGANISATION` or `enterprises/ENTERPRISE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GithubScope(String);

/// A text that is no scope.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not a GitHub scope: use repos/OWNER/REPOSITORY, orgs/ORGANIZATION or enterprises/ENTERPRISE"
)]
pub struct NotAScope(String);

impl GithubScope {
    /// Where the REST API has what belongs to it.
    pub(super) fn resource(&self) -> String {
        format!("/{}", self.0)
    }
}

impl FromStr for GithubScope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        let text = text.trim();
        match text.split('/').collect::<Vec<_>>()[..] {
            ["orgs" | "enterprises", name] if is_name(name) => Ok(Self(text.to_owned())),
            ["repos", owner, repo] if is_name(owner) && is_name(repo) => Ok(Self(text.to_owned())),
            _ => Err(NotAScope(text.chars().take(200).collect())),
        }
    }
}

impl TryFrom<String> for GithubScope {
    type Error = NotAScope;

    fn try_from(text: String) -> Result<Self, NotAScope> {
        text.parse()
    }
}

impl From<GithubScope> for String {
    fn from(scope: GithubScope) -> Self {
        scope.0
    }
}

impl fmt::Display for GithubScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_what_the_api_has_runners_below_and_nothing_else() {
        for text in ["orgs/canonical", "repos/canonical/operator.x_1", " enterprises/acme "] {
            assert_eq!(text.parse::<GithubScope>().unwrap().resource(), format!("/{}", text.trim()));
        }
        for text in
            ["", "canonical", "canonical/operator", "orgs/", "orgs/a/b", "orgs/..", "users/a", "orgs/a?x"]
        {
            assert!(text.parse::<GithubScope>().is_err(), "{text:?}");
        }
    }
}
