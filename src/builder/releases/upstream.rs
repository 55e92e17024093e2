//! The look at what images could be made of now, and until when GitHub accepts the runners that they have: questions that cost
//! next to nothing where nothing has changed. What cannot be asked stays as it was known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{ReleaseError, find_runner, github};
use crate::builder::clouds::connect::http_client;
use crate::builder::image::base_image;
use crate::github::{Conditional, GithubClient, GithubError};
use crate::host::Host;
use crate::http::HttpClient;
use crate::model::{BaseImage, Deadline, Target, Timestamp};
use crate::record::{Answered, BuildSecrets, BuilderRunConfig, Journal, RecordError, Upstream};

/// How long a look may take.
const LOOK_TIME: Duration = Duration::from_secs(60);

/// The look was not complete.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    BaseImage(#[from] base_image::BaseImageError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Whether a hook should know what a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something can be built that was not there before, or a runner is accepted for another time than was known.
    Some,
    /// All is as it was.
    None,
}

/// Looks, and notes what there is. For the worker, never for a hook.
pub fn look(host: &Host, config: &BuilderRunConfig, secrets: &BuildSecrets) -> News {
    let http = match http_client(secrets) {
        Ok(http) => http,
        Err(failure) => {
            log::warn!("checking for releases: {failure}");
            return News::None;
        }
    };
    let client = github(host, &http, &config.runner, secrets);
    let (deadline, before) = (Deadline::after(LOOK_TIME), Upstream::load(host));
    let look = Look { host, http: &http, config, client: &client, deadline, before };
    let told = images_runners(host);
    let all =
        [look.runner_versions(), look.deprecations(&told, secrets.github_token.is_some()), look.offers()];
    all.into_iter().filter_map(Result::err).for_each(|error| log::warn!("checking for releases: {error}"));
    let now = Upstream::load(host);
    let appeared = |known: &Upstream| known.offers.iter().filter_map(|offer| offer.appeared).max();
    let refused =
        |known: &Upstream| told.iter().map(|runner| known.runner_refused(runner)).collect::<Vec<_>>();
    let is_news = appeared(&now) > appeared(&look.before) || refused(&now) != refused(&look.before);
    if is_news { News::Some } else { News::None }
}

/// The versions of the runner that images have, or that can be pinned.
fn images_runners(host: &Host) -> BTreeSet<String> {
    let journal = Journal::load(host).inspect_err(|error| log::warn!("{error}")).unwrap_or_default();
    let contents = journal.revisions.into_iter().filter_map(|build| build.contents);
    contents.map(|contents| contents.runner).collect()
}

struct Look<'a> {
    host: &'a Host,
    http: &'a HttpClient,
    config: &'a BuilderRunConfig,
    client: &'a GithubClient,
    deadline: Deadline,
    before: Upstream,
}

impl Look<'_> {
    fn runner_versions(&self) -> Result<(), LookError> {
        if self.client.is_enterprise_server() {
            return Ok(Upstream::change(self.host, |known| known.runner_versions = Answered::default())?);
        }
        let (source, known) = (&self.config.runner.api_url, &self.before.runner_versions);
        match self.client.runner_versions(known.etag_of(source), self.deadline)? {
            Conditional::Unchanged => Ok(()),
            Conditional::Changed(answer, etag) => {
                let answered = Answered { source: source.clone(), etag, answer };
                Ok(Upstream::change(self.host, |known| known.runner_versions = answered)?)
            }
        }
    }

    /// What GitHub says of the versions that images have, and of the one that is configured.
    fn deprecations(&self, told: &BTreeSet<String>, has_token: bool) -> Result<(), LookError> {
        let scope = self.config.runner.scope.as_ref().filter(|_| has_token);
        let mut known = BTreeMap::new();
        let mut trouble = None;
        let versions = told.iter().chain(&self.config.runner.version).collect::<BTreeSet<_>>();
        for (scope, version) in scope.into_iter().flat_map(|scope| versions.iter().map(move |v| (scope, *v)))
        {
            let source = format!("{} {scope}", self.config.runner.api_url);
            let before = self.before.deprecations.get(version).filter(|before| before.source == source);
            let etag = before.and_then(|before| before.etag.as_deref());
            let answer = match self.client.runner_deprecation(scope, version, etag, self.deadline) {
                Ok(Conditional::Changed(answer, etag)) => Some(Answered { source, etag, answer }),
                Ok(Conditional::Unchanged) => before.cloned(),
                // A GitHub Enterprise Server may have no such question, and GitHub has forgotten very old versions.
                Err(GithubError::NotFound { operation }) => {
                    log::debug!("{operation}: it does not say");
                    None
                }
                Err(error) => {
                    trouble = Some(error);
                    before.cloned()
                }
            };
            known.extend(answer.map(|answer| (version.clone(), answer)));
        }
        Upstream::change(self.host, |upstream| upstream.deprecations = known)?;
        trouble.map_or(Ok(()), |error| Err(error.into()))
    }

    /// What an image of each target would be made of.
    fn offers(&self) -> Result<(), LookError> {
        let mut bases: Vec<BaseImage> = self.config.targets.iter().map(|target| target.base).collect();
        bases.dedup();
        bases.into_iter().map(|base| self.offers_of(base)).fold(Ok(()), Result::and)
    }

    /// The same of one base. Its list counts as seen once all targets have taken from it what they need.
    fn offers_of(&self, base: BaseImage) -> Result<(), LookError> {
        let url = base_image::list_of(&self.config.base_image, base);
        let known = self.before.lists.get(&url);
        let list = base_image::list_since(self.http, &url, known, self.deadline)?;
        for target in self.config.targets.iter().filter(|target| target.base == base) {
            self.offer(*target, list.is_some())?;
        }
        let urls = self
            .config
            .targets
            .iter()
            .map(|target| base_image::list_of(&self.config.base_image, target.base));
        let urls: BTreeSet<String> = urls.collect();
        Ok(Upstream::change(self.host, |upstream| {
            upstream.lists.extend(list.map(|list| (url, list)));
            // Those of earlier bases and sources are of no use.
            upstream.lists.retain(|url, _| urls.contains(url));
        })?)
    }

    fn offer(&self, target: Target, list_has_changed: bool) -> Result<(), LookError> {
        let Self { host, http, config, client, deadline, .. } = *self;
        let base_image = match self.before.offer(target).filter(|_| !list_has_changed) {
            Some(known) => known.base_image.clone(),
            None => base_image::look_up(host, http, &config.base_image, target, deadline)?.sha256,
        };
        let runner =
            find_runner(client, &config.runner, &config.recipe.of(target), target, deadline)?.version;
        let mut is_news = false;
        Upstream::change(host, |known| {
            is_news = known.finds(target, &runner, &base_image, Timestamp::now())
        })?;
        if is_news {
            log::info!("{target}: available now: runner {runner}, base image {base_image}");
        }
        Ok(())
    }
}
