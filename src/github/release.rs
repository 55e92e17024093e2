//! Releases and what they hold: the runner application and tools, with their digests.

use serde::{Deserialize, Serialize};

use super::answer::checked;
use super::client::{GithubClient, LONGEST, broken};
use super::runners::is_digest;
use super::{GithubError, KnownRelease};
use crate::http::Method;
use crate::model::{Arch, Deadline, Timestamp};

/// A release's tarball of the runner application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerTarballRelease {
    /// The version, without `v`.
    pub version: String,
    /// The path of the tarball below the download server's root.
    pub path: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A release, as far as it is of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Release {
    tag_name: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    assets: Vec<Asset>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asset {
    name: String,
    #[serde(default)]
    digest: Option<String>,
}

impl GithubClient {
    /// The tarball of the runner application of `version`, or of the latest release, that `repository` releases, with the
    /// digest that its publisher gives.
    pub fn runner_release(
        &self,
        repository: &str,
        arch: Arch,
        version: Option<&str>,
        deadline: Deadline,
    ) -> Result<RunnerTarballRelease, GithubError> {
        let tag = version.map(|version| format!("v{version}"));
        let release = self.release(repository, tag.as_deref(), deadline)?;
        let found = release.tag_name.strip_prefix('v').unwrap_or(&release.tag_name).to_owned();
        let asset = format!("actions-runner-linux-{arch}-{found}.tar.gz");
        let sha256 = digest(&release, &asset, told_digest(&release, arch))
            .filter(|_| is_plain(&release.tag_name))
            .ok_or_else(|| no_asset(repository, &release, &asset))?;
        let path = asset_path(repository, &release.tag_name, &asset);
        Ok(RunnerTarballRelease { version: found, path, sha256 })
    }

    /// The SHA-256 in hexadecimal that GitHub publishes for the file `asset` of the release `tag` of `repository`.
    pub fn asset_digest(
        &self,
        repository: &str,
        tag: &str,
        asset: &str,
        deadline: Deadline,
    ) -> Result<String, GithubError> {
        let release = self.release(repository, Some(tag), deadline)?;
        digest(&release, asset, None).ok_or_else(|| no_asset(repository, &release, asset))
    }

    /// The release `tag`, or the latest ("Get a release by tag name", "Get the latest release").
    fn release(
        &self,
        repository: &str,
        tag: Option<&str>,
        deadline: Deadline,
    ) -> Result<Release, GithubError> {
        let which = tag.map_or("latest".to_owned(), |tag| format!("tags/{tag}"));
        let version = tag.unwrap_or("latest").to_owned();
        let operation = format!("asking GitHub for release {version} of {repository}");
        let url = self.url(&operation, &format!("/repos/{repository}/releases/{which}"))?;
        let ask = |known: Option<&KnownRelease>| {
            let etag = known.and_then(|known| known.etag.as_deref());
            let answer = self.call_unless(&operation, Method::Get, (url.clone(), LONGEST), etag, deadline)?;
            match (answer.status(), known) {
                (404, _) => Err(GithubError::NoRelease {
                    repository: repository.to_owned(),
                    version: version.clone(),
                }),
                (304, Some(known)) => {
                    log::debug!("release {version} of {repository} has not changed");
                    Ok(KnownRelease { confirmed: Timestamp::now(), ..known.clone() })
                }
                _ => {
                    let answer = checked(&operation, answer)?;
                    let etag = answer.header("etag").filter(|etag| etag.len() < 200).map(str::to_owned);
                    let release: Release = answer.json().map_err(|source| broken(&operation, source))?;
                    log::info!("release {version} of {repository} is {}", release.tag_name);
                    Ok(KnownRelease { etag, confirmed: Timestamp::now(), release })
                }
            }
        };
        let Some(memory) = &self.memory else { return Ok(ask(None)?.release) };
        let place = url.to_string();
        memory.once(&place, || {
            let last = memory.store.last(&place);
            match ask(last.as_ref()) {
                Ok(known) => {
                    memory.store.keep(&place, &known);
                    Ok(known.release)
                }
                Err(error @ GithubError::RateLimited { .. }) => match last.filter(KnownRelease::is_young) {
                    Some(last) => {
                        log::warn!("{error}; using its answer of {}", last.confirmed);
                        Ok(last.release)
                    }
                    None => Err(error),
                },
                Err(error) => Err(error),
            }
        })
    }
}

/// The path of a release's file below the download server's root.
pub fn asset_path(repository: &str, tag: &str, asset: &str) -> String {
    format!("{repository}/releases/download/{tag}/{asset}")
}

fn no_asset(repository: &str, release: &Release, asset: &str) -> GithubError {
    let (repository, release) = (repository.to_owned(), release.tag_name.clone());
    GithubError::NoAsset { repository, release, asset: asset.to_owned() }
}

/// The tag becomes part of a URL and of a file name.
fn is_plain(tag: &str) -> bool {
    tag.len() < 64 && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// The digest that GitHub computed of the asset, else the one that was `told` of it otherwise; none where the release
/// has no such asset.
fn digest(release: &Release, asset: &str, told: Option<&str>) -> Option<String> {
    let found = release.assets.iter().find(|candidate| candidate.name == asset)?;
    let computed = found.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"));
    computed.or(told).filter(|digest| is_digest(digest)).map(str::to_lowercase)
}

/// The digest of the runner that the release's text gives between markers, as releases from before GitHub computed any
/// do.
fn told_digest(release: &Release, arch: Arch) -> Option<&str> {
    let (_, rest) = release.body.as_deref()?.split_once(&format!("<!-- BEGIN SHA linux-{arch} -->"))?;
    rest.split("<!--").next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(digest: Option<&str>, body: &str) -> Release {
        let name = "actions-runner-linux-x64-2.1.0.tar.gz".to_owned();
        let assets = vec![Asset { name, digest: digest.map(str::to_owned) }];
        Release { tag_name: "v2.1.0".into(), body: Some(body.into()), assets }
    }

    #[test]
    fn the_digest_is_githubs_own_or_the_one_in_the_releases_text() {
        let name = "actions-runner-linux-x64-2.1.0.tar.gz";
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let text = format!("- <!-- BEGIN SHA linux-x64 -->{b}<!-- END SHA linux-x64 -->");
        let digest = |release: &Release, asset: &str| digest(release, asset, told_digest(release, Arch::X64));
        assert_eq!(digest(&release(Some(&format!("sha256:{a}")), &text), name), Some(a));
        assert_eq!(digest(&release(None, &text), name), Some(b));
        assert_eq!(digest(&release(None, "no word of it"), name), None);
        assert_eq!(digest(&release(Some("md5:0"), ""), name), None);
        assert_eq!(digest(&release(None, &text), "other.tar.gz"), None);
    }

    #[test]
    fn a_tag_that_is_no_plain_word_is_not_used() {
        assert!(is_plain("v2.337.1"));
        assert!(!is_plain("v1/../../x"));
        assert!(!is_plain("$(id)"));
    }
}
