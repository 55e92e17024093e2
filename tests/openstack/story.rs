//! The chapters of the story.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rehearsal::agent::Relation;
use serde_json::json;

use crate::charm::{Charm, PROXY, SCRIPT_SECRET, all_succeeded};
use crate::cloud::{Project, state_dir, wait_for};

/// How long one build may take on an emulated processor.
pub const BUILD: Duration = Duration::from_secs(1200);
/// The image's name.
const IMAGE: &str = "image-builder-noble-x64";
/// How many revisions are kept.
const HISTORY: usize = 2;
/// An operator's scripts, as the charm fetches them.
const SCRIPTS: &str = "http://127.0.0.1:8080/script";

/// The charm, its cloud, and what has happened so far.
pub struct Story {
    pub charm: Charm,
    pub build: Project,
    consumers: [Project; 2],
    relations: Vec<Relation>,
    /// What was in the three projects before the charm came.
    pub before: Vec<String>,
    /// An image of the same name that somebody else made.
    foreign: String,
    /// The ids of the first consumer's images, oldest first.
    revisions: Vec<String>,
    /// The first builder VM's two public keys: ours for it, and its host key.
    keys: [String; 2],
    /// The image that failed last.
    rejected: Option<String>,
    /// boot-image.sh, which looks at a machine of the first image while the story goes on.
    consumer: Option<Child>,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.charm.show_log();
        }
        let _ = self.consumers[0].try_client(&["image", "delete", &self.foreign]);
    }
}

impl Story {
    pub fn begin() -> Self {
        let build = Project::named("builder");
        let consumers = [Project::named("upload"), Project::named("upload2")];
        let file = state_dir().join("foreign.img");
        fs::write(&file, b"somebody else's").expect("a file");
        let path = file.to_string_lossy().into_owned();
        let args =
            ["image", "create", IMAGE, "--disk-format", "raw", "--file", &path, "-f", "value", "-c", "id"];
        let foreign = consumers[0].client(&args);
        let before = [&build, &consumers[0], &consumers[1]].map(Project::inventory).to_vec();
        let charm = Charm::deploy(&build);
        Self {
            charm,
            build,
            consumers,
            relations: Vec::new(),
            before,
            foreign,
            revisions: Vec::new(),
            keys: Default::default(),
            rejected: None,
            consumer: None,
        }
    }

    pub fn says_what_is_missing(&mut self) {
        let status = self.charm.status();
        assert!(status.starts_with("blocked: Please supply all OpenStack configurations."), "{status}");
        for option in ["openstack-auth-url", "openstack-project-name", "openstack-password-secret"] {
            assert!(status.contains(option), "{status}");
        }
    }

    pub fn asks_for_a_relation(&mut self) {
        self.charm.configure(&self.build);
        assert_eq!(self.charm.status(), "blocked: image integration required.");
    }

    pub fn serves_config_while_building(&mut self) {
        for (consumer, project) in ["runners-a", "runners-b"].into_iter().zip(&self.consumers) {
            self.relations.push(self.charm.integrate(consumer, project));
        }
        let seen = wait_for("progress in the status", BUILD, || {
            let status = self.charm.status();
            assert!(!status.contains("failed"), "{status}");
            // Progress is told once a minute: which step is seen is chance.
            status.contains(" of 14, ").then_some(status)
        });
        println!("    {seen}");
        assert!(seen.starts_with("maintenance: Building noble-x64: "), "{seen}");
        self.keys = self.charm.builder_keys();
        let started = Instant::now();
        all_succeeded(&self.charm.app.set_config(&[("build-interval", "3")]).expect("config"));
        assert!(started.elapsed() < Duration::from_secs(2), "config-changed took {:?}", started.elapsed());
        assert!(self.charm.file("/etc/cron.d/build-runner-image").contains("3600 \\% 3 "));
        assert!(self.charm.worker().is_some(), "the build goes on");
    }

    pub fn delivers_to_every_project(&mut self) {
        wait_for("an image in every databag", BUILD, || {
            let status = self.charm.status();
            assert!(!status.contains("failed"), "{status}");
            self.relations.iter().all(|relation| self.charm.published(relation).is_some()).then_some(())
        });
        for (relation, project) in self.relations.iter().zip(&self.consumers) {
            let databag = relation.written_by(&self.charm.unit()).expect("databag");
            let id = &databag["id"];
            let image = project
                .image(id)
                .unwrap_or_else(|| panic!("{id} is not in {}", project.auth("project_name")));
            assert_eq!((&image["name"], &image["status"]), (&json!(IMAGE), &json!("active")));
            assert_eq!(image["properties"]["architecture"], "x86_64");
            assert_eq!(databag["tags"], "x64,noble");
            let images: serde_json::Value = serde_json::from_str(&databag["images"]).expect("JSON");
            assert_eq!(images, json!([{"id": id, "tags": "x64,noble"}]));
        }
        self.charm.worker_ended(Duration::from_secs(180));
        let status = self.charm.status();
        assert!(status.starts_with("active: noble-x64 "), "{status}");
        self.note_revision();
    }

    pub fn no_secret_in_any_exec(&mut self) {
        let lines = self.charm.trace.lines();
        let programs: BTreeSet<&str> =
            lines.iter().filter_map(|line| line.split("execve(\"").nth(1)?.split('"').next()).collect();
        for program in ["ssh", "gpgv", "ssh-keygen", "dpkg-query", "juju-exec"] {
            assert!(
                programs.iter().any(|path| path.ends_with(program)),
                "the trace has no {program}: {programs:?}"
            );
        }
        let projects = [&self.build, &self.consumers[0], &self.consumers[1]];
        let mut secrets: Vec<&str> = projects.map(|project| project.auth("password")).to_vec();
        secrets.push(SCRIPT_SECRET);
        for secret in secrets {
            let told = lines.iter().find(|line| line.contains(secret));
            assert!(told.is_none(), "a secret in {told:?}");
        }
        let of_juju = lines.iter().find(|line| line.contains("\"JUJU_CONTEXT_ID="));
        assert!(of_juju.is_none(), "a worker inside a hook's context: {of_juju:?}");
    }

    /// A boot takes minutes: it goes on while the next chapters are told.
    pub fn a_consumer_launches_a_machine(&mut self) {
        let consumer = Command::new(script("boot-image.sh"))
            .args(["upload", self.revisions.last().expect("a revision")])
            .env("SCRIPT_SECRET", SCRIPT_SECRET)
            .env("BUILDER_HOST_KEY", &self.keys[1])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        self.consumer = Some(consumer.expect("boot-image.sh"));
    }

    pub fn the_consumers_machine_is_complete(&mut self) {
        let consumer = self.consumer.take().expect("a consumer");
        let output = consumer.wait_with_output().expect("boot-image.sh");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        let fact = |name: &str| {
            let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name} in {told}")).to_owned()
        };
        assert_eq!(fact("runner"), "2.330.0");
        assert_eq!(fact("packages"), "complete");
        assert!(fact("docker").starts_with("Server: "));
        assert_eq!(fact("yarn"), "1.22.22");
        assert_eq!(fact("yq"), "mikefarah/yq version v4.54.1");
        assert_eq!(fact("sysctl"), "bbr");
        assert_eq!(fact("script"), fact("script-expected"), "the script ran with its secret");
        assert_eq!(fact("groups"), "docker lxd microk8s sudo");
        assert_eq!(fact("runner-home"), "/home/ubuntu");
        assert_eq!(fact("machine-id").len(), 32);
        assert_eq!(fact("host-keys"), "own");
        assert_eq!(fact("sources"), "restored");
    }

    pub fn launches_a_runner(&self) {
        crate::runner::lives_and_ends(&self.charm, &self.consumers[1]);
    }

    pub fn the_image_keeps_no_secret(&mut self) {
        let file = state_dir().join("published.img");
        let path = file.to_string_lossy().into_owned();
        self.consumers[0].client(&[
            "image",
            "save",
            "--file",
            &path,
            self.revisions.last().expect("a revision"),
        ]);
        let patterns = state_dir().join("patterns");
        fs::write(&patterns, format!("{SCRIPT_SECRET}\n")).expect("patterns");
        // Anywhere on the disk, also where no file is any more.
        let inspect = |files_only: &str| {
            let mut command = Command::new(script("inspect-image.sh"));
            command
                .env("FILES_ONLY", files_only)
                .arg(&path)
                .arg(&patterns)
                .output()
                .expect("inspect-image.sh")
        };
        let output = inspect("");
        assert!(output.status.success(), "the script's secret: {}", String::from_utf8_lossy(&output.stdout));
        fs::write(&patterns, format!("{PROXY}\n{}\n{}\n", self.keys[0], self.keys[1])).expect("patterns");
        let output = inspect("1");
        assert!(output.status.success(), "traces of the build: {}", String::from_utf8_lossy(&output.stdout));
        fs::remove_file(file).expect("the image");
    }

    /// Published images, the base image for the next build, an image that failed: nothing else is there.
    pub fn no_leftovers(&self) {
        let (rejected, rest): (Vec<String>, Vec<String>) = added(&self.before[0], &self.build.inventory())
            .into_iter()
            .partition(|line| line.ends_with(" hidden"));
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert!(rest[0].contains("image-builder-image-builder-base-noble-x64"), "{rest:?}");
        assert_eq!(rejected.len(), usize::from(self.rejected.is_some()), "{rejected:?}");
        for (line, id) in rejected.iter().zip(&self.rejected) {
            assert!(
                line.contains("image-builder-image-builder-rejected-noble-x64") && line.contains(id),
                "{line}"
            );
        }
        for (before, project) in self.before[1..].iter().zip(&self.consumers) {
            let lines = added(before, &project.inventory());
            assert_eq!(lines.len(), self.revisions.len().min(HISTORY), "{lines:?}");
            assert!(lines.iter().all(|line| line.contains(IMAGE)), "{lines:?}");
        }
        assert_eq!(self.charm.run_files(), [] as [String; 0], "on the machine");
    }

    pub fn does_nothing_twice(&mut self) {
        let servers = self.build.json(&["server", "list"]);
        let started = Instant::now();
        let result = self.charm.unit().exec("JUJU_DISPATCH_PATH=run ./dispatch").expect("exec");
        assert_eq!(result.code, 0, "{}", result.stderr);
        let job = wait_for("the scheduled job", Duration::from_secs(120), || {
            let job = self.charm.journal().job?;
            (job.finished.is_some() && job.id.as_str() != self.first_job()).then_some(job)
        });
        assert!(job.failures.is_empty(), "{:?}", job.failures);
        self.charm.worker_ended(Duration::from_secs(60));
        println!("    looked for work in {} s", started.elapsed().as_secs());
        assert_eq!(self.build.json(&["server", "list"]), servers);
        assert_eq!(self.charm.published(&self.relations[0]).as_ref(), self.revisions.last());
    }

    pub fn keeps_the_last_image(&mut self) {
        let status = self.build_fails(&[("script-url", &format!("{SCRIPTS}/broken.sh"))]);
        assert!(
            status.contains("running the external script") && status.contains("always fails"),
            "{status}"
        );
    }

    pub fn refuses_an_image_without_its_runner(&mut self) {
        let status = self.image_is_refused(&[("script-url", &format!("{SCRIPTS}/no-runner.sh"))]);
        assert!(status.contains("verifying the image: starting the runner application: "), "{status}");
    }

    pub fn refuses_an_image_that_does_not_boot(&mut self) {
        let script = format!("{SCRIPTS}/hanging-boot.sh");
        // As long as a good machine may need on a busy one.
        let status = self.image_is_refused(&[("script-url", &script), ("boot-timeout", "400")]);
        assert!(status.contains("verifying the image: booting: "), "{status}");
    }

    /// The good script's image is there and young: nothing is built, nothing is wrong any more.
    pub fn is_content_with_the_good_script(&mut self) {
        let script = format!("{SCRIPTS}/setup.sh");
        let good = [("script-url", script.as_str()), ("boot-timeout", "1200")];
        all_succeeded(&self.charm.app.set_config(&good).expect("config"));
        wait_for("an end without failure", BUILD, || {
            let job = self.charm.journal().job?;
            (job.finished.is_some() && job.failures.is_empty()).then_some(())
        });
        self.charm.worker_ended(Duration::from_secs(180));
        assert_eq!(self.published().first(), Some(&self.revisions.last().cloned()));
    }

    /// An image that was built with these options does not prove itself: it is kept aside, in the place of the last.
    fn image_is_refused(&mut self, options: &[(&str, &str)]) -> String {
        let before = self.rejected.take();
        let status = self.build_fails(options);
        let hidden = self.build.json(&["image", "list", "--hidden"]);
        let hidden: Vec<&str> =
            hidden.as_array().expect("a list").iter().filter_map(|image| image["ID"].as_str()).collect();
        let [id] = hidden[..] else { panic!("one is kept, not {hidden:?}") };
        assert!(status.contains(id), "the status names it: {status}");
        assert_ne!(Some(id), before.as_deref());
        self.rejected = Some(id.to_owned());
        status
    }

    /// The build with these options fails, and changes nothing for consumers. Returns the status.
    fn build_fails(&mut self, options: &[(&str, &str)]) -> String {
        all_succeeded(&self.charm.app.set_config(options).expect("config"));
        let status = wait_for("the failure in the status", BUILD, || {
            let status = self.charm.status();
            status.contains("Build failed").then_some(status)
        });
        assert!(status.starts_with("active: noble-x64 "), "{status}");
        assert!(!status.contains(SCRIPT_SECRET), "{status}");
        assert_eq!(self.published().first(), Some(&self.revisions.last().cloned()));
        self.charm.worker_ended(Duration::from_secs(180));
        status
    }

    pub fn prunes_the_oldest(&mut self) {
        let action = self.charm.run(json!({"force": true, "wait": true}));
        assert_eq!(action.message, "", "{action:?}");
        assert!(!action.log.is_empty(), "progress in the action's log");
        self.charm.worker_ended(Duration::from_secs(300));
        self.note_revision();
        assert!(self.revisions.len() > HISTORY);
        let kept: BTreeSet<String> = self.consumers[0].images_named(IMAGE).into_iter().collect();
        let wanted = self.revisions.iter().rev().take(HISTORY).chain([&self.foreign]);
        assert_eq!(kept, wanted.cloned().collect(), "all revisions: {:?}", self.revisions);
        assert_eq!(self.consumers[1].images_named(IMAGE).len(), HISTORY);
        self.no_leftovers();
    }

    pub fn is_removed(&mut self) {
        let started = Instant::now();
        all_succeeded(&self.charm.app.remove().expect("removal"));
        assert!(started.elapsed() < Duration::from_secs(120), "took {:?}", started.elapsed());
        assert_eq!(self.build.inventory(), self.before[0], "the build project");
        let left: Vec<_> = walk(&self.charm.root).into_iter().filter(|path| path.is_file()).collect();
        assert!(left.is_empty(), "{left:?}");
        let processes = self.charm.model.processes();
        assert!(processes.is_empty(), "{processes:?}");
        for project in &self.consumers {
            for id in project.images_named(IMAGE).iter().filter(|id| **id != self.foreign) {
                project.client(&["image", "delete", id]);
            }
        }
    }

    /// What each relation names.
    pub fn published(&self) -> Vec<Option<String>> {
        self.relations.iter().map(|relation| self.charm.published(relation)).collect()
    }

    pub fn note_revision(&mut self) {
        self.revisions.extend(self.charm.published(&self.relations[0]));
    }

    fn first_job(&self) -> String {
        let image = self.consumers[0].image(self.revisions.first().expect("a revision")).expect("the image");
        image["properties"]["runner_image_builder_job"].as_str().unwrap_or_default().to_owned()
    }
}

fn script(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openstack").join(name)
}

/// The lines of `after` that are not in `before`; nothing may be missing.
pub fn added(before: &str, after: &str) -> Vec<String> {
    let old: BTreeSet<&str> = before.lines().collect();
    let new: BTreeSet<&str> = after.lines().collect();
    assert!(old.is_subset(&new), "missing: {:?}", old.difference(&new).collect::<Vec<_>>());
    new.difference(&old).map(|line| (*line).to_owned()).collect()
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
