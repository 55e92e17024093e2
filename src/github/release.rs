//! Releases of the runner application: which tarball to install, and its digest.

use serde::Deserialize;

use super::GithubError;
use super::answer::checked;
use super::client::{GithubClient, broken};
use super::runners::is_digest;
use crate::deadline::Deadline;
use crate::http::Method;
use crate::target::Arch;

/// A release's tarball of the runner application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerRelease {
    /// The version, without `v`.
    pub version: String,
    /// The path of the tarball below the download server's root.
    pub path: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

#[derive(Deserialize)]
struct Release {
    tag_name: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    assets: Vec<Asset>,
}

#[derive(Deserialize)]
struct Asset {
    name: String,
    #[serde(default)]
    digest: Option<String>,
}

/// The repository that releases runners for `arch`: GitHub's own, or Canonical's for what GitHub has none.
fn repository(arch: Arch) -> &'static str {
    match arch {
        Arch::X64 | Arch::Arm64 => "actions/runner",
        Arch::Arm | Arch::S390x | Arch::Ppc64le => "canonical/github-actions-runner",
    }
}

impl GithubClient {
    /// The tarball of `version`, or of the latest release ("Get a release by tag name", "Get the latest release"), with the
    /// digest that its publisher gives.
    pub fn runner_release(
        &self,
        arch: Arch,
        version: Option<&str>,
        deadline: Deadline,
    ) -> Result<RunnerRelease, GithubError> {
        let repository = repository(arch);
        let which = version.map_or("latest".to_owned(), |version| format!("tags/v{version}"));
        let operation = format!("asking GitHub for release {} of {repository}", version.unwrap_or("latest"));
        let url = self.url(&operation, &format!("/repos/{repository}/releases/{which}"))?;
        let answer = self.call(&operation, Method::Get, url, deadline)?;
        if answer.status() == 404 {
            let version = version.unwrap_or("latest").to_owned();
            return Err(GithubError::NoRelease { repository, version });
        }
        let release: Release =
            checked(&operation, answer)?.json().map_err(|source| broken(&operation, source))?;
        let found = release.tag_name.strip_prefix('v').unwrap_or(&release.tag_name).to_owned();
        let asset = format!("actions-runner-linux-{arch}-{found}.tar.gz");
        let sha256 =
            digest(&release, &asset, arch).filter(|_| is_plain(&release.tag_name)).ok_or_else(|| {
                GithubError::NoAsset { repository, release: release.tag_name.clone(), asset: asset.clone() }
            })?;
        let path = format!("{repository}/releases/download/{}/{asset}", release.tag_name);
        Ok(RunnerRelease { version: found, path, sha256 })
    }
}

/// The tag becomes part of a URL and of a file name.
fn is_plain(tag: &str) -> bool {
    tag.len() < 64 && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// The digest that GitHub computed of the asset, else the one that the release's text gives between markers, as
/// releases from before GitHub computed any do.
fn digest(release: &Release, asset: &str, arch: Arch) -> Option<String> {
    let computed = release.assets.iter().find(|candidate| candidate.name == asset)?;
    let computed = computed.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"));
    let told = release.body.as_deref().and_then(|body| {
        let (_, rest) = body.split_once(&format!("<!-- BEGIN SHA linux-{arch} -->"))?;
        rest.split("<!--").next().map(str::trim)
    });
    computed.or(told).filter(|digest| is_digest(digest)).map(str::to_lowercase)
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
        assert_eq!(digest(&release(Some(&format!("sha256:{a}")), &text), name, Arch::X64), Some(a));
        assert_eq!(digest(&release(None, &text), name, Arch::X64), Some(b));
        assert_eq!(digest(&release(None, "no word of it"), name, Arch::X64), None);
        assert_eq!(digest(&release(Some("md5:0"), ""), name, Arch::X64), None);
        assert_eq!(digest(&release(None, &text), "other.tar.gz", Arch::X64), None);
    }

    #[test]
    fn a_tag_that_is_no_plain_word_is_not_used() {
        assert!(is_plain("v2.330.0"));
        assert!(!is_plain("v1/../../x"));
        assert!(!is_plain("$(id)"));
    }
}
