//! Whose runners: an organisation's or a repository's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An organisation (seed `openstack_manager`: `GithubOrg`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GithubOrg {
    /// Its name.
    pub org: String,
    /// The runner group that new runners join; the organisation's default group when absent.
    pub group: Option<String>,
}

/// A repository (seed `openstack_manager`: `GithubRepo`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GithubRepo {
    /// The organisation or user that has it.
    pub owner: String,
    /// Its name.
    pub repo: String,
}

/// Where runners belong to (seed `openstack_manager`: `GithubOrg | GithubRepo`). Displays as `ORG` or `OWNER/REPO`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GithubPath {
    /// An organisation.
    Org(GithubOrg),
    /// A repository.
    Repo(GithubRepo),
}

/// A text that names neither an organisation nor a repository.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a GitHub path: use ORGANIZATION or OWNER/REPOSITORY")]
pub struct NotAPath(String);

impl GithubPath {
    /// The same path, whose new runners join `group`; repositories have no groups.
    pub fn in_group(self, group: &str) -> Self {
        match self {
            Self::Org(GithubOrg { org, .. }) => Self::Org(GithubOrg { org, group: Some(group.to_owned()) }),
            repository => repository,
        }
    }

    /// Where the REST API has what belongs to it.
    pub(super) fn resource(&self) -> String {
        match self {
            Self::Org(GithubOrg { org, .. }) => format!("/orgs/{org}"),
            Self::Repo(GithubRepo { owner, repo }) => format!("/repos/{owner}/{repo}"),
        }
    }
}

impl FromStr for GithubPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let text = text.trim();
        match text.split_once('/') {
            None if is_name(text) => Ok(Self::Org(GithubOrg { org: text.to_owned(), group: None })),
            Some((owner, repo)) if is_name(owner) && is_name(repo) => {
                Ok(Self::Repo(GithubRepo { owner: owner.to_owned(), repo: repo.to_owned() }))
            }
            _ => Err(NotAPath(text.chars().take(200).collect())),
        }
    }
}

impl fmt::Display for GithubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org(GithubOrg { org, .. }) => f.write_str(org),
            Self::Repo(GithubRepo { owner, repo }) => write!(f, "{owner}/{repo}"),
        }
    }
}

/// Names become parts of addresses: what GitHub takes for a name, and nothing that an address could mean otherwise.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=100).contains(&text.len()) && text.chars().all(is_plain) && text.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisations_and_repositories_are_told_apart() {
        let org: GithubPath = " canonical ".parse().unwrap();
        assert_eq!((org.to_string().as_str(), org.resource().as_str()), ("canonical", "/orgs/canonical"));
        let repo: GithubPath = "canonical/operator.x_1".parse().unwrap();
        assert_eq!(repo.resource(), "/repos/canonical/operator.x_1");
        assert_eq!(repo.clone().in_group("g"), repo);
        let GithubPath::Org(org) = org.in_group("fast ones") else { panic!("an organisation") };
        assert_eq!(org.group.as_deref(), Some("fast ones"));
    }

    #[test]
    fn what_could_be_another_address_is_refused() {
        for text in
            ["", "/", "a/", "/b", "a/b/c", "a/..", "..", "a b", "a/b?x", "a%2fb", "$(id)", "a\nb", "ü"]
        {
            assert!(text.parse::<GithubPath>().is_err(), "{text:?}");
        }
    }
}
