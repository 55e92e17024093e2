//! The chapters of the story.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rehearsal::agent::Relation;
use serde_json::json;

use crate::charm::{Charm, PROXY, SCRIPT_SECRET, all_succeeded};
use crate::cloud::{Project, state_dir, wait_for};

/// How long one build may take on an emulated processor.
const BUILD: Duration = Duration::from_secs(900);
/// The image's name.
const IMAGE: &str = "image-builder-noble-x64";

/// The charm, its cloud, and what has happened so far.
pub struct Story {
    charm: Charm,
    build: Project,
    consumers: [Project; 2],
    relations: Vec<Relation>,
    /// What was in the three projects before the charm came.
    before: Vec<String>,
    /// An image of the same name that somebody else made.
    foreign: String,
    /// The ids of the first consumer's images, oldest first.
    revisions: Vec<String>,
    /// The first builder VM's two public keys: ours for it, and its host key.
    keys: [String; 2],
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

    pub fn a_consumer_boots_it(&mut self) {
        let output = Command::new(script("boot-image.sh"))
            .args(["upload", self.revisions.last().expect("a revision")])
            .env("SCRIPT_SECRET", SCRIPT_SECRET)
            .env("BUILDER_HOST_KEY", &self.keys[1])
            .output()
            .expect("boot-image.sh");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        let fact = |name: &str| {
            let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name} in {told}")).to_owned()
        };
        assert_eq!(fact("runner"), "2.330.0");
        assert_eq!(fact("packages"), "complete");
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

    pub fn no_leftovers(&mut self) {
        let lines: Vec<String> = added(&self.before[0], &self.build.inventory());
        // The base image stays for the next build; everything else is gone.
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("image-builder-image-builder-base-noble-x64"), "{lines:?}");
        for (before, project) in self.before[1..].iter().zip(&self.consumers) {
            let lines = added(before, &project.inventory());
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains(IMAGE), "{lines:?}");
        }
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
        let broken = [("script-url", "http://127.0.0.1:8080/script/broken.sh")];
        all_succeeded(&self.charm.app.set_config(&broken).expect("config"));
        let status = wait_for("the failure in the status", BUILD, || {
            let status = self.charm.status();
            status.contains("Build failed").then_some(status)
        });
        assert!(status.starts_with("active: noble-x64 "), "{status}");
        assert!(
            status.contains("running the external script") && status.contains("always fails"),
            "{status}"
        );
        assert_eq!(self.charm.published(&self.relations[0]).as_ref(), self.revisions.last());
        self.charm.worker_ended(Duration::from_secs(180));
        self.no_leftovers();
    }

    pub fn recovers_from_a_killed_worker(&mut self) {
        let good = [("script-url", "http://127.0.0.1:8080/script/setup.sh")];
        all_succeeded(&self.charm.app.set_config(&good).expect("config"));
        // The good script's image is there and young: nothing to build.
        wait_for("an end without failure", BUILD, || {
            let job = self.charm.journal().job?;
            (job.finished.is_some() && job.failures.is_empty()).then_some(())
        });
        self.charm.worker_ended(Duration::from_secs(180));
        let action = self.charm.run(json!({"force": true}));
        assert!(action.results.contains_key("job"), "{action:?}");
        let worker = wait_for("a builder VM", BUILD, || {
            let log = self.build.json(&["server", "list"]);
            log.as_array().is_some_and(|servers| !servers.is_empty()).then(|| self.charm.worker()).flatten()
        });
        std::thread::sleep(Duration::from_secs(5));
        kill_with_children(worker);
        wait_for("the worker's death", Duration::from_secs(20), || {
            self.charm.worker().is_none().then_some(())
        });
        let run = self.charm.unit().update_status().expect("hook");
        assert!(run.succeeded(), "{}", run.stderr);
        let old = self.revisions.last().cloned();
        wait_for("the second image", BUILD * 2, || {
            (self.charm.published(&self.relations[0]) != old).then_some(())
        });
        self.charm.worker_ended(Duration::from_secs(180));
        self.note_revision();
        let servers = self.build.json(&["server", "list"]);
        assert_eq!(servers, json!([]), "the dead worker's VM is gone");
    }

    pub fn prunes_the_oldest(&mut self) {
        let action = self.charm.run(json!({"force": true, "wait": true}));
        assert_eq!(action.message, "", "{action:?}");
        assert!(!action.log.is_empty(), "progress in the action's log");
        self.charm.worker_ended(Duration::from_secs(300));
        self.note_revision();
        assert_eq!(self.revisions.len(), 3);
        let kept: BTreeSet<String> = self.consumers[0].images_named(IMAGE).into_iter().collect();
        let wanted = [&self.revisions[1], &self.revisions[2], &self.foreign];
        assert_eq!(kept, wanted.into_iter().cloned().collect(), "all revisions: {:?}", self.revisions);
        assert_eq!(self.consumers[1].images_named(IMAGE).len(), 2);
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

    fn note_revision(&mut self) {
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
fn added(before: &str, after: &str) -> Vec<String> {
    let old: BTreeSet<&str> = before.lines().collect();
    let new: BTreeSet<&str> = after.lines().collect();
    assert!(old.is_subset(&new), "missing: {:?}", old.difference(&new).collect::<Vec<_>>());
    new.difference(&old).map(|line| (*line).to_owned()).collect()
}

/// As a crash does: no process of the worker's session has a chance to tidy up.
fn kill_with_children(worker: i32) {
    let killed = Command::new("pkill").args(["-KILL", "--session", &worker.to_string()]).status();
    let direct = Command::new("kill").args(["-KILL", &worker.to_string()]).status();
    assert!(killed.is_ok() && direct.is_ok());
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
