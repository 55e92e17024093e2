//! What an image says of itself, as hosted runners' images do: in the log of each job, to the tools that jobs run, and by the
//! limits of its kernel.

use serde_json::json;

use super::{Done, RUNNER_HOME, RUNNER_USER, RunnerBase};
use crate::instance::executor::Executor;
use crate::model::{Deadline, Timestamp};

/// Where jobs' tools are unpacked: some actions know no other place.
const TOOL_CACHE: &str = "/opt/hostedtoolcache";

/// The kernel's limits on hosted runners, for jobs that watch many files and for databases.
pub const LIMITS: [(&str, u64); 3] = [
    ("fs.inotify.max_user_instances", 1280),
    ("fs.inotify.max_user_watches", 655_360),
    ("vm.max_map_count", 262_144),
];

/// Read before Ubuntu's own files and the recipe's, which may set more.
const LIMITS_FILE: &str = "/etc/sysctl.d/05-runner-image-builder.conf";

/// Of which build an image is. It is no part of the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// The application that builds it.
    pub application: String,
    /// When the list was signed that names its base image.
    pub base_image: Timestamp,
    /// When it is built.
    pub built: Timestamp,
}

impl ImageInfo {
    /// The value of `ImageVersion`: the dates of the base image and of the build, and the build's time of day, in UTC.
    pub fn version(&self) -> String {
        let digits = |moment: Timestamp| -> String {
            moment.to_string().chars().filter(char::is_ascii_digit).take(12).collect()
        };
        let (base, built) = (digits(self.base_image), digits(self.built));
        let (day, time) = built.split_at_checked(8).unwrap_or((&built, ""));
        format!("{}.{day}.{time}", base.get(..8).unwrap_or(&base))
    }
}

impl RunnerBase {
    /// The value of `ImageOS`: `ubuntu24`.
    fn image_os(&self) -> String {
        let version = self.target.base.version();
        format!("ubuntu{}", version.split('.').next().unwrap_or(version))
    }

    /// The variables that jobs find.
    fn image_variables(&self) -> [(&'static str, String); 4] {
        [
            ("ImageOS", self.image_os()),
            ("ImageVersion", self.image.version()),
            ("RUNNER_TOOL_CACHE", TOOL_CACHE.to_owned()),
            ("AGENT_TOOLSDIRECTORY", TOOL_CACHE.to_owned()),
        ]
    }

    /// The groups that the runner prints at the beginning of each job's log.
    fn setup_info(&self) -> String {
        let ImageInfo { application, base_image, built } = &self.image;
        let (target, runner) = (self.target, &self.runner.version);
        let name =
            if application.is_empty() { target.to_string() } else { format!("{application}-{target}") };
        let group = |group: &str, lines: &[String]| json!({"group": group, "detail": lines.join("\n")});
        let groups = [
            group(
                "Operating System",
                &[format!("Ubuntu {}", target.base.version()), target.arch.to_string()],
            ),
            group(
                "Runner Image",
                &[
                    format!("Image: {name}"),
                    format!("Version: {}", self.image.version()),
                    format!("Base image: {} of {base_image}", target.base),
                    format!("Built: {built}"),
                    format!("Runner: {runner}"),
                ],
            ),
        ];
        format!("{:#}\n", serde_json::Value::from(groups.to_vec()))
    }

    /// Names the image to jobs. Consumers write the runner's `.env` themselves; what one of them replaces there, a login
    /// still finds in `/etc/environment`.
    pub(super) fn name_the_image(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let info = self.setup_info().into_bytes();
        let owner = format!("{RUNNER_USER}:{RUNNER_USER}");
        let path = format!("{RUNNER_HOME}/.setup_info");
        executor.push_file_for(&owner, &path, 0o644, info, deadline)?;
        let limits: String = LIMITS.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        executor.push_file(LIMITS_FILE, 0o644, limits.into_bytes(), deadline)?;
        let script = "user=$1 cache=$2 env=$3; shift 3
            install -d --owner=\"$user\" --group=\"$user\" --mode=0755 \"$cache\"
            for file in \"$env\" /etc/environment; do
                touch \"$file\"
                # Not left in the middle of a line.
                [ -z \"$(tail -c 1 \"$file\")\" ] || echo >>\"$file\"
                for variable; do
                    sed -i \"/^${variable%%=*}=/d\" \"$file\"
                    printf '%s\\n' \"$variable\" >>\"$file\"
                done
            done
            chown \"$user:$user\" \"$env\"";
        let variables = self.image_variables().map(|(name, value)| format!("{name}={value}"));
        let env = format!("{RUNNER_HOME}/.env");
        let mut arguments = vec![RUNNER_USER, TOOL_CACHE, &env];
        arguments.extend(variables.iter().map(String::as_str));
        executor.run(self.shell_with(script, &arguments), deadline).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::runner::tests::base;

    #[test]
    fn an_image_names_its_base_image_its_build_and_its_runner() {
        let base = base("runner: []");
        assert_eq!(base.image.version(), "20260501.20260502.1405");
        assert_eq!(base.image_os(), "ubuntu24");
        let info: serde_json::Value = serde_json::from_str(&base.setup_info()).unwrap();
        assert_eq!(
            info,
            json!([
                {"group": "Operating System", "detail": "Ubuntu 24.04\nx64"},
                {"group": "Runner Image", "detail": "Image: app-noble-x64\nVersion: 20260501.20260502.1405\n\
                    Base image: noble of 2026-05-01T12:00:00Z\nBuilt: 2026-05-02T14:05:00Z\nRunner: 1"},
            ])
        );
    }
}
