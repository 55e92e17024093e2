//! What the instance fetches itself: tools, npm packages, the runner. Files are checked against their digests before
//! anything of them is used.

use super::{Done, RUNNER_HOME, RUNNER_USER, RunnerBase, RunnerTarball, ToolDownload};
use crate::instance::executor::Executor;
use crate::model::Deadline;

/// Fetches `$1` with the digest `$2` into `$file`, which goes with the shell. A server that sends nothing for a minute has
/// failed.
const FETCH: &str = "file=$(mktemp); trap 'rm -f \"$file\"' EXIT
    curl --fail --silent --show-error --location --proto '=http,https' \
        --connect-timeout 30 --speed-limit 1 --speed-time 60 --output \"$file\" -- \"$1\"
    echo \"$2  $file\" | sha256sum --check --quiet\n";

impl RunnerBase {
    pub(super) fn install_npm_packages(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let packages = self.recipe.npm.iter().map(|package| match &package.version {
            Some(version) => format!("{}@{version}", package.name),
            None => package.name.to_string(),
        });
        let packages: Vec<String> = packages.collect();
        // Its cache and its logs, which name proxies, are no part of the image.
        let script = "export npm_config_cache=$(mktemp -d); trap 'rm -rf \"$npm_config_cache\"' EXIT
            npm install --global --no-fund --no-audit \"$@\"";
        let arguments: Vec<&str> = packages.iter().map(String::as_str).collect();
        self.fetch_with(executor, script, &arguments, deadline).map(drop)
    }

    pub(super) fn install_tools(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let script = format!("{FETCH}install -D --mode=0755 --owner=root --group=root \"$file\" \"$3\"");
        for ToolDownload { path, url, sha256, .. } in &self.tools {
            self.fetch_with(executor, &script, &[url, sha256, path], deadline)?;
        }
        Ok(())
    }

    pub(super) fn install_runner(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let RunnerTarball { url, sha256, .. } = &self.runner;
        let script = format!(
            "{FETCH}rm -rf \"$3\"; mkdir -p \"$3\"
            tar -xzf \"$file\" -C \"$3\" --no-same-owner
            [ -e \"$3/.env\" ] || echo LANG=C.UTF-8 >\"$3/.env\"
            chown -R \"$4:$4\" \"$3\""
        );
        self.fetch_with(executor, &script, &[url, sha256, RUNNER_HOME, RUNNER_USER], deadline).map(drop)
    }
}
